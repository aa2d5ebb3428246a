from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import compress
from compress.data.dataset import SPLITS, Split
from compress.errors import DataError, QuantizationError
from compress.recipe import Recipe

STAGES = [{"quantize": {"to": "fp16"}}, {"quantize": {"to": "int4-weights"}}]
RECIPE = {
    "name": "small",
    "teacher": {
        "architecture": "convnet",
        "arguments": {"widths": [4]},
        "normalize": {"mean": [0.4], "std": [0.25]},
        "train": {"epochs": 1, "batch": 64},
    },
    "data": {"source": "npz", "path": "data.npz"},
    "stages": STAGES,
    "targets": [{"name": "this-machine", "runtimes": ["onnxruntime"]}],
    "measure": {"rounds": 6, "seconds": 1},
}


@pytest.fixture
def run(tmp_path, small_data):
    """Run the recipe with changes on data with changed splits; the events it emits are ``run.seen``."""

    def run(splits: dict | None = None, **changes: object) -> compress.RunResult:
        data = replace(small_data, **(splits or {}))
        arrays = {f"{axis}_{name}": values for name in SPLITS for axis, values in _arrays(getattr(data, name))}
        np.savez(tmp_path / "data.npz", **arrays)
        recipe = Recipe.model_validate(RECIPE | changes).placed(tmp_path)
        run.seen = []
        return compress.run(recipe, store=tmp_path / "store", out=tmp_path / "out", emit=run.seen.append, threads=1)

    return run


def _arrays(split: Split) -> tuple[tuple[str, np.ndarray], ...]:
    return ("x", split.inputs), ("y", split.labels)


@pytest.mark.integration
def test_an_unfit_alternative_is_named_as_the_recipe_does_and_what_was_made_is_kept(run):
    with pytest.raises(QuantizationError) as raised:
        run()
    first, last = str(raised.value).splitlines()[0], str(raised.value).splitlines()[-1]
    assert first.startswith("stages.1.quantize (int4-weights), onnxruntime: ")
    assert last == "what was made before is kept in the store: a corrected recipe goes on from there"
    run(stages=STAGES[:1])
    made = [event.stage for event in run.seen if event.kind == "done"]
    assert all(label.startswith(("evaluate", "measure")) for label in made)


def test_an_error_that_names_the_recipes_key_already_is_not_told_twice(run):
    teacher = {"huggingface": "nowhere", "normalize": {"mean": [0.4], "std": [0.25]}}
    with pytest.raises(compress.errors.CompressError) as raised:
        run(teacher=teacher)
    assert str(raised.value).startswith("teacher.huggingface: ")
    assert "kept in the store" not in str(raised.value)


@pytest.mark.integration
def test_an_overlap_of_calibration_is_a_warning_of_every_run(run, small_data):
    calibration = small_data.calibration
    inputs = calibration.inputs.copy()
    inputs[:10] = small_data.validation.inputs[:10]
    for _ in range(2):
        run({"calibration": Split(inputs, calibration.labels)}, stages=STAGES[:1])
        warnings = [event.message for event in run.seen if event.kind == "warning"]
        assert any(f"of the {len(inputs)} calibration inputs, 10 also in validation" in words for words in warnings)


def test_calibration_that_is_all_in_test_is_named_with_its_count(run, small_data):
    test = small_data.test
    with pytest.raises(DataError, match=f"of the {len(test)} calibration inputs, {len(test)} also in test"):
        run({"calibration": test})
