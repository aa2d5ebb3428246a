"""What may be said of two runs. The runs are made up; `compress diff` itself is tested in tests/cli."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from run_pairs import STUDENT, around, change, complete, slower, wrong

from compress.bench.diff import compare as diff
from compress.bench.diff.compare import to_json
from compress.bench.diff.judge import unlike
from compress.bench.run.results import ResultsError
from compress.bench.run.right import pack


@pytest.fixture
def old(results):
    return complete(results)


def compare(old, new, **options):
    """Times that do not vary from run to run, unless a test is about that."""
    return diff.compare(old, new, **{"run_to_run": 0, **options})


def said(difference, figure, which=STUDENT):
    """The one figure of one variant."""
    pair = next(p for p in difference.pairs if f"{p.stage}/{p.target}/{p.runtime}" == which)
    return next(c for c in pair.changes if c.figure == figure)


def elsewhere(run, **changes):
    return replace(run, environment=run.environment | {"machine": run.environment["machine"] | changes})


def governed(run, governor):
    def named(moment):
        return moment | {"governor": governor} if isinstance(moment, dict) else moment

    of = {label: {when: named(moment) for when, moment in c.items()} for label, c in run.conditions.items()}
    return replace(run, conditions=of)


def test_a_run_is_the_same_as_itself(old):
    found = compare(old, old)
    assert {change.word for pair in found.pairs for change in pair.changes} == {"same"}
    assert not found.worse and not found.incomplete
    assert not (found.recipe or found.versions or found.machine or found.verdicts or found.only_old or found.only_new)


def test_every_figure_of_every_variant_is_compared(old):
    found = compare(old, old)
    assert [(p.stage, p.target, p.runtime) for p in found.pairs] == [
        (v.stage, v.target, v.runtime) for v in old.variants
    ]
    figures = {change.figure for change in found.pairs[-5].changes}
    assert figures == {"accuracy", "speed", "median", "size", "memory"}


class TestSpeed:
    def test_slower_beyond_noise_and_tolerance_is_worse(self, old):
        found = compare(old, change(old, slower(1.2)))
        speed = said(found, "speed")
        assert found.worse and speed.word == "worse"
        assert speed.value == pytest.approx(0.2) and speed.low > 0.1
        assert speed.old == pytest.approx(1.2 * speed.new)

    def test_slower_within_noise_is_not_worse(self, old):
        noisy = change(old, slower(1.0, width=0.2))
        found = compare(noisy, change(noisy, slower(1.1, width=0.2)))
        assert not found.worse and said(found, "speed").word == "cannot tell"

    def test_slower_beyond_noise_and_within_the_tolerance_is_tolerated(self, old):
        exact = change(old, slower(1.0, width=0.001))
        found = compare(exact, change(exact, slower(1.02, width=0.001)))
        assert not found.worse and said(found, "speed").word == "tolerated"
        strict = compare(exact, change(exact, slower(1.02, width=0.001)), tolerances={"latency": 0.01})
        assert strict.worse and said(strict, "speed").word == "worse"

    def test_noise_that_the_tolerance_covers_is_no_open_question(self, old):
        exact = change(old, slower(1.0, width=0.002))
        assert said(compare(exact, change(exact, slower(1.001, width=0.002))), "speed").word == "within noise"

    def test_what_varies_from_run_to_run_is_noise(self, old):
        exact = change(old, slower(1.0, width=0.001))
        runs = exact, change(exact, slower(1.05, width=0.001))
        assert said(compare(*runs), "speed").word == "worse"
        assert said(compare(*runs, run_to_run=0.02), "speed").word == "cannot tell"

    def test_faster_beyond_noise_is_better(self, old):
        found = compare(old, change(old, slower(0.8)))
        assert not found.worse and said(found, "speed").word == "better"

    def test_a_slower_state_of_the_machine_is_no_slower_variant(self, old):
        """All times doubled, the teacher's too: ratios stay, medians double; the governor tells of another state."""

        def throttled(variant):
            latency = variant.latency
            if latency is None:
                return variant
            return replace(variant, latency=replace(latency, n=latency.n + 1, p50=2 * latency.p50))

        new = governed(change(old, throttled, "*"), "powersave")
        found = compare(old, new)
        assert not found.worse
        assert said(found, "median").word == "not compared" and "powersave" in said(found, "median").why
        assert said(found, "median").new == 2 * said(found, "median").old

    def test_the_teacher_has_no_speed_but_a_median(self, old):
        found = compare(old, change(old, slower(1.3), "teacher/this-machine/onnxruntime"))
        teacher = next(p for p in found.pairs if (p.stage, p.runtime) == ("teacher", "onnxruntime"))
        assert [c.word for c in teacher.changes if c.figure == "median"] == ["worse"]
        assert not [c for c in teacher.changes if c.figure == "speed"]

    def test_on_another_machine_no_time_and_no_memory_is_compared(self, old):
        found = compare(old, elsewhere(change(old, slower(3.0), "*"), cpu="Other CPU"))
        assert not found.worse and found.incomplete
        assert {c.word for p in found.pairs for c in p.changes if c.figure in ("speed", "median", "memory")} == {
            "not compared"
        }
        assert said(found, "speed").why == "another machine" and said(found, "accuracy").word == "same"
        assert [(f.key, f.new) for f in found.machine] == [("cpu", "Other CPU")]

    def test_a_machine_that_is_not_told_is_not_taken_for_the_same(self, old):
        silent = replace(old, environment={})
        assert said(compare(silent, change(silent, slower(2.0))), "speed").word == "not compared"

    def test_a_kernel_that_shows_a_little_more_memory_makes_no_other_machine(self, old):
        found = compare(old, elsewhere(change(old, slower(1.2)), memory=8_100_000_000, kernel="6.19"))
        assert said(found, "speed").word == "worse" and [f.key for f in found.versions] == ["kernel"]

    def test_ratios_to_another_teacher_are_not_compared(self, old):
        other = change(old, lambda v: replace(v, macs=v.macs * 2), "teacher/this-machine/onnxruntime")
        found = compare(old, change(other, slower(2.0)))
        assert said(found, "speed").why == "the teacher is another network"

    @pytest.mark.parametrize("what", ["threads", "batch"])
    def test_another_number_of_threads_or_samples_is_another_question(self, old, what):
        new = change(old, lambda v: replace(slower(2.0)(v), **{what: 4}))
        assert said(compare(old, new), "speed").why == f"{what} 1, then 4"

    def test_equal_runs_of_twenty_variants_raise_few_alarms_and_a_slow_one_is_seen(self, old):
        """Each ratio is off by its own noise; no tolerance helps."""
        rng, width = np.random.default_rng(0), 0.02
        some = [v for v in old.variants if f"{v.stage}/{v.target}/{v.runtime}" == STUDENT]
        teachers = [v for v in old.variants if v.stage == "teacher"]
        names = [f"quantize-{i}" for i in range(20)]

        def run(slow):
            rows = []
            for name in names:
                true = some[0].latency.ratio_to_teacher.value / (slow if name == names[0] else 1)
                measured = true * np.exp(width / 1.96 * rng.standard_normal())
                latency = replace(some[0].latency, ratio_to_teacher=around(measured, width), n=int(rng.integers(1e9)))
                rows.append(replace(some[0], stage=name, latency=latency, accuracy=None, right=None))
            return replace(governed(old, None), variants=teachers + rows)

        def alarms(slow, trials=200):
            return sum(compare(run(1.0), run(slow), tolerances={"latency": 0}).worse for _ in range(trials)) / trials

        assert alarms(1.0) <= 0.05
        assert alarms(1.1) >= 0.95


class TestAccuracy:
    def test_the_same_samples_are_compared_in_pairs(self, old):
        found = compare(old, change(old, wrong(100)))
        accuracy = said(found, "accuracy")
        assert found.worse and accuracy.word == "worse" and accuracy.value == pytest.approx(0.01)
        assert accuracy.why == "paired, 10000 samples: 100 newly wrong, 0 newly right"

    def test_a_loss_that_pairs_show_is_lost_in_the_noise_without_them(self, old):
        """65 of 10,000 answers: far beyond what flips by chance, and less than two test sets differ by."""
        paired = said(compare(old, change(old, wrong(65))), "accuracy")
        apart = said(compare(old, change(old, wrong(65, said=False))), "accuracy")
        assert (paired.word, apart.word) == ("worse", "cannot tell")
        assert apart.why == "unpaired: a run does not say which were right"
        assert apart.high - apart.low > 3 * (paired.high - paired.low)

    def test_flips_both_ways_are_noise(self, old):
        accuracy = said(compare(old, change(old, wrong(30, 28))), "accuracy")
        assert accuracy.word == "within noise" and accuracy.low < 0 < accuracy.value

    def test_a_small_sure_loss_is_tolerated(self, old):
        assert said(compare(old, change(old, wrong(40))), "accuracy").word == "tolerated"

    def test_other_test_samples_are_not_paired(self, old):
        new = replace(change(old, wrong(40)), data=old.data | {"fingerprint": "other"})
        assert said(compare(old, new), "accuracy").why == "unpaired: other test samples"

    def test_the_same_test_split_of_other_data_is_paired(self, old):
        runs = [replace(run, data=run.data | {"test_fingerprint": "t"}) for run in (old, change(old, wrong(100)))]
        runs[1].data["fingerprint"] = "more training data"
        found = compare(*runs)
        assert said(found, "accuracy").why.startswith("paired") and [f.key for f in found.data] == ["fingerprint"]

    def test_a_fingerprint_that_only_one_run_has_is_no_change(self, old):
        assert not compare(old, replace(old, data=old.data | {"test_fingerprint": "t"})).data

    def test_another_data_set_is_not_compared(self, old):
        new = replace(old, data=old.data | {"name": "mnist"})
        assert said(compare(old, new), "accuracy").why == "another data set: fashion-mnist, then mnist"

    def test_answers_that_contradict_the_accuracy_are_refused(self, old):
        new = change(change(old, wrong(5)), lambda v: replace(v, right=pack(np.ones(10_000, dtype=bool))))
        with pytest.raises(ResultsError, match="run the recipe again"):
            compare(old, new)


def test_size_is_exact_and_has_its_tolerance(old):
    for factor, word in ((1.02, "worse"), (1.005, "tolerated"), (0.999, "better"), (1, "same")):
        found = compare(old, change(old, lambda v, f=factor: replace(v, size=round(v.size * f))))
        assert said(found, "size").word == word
        assert found.worse is (word == "worse")


def test_memory_of_single_processes_differs_by_a_few_percent_by_chance(old):
    for factor, word in ((1.2, "worse"), (1.03, "within noise"), (0.97, "within noise"), (0.8, "better")):
        peak = change(old, lambda v, f=factor: replace(v, memory=replace(v.memory, peak=round(v.memory.peak * f))))
        assert said(compare(old, peak), "memory").word == word


def test_variants_of_one_run_only_are_named(old):
    fewer = replace(old, variants=old.variants[:-1])
    found = compare(old, fewer)
    assert found.only_old == ("quantize/raspberry-pi-4/onnxruntime",) and found.incomplete and not found.worse
    back = compare(fewer, old)
    assert back.only_new == found.only_old and not back.incomplete


def test_a_figure_that_is_gone_is_told_with_its_reason(old):
    gone = change(old, lambda v: replace(v, latency=None, memory=None, accuracy=None, not_measured="the board is off"))
    found = compare(old, gone)
    assert {said(found, f).why for f in ("accuracy", "speed", "median", "memory")} == {
        "not measured in the newer: the board is off"
    }
    assert found.incomplete and not compare(gone, old).incomplete


def test_only_some_variants_can_be_asked_for(old):
    found = compare(old, change(old, slower(1.5)), only=["*/openvino", "teacher/*"])
    assert not found.worse
    assert {p.runtime for p in found.pairs if p.stage != "teacher"} == {"openvino"}


def test_fewer_comparisons_leave_narrower_intervals(old):
    new = change(old, slower(1.1))
    narrow, wide = (said(compare(old, change(new, slower(1.1), which)), "speed") for which in (STUDENT, "*"))
    assert narrow.high - narrow.low < wide.high - wide.low


def test_a_stage_put_between_moves_no_other_in_the_recipe(old):
    stages = old.recipe["stages"]
    new = replace(old, recipe=old.recipe | {"stages": [stages[0], {"quantize": {"to": "int8"}}, *stages[1:]]})
    assert [f.key for f in compare(old, new).recipe] == ["stages.order", "stages.quantize.to"]


def test_recipes_versions_and_stages_that_differ_are_named(old):
    new = replace(
        old,
        recipe=old.recipe | {"stages": [{"prune": {"macs": 0.5}}, {"distill": {}}]},
        environment=old.environment | {"versions": {"onnxruntime": "1.33.0"}},
        stages=[replace(old.stages[0], key="other"), *old.stages[1:]],
    )
    found = compare(replace(old, environment=old.environment | {"versions": {"onnxruntime": "1.32.0"}}), new)
    assert [(f.key, f.old, f.new) for f in found.recipe] == [("stages.prune.macs", 0.25, 0.5)]
    assert [(f.key, f.old, f.new) for f in found.versions] == [("onnxruntime", "1.32.0", "1.33.0")]
    assert found.made_anew == ["teacher"]


def test_verdicts_and_budget_lines_that_changed_are_told_and_decide_nothing(old):
    verdicts = [replace(v, verdict="did not pay", reason="why") if v.stage == "prune" else v for v in old.verdicts]
    budget = [replace(line, met=not line.met) for line in old.budget[:1]] + old.budget[1:]
    found = compare(old, replace(old, verdicts=verdicts, budget=budget))
    changed = [(s.what, s.old, s.new, s.reason) for s in found.verdicts if s.runtime == "openvino"]
    assert changed == [("prune", "paid", "did not pay", "why")]
    assert len(found.budget) == 1 and not found.worse


def test_the_json_form_says_what_the_exit_code_says(old):
    plain = json.loads(to_json(compare(old, change(old, slower(1.5)))))
    assert (plain["schema"], plain["worse"], plain["incomplete"]) == ("compress.diff/1", True, False)
    assert plain["tolerances"] == {"latency": 0.03, "accuracy": 0.005, "size": 0.01, "memory": 0.05, "energy": 0.05}


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ({}, None),
        ({"governor": None}, "the governor cannot be read, so the machine's state is not known to be the same"),
        ({"governor": "powersave"}, "governor performance, then powersave"),
        ({"frequency": 2.0e9}, "frequency 2.6e+09, then 2e+09"),
        ({"temperature": 80.0}, "temperature 50, then 80"),
        ({"throttled": True}, "the processor was throttled"),
        ({"throttle_count": 1}, "the processor was throttled"),
        ({"load_average": [1.9, 0, 0]}, "load 0.4, then 1.9"),
        ({"load_average": None}, "the load of others was not recorded"),
    ],
)
def test_conditions_are_alike_only_where_that_is_known(before, why):
    calm = {"governor": "performance", "frequency": 2.6e9, "temperature": 50.0, "load_average": [0.4, 0.3, 0.2]}
    calm |= {"throttled": False, "throttle_count": 0}
    assert unlike({"before": calm, "after": calm}, {"before": calm | before, "after": calm}) == why
