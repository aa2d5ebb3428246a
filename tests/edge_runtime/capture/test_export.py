from __future__ import annotations

import base64
import io
import json
import os
import random
import time
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from compress.data import npz
from edge_runtime.capture import png
from edge_runtime.capture.export import export
from edge_runtime.capture.policy import Policy, save
from edge_runtime.capture.store import Captures
from edge_runtime.errors import CaptureError

LABELS = ("coat", "boot", 'a "bag" & more', "shirt")


@pytest.fixture
def folder(tmp_path, inputs):
    """Forty captures of 120 inputs."""
    folder = tmp_path / "captures"
    save(folder / "settings.json", Policy(on=True, random=0.4, hourly=100_000, near=-1))
    with Captures(None, folder, version="7", labels=LABELS, draw=random.Random(3).random) as captures:
        pictures, logits = inputs(120, 1)
        for index in range(120):
            captures.observe(pictures[index : index + 1], logits[index : index + 1], 0.001, "7")
        captures.flush()
    return folder


def answers(tmp_path, tasks, *, minimal=False):
    """What Label Studio would export when somebody labels every other task as "shirt"."""
    labelled = []
    for number, task in enumerate(tasks):
        if number % 2:
            labelled.append({"id": number, "data": task["data"], "annotations": []})
        elif minimal:
            labelled.append({"annotation_id": number, **task["data"], "label": "shirt"})
        else:
            result = [{"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["shirt"]}}]
            labelled.append({"id": number, "data": task["data"], "annotations": [{"id": 1, "result": result}]})
    path = tmp_path / "labelled.json"
    path.write_text(json.dumps(labelled))
    return path


def test_a_data_set_is_what_compress_reads(folder, tmp_path):
    done = export(folder, tmp_path / "out", "dataset", classes=LABELS)
    data = npz.load(path=tmp_path / "out" / "captures.npz", validation=4, calibration=4, seed=0)
    assert data.classes == LABELS
    splits = (data.train, data.validation, data.calibration, data.test)
    assert sum(map(len, splits)) == done.count > 30
    assert all(split.inputs.shape[1:] == (1, 16, 16) and split.inputs.dtype == np.uint8 for split in splits)
    with np.load(tmp_path / "out" / "captures.npz") as archive:
        assert archive["labels"] == "predicted"
        assert archive["weight_train"] == pytest.approx(2.5)


def test_tasks_are_what_label_studio_documents(folder, tmp_path):
    export(folder, tmp_path / "out", "label-studio")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    config = ElementTree.fromstring((tmp_path / "out" / "labels.xml").read_text())
    (shown,), (choices,) = config.findall("Image"), config.findall("Choices")
    assert shown.get("value") == "$image" and choices.get("toName") == shown.get("name")
    offered = {choice.get("value") for choice in choices}
    for task in tasks:
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == "7" and 0 <= prediction["score"] <= 1
        (result,) = prediction["result"]
        assert (result["from_name"], result["to_name"]) == (choices.get("name"), shown.get("name"))
        assert result["type"] == "choices" and set(result["value"]["choices"]) <= offered
        kind, _, data = task["data"]["image"].partition(",")
        assert kind == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (16, 16)


@pytest.mark.parametrize("minimal", [False, True])
def test_labels_come_back_as_a_data_set_of_what_was_labelled(folder, tmp_path, minimal):
    export(folder, tmp_path / "tasks", "label-studio")
    tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text())
    done = export(folder, tmp_path / "out", "dataset", labels=answers(tmp_path, tasks, minimal=minimal), classes=LABELS)
    assert done.count == (len(tasks) + 1) // 2
    assert len(done.left_out) == len(tasks) // 2 and "has no label in" in done.left_out[0]
    with np.load(tmp_path / "out" / "captures.npz") as archive:
        assert archive["labels"] == "true"
        assert set(archive["y_train"]) | set(archive["y_test"]) == {3}


def test_records_go_along(folder, tmp_path):
    export(folder, tmp_path / "out", "dataset")
    lines = [json.loads(line) for line in (tmp_path / "out" / "captures.jsonl").read_text().splitlines()]
    assert len(lines) > 30
    assert all(line["weight"] == pytest.approx(1 / line["propensity"]) and line["version"] == "7" for line in lines)


@pytest.mark.parametrize("form", ["dataset", "label-studio"])
def test_what_is_exported_is_for_its_owner_only(folder, tmp_path, form):
    """Clients' inputs are as private there as they are in the store."""
    before = os.umask(0o022)
    try:
        (tmp_path / "there").mkdir()
        for target in (tmp_path / "new" / "out", tmp_path / "there"):
            done = export(folder, target, form)
            assert {path.stat().st_mode & 0o777 for path in done.files} == {0o600}
        assert (tmp_path / "new" / "out").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "there").stat().st_mode & 0o777 == 0o755  # whose it is has decided
    finally:
        assert os.umask(before) == 0o022


def test_damaged_and_foreign_files_are_left_out_and_named(folder, tmp_path):
    paths = sorted(folder.glob("*.npz"))
    paths[0].write_bytes(b"damaged")
    (folder / "readme.npz").write_text("not ours")
    done = export(folder, tmp_path / "out", "dataset")
    assert done.count == len(paths) - 1
    assert len(done.left_out) == 1 and paths[0].name in done.left_out[0]


def test_inputs_of_another_model_are_left_out(folder, tmp_path, inputs):
    with Captures(None, folder, version="8", draw=lambda: 0.0, clock=lambda: time.time() + 5) as captures:
        captures.observe(np.zeros((1, 1, 20, 20), np.uint8), np.zeros((1, 4), np.float32), 0.001, "8")
        captures.flush()
    done = export(folder, tmp_path / "out", "dataset")
    assert done.count == 1 and "where the newest is uint8 (1, 20, 20)" in done.left_out[0]


def test_inputs_that_are_no_pictures_are_shown_as_numbers(tmp_path):
    folder = tmp_path / "captures"
    save(folder / "settings.json", Policy(on=True, random=1))
    with Captures(None, folder, version="7") as captures:
        captures.observe(np.array([[1.5, 2]], np.float32), np.zeros((1, 3), np.float32), 0.001, "7")
        captures.flush()
    export(folder, tmp_path / "out", "label-studio")
    (task,) = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert task["data"]["text"] == "[1.5, 2.0]"
    assert task["predictions"][0]["result"][0]["value"]["choices"] == ["0"]


def test_nothing_to_export_says_what_to_do(tmp_path):
    with pytest.raises(CaptureError, match=r"no captures to export.*captures list"):
        export(tmp_path / "none", tmp_path / "out", "dataset")


@pytest.mark.parametrize(
    "text", ["", "3", '[{"data": {}}, 4]', '[{"annotations": [{"result": [{"type": "choices"}]}]}]']
)
def test_labels_that_are_no_export_are_refused(folder, tmp_path, text):
    path = tmp_path / "labels.json"
    path.write_text(text)
    with pytest.raises(CaptureError, match="not a JSON export of Label Studio"):
        export(folder, tmp_path / "out", "dataset", labels=path)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_every_pixel(channels):
    sample = np.random.default_rng(0).integers(0, 256, (channels, 7, 5)).astype(np.uint8)
    with Image.open(io.BytesIO(png.encode(sample))) as image:
        pixels = np.asarray(image)
    np.testing.assert_array_equal(pixels.reshape(7, 5, channels), sample.transpose(1, 2, 0))
