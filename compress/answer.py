"""From what the steps left in the store to the answer: rows, paired comparisons, verdicts, budget.

Nothing is measured here. Every figure is computed again from the saved logits (N, classes) and the saved seconds of
each call, so a reader with the store can recompute the table.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from compress.bench import energy, stats
from compress.bench.figures import Accuracy, Interval, Latency
from compress.bench.run.budget import check_budget
from compress.bench.run.results import Coverage, Energy, Memory, Promise, Results, StageRecord, Variant
from compress.bench.run.right import pack
from compress.bench.run.verdict import judge, judge_students
from compress.compare.agreement import agreement
from compress.data.dataset import SPLITS, Dataset
from compress.packages import version
from compress.plan import REFERENCES, Plan, VariantPlan
from compress.recipe import Recipe
from compress.store import Artifact
from edge_runtime import machine
from edge_runtime.bundle import flash

MODEL_SUFFIXES = (".onnx", ".xml", ".bin", ".tflite", ".pt2", ".safetensors")
LIBRARIES = ("compress", "edge-runtime", "numpy", "torch", "torch-pruning", "onnx", "onnxruntime", "openvino", "nncf")
LIBRARIES += ("torchao", "ai-edge-litert", "ai-edge-quantizer")


class Answer:
    """Assembles the :class:`Results` of a finished plan from its artifacts, by step label."""

    def __init__(self, recipe: Recipe, plan: Plan, data: Dataset, artifacts: dict[str, Artifact]) -> None:
        self._recipe, self._plan, self._data, self._artifacts = recipe, plan, data, artifacts
        self._logits: dict[str, np.ndarray] = {}
        self._calls: dict[str, tuple[dict[str, list[np.ndarray]], np.ndarray]] = {}

    def results(self, stages: list[StageRecord]) -> Results:
        """Rows in the order of the plan, then the verdicts and the budget drawn from them."""
        here = machine.detect()
        variants = [self._row(plan) for plan in self._plan.variants]
        limits = self._recipe.budget.model_dump()
        features = {row.target: here.features for row in variants if not row.not_measured}
        verdicts = judge(variants, budget=limits, stages=stages, features=features)
        return Results(
            name=self._recipe.name,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            recipe=self._recipe.model_dump(mode="json", exclude_unset=True),
            environment=_environment(here) | {"folder": str(self._recipe.folder.resolve())},
            conditions={label: found.meta["conditions"] for label, found in self._measurements().items()},
            data=self._describe_data(),
            method=self._method(),
            stages=stages,
            variants=variants,
            verdicts=[*verdicts, *judge_students(variants, budget=limits)],
            budget=check_budget(variants, limits),
        )

    def _row(self, plan: VariantPlan) -> Variant:
        row = Variant(
            id=plan.id,
            stage=plan.stage,
            step=plan.order,
            parent=plan.parent,
            target=plan.target,
            runtime=plan.runtime,
            precision=plan.precision,
            threads=self._recipe.measure.threads,
            batch=self._recipe.measure.batch,
            not_measured=plan.not_measured,
            **(_told(self._artifacts[plan.file]) if plan.file else {}),
        )
        if plan.not_measured:
            return row
        row = replace(row, accuracy=self._accuracy(plan), agreement=self._agreement(plan))
        row = replace(row, right=pack(self._classes(plan) == self._data.test.labels))
        latency = self._latency(plan)
        return replace(row, latency=latency, memory=self._memory(plan), energy=self._energy(plan, latency))

    def _accuracy(self, plan: VariantPlan) -> Accuracy:
        teacher, parent = self._teacher_of(plan), self._parent_of(plan)
        return stats.accuracy(
            self._classes(plan),
            self._data.test.labels,
            teacher=None if teacher is None or teacher is plan else self._classes(teacher),
            parent=None if parent is None else self._classes(parent),
        )

    def _agreement(self, plan: VariantPlan) -> dict[str, float]:
        """With PyTorch's logits of the same stage; and, for int8, with the float file it was made from."""
        logits, found = self._evaluated(plan.evaluate), {}
        if plan.precision != "fp32":
            parent = self._parent_of(plan)
            found["float"], found["float_max_abs_diff"] = agreement(logits, self._evaluated(parent.evaluate))
            plan = parent
        torch = f"evaluate/{plan.stage}"
        if torch in self._artifacts and torch != plan.evaluate:
            found["torch"], found["max_abs_diff"] = agreement(logits, self._evaluated(torch))
        return found

    def _latency(self, plan: VariantPlan) -> Latency:
        """Ratios only between calls that were interleaved in one measurement."""
        calls, placements = self._timed(plan.measure)
        name = _name(plan)
        ratios = {}
        for what, other in (
            ("ratio_to_teacher", self._teacher_of(plan)),
            ("ratio_to_parent", self._parent_of(plan)),
        ):
            if other is not None and other is not plan and other.measure == plan.measure:
                ratios[what] = _ratio(calls[_name(other)], calls[name], placements)
        if "torch" in calls and name != "torch":
            ratios["ratio_to_torch"] = _ratio(calls["torch"], calls[name], placements)
        return stats.summarize_latency(calls[name], self._recipe.measure.batch, placements=placements, **ratios)

    def _memory(self, plan: VariantPlan) -> Memory | None:
        found = self._artifacts[plan.measure].meta["memory"].get(_name(plan))
        return found and Memory(**found)

    def _energy(self, plan: VariantPlan, latency: Latency) -> list[Energy]:
        """What the sensors said, or why there is none; and what was modelled, of the same time as in a benchmark."""
        measured, watts = self._artifacts[plan.measure].meta.get("energy"), self._recipe.measure.model_energy
        found = []
        if measured:
            answers = measured.get("energies", {}).get(_name(plan), ())
            found = [energy.sensed(answer) for answer in answers] or [energy.absent(measured["none"])]
        if watts:
            found.append(energy.modelled(watts, latency.mean / self._recipe.measure.batch))
        return [Energy(**fields) for fields in found]

    def _teacher_of(self, plan: VariantPlan) -> VariantPlan | None:
        same = (p for p in self._plan.variants if (p.target, p.runtime) == (plan.target, plan.runtime))
        return next((p for p in same if p.stage == "teacher"), None)

    def _parent_of(self, plan: VariantPlan) -> VariantPlan | None:
        return next((p for p in self._plan.variants if p.id == plan.parent), None)

    def _classes(self, plan: VariantPlan) -> np.ndarray:
        return self._evaluated(plan.evaluate).argmax(1)

    def _evaluated(self, label: str) -> np.ndarray:
        if label not in self._logits:
            self._logits[label] = np.load(self._artifacts[label].file("logits.npy"))
        return self._logits[label]

    def _timed(self, label: str) -> tuple[dict[str, list[np.ndarray]], np.ndarray]:
        """Seconds of each call by variant, a list of rounds; and which opening of the models each round ran on."""
        if label not in self._calls:
            with np.load(self._artifacts[label].file("calls.npz")) as arrays:
                names = [key.removesuffix(":seconds") for key in arrays.files if key.endswith(":seconds")]
                calls = {
                    name: np.split(arrays[f"{name}:seconds"], np.flatnonzero(np.diff(arrays[f"{name}:round"])) + 1)
                    for name in names
                }
                self._calls[label] = calls, arrays["placement"]
        return self._calls[label]

    def _describe_data(self) -> dict[str, Any]:
        data = self._data
        sizes = {name: len(getattr(data, name)) for name in SPLITS}
        return {
            "name": data.name,
            "licence": data.licence,
            "splits": sizes,
            "disjoint": "every input's BLAKE2b digest stands in one split only",
            "dropped": data.dropped,
            "fingerprint": data.fingerprint,
            "test_fingerprint": data.test.fingerprint,
            "classes": list(data.classes),
        }

    def _measurements(self) -> dict[str, Artifact]:
        return {label: found for label, found in self._artifacts.items() if found.kind == "measure"}

    def _method(self) -> dict[str, Any]:
        energies = {label: _energy_method(found) for label, found in self._measurements().items()}
        told = {label: method for label, method in energies.items() if method}
        return {
            "latency": {label: found.meta["method"] for label, found in self._measurements().items()},
            "ratio": "paired ratios of block medians; the median of the rounds of each opening of the models, over the "
            "openings Hodges-Lehmann, with Wilcoxon's 95 % interval (opened once: median, bootstrap over rounds)",
            "accuracy": "whole test split, once, through the session of the row; Wilson interval; "
            "differences paired, Tango interval and exact McNemar",
            "memory": "resident set of a fresh process for each row",
        } | ({"energy": told} if told else {})


def _name(plan: VariantPlan) -> str:
    """The name under which a row was timed: the PyTorch teacher takes part in every measurement as the reference."""
    return "torch" if plan.runtime in REFERENCES else plan.id


def _energy_method(measurement: Artifact) -> dict[str, Any]:
    """Without what the rows say themselves."""
    method = measurement.meta.get("energy", {}).get("method", {})
    return {key: value for key, value in method.items() if key not in ("variants", "sensors")}


def _told(file: Artifact) -> dict[str, Any]:
    """What a model's file says of a row."""
    promise = file.meta.get("max_drop")
    return {
        "size": sum(_sizes(file)),
        "flash": flash.blocks(_sizes(file)),
        "params": file.meta["params"],
        "macs": file.meta["macs"],
        "coverage": _coverage(file),
        "max_drop": promise and Promise(**promise),
    }


def _coverage(file: Artifact) -> Coverage | None:
    found = file.meta.get("coverage")
    return found and Coverage(
        int8=sum(found["int8"].values()),
        layers=sum(found["int8"].values()) + sum(found["floating"].values()),
        unfused=len(found["unfused"]),
        floating={layer["name"]: layer["why"] for layer in found["layers"] if not layer["int8"]},
        weight_bytes=found["weight_bytes"],
    )


def _ratio(reference: list[np.ndarray], other: list[np.ndarray], placements: np.ndarray) -> Interval:
    medians = [np.array([np.median(block) for block in rounds]) for rounds in (reference, other)]
    return stats.ratio_interval(*medians, placements)


def _sizes(artifact: Artifact) -> list[int]:
    """Bytes of the model's files, which travel to the device."""
    return [record.size for name, record in artifact.files.items() if Path(name).suffix in MODEL_SUFFIXES]


def _environment(here: machine.Machine) -> dict[str, Any]:
    versions = {name: found for name in LIBRARIES if (found := version(name))}
    return {"machine": asdict(here), "python": platform.python_version(), "versions": versions}
