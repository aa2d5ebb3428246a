"""Bundles in a benchmark: verified as on a device, measured like any model, with what they take of flash."""

from __future__ import annotations

import benchmark_example as example
import pytest
from bundles import KEY, OTHER_KEY, make_bundle

from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.bundles import Unpacked, with_flash
from compress.bench.benchmark.models import given, planned
from compress.bench.benchmark.table import markdown
from compress.errors import BenchmarkError
from edge_runtime import machine
from edge_runtime.bundle import archive, flash
from edge_runtime.errors import BundleError, EngineMissingError, TargetError, UnknownKeyError
from edge_runtime.probes.plan import Plan, PlanModel

FOREIGN = "x86_64-linux" if machine.detect().arch == "aarch64" else "aarch64-linux"


def told(model: PlanModel) -> dict:
    """What a device says when it has opened a model."""
    return {"event": "model", "model": model.name, "runtime": model.runtime, "size": 5000}


@pytest.fixture
def opened(tmp_path):
    return Unpacked(tmp_path / "out", [KEY.public])


def test_a_bundles_model_is_measured_on_what_the_bundle_says(tmp_path, opened):
    (model,) = given([str(make_bundle(tmp_path))], bundles=opened)
    assert (model.name, model.runtime, model.path.name) == ("digits-1", "onnxruntime", "model.onnx")
    assert model.path.is_relative_to(tmp_path / "out" / "bundles")
    assert given([f"mine={make_bundle(tmp_path)}"], bundles=opened)[0].name == "mine"


def test_another_makers_bundle_is_not_opened_and_nothing_is_left(tmp_path, opened):
    path = make_bundle(tmp_path, key=OTHER_KEY)
    with pytest.raises(UnknownKeyError, match=r"digits-1\.edge: .*--key KEY\.pub"):
        given([str(path)], bundles=opened)
    opened.remove()
    assert not (tmp_path / "out").exists()


def test_without_a_key_those_of_this_machine_are_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGE_RUNTIME_HOME", str(tmp_path / "home"))
    with pytest.raises(UnknownKeyError):
        given([str(make_bundle(tmp_path))], bundles=Unpacked(tmp_path / "out"))


def test_a_changed_model_is_not_opened(tmp_path, opened):
    path = make_bundle(tmp_path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"digits-1\.edge"):
        given([str(path)], bundles=opened)


def test_what_this_machine_cannot_run_is_refused(tmp_path, opened):
    with pytest.raises(TargetError, match=r"digits-1\.edge: .* made for"):
        given([str(make_bundle(tmp_path, target=FOREIGN))], bundles=opened)
    with pytest.raises(EngineMissingError, match=r"digits-1\.edge: .*'unheard'"):
        given([str(make_bundle(tmp_path, runtime="unheard"))], bundles=opened)


def test_a_bundle_for_another_machine_is_opened_for_it(tmp_path):
    path = make_bundle(tmp_path, target=FOREIGN)
    assert given([str(path)], far=True, bundles=Unpacked(tmp_path / "out", [KEY.public], here=False))


def test_elsewhere_than_in_a_benchmark_a_bundle_is_refused(tmp_path):
    with pytest.raises(BenchmarkError, match="only `compress bench` opens"):
        given([str(make_bundle(tmp_path))])


def test_flash_is_the_whole_bundles_beside_a_files_own(tmp_path, opened):
    path = make_bundle(tmp_path)
    manifest, _ = archive.read_signed_manifest(path, [KEY.public])
    (bundled,) = given([str(path)], bundles=opened)
    plain = tmp_path / "plain.onnx"
    plain.write_bytes(bundled.path.read_bytes())
    in_plan, files = planned([bundled, *given([str(plain)])])
    events = [example.begin(Plan(in_plan)), *(told(model) for model in in_plan)]
    benchmark = with_flash(analyse(events, target="pi"), files)
    first, second = benchmark.models
    assert (first.flash, second.flash) == (flash.installed(manifest), flash.blocks([plain.stat().st_size]))
    assert first.bundle.startswith("digits 1 (") and second.bundle is None
    text = markdown([benchmark])
    assert "Flash, kB" in text and "edge-runtime and engine apart" in text


def test_models_whose_files_have_gone_have_no_flash():
    benchmark = analyse([example.begin(example.plan()), *example.models()], target="pi")
    assert {model.flash for model in with_flash(benchmark, {}).models} == {None}
