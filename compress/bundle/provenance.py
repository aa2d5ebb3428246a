"""Where a bundle's model comes from, and what was measured of it: told to people, decided by nobody."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from compress.bench.run.results import Results, StageRecord, Variant
from compress.digest import digest

Facts = dict[str, Any]


def provenance(results: Results, variant: Variant, licence: str, golden: str) -> Facts:
    """Hashes of recipe, data and teacher, the stages' addresses in the store, versions, licences.

    Nothing of it depends on when, or on what was taken from the store: the same run gives the same bundle.
    """
    teacher = next(record for record in results.stages if record.kind == "teacher")
    return {
        "run": results.name,
        "variant": variant.id,
        "recipe": {"sha256": digest(results.recipe), "of": "the recipe as canonical JSON"},
        "data": {
            "name": results.data["name"],
            "sha256": results.data["fingerprint"],
            "licence": _line(results.data["licence"]),
            "splits": results.data["splits"],
        },
        "teacher": _teacher(teacher),
        "stages": {record.label: record.key for record in results.stages if _made(record, variant)},
        "packages": results.environment["versions"],
        "python": results.environment["python"],
        "licence": _line(licence),
        "golden": golden,
    }


def measured(results: Results, variant: Variant) -> Facts:
    """Seconds, bytes, joules and fractions of this variant, where and when they were measured; what was not is left
    out."""
    facts: Facts = {"size": variant.size, "params": variant.params, "macs": variant.macs}
    facts |= {"precision": variant.precision, "not_measured": variant.not_measured}
    if variant.latency:
        latency = asdict(variant.latency)
        ratios = {key: value for key, value in latency.items() if key.startswith("ratio") and value}
        facts["latency"] = {key: latency[key] for key in ("p50", "p90", "p99", "mean", "n", "interval")} | ratios
        facts["latency"] |= {"threads": variant.threads, "batch": variant.batch}
        facts["machine"] = results.environment["machine"]["cpu"]
        label = f"measure/{variant.target}/{variant.runtime}"
        facts["taken"] = results.conditions.get(label, {}).get("taken")
    if variant.memory:
        facts["memory"] = asdict(variant.memory)
    if energies := [energy for energy in variant.energy if energy.measured and energy.gross]:
        joules = ("sensor", "source", "gross", "net")
        facts["energy"] = [{key: asdict(energy)[key] for key in joules} for energy in energies]
    if variant.accuracy:
        facts["accuracy"] = asdict(variant.accuracy)
    if variant.agreement:
        facts["agreement"] = variant.agreement
    return {key: value for key, value in facts.items() if value is not None}


def _teacher(record: StageRecord) -> Facts:
    """Its key covers the weights' file or how it was trained; the file's own hash is there when there is one."""
    facts = {"key": record.key}
    for name in ("architecture", "huggingface", "onnx", "sha256"):
        if record.settings.get(name):
            facts[name] = record.settings[name]
    return facts


def _made(record: StageRecord, variant: Variant) -> bool:
    """Whether a step trained or made a model, for any runtime or for this one."""
    if record.kind in ("evaluate", "measure"):
        return False
    parts = record.label.split("/")
    file = {"openvino": "openvino", "litert": "litert"}.get(variant.runtime, "onnx")
    return len(parts) == 1 or parts[1] in (variant.runtime, file)


def _line(text: str) -> str:
    """As a manifest takes it: on one line, not too long. Some data sets state their whole licence."""
    return " ".join(text.split())[:500]
