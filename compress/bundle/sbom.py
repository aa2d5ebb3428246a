"""The bundle's bill of materials: CycloneDX 1.6 in JSON (ECMA-424), https://cyclonedx.org/docs/1.6/json/

It is one small document of fixed shape, so it is written here; the tests hold it against the published schema. It has
no time and its serial number follows from its content: the same bundle has the same bill.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

from compress.bench.run.results import Results, Variant
from edge_runtime.bundle.manifest import File

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://cyclonedx.org/schema/bom-1.6.schema.json")


def bill(
    results: Results, variant: Variant, files: list[File], minimum: Mapping[str, str], licence: str | None
) -> bytes:
    """What the device gets (``files`` of the model) and needs (``minimum``: package by least version)."""
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": results.name,
        "description": variant.id,
        "hashes": [{"alg": "SHA-256", "content": files[0].sha256}],
        "modelCard": {"modelParameters": {"task": "classification", "datasets": [{"ref": "data"}]}},
        "components": [
            {"type": "file", "name": file.path, "hashes": [{"alg": "SHA-256", "content": file.sha256}]}
            for file in files
        ],
    }
    if licence:
        model["licenses"] = [{"license": {"name": licence}}]
    if variant.accuracy:
        model["modelCard"]["quantitativeAnalysis"] = {"performanceMetrics": [_accuracy(variant)]}
    data = {
        "type": "data",
        "bom-ref": "data",
        "name": results.data["name"],
        "hashes": [{"alg": "SHA-256", "content": results.data["fingerprint"]}],
        "licenses": [{"license": {"name": results.data["licence"]}}],
        "data": [{"type": "dataset", "name": results.data["name"]}],
    }
    needed = [_package(name, version, scope="required") for name, version in minimum.items()]
    tools = [_package(name, version) for name, version in results.environment["versions"].items()]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": model, "tools": {"components": tools}},
        "components": [data, *needed],
        "dependencies": [
            {"ref": "model", "dependsOn": ["data", *(package["bom-ref"] for package in needed)]},
            *({"ref": component["bom-ref"]} for component in [data, *needed]),
        ],
    }
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, _text(document))}"
    return _text(document).encode()


def _accuracy(variant: Variant) -> dict[str, Any]:
    interval = variant.accuracy.interval
    return {
        "type": "accuracy",
        "value": f"{variant.accuracy.value:.6g}",
        "confidenceInterval": {"lowerBound": f"{interval.low:.6g}", "upperBound": f"{interval.high:.6g}"},
    }


def _package(name: str, version: str, scope: str | None = None) -> dict[str, Any]:
    """A Python package; of one that is required, ``version`` is the least."""
    facts = {"type": "library", "name": name}
    if scope:
        return facts | {
            "bom-ref": name,
            "scope": scope,
            "purl": f"pkg:pypi/{name}",
            "properties": [{"name": "edge-runtime:minimum", "value": version}],
        }
    # A local version (2.13.0+cpu) is the builder's own; package URLs want its sign escaped.
    return facts | {"version": version, "purl": f"pkg:pypi/{name}@{version.replace('+', '%2B')}"}


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
