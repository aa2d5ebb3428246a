"""Two real runs compared, and what each says of single samples."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

import compress
from compress.bench.diff.compare import compare
from compress.bench.run.right import unpack
from compress.cli import main

pytestmark = pytest.mark.integration


def test_a_run_says_which_test_samples_each_file_got_right(finished, store, small_data):
    keys = {stage.label: stage.key for stage in finished.results.stages}
    for row in finished.results.variants:
        if row.accuracy is None:
            assert row.right is None
        elif (row.stage, row.runtime) == ("distill", "onnxruntime"):
            logits = np.load(store / "objects" / keys["evaluate/distill/onnx"] / "logits.npy")
            assert (unpack(row.right, row.accuracy) == (logits.argmax(1) == small_data.test.labels)).all()
        else:
            assert unpack(row.right, row.accuracy).sum() == row.accuracy.correct


def test_a_run_timed_again_has_the_same_answers_and_files(finished, project, store, tmp_path):
    again = compress.run(project / "small.yaml", store=store, out=tmp_path, threads=1, remeasure=True)
    found = compare(finished.results, again.results)
    words = {(c.figure, c.word) for pair in found.pairs for c in pair.changes if c.figure in ("accuracy", "size")}
    assert words == {("accuracy", "same"), ("size", "same")}
    assert not (found.machine or found.recipe or found.data or found.made_anew)


def test_a_changed_student_is_compared_in_pairs(finished, project, store, tmp_path):
    overrides = ["stages.2.quantize.calibration=percentile"]
    compress.run(project / "small.yaml", overrides=overrides, store=store, out=tmp_path, threads=1)
    result = CliRunner().invoke(main, ["diff", str(finished.out), str(tmp_path), "--all"], catch_exceptions=False)
    assert result.exit_code in (0, 4)
    assert "stages.quantize.calibration: none -> percentile" in result.stdout
    assert "unpaired" not in result.stdout and "not compared: another" not in result.stdout
