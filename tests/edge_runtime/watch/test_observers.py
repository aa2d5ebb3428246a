from __future__ import annotations

import json
import logging
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
from bundles import KEY, make_bundle

from edge_runtime.bundle.archive import unpack
from edge_runtime.capture import policy
from edge_runtime.watch.observers import Observers


@pytest.fixture
def contents(tmp_path, reference):
    """Makes an unpacked bundle with this drift reference, or this text in its place."""

    def make(sequence=1, text=None, **changes):
        content = json.dumps(reference) if text is None else text
        path = make_bundle(
            tmp_path,
            sequence=sequence,
            files={"reference.json": content.encode()},
            reference="reference.json",
            **changes,
        )
        folder = Path(mkdtemp(dir=tmp_path))
        return unpack(path, folder, [KEY.public])

    return make


def test_a_home_is_watched_and_captured_with_what_the_bundle_says(contents, stream, tmp_path):
    home = tmp_path / "home"
    policy.save(home / "captures" / "settings.json", policy.Policy(on=True, random=1, near=-1))
    seers = Observers(home)
    pictures, logits = stream(1000, 1, brightness=30)
    seers.observe(pictures[:1], logits[:1], 0.001, "1")  # nothing serves yet
    assert seers.metrics() == []
    seers.serve(contents(), "1")
    for index in range(1000):
        seers.observe(pictures[index : index + 1], logits[index : index + 1], 0.001, "1")
        if index % 200 == 199:
            seers.monitor.flush()
            seers.captures.flush()
    assert any(alarm.detector == "inputs" for alarm in seers.monitor.alarms())
    assert len(seers.captures.index) > 0
    assert {"edge_runtime_drift_alarm", "edge_runtime_captures"} <= {sample.name for sample in seers.metrics()}
    second = contents(2)
    seers.serve(second, "2")
    assert seers.monitor.version == f"2 ({second.id[:12]})"
    seers.close()
    assert (home / "watch" / "watch.json").is_file()


@pytest.mark.parametrize("text", ["", "{}", "[" * 50_000, '{"schema": 2}'])
def test_a_damaged_reference_is_logged_and_the_model_serves(contents, stream, tmp_path, caplog, text):
    seers = Observers(tmp_path / "home")
    with caplog.at_level(logging.WARNING, "edge_runtime.watch"):  # other tests in this process may have set another
        seers.serve(contents(text=text), "1")
    assert "not compared with anything" in caplog.text
    seers.observe(*stream(1, 0), 0.001, "1")
    seers.close()
    assert seers.monitor.durations.count == 1


def test_another_shape_of_output_is_no_matter(contents, tmp_path):
    seers = Observers(tmp_path / "home")
    seers.serve(contents(), "1")
    seers.observe(np.zeros((2, 1, 12, 12), np.uint8), np.zeros((2, 7), np.float32), 0.001, "1")
    seers.close()
    assert seers.monitor.drift.unfit == 2


def test_what_waits_since_another_model_of_the_same_number_is_not_judged_by_this_one(contents, stream, tmp_path):
    home = tmp_path / "home"
    policy.save(home / "captures" / "settings.json", policy.Policy(on=True, random=1, near=-1))
    seers = Observers(home)
    try:
        seers.serve(contents(1, name="former"), "1")
        with seers.monitor.worker._round, seers.captures.worker._round:  # neither thread gets to what waits
            seers.observe(*stream(3, 0), 0.001, "1")
            seers.serve(contents(1, name="latter"), "1")
        seers.monitor.flush()
        seers.captures.flush()
        assert seers.monitor.drift.judged == 0 and len(seers.captures.index) == 0
        seers.observe(*stream(3, 1), 0.001, "1")
        seers.labelled([True], "1")
        seers.monitor.flush()
        seers.captures.flush()
        assert seers.monitor.drift.judged == 3 and len(seers.captures.index) > 0 and seers.monitor.drift.labels == 1
    finally:
        seers.close()
