"""Two benchmarks compared: what is a regression, what is noise, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace

import benchmark_example as example
import pytest

from compress.bench.benchmark.analyse import analyse
from compress.bench.diff.benchmark import compare

PLAN = example.plan(scenarios=("single-stream",), threads=(1,), batches=(1,))


def measured(seed=0, slower=None, conditions=None):
    """The example measured again, with other chance, and models slower by a factor."""
    speed = {name: s * (slower or {}).get(name, 1.0) for name, s in example.SPEED.items()}
    cell = PLAN.cells[0]
    end = example.cell_end(cell)
    if conditions:
        end["conditions"] = {"before": example.CALM | conditions, "after": example.CALM | conditions}
    events = [example.begin(PLAN), *example.models(), *example.cell_rounds(cell, seed=seed, speed=speed), end]
    return analyse([*events, *example.others(PLAN)], target="pi")


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
