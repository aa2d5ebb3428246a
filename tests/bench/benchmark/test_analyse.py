"""From events to figures: what is said, what is left out, and what becomes of a stream that is cut off."""

from __future__ import annotations

import base64

import benchmark_example as example
import numpy as np
import pytest

from compress.bench.benchmark import results
from compress.bench.benchmark.analyse import analyse
from compress.bench.run.results import ResultsError
from compress.bench.stats import median_interval
from compress.errors import RunError


def analysed(events, **options):
    return analyse(events, target="pi", **options)


def small(**changed):
    """A plan of one cell, quick to analyse."""
    return example.plan(**{"scenarios": ("single-stream",), "threads": (1,), "batches": (1,)} | changed)


def test_every_cell_has_every_model_in_the_plans_order(benchmark):
    assert [cell.id for cell in benchmark.cells] == [cell.name for cell in example.plan().cells]
    for cell in benchmark.cells:
        assert [timing.model for timing in cell.timings] == list(example.MODELS)


def test_figures_are_those_of_all_calls(events, benchmark):
    cell = benchmark.cells[0]
    rounds = [e for e in events if e["event"] == "round" and e["cell"] == cell.id and e["model"] == "int8"]
    calls = np.concatenate([np.frombuffer(base64.b64decode(e["seconds"]), "<f4") for e in rounds])
    timing = cell.timings[1]
    assert timing.n == calls.size == example.ROUNDS * example.CALLS
    assert timing.p50_calls == pytest.approx(np.median(calls))
    assert timing.p90.value == pytest.approx(np.quantile(calls, 0.9))
    assert timing.mean == pytest.approx(calls.mean(dtype=float))
    assert timing.slowest == pytest.approx(calls.max())
    assert timing.throughput.value == pytest.approx(1 / calls.mean(dtype=float))
    assert timing.p50.low <= timing.p50.value <= timing.p50.high


def two_speeds(openings):
    """Events of one model's 12 openings of 4 rounds, which take ``openings`` times 1 ms; but for 0.2 % of chance."""
    plan, rng = small(models=example.plan().models[:1]), np.random.default_rng(0)
    return plan, [
        example.begin(plan),
        *(
            {
                "event": "round", "at": 1.0, "cell": plan.cells[0].name, "round": 4 * placement + index,
                "placement": placement, "model": "fp32", "samples": 1,
                "seconds": example.encoded(1e-3 * level * (1 + 0.002 * rng.standard_normal(calls))),
            }
            for placement, (level, calls) in enumerate(openings)
            for index in range(4)
        ),
    ]  # fmt: skip


def test_the_median_is_the_estimate_that_its_interval_belongs_to():
    # Eight of 12 openings are fast; slow ones have more calls, so that most calls are slow.
    plan, events = two_speeds([(1.0, 10)] * 8 + [(1.4, 40)] * 4)
    timing = analysed([*events, example.cell_end(plan.cells[0])]).cells[0].timings[0]
    blocks = [np.median(np.frombuffer(base64.b64decode(e["seconds"]), "<f4").astype(float)) for e in events[1:]]
    assert timing.p50 == median_interval(np.array(blocks), np.repeat(np.arange(12), 4))
    assert timing.p50.high < 1.25e-3 < 1.39e-3 < timing.p50_calls


def test_a_median_of_calls_outside_the_typical_ones_interval_is_a_doubt_of_its_row():
    words = []
    for openings in ([(1.0, 10)] * 8 + [(1.4, 40)] * 4, [(1.0, 10)] * 12):
        plan, events = two_speeds(openings)
        timing = analysed([*events, example.cell_end(plan.cells[0])]).cells[0].timings[0]
        words.append([doubt.word for doubt in timing.doubts])
    assert words == [["two speeds"], []]


def test_the_second_hump_of_narrow_times_is_no_crowd_of_outliers():
    calls = np.full(100, 1e-3) * (1 + 1e-4 * np.linspace(-1, 1, 100))
    calls[:15] *= 1.08  # hundreds of standard deviations, as the MAD has them, and 8 %
    calls[-1] = 3e-3
    plan = small(models=example.plan().models[:1])
    event = {
        "event": "round", "at": 1.0, "cell": plan.cells[0].name, "placement": 0, "model": "fp32", "samples": 1,
        "seconds": example.encoded(calls),
    }  # fmt: skip
    found = analysed([example.begin(plan), *(event | {"round": index} for index in range(12))])
    assert found.cells[0].timings[0].outliers == 12


def test_pairs_of_the_unbeaten_that_are_within_2_percent_are_told():
    plan = small()
    cell = plan.cells[0]
    equal = analysed(
        [example.begin(plan), *example.cell_rounds(cell, rounds=300, speed=dict.fromkeys(example.MODELS, 1))]
    )
    assert equal.cells[0].alike == [["fp32", "int8"], ["fp32", "pruned"], ["int8", "pruned"]]
    apart = analysed([example.begin(plan), *example.cell_rounds(cell, speed={"fp32": 1.0, "int8": 0.5, "pruned": 0.8})])
    assert apart.cells[0].alike == []


def test_slow_calls_are_counted_and_stay(benchmark):
    for timing in (timing for cell in benchmark.cells for timing in cell.timings):
        assert 0 < timing.outliers < 0.02 * timing.n
        assert timing.slowest > 2.5 * timing.p50.value


def test_a_tail_is_given_only_of_enough_calls(benchmark):
    for timing in benchmark.cells[0].timings:
        assert timing.p90 is not None and timing.p99 is not None
        assert timing.p999 is None
    few = analysed([example.begin(small()), *example.models(), *example.cell_rounds(small().cells[0], rounds=8)])
    assert few.cells[0].timings[0].n == 160
    assert few.cells[0].timings[0].p90 is not None
    assert few.cells[0].timings[0].p99 is None


def test_ratios_are_to_the_first_model_and_hold_the_truth(benchmark):
    for cell in benchmark.cells:
        first, *others = cell.timings
        assert (first.ratio_to_first, first.said) == (None, "first")
        for timing in others:
            assert timing.ratio_to_first.low < 1 / example.SPEED[timing.model] < timing.ratio_to_first.high
            assert timing.said == "faster"


def test_the_fastest_is_named_only_where_the_intervals_allow(benchmark):
    assert all(cell.fastest == ["int8", "pruned"] for cell in benchmark.cells)  # they differ by less than a percent
    plan, apart = small(), {"fp32": 1.0, "int8": 0.5, "pruned": 0.8}
    cell = plan.cells[0]
    found = analysed([example.begin(plan), *example.cell_rounds(cell, speed=apart), example.cell_end(cell)])
    assert found.cells[0].fastest == ["int8"]


def test_equal_models_are_not_told_apart():
    plan = small()
    equal = dict.fromkeys(example.MODELS, 1.0)
    said = set()
    for seed in range(10):
        found = analysed([example.begin(plan), *example.cell_rounds(plan.cells[0], speed=equal, seed=seed)])
        said |= {timing.said for timing in found.cells[0].timings}
        assert found.cells[0].fastest == list(example.MODELS)
    assert said <= {"first", "within 2 %", "no difference to tell"}


def test_too_few_rounds_have_no_interval_and_say_so():
    plan = small()
    found = analysed(
        [example.begin(plan), *example.cell_rounds(plan.cells[0], rounds=5), example.cell_end(plan.cells[0])]
    )
    cell = found.cells[0]
    assert [timing.said for timing in cell.timings] == ["first", "too few rounds", "too few rounds"]
    assert cell.timings[1].p50.low == pytest.approx(cell.timings[1].percentiles[0])
    assert cell.fastest == list(example.MODELS)
    assert "few rounds" in [doubt.word for doubt in cell.doubts]


def test_each_scenario_is_judged_by_mlperfs_figure():
    plan = small(scenarios=("single-stream", "multi-stream", "offline"), batches=(4,), query=8)
    events = [example.begin(plan)]
    for cell in plan.cells:
        events += [*example.cell_rounds(cell), example.cell_end(cell)]
    single, multi, offline = analysed(events).cells
    assert single.timings[0].metric.value == single.timings[0].p90
    assert multi.timings[0].metric.value == multi.timings[0].p99
    assert offline.timings[0].metric.value == offline.timings[0].throughput


def test_bursts_of_unlike_length_are_compared_by_their_samples():
    plan = small(scenarios=("offline",), batches=(1,))
    rounds = example.cell_rounds(plan.cells[0], speed=dict.fromkeys(example.MODELS, 1.0))
    for event in rounds:
        event["samples"] = {"fp32": 100, "int8": 200, "pruned": 100}[event["model"]]
    first, doubled, _ = analysed([example.begin(plan), *rounds]).cells[0].timings
    assert doubled.ratio_to_first.value == pytest.approx(2, rel=0.02)
    assert doubled.throughput.value == pytest.approx(2 * first.throughput.value, rel=0.02)


def test_nothing_is_missing_of_a_whole_stream(benchmark):
    assert (benchmark.complete, benchmark.missing, benchmark.refused) == (True, [], [])


@pytest.mark.parametrize("kept", [1, 5, 60, 130, 200, 500, 900])
def test_a_stream_cut_off_anywhere_is_analysed_and_says_what_is_missing(events, kept):
    found = analysed(events[:kept])
    assert not found.complete
    assert "ends in the middle" in found.why
    assert found.missing
    assert results.from_json(results.to_json(found)) == found


def test_a_cell_cut_off_is_kept_and_marked(events):
    last = max(i for i, e in enumerate(events) if e["event"] == "round" and e["cell"] == "single-stream/t4/b1")
    cell = analysed(events[:last]).cells[-1]
    assert (cell.id, cell.ended_by) == ("single-stream/t4/b1", "interrupted")
    assert "partial" in [doubt.word for doubt in cell.doubts]
    assert cell.timings[1].said == "faster"


def test_what_was_measured_anew_after_a_resumption_counts_once():
    plan = small(energy=False, sustain=None, memory=False, cold=0)
    cell = plan.cells[0]
    step = {"event": "start", "at": 1.0, "what": cell.name}
    torn = [example.begin(plan), *example.models(), step, *example.cell_rounds(cell, seed=1)[:30]]
    again = [example.begin(plan, resumed=True), step, *example.cell_rounds(cell, seed=2), example.cell_end(cell)]
    done = [{"event": "done", "at": 2.0, "what": cell.name}, {"event": "end", "at": 3.0, "complete": True, "why": ""}]
    whole = analysed([*torn, *again, *done])
    assert whole.complete and not whole.missing
    assert whole.cells == analysed([example.begin(plan), *example.models(), *again[1:], *done]).cells


def test_a_refusal_leaves_the_others_and_is_not_missing(events):
    refused = {"event": "refused", "at": 0.4, "model": "int8", "what": "open", "code": "engine-missing", "reason": "no"}
    left = [e for e in events if e.get("model") != "int8"]
    found = analysed([left[0], refused, *left[1:]])
    assert [timing.model for timing in found.cells[0].timings] == ["fp32", "pruned"]
    assert (found.missing, found.refused[0].reason) == ([], "no")
    assert [model.version for model in found.models] == ["1.32.0", None, "1.32.0"]


def test_a_cell_that_all_refused_is_not_missing(events):
    cell = "batch/t4/b8"
    refusals = [
        {"event": "refused", "at": 1.0, "model": model, "what": cell, "code": "input-invalid", "reason": "batch of 1"}
        for model in example.MODELS
    ]
    found = analysed([*[e for e in events[:-1] if e.get("cell") != cell], *refusals, events[-1]])
    assert found.missing == []
    assert len(found.cells) == len(example.plan().cells) - 1


def test_without_the_first_model_the_next_one_is_what_others_are_compared_with(events):
    found = analysed([e for e in events if e.get("model") != "fp32"])
    assert [timing.said for timing in found.cells[0].timings] == ["first", "within 2 %"]


def test_memory_is_told_without_the_interpreters_own(benchmark):
    first = benchmark.memory[0]
    assert (first.interpreter, first.engine, first.peak) == (31_000_000, 30_000_000, 33_000_000 + 2 * 4_100_000)


def test_a_cold_start_is_the_sum_up_to_the_first_answer(benchmark):
    start = benchmark.cold[0]
    parts = (start.interpreter, start.engine, start.load, start.first)
    assert start.total.value == pytest.approx(sum(part.value for part in parts))
    assert (start.n, start.interpreter.low, start.interpreter.high) == (3, 0.09, pytest.approx(0.094))


def test_sustained_load_tells_its_ends_and_when_it_was_throttled(benchmark):
    first = benchmark.sustained[0]
    assert first.end / first.start == pytest.approx(1.3)
    assert (first.throttled_at, first.complete, len(first.moments)) == (30.0, True, 60)


def test_a_sustained_run_cut_off_is_marked(events):
    last = max(
        i for i, e in enumerate(events) if e["event"] == "sustain" and e["model"] == "int8" and not e.get("done")
    )
    found = analysed(events[:last])
    assert [(s.model, s.complete) for s in found.sustained] == [("fp32", True), ("int8", False)]
    assert "sustained load of int8, pruned" in found.missing


def test_no_sensor_is_none_and_modelled_energy_is_marked(events):
    none = [e for e in events if e["event"] != "energy"]
    none[-1:-1] = [
        {"event": "energy", "at": 9.0, "model": model, "none": "no sensor found"} for model in example.MODELS
    ]
    found = analysed(none)
    assert {(e.none, e.gross) for e in found.energy} == {("no sensor found", None)}
    modelled = [e for e in analysed(none, watts=5.0).energy if not e.measured]
    cell = found.cells[0]
    assert modelled[0].gross.value == pytest.approx(5.0 / cell.timings[0].throughput.value)
    assert "modelled" in modelled[0].source


def test_energy_keeps_source_and_resolution(benchmark):
    energy = benchmark.energy[0]
    assert energy.gross.value == 0.011 and energy.net.value == 0.0055
    assert (energy.sensor, energy.resolution["interval"], energy.windows) == ("pi5-pmic", 0.1, 5)


def test_energy_has_the_time_of_a_call_in_its_own_windows(events):
    windows = [example.encoded(np.full(50, seconds)) for seconds in (2e-3, 4e-3, 3e-3)]
    told = [e | {"calls": windows} if e["event"] == "energy" else e for e in events]
    energy = analysed(told).energy[0]
    assert (energy.latency.value, energy.latency.low, energy.latency.high) == pytest.approx((3e-3, 2e-3, 4e-3))
    assert analysed(events).energy[0].latency is None


def test_an_emulated_machine_marks_the_whole():
    plan = small()
    found = analysed([example.begin(plan, emulated=True), *example.cell_rounds(plan.cells[0])])
    assert found.emulated
    assert [doubt.word for doubt in found.doubts] == ["emulated"]


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([], "there is no beginning"),
        ([{"event": "round"}], "there is no beginning"),
        ([{"event": "begin", "schema": "edge-runtime.bench/9"}], "schema is 'edge-runtime.bench/9'"),
    ],
)
def test_what_is_no_stream_is_refused(events, said):
    with pytest.raises(RunError, match=said):
        analysed(events)


def test_times_that_are_none_are_refused_with_their_place(events):
    spoilt = [dict(e) for e in events[:10]]
    spoilt[5]["seconds"] = example.encoded(np.array([0.0]))
    with pytest.raises(RunError, match=r"single-stream/t1/b1, round 0 of \w+: its times cannot be read"):
        analysed(spoilt)


def test_json_goes_there_and_back_and_knows_its_version(benchmark):
    text = results.to_json(benchmark)
    assert results.from_json(text) == benchmark
    with pytest.raises(ResultsError, match=r"compress\.benchmark/9.*measure again"):
        results.from_json(text.replace("compress.benchmark/1", "compress.benchmark/9"))
    with pytest.raises(ResultsError, match=r"malformed at cells\.0\.timings\.0"):
        results.from_json(text.replace('"outliers"', '"outlyers"', 1))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda e: e.pop("model"),
        lambda e: e.update(model="another"),
        lambda e: e.update(seconds="not base64"),
        lambda e: e.update(samples=0),
        lambda e: e.update(placement=None),
    ],
)
def test_a_malformed_event_is_refused_in_words(events, spoil):
    spoilt = [dict(e) for e in events[:200]]
    spoil(next(e for e in spoilt if e["event"] == "round"))
    with pytest.raises(RunError):
        analysed(spoilt)
