"""What two runs were told and made with, side by side: recipe, data, packages, machine. Only what differs is kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from compress.bench.run.results import Results

MACHINE = ("arch", "cpu", "cores", "features", "model", "gpu", "memory")
"""What makes it another machine for latency and memory; a kernel or an operating system does not."""
MEMORY_ALIKE = 0.05
"""Kernels of one machine differ a little in how much memory they show."""
ABOUT_THE_DATA = ("name", "fingerprint", "test_fingerprint", "splits", "dropped")


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that differs. ``key``: its path; ``old``, ``new``: JSON values, None where it is not given."""

    key: str
    old: Any
    new: Any


def recipe_changes(old: Results, new: Results) -> list[Fact]:
    """Keys of the recipes that differ; stages go by their names, so that one put between moves no other."""
    return changed(_by_stage(old.recipe), _by_stage(new.recipe))


def data_changes(old: Results, new: Results) -> list[Fact]:
    """What differs of the data; a fact that one run does not tell is not known to differ."""
    found = changed(*({key: run.data.get(key) for key in ABOUT_THE_DATA} for run in (old, new)))
    return [fact for fact in found if None not in (fact.old, fact.new)]


def version_changes(old: Results, new: Results) -> list[Fact]:
    """Packages, Python, kernel and operating system."""
    return changed(_versions(old), _versions(new))


def same_test_samples(old: Results, new: Results) -> bool:
    """Whether both runs' test splits are known to be the same, in the same order."""
    for key in ("test_fingerprint", "fingerprint"):
        found = [run.data.get(key) for run in (old, new)]
        if None not in found:
            return found[0] == found[1]
    return False


def machine_changes(old: Results, new: Results) -> list[Fact]:
    """What makes it another machine. A run that does not say its machine is not known to be on the same."""
    before, after = (run.environment.get("machine") or {} for run in (old, new))
    if not before or not after:
        return [Fact("machine", before.get("cpu"), after.get("cpu"))]
    facts = [Fact(key, before.get(key), after.get(key)) for key in MACHINE]
    return [fact for fact in facts if fact.old != fact.new and not same_memory(fact)]


def made_anew(old: Results, new: Results) -> list[str]:
    """Labels of the stages in both runs whose artifact is another: its key covers all that could change it."""
    keys = {stage.label: stage.key for stage in old.stages}
    return [stage.label for stage in new.stages if keys.get(stage.label, stage.key) != stage.key]


def changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Fact]:
    """The leaves of two nested dictionaries that differ, in the order of ``old``, then what only ``new`` has."""
    before, after = dict(_leaves("", old)), dict(_leaves("", new))
    keys = dict.fromkeys([*before, *after])
    return [Fact(key, before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)]


def _leaves(prefix: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(f"{prefix}.{key}" if prefix else key, item)]
    return [(prefix, value)] if prefix else []


def _by_stage(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe with ``stages`` by name (``quantize-2``), as the run calls them, and ``order`` where that matters."""
    stages: dict[str, Any] = {}
    for stage in recipe.get("stages") or ():
        # As a person writes it, or as it is written back: `quantize`, or {quantize: {...}}.
        for kind, settings in stage.items() if isinstance(stage, Mapping) else [(str(stage), {})]:
            if settings is None:
                continue
            count = sum(name.split("-")[0] == kind for name in stages)
            stages[f"{kind}-{count + 1}" if count else kind] = settings
    return {**recipe, "stages": {"order": list(stages), **stages}}


def _versions(run: Results) -> dict[str, Any]:
    machine = run.environment.get("machine") or {}
    system = {key: machine.get(key) for key in ("os", "kernel")}
    return {**run.environment.get("versions", {}), "python": run.environment.get("python"), **system}


def same_memory(fact: Fact) -> bool:
    sizes = (fact.old, fact.new)
    known = fact.key == "memory" and all(isinstance(size, int) for size in sizes)
    return known and max(sizes) <= (1 + MEMORY_ALIKE) * min(sizes)
