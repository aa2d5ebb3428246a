"""Energy in two runs or benchmarks: compared where one sensor measured it in both, in a like state of the machine."""

from __future__ import annotations

from dataclasses import replace

import benchmark_example as example
import pytest
from run_pairs import change, complete

from compress.bench.benchmark.analyse import analyse
from compress.bench.diff import benchmark as benchmarks
from compress.bench.diff.compare import compare
from compress.bench.figures import Interval
from compress.bench.run.results import Energy


def using(joules, sensor="rapl", windows=5, measured=True):
    """A variant that took so much, within 1 %."""
    gross = Interval(joules, 0.99 * joules, 1.01 * joules)
    energy = Energy(sensor, "a sensor", measured, gross=gross, windows=windows, windows_asked=5)
    return lambda variant: replace(variant, energy=[energy])


@pytest.fixture
def run(results):
    """``run(...)``: a run whose student used so much; the machine told its state."""
    quiet = {"governor": "performance", "frequency": 2.6e9, "load_average": [0.1, 0.1, 0.1]}
    calm = complete(replace(results, conditions={key: {"before": quiet, "after": quiet} for key in results.conditions}))
    return lambda *args, **more: change(calm, using(*args, **more))


def said(old, new, **options):
    found = compare(old, new, **options)
    return next(
        (c for pair in found.pairs for c in pair.changes if c.figure == "energy" and pair.stage == "quantize"), None
    )


def test_more_energy_beyond_noise_and_tolerance_is_worse(run):
    found = said(run(0.010), run(0.013))
    assert found.word == "worse" and found.why == "gross, by rapl"
    assert found.low < 0.3 < found.high and found.value == pytest.approx(0.3)
    assert compare(run(0.010), run(0.013)).worse


def test_a_little_more_is_within_noise_and_less_is_better(run):
    assert said(run(0.010), run(0.0101)).word in ("within noise", "cannot tell")
    assert said(run(0.010), run(0.007)).word == "better"


def test_the_tolerance_can_be_given(run):
    assert said(run(0.010), run(0.013), tolerances={"energy": 0.5}).word == "tolerated"


def test_the_same_measurement_is_the_same(run):
    assert said(run(0.010), run(0.010)).word == "same"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ({}, {"sensor": "meter:x"}, "sensor rapl, then meter:x"),
        ({}, {"windows": 4}, "fewer than 5 windows"),
        ({"measured": False}, {}, "only the newer has it"),
        ({}, {"measured": False}, "only the older has it"),
    ],
)
def test_what_is_not_of_one_kind_is_not_compared(run, old, new, why):
    found = said(run(0.010, **old), run(0.020, **new))
    assert (found.word, found.why) == ("not compared", why)
    assert not compare(run(0.010, **old), run(0.020, **new)).incomplete


def test_modelled_energy_follows_from_times_and_is_no_figure_of_its_own(run):
    assert said(run(0.010, measured=False), run(0.020, measured=False)) is None


def test_in_a_state_that_is_not_known_nothing_is_said(run):
    new = run(0.020)
    busy = {key: {"before": {"governor": None}, "after": {}} for key in new.conditions}
    found = said(run(0.010), replace(new, conditions=busy))
    assert found.word == "not compared" and "governor" in found.why


def test_two_benchmarks_are_compared_likewise():
    plan = example.plan(scenarios=("single-stream",), threads=(1,), batches=(1,))

    def measured(factor):
        others = example.others(plan)
        for event in others:
            if event["event"] == "energy" and event["model"] == "int8":
                event["energies"] = [example.energy(0.011 * factor)]
        return analyse([example.begin(plan), *example.stream(plan)[1:-1], *others], target="pi")

    found = benchmarks.compare(measured(1.0), measured(1.5))
    words = {pair.model: c.word for pair in found.pairs for c in pair.changes if c.figure == "energy"}
    assert words == {"fp32": "same", "int8": "worse", "pruned": "same"}
