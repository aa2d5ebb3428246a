"""The bill of materials against the schema that CycloneDX publishes."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest
from referencing import Registry, Resource

from compress.bundle import bundle
from compress.bundle.build import read
from compress.bundle.sbom import bill
from edge_runtime.bundle.manifest import File


@pytest.fixture(scope="module")
def schema() -> jsonschema.Draft7Validator:
    """CycloneDX 1.6, as it is in cyclonedx-python-lib, with the two schemas that it refers to."""
    found = {
        name: json.loads((files("cyclonedx.schema") / "_res" / f"{name}.SNAPSHOT.schema.json").read_text("utf-8"))
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    registry = Registry().with_resources((value["$id"], Resource.from_contents(value)) for value in found.values())
    return jsonschema.Draft7Validator(found["bom-1.6"], registry=registry, format_checker=jsonschema.FormatChecker())


def make(results, variant, licence="Apache-2.0"):
    parts = [File("model/model.onnx", "ab" * 32, 5)]
    return bill(results, variant, parts, {"onnxruntime": "1.22", "edge-runtime": "0.1.0"}, licence)


def test_it_is_valid_for_every_kind_of_variant(run, schema):
    results = read(run)
    for variant in results.variants[1:]:
        for licence in ("Apache-2.0", None):
            schema.validate(json.loads(make(results, variant, licence)))


def test_the_schema_would_notice(run, schema):
    results = read(run)
    document = json.loads(make(results, results.variants[1]))
    document["metadata"]["component"]["type"] = "model"
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(document)


def test_the_one_in_a_bundle_is_valid_and_names_the_models_file(run, key, tmp_path, schema):
    from edge_runtime.bundle import archive

    made = bundle(run, tmp_path / "m.edge", key)
    folder = tmp_path / "device"
    folder.mkdir()
    found = archive.unpack(made.path, folder, [key.public])
    document = json.loads(found.file(found.manifest.sbom).read_text())
    schema.validate(document)
    model = document["metadata"]["component"]
    assert model["hashes"][0]["content"] == found.manifest.files[0].sha256
    assert {component["name"] for component in document["components"]} >= {"onnxruntime", "edge-runtime"}
    versions = {tool["name"]: tool["purl"] for tool in document["metadata"]["tools"]["components"]}
    assert versions["torch"] == "pkg:pypi/torch@2.13.0%2Bcpu"


def test_the_serial_number_follows_from_the_content(run):
    results = read(run)
    one, two, three = (make(results, results.variants[1], licence) for licence in ("MIT", "MIT", "BSD-3-Clause"))
    assert one == two
    assert json.loads(one)["serialNumber"] != json.loads(three)["serialNumber"]
