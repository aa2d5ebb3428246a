"""From a run's folder to a file that a device's own code takes."""

from __future__ import annotations

import configparser
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, OTHER_KEY

from compress.bench.run.results import ResultsError
from compress.bundle import bundle
from compress.bundle.build import REQUIRED
from compress.errors import BundlingError, DataError, RecipeError
from edge_runtime import __version__, open_session
from edge_runtime.bundle import archive
from edge_runtime.errors import BundleError, ManifestError
from edge_runtime.sessions.tensorrt import LARGEST
from edge_runtime.watch.reference import Reference


def unpack(path: Path, folder: Path):
    folder.mkdir()
    found = archive.unpack(path, folder, [KEY.public])
    found.verify()
    return found


def test_a_device_gets_the_recommended_model_and_all_about_it(run, key, tmp_path):
    made = bundle(run, tmp_path / "m.edge", key)
    found = unpack(made.path, tmp_path / "device")
    manifest = found.manifest
    assert manifest.provenance["variant"] == "quantize/this-machine/onnxruntime"
    recommended = run / "models/this-machine/onnxruntime/quantize.onnx"
    assert found.file(manifest.model).read_bytes() == recommended.read_bytes()
    assert (manifest.name, manifest.sequence, manifest.target) == ("small", 1, "x86_64-linux")
    assert (manifest.runtime, manifest.runtime_minimum) == ("onnxruntime", "1.22")
    assert manifest.edge_runtime_minimum == __version__
    assert manifest.labels == ("lying", "standing", "chequered", "plain")
    assert manifest.preprocess == {"kind": "image", "size": [12, 12], "channels": 1, "resize": "bilinear"}
    assert [(t.name, t.dtype, t.shape) for t in manifest.inputs] == [("input", "uint8", (None, 1, 12, 12))]
    assert [(t.name, t.dtype, t.shape) for t in manifest.outputs] == [("logits", "float32", (None, 4))]
    assert manifest.build is None
    assert made.id == found.id
    assert made.warnings == ()


def test_the_golden_answers_are_the_files_own(run, key, tmp_path, wide_data):
    found = unpack(bundle(run, tmp_path / "m.edge", key).path, tmp_path / "device")
    inputs, outputs = found.array("golden/inputs.npy"), found.array("golden/outputs.npy")
    assert len(inputs) == 32
    with open_session(found.file(found.manifest.model), found.manifest.runtime) as session:
        assert np.abs(session.predict(inputs) - outputs).max() <= found.manifest.golden["absolute"]
    validation = {bytes(row) for row in wide_data.validation.inputs}
    assert {bytes(row) for row in inputs} <= validation


def test_the_limits_of_the_self_test_come_from_what_was_measured(run, key, tmp_path):
    golden = bundle(run, tmp_path / "m.edge", key).manifest.golden
    assert golden["p99"] == 0.05  # ten times 0.75 ms is less than another process's turn
    assert golden["memory"] == 140_000_000


def test_the_limits_of_the_self_test_are_the_budgets_where_there_is_one(run, key, tmp_path):
    rewrite(run, lambda results: results["recipe"].update(budget={"latency": 0.002, "memory": 100_000_000}))
    golden = bundle(run, tmp_path / "m.edge", key).manifest.golden
    assert (golden["p99"], golden["memory"]) == (0.002, 100_000_000)


def test_the_drift_reference_is_one_that_the_device_reads(run, key, tmp_path):
    found = unpack(bundle(run, tmp_path / "m.edge", key).path, tmp_path / "device")
    reference = Reference(json.loads(found.file(found.manifest.reference).read_text()))
    assert reference.samples == 240 + 64  # validation and calibration, never the test split


def test_the_same_run_makes_the_same_bytes(run, key, tmp_path):
    for name in ("a.edge", "b.edge"):
        bundle(run, tmp_path / name, key)
    assert (tmp_path / "a.edge").read_bytes() == (tmp_path / "b.edge").read_bytes()


def test_a_run_carried_out_again_from_the_store_makes_the_same_bytes(run, key, tmp_path):
    bundle(run, tmp_path / "a.edge", key)

    def later(results):
        results["created"] = "2027-01-01T00:00:00+00:00"
        for stage in results["stages"]:
            stage["cached"], stage["seconds"] = False, 9.0

    rewrite(run, later)
    bundle(run, tmp_path / "b.edge", key)
    assert (tmp_path / "a.edge").read_bytes() == (tmp_path / "b.edge").read_bytes()


def test_the_sequence_number_goes_up_only_when_something_changed(run, key, tmp_path):
    out = tmp_path / "m.edge"
    assert (bundle(run, out, key).manifest.sequence, out.stat().st_size > 0) == (1, True)
    before = out.read_bytes()
    again = bundle(run, out, key)
    assert (again.manifest.sequence, again.again) == (1, True)
    assert out.read_bytes() == before
    changed = bundle(run, out, key, licence="MIT")
    assert (changed.manifest.sequence, changed.again) == (2, False)
    assert bundle(run, out, key, licence="MIT").manifest.sequence == 2
    assert bundle(run, out, key, sequence=40).manifest.sequence == 40
    assert bundle(run, out, key).manifest.sequence == 40


def test_an_unchanged_bundle_is_left_as_it_is_unless_it_is_damaged(run, key, tmp_path):
    out = tmp_path / "m.edge"
    first = bundle(run, out, key)
    whole, written = out.read_bytes(), out.stat()
    for sequence in (None, 1):
        again = bundle(run, out, key, sequence=sequence)
        assert (again.id, again.again) == (first.id, True)
        assert (out.stat().st_ino, out.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    place = whole.index(b"\x93NUMPY") + 200  # in the golden inputs, which the manifest's signature does not show
    out.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    assert bundle(run, out, key).id == first.id
    assert out.read_bytes() == whole


def test_what_is_no_bundle_of_this_key_is_not_taken_for_the_one_before(run, key, tmp_path):
    out = tmp_path / "m.edge"
    bundle(run, out, OTHER_KEY)
    before = out.read_bytes()
    with pytest.raises(BundlingError, match="signed by another key; give --sequence"):
        bundle(run, out, key)
    assert out.read_bytes() == before
    assert bundle(run, out, key, sequence=3).manifest.sequence == 3


@pytest.mark.parametrize("sequence", [None, 3])
def test_what_is_no_bundle_is_never_replaced(run, key, tmp_path, sequence):
    """The signing key itself may be what -o names by mistake."""
    out = tmp_path / "release.key"
    out.write_bytes(b"something of mine")
    with pytest.raises(BundlingError, match="is there already, and no bundle; write to another file"):
        bundle(run, out, key, sequence=sequence)
    assert out.read_bytes() == b"something of mine"


def test_a_bundle_of_another_name_is_not_overwritten_unasked(run, key, tmp_path):
    out = tmp_path / "m.edge"
    bundle(run, out, key)
    rewrite(run, lambda results: results.update(name="other"))
    with pytest.raises(BundlingError, match="is a bundle of 'small', not of 'other'"):
        bundle(run, out, key)


def test_a_board_that_is_not_at_hand_gets_its_own_file(run, key, tmp_path):
    manifest = bundle(run, tmp_path / "m.edge", key, variant="raspberry-pi-4").manifest
    assert manifest.target == "aarch64-linux"
    assert manifest.measured["not_measured"] == "this machine is another"
    assert "latency" not in manifest.measured
    assert (manifest.golden["p99"], manifest.golden["memory"]) == (None, None)


def test_tensorrt_gets_the_onnx_file_and_the_plan_of_its_engine(run, key, tmp_path):
    found = unpack(bundle(run, tmp_path / "m.edge", key, variant="jetson-orin-nano").path, tmp_path / "device")
    assert (found.manifest.runtime, found.manifest.runtime_minimum) == ("tensorrt", "10.0")
    assert found.manifest.model == "model/model.onnx"
    assert found.manifest.build == {"builder": "tensorrt", "typed": "strongly", "batch": [1, 1, LARGEST]}
    assert "answered by onnxruntime" in found.manifest.provenance["golden"]


def test_eight_bit_weights_ask_for_the_instructions_that_they_need(run, key, tmp_path):
    def features(variant):
        return bundle(run, tmp_path / "m.edge", key, variant=variant, sequence=1).manifest.features

    assert features("quantize/this-machine/onnxruntime") == ("avx512_vnni",)
    assert features("prune/this-machine/onnxruntime") == ()
    assert features("quantize/raspberry-pi-4/onnxruntime") == ()


def test_openvino_gets_both_of_its_files(run, key, tmp_path):
    import openvino

    place = run / "models/this-machine/openvino"
    place.mkdir()
    source = run / "models/this-machine/onnxruntime/prune.onnx"
    openvino.save_model(openvino.Core().read_model(source), place / "prune.xml", compress_to_fp16=False)
    size = sum(path.stat().st_size for path in place.iterdir())

    def add(results):
        row = next(v for v in results["variants"] if v["id"] == "prune/this-machine/onnxruntime")
        results["variants"].append(
            row | {"id": "prune/this-machine/openvino", "runtime": "openvino", "size": size,
                   "file": "models/this-machine/openvino/prune.xml"}
        )  # fmt: skip

    rewrite(run, add)
    found = unpack(
        bundle(run, tmp_path / "m.edge", key, variant="prune/this-machine/openvino").path, tmp_path / "device"
    )
    assert [file.path for file in found.manifest.files][:2] == ["model/model.xml", "model/model.bin"]
    with open_session(found.file(found.manifest.model), "openvino") as session:
        assert session.predict(found.array("golden/inputs.npy")).shape == (32, 4)


def test_expiry_and_floor_stand_in_the_manifest(run, key, tmp_path):
    manifest = bundle(run, tmp_path / "m.edge", key, sequence=5, raise_floor=4, expires="2030-01-31T00:00:00Z").manifest
    assert (manifest.raise_floor, manifest.expires) == (4, "2030-01-31T00:00:00Z")


def test_a_bundle_that_no_device_would_install_any_more_is_not_made(run, key, tmp_path):
    with pytest.raises(
        BundlingError, match=r"expires at 2020-01-01T00:00:00Z, since it is 2.*; give a later --expires"
    ):
        bundle(run, tmp_path / "m.edge", key, expires="2020-01-01T00:00:00Z")
    assert not (tmp_path / "m.edge").exists()


@pytest.mark.parametrize("changes", [{"expires": "soon"}, {"sequence": 2**60}])
def test_what_no_device_would_accept_is_not_written(run, key, tmp_path, changes):
    with pytest.raises(ManifestError):
        bundle(run, tmp_path / "m.edge", key, **changes)
    assert not (tmp_path / "m.edge").exists()


def test_a_floor_above_the_bundle_itself_is_refused(run, key, tmp_path):
    with pytest.raises(BundlingError, match="floor of 9 would refuse this bundle itself, whose sequence number is 1"):
        bundle(run, tmp_path / "m.edge", key, raise_floor=9)
    assert not (tmp_path / "m.edge").exists()


def test_a_model_that_is_not_the_one_measured_is_refused(run, key, tmp_path):
    model = run / "models/this-machine/onnxruntime/quantize.onnx"
    with model.open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(BundlingError, match=r"quantize\.onnx: has \d+ bytes, and \d+ were measured"):
        bundle(run, tmp_path / "m.edge", key)
    model.unlink()
    with pytest.raises(BundlingError, match=r"quantize\.onnx: is missing"):
        bundle(run, tmp_path / "m.edge", key)


def test_data_that_changed_since_the_run_is_refused(run, key, tmp_path, small_data):
    from small_recipe import write_data

    write_data(tmp_path / "project" / "data.npz", small_data)
    with pytest.raises(BundlingError, match="has changed since the run"):
        bundle(run, tmp_path / "m.edge", key)


def test_data_that_is_gone_is_named(run, key, tmp_path):
    (tmp_path / "project" / "data.npz").unlink()
    with pytest.raises((DataError, RecipeError), match=r"data\.npz"):
        bundle(run, tmp_path / "m.edge", key)


def test_a_folder_of_no_run_is_refused(tmp_path, key):
    with pytest.raises(BundlingError, match=r"has no results\.json"):
        bundle(tmp_path, tmp_path / "m.edge", key)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ResultsError):
        bundle(tmp_path, tmp_path / "m.edge", key)


def test_a_place_that_cannot_be_written_is_named(run, key, tmp_path):
    with pytest.raises(BundlingError, match="choose another place with -o"):
        bundle(run, tmp_path / "none" / "m.edge", key)


def test_a_stranger_does_not_take_it(run, key, tmp_path):
    from bundles import OTHER_KEY

    made = bundle(run, tmp_path / "m.edge", key)
    with pytest.raises(BundleError):
        archive.read_signed_manifest(made.path, [OTHER_KEY.public])


def test_too_little_data_for_a_drift_reference_is_told(run, key, tmp_path, small_data):
    from dataclasses import replace

    from small_recipe import write_data

    from compress import data
    from compress.recipe import Recipe

    project = tmp_path / "project"
    write_data(project / "data.npz", replace(small_data, validation=small_data.validation.take(slice(0, 100))))

    def refit(results):
        recipe = Recipe.model_validate(results["recipe"]).placed(project)
        results["data"]["fingerprint"] = data.load(recipe.data, project).fingerprint

    rewrite(run, refit)
    made = bundle(run, tmp_path / "m.edge", key)
    assert made.manifest.reference is None
    assert "no drift reference" in made.warnings[0]


def test_a_moved_run_can_still_be_bundled(run, key, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.move(run, moved)
    assert bundle(moved, tmp_path / "m.edge", key).manifest.name == "small"


def test_the_least_versions_are_those_that_edge_runtime_installs():
    parser = configparser.ConfigParser()
    parser.read(Path(__file__).parents[2] / "edge-runtime" / "setup.cfg")
    extras = parser["options.extras_require"]
    for runtime, (package, least) in REQUIRED.items():
        name, _, version = extras[runtime].strip().partition(" ")
        assert (name, version.split(",")[0]) == (package, f">={least}")


def rewrite(run: Path, change) -> None:
    path = run / "results.json"
    results = json.loads(path.read_text())
    change(results)
    path.write_text(json.dumps(results))
