"""Two benchmarks compared: what is a regression, what is noise, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import benchmark_example as example
import numpy as np
import pytest

from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.results import Refused
from compress.bench.diff.benchmark import compare
from compress.bench.diff.table import headline
from edge_runtime.probes.events import decode

END = {"event": "end", "at": 300.0, "complete": True, "why": "all is measured"}
PLAN = example.plan(scenarios=("single-stream",), threads=(1,), batches=(1,))


def measured(seed=0, slower=None, conditions=None):
    """The example measured again, with other chance, and models slower by a factor."""
    speed = {name: s * (slower or {}).get(name, 1.0) for name, s in example.SPEED.items()}
    cell = PLAN.cells[0]
    end = example.cell_end(cell)
    if conditions:
        end["conditions"] = {"before": example.CALM | conditions, "after": example.CALM | conditions}
    events = [example.begin(PLAN), *example.models(), *example.cell_rounds(cell, seed=seed, speed=speed), end]
    return analyse([*events, *example.others(PLAN), END], target="pi")


@pytest.fixture(scope="module")
def old():
    return measured()


def words(found):
    return {(pair.called, change.figure): change.word for pair in found.pairs for change in pair.changes}


def test_the_same_benchmark_is_the_same(old):
    found = compare(old, old)
    assert not found.worse and not found.incomplete
    assert set(words(found).values()) <= {"same", "within noise"}


def test_equal_models_measured_again_are_not_worse(old):
    for seed in range(1, 6):
        assert not compare(old, measured(seed)).worse


def test_a_model_made_slower_is_found_by_its_ratio_and_its_median(old):
    found = compare(old, measured(1, {"int8": 1.25}))
    said = words(found)
    assert (said["int8", "speed"], said["int8", "median"]) == ("worse", "worse")
    assert said["pruned", "speed"] not in ("worse", "better")
    assert said["fp32", "median"] != "worse"


def test_the_first_model_alone_is_guarded_by_its_median(old):
    found = compare(old, measured(1, {"fp32": 1.3}))
    assert words(found)["fp32", "median"] == "worse"


def test_a_state_of_the_machine_touches_medians_and_no_ratio(old):
    everything = dict.fromkeys(example.MODELS, 1.3)
    found = compare(old, measured(1, everything, {"frequency": 1.8e9}))
    said = words(found)
    assert not found.worse
    assert {word for (_, figure), word in said.items() if figure == "median"} == {"not compared"}
    assert said["int8", "speed"] in ("within noise", "cannot tell", "same")


def test_the_load_of_others_counts_as_noise_and_much_of_it_forbids(old):
    slower = {"fp32": 1.3}
    assert words(compare(old, measured(1, slower, {"others": 0.15})))["fp32", "median"] == "cannot tell"
    assert words(compare(old, measured(1, slower, {"others": 0.4})))["fp32", "median"] == "not compared"


def test_tolerance_and_run_to_run_decide(old):
    new = measured(1, {"int8": 1.25})
    assert not compare(old, new, tolerances={"latency": 0.4}).worse
    assert not compare(old, new, run_to_run=0.2).worse
    assert not compare(old, new, only=["pruned/*"]).worse
    assert compare(old, new, only=["int8/single-stream/*"]).worse


def test_another_machine_or_an_emulator_is_not_compared(old):
    elsewhere = replace(old, machine=old.machine | {"cpu": "Cortex-A72"})
    assert {word for (_, figure), word in words(compare(old, elsewhere)).items() if figure != "size"} == {
        "not compared"
    }
    assert "not compared" in words(compare(old, replace(old, emulated=True))).values()


def test_another_first_model_makes_ratios_another_thing(old):
    models = [replace(m, size=m.size + 1000) if m.name == "fp32" else m for m in old.models]
    found = compare(old, replace(measured(1), models=models))
    assert words(found)["int8", "speed"] == "not compared"


def test_a_larger_file_and_more_memory_are_worse(old):
    models = [replace(m, size=2 * m.size) if m.name == "int8" else m for m in old.models]
    memory = [replace(m, peak=2 * m.peak) if m.model == "int8" else m for m in old.memory]
    said = words(compare(old, replace(old, models=models, memory=memory)))
    assert (said["int8", "size"], said["int8", "memory"], said["fp32", "size"]) == ("worse", "worse", "same")


def test_measurements_without_a_partner_are_listed_and_make_it_incomplete(old):
    cell = old.cells[0]
    fewer = replace(old, cells=[replace(cell, timings=cell.timings[:2])])
    found = compare(old, fewer)
    assert (found.only_old, found.only_new, found.incomplete) == (("pruned/single-stream/t1/b1",), (), True)
    assert compare(fewer, old).incomplete is False


def with_slow_calls(share, seed, others=0.0, times=10):
    """The example, in which so many calls of int8 take so many times as long; ``others``: used of the processor."""
    rng = np.random.default_rng(seed)
    cell = PLAN.cells[0]
    rounds = example.cell_rounds(cell, seed=seed)
    for event in rounds:
        if event["model"] == "int8":
            seconds = decode(event["seconds"]).copy()
            seconds[rng.random(seconds.size) < share] *= times
            event["seconds"] = example.encoded(seconds)
    state = example.CALM | {"others": others}
    end = example.cell_end(cell, conditions={"before": state, "after": state})
    events = [example.begin(PLAN), *example.models(), *rounds, end, *example.others(PLAN), END]
    return analyse(events, target="pi")


def test_slow_calls_are_found_by_the_tail_and_the_throughput_and_not_by_the_median():
    found = compare(with_slow_calls(0.0, 0), with_slow_calls(0.05, 1))
    said = words(found)
    assert (said["int8", "p99"], said["int8", "throughput"]) == ("worse", "worse")
    assert said["int8", "median"] not in ("worse", "better") and said["fp32", "p99"] not in ("worse", "better")
    (p99,) = (c for pair in found.pairs for c in pair.changes if (pair.called, c.figure) == ("int8", "p99"))
    assert p99.value > 5 and 0 < p99.low < p99.value < p99.high


def test_fewer_slow_calls_are_better():
    said = words(compare(with_slow_calls(0.05, 1), with_slow_calls(0.0, 0)))
    assert (said["int8", "p99"], said["int8", "throughput"]) == ("better", "better")


def test_one_slow_call_of_a_hundred_is_chance_for_the_tail():
    """Whether p99 lies among the slow calls or below them is chance then: half an interval's width would not say so."""
    measured = [with_slow_calls(0.01, seed, times=5) for seed in range(10)]
    said = [words(compare(a, b)) for a, b in zip(measured[::2], measured[1::2], strict=True)]
    assert {found["int8", figure] for found in said for figure in ("p90", "p99", "throughput")}.isdisjoint(
        {"worse", "better"}
    )


def test_a_tail_that_others_may_have_made_cannot_be_told():
    quiet = with_slow_calls(0.0, 0)
    assert words(compare(quiet, with_slow_calls(0.05, 1, others=0.01)))["int8", "p99"] == "worse"
    assert words(compare(quiet, with_slow_calls(0.05, 1, others=0.08)))["int8", "p99"] == "cannot tell"


def started(benchmark, factor=1.0, n=5):
    """With cold starts of five processes, slower by a factor."""

    def slower(interval):
        return replace(interval, value=factor * interval.value, low=factor * 0.98 * interval.value,
                       high=factor * 1.03 * interval.value)  # fmt: skip

    return replace(benchmark, cold=[replace(c, n=n, total=slower(c.total)) for c in benchmark.cold])


def test_a_slower_cold_start_is_worse_beyond_the_spread_of_its_starts(old):
    assert words(compare(started(old), started(old, 1.5)))["int8", "cold start"] == "worse"
    assert words(compare(started(old), started(old, 1.04)))["int8", "cold start"] in ("within noise", "cannot tell")
    assert words(compare(started(old), started(old, 1.5, n=4)))["int8", "cold start"] == "not compared"


def without(benchmark, name, **changed):
    """The benchmark in which nothing of a model was measured."""
    cells = [replace(c, timings=[t for t in c.timings if t.model != name]) for c in benchmark.cells]
    kept = {part: [m for m in getattr(benchmark, part) if m.model != name] for part in ("cold", "memory", "energy")}
    return replace(benchmark, cells=cells, **(kept | changed))


def test_a_model_that_is_refused_now_is_worse_and_named_with_the_reason(old):
    crashed = Refused("pruned", "open", "probe-failed", "pruned.onnx: was ended by SIGSEGV")
    found = compare(old, without(old, "pruned", refused=[crashed]))
    (lost,) = found.gone
    assert (lost.what, lost.word, lost.why) == ("pruned", "worse", "refused: pruned.onnx: was ended by SIGSEGV")
    assert found.worse and "gone (worse): pruned" in headline(found)
    assert not headline(found).startswith("Nothing is worse")


def test_a_refusal_on_another_machine_says_nothing_of_the_model(old):
    elsewhere = old.machine | {"cpu": "Cortex-A72"}
    crashed = Refused("pruned", "open", "engine-missing", "not installed")
    found = compare(old, without(old, "pruned", refused=[crashed], machine=elsewhere))
    assert (found.worse, found.incomplete, found.gone[0].word) == (False, True, "unknown")


def test_one_cell_and_one_memory_that_are_refused_are_worse(old):
    refused = [Refused("int8", what, "failed", "no") for what in ("single-stream/t1/b1", "memory")]
    new = replace(without(old, "int8", refused=refused), cold=old.cold)
    assert [(g.what, g.word) for g in compare(old, new).gone] == [
        ("int8/single-stream/t1/b1", "worse"), ("int8/memory", "worse"),
    ]  # fmt: skip


def test_a_model_that_was_not_asked_for_is_unknown(old):
    models = [m for m in old.models if m.name != "pruned"]
    found = compare(old, without(old, "pruned", models=models))
    assert [(g.what, g.word) for g in found.gone] == [("pruned", "unknown")]
    assert (found.worse, found.incomplete) == (False, True)
    assert "gone (unknown): pruned" in headline(found)


def test_a_cell_and_cold_starts_that_were_not_asked_for_are_unknown(old):
    plan = old.plan | {"threads": [2], "cold": 0}
    found = compare(old, replace(old, cells=[replace(old.cells[0], id="single-stream/t2/b1")], cold=[], plan=plan))
    assert {(g.what, g.word, g.why) for g in found.gone} == {
        (f"{name}/{part}", "unknown", "the newer benchmark was not asked for it")
        for name in example.MODELS
        for part in ("single-stream/t1/b1", "cold")
    }


def test_a_partial_benchmark_is_named_and_incomplete(old):
    cut = replace(old, complete=False, why="it was interrupted", cold=[])
    found = compare(old, cut)
    assert found.incomplete and "the newer benchmark is partial (it was interrupted)" in headline(found)
    assert "partial: it was interrupted" in found.gone[0].why
    assert not compare(cut, old).incomplete and "the older benchmark is partial" in headline(compare(cut, old))


def test_the_noise_of_others_is_in_the_first_sentence_and_makes_it_incomplete(old):
    found = compare(old, measured(1, conditions={"others": 0.4}))
    assert found.incomplete and not found.worse
    said = headline(found)
    assert said.startswith("Nothing that could be compared is worse")
    assert "12 figures not compared: other programs used up to 40% of the processor" in said


def test_without_any_timing_cold_starts_and_files_are_still_compared(old):
    bare = replace(started(old), cells=[], plan=old.plan | {"scenarios": []})
    assert words(compare(bare, started(bare, 1.5)))["int8", "cold start"] == "worse"
    assert set(words(compare(bare, bare, only=["int8/*"]))) == {
        ("int8", figure) for figure in ("size", "cold start", "memory", "energy")
    }
