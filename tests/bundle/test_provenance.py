from __future__ import annotations

import json
from dataclasses import replace

from compress.bench.figures import Interval
from compress.bench.run.results import Energy
from compress.bundle import bundle
from compress.bundle.build import read
from compress.bundle.provenance import measured, provenance


def test_hashes_of_recipe_data_and_teacher_are_told(run):
    results = read(run)
    facts = provenance(results, results.variants[2], "MIT", "why")
    assert facts["data"]["sha256"] == results.data["fingerprint"]
    assert facts["teacher"] == {"key": "aa" * 32, "architecture": "convnet", "sha256": "bb" * 32}
    assert facts["packages"]["torch"] == "2.13.0+cpu"
    assert facts["licence"] == "MIT"
    assert list(facts["stages"]) == ["teacher", "prune", "prune/onnx", "quantize/onnxruntime/u8s7"]


def test_another_recipe_has_another_hash(run):
    results = read(run)
    before = provenance(results, results.variants[2], "MIT", "why")["recipe"]["sha256"]
    results.recipe["stages"][0]["prune"]["ratio"] = 0.6
    assert provenance(results, results.variants[2], "MIT", "why")["recipe"]["sha256"] != before


def test_figures_are_told_with_where_and_when(run):
    facts = measured(results := read(run), results.variants[2])
    assert facts["latency"]["p50"] == 0.0005
    assert (facts["machine"], facts["taken"]) == ("AMD EPYC", "2026-11-23T15:49:47+00:00")
    assert facts["accuracy"]["interval"]["low"] == 0.85
    assert "percentiles" not in facts["latency"]


def test_measured_energy_is_told_and_modelled_is_not(run):
    results = read(run)
    joules = Interval(0.002, 0.0019, 0.0021)
    answers = [Energy("rapl", "packages", gross=joules), Energy("model", "5 W, as given", False, gross=joules)]
    facts = measured(results, replace(results.variants[2], energy=answers))
    assert [(energy["sensor"], energy["gross"]["value"]) for energy in facts["energy"]] == [("rapl", 0.002)]
    assert "energy" not in measured(results, results.variants[2])


def test_nothing_that_was_not_measured_is_told_as_if_it_was(run):
    results = read(run)
    facts = measured(results, next(v for v in results.variants if v.target == "raspberry-pi-4"))
    assert {"latency", "memory", "accuracy", "machine", "taken"}.isdisjoint(facts)
    assert facts["not_measured"] == "this machine is another"


def test_no_place_on_the_builders_disk_is_told(run, key, tmp_path):
    made = bundle(run, tmp_path / "m.edge", key)
    assert str(tmp_path).encode() not in made.path.read_bytes()
    json.dumps(made.manifest.provenance)


def test_a_licence_of_many_lines_becomes_one(run):
    results = read(run)
    results.data["licence"] = "Permission is hereby granted,\n\tfree of charge" + " and so on" * 1000
    licence = provenance(results, results.variants[2], "MIT\n", "why")["data"]["licence"]
    assert licence.startswith("Permission is hereby granted, free of charge and")
    assert len(licence) == 500
