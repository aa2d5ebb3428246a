"""The recipes in `recipes/quantize/` really run, on fewer samples and with less training and timing than written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import compress
from compress import isolated

FOLDER = Path(__file__).parent.parent.parent / "recipes" / "quantize"
PARTS = {"train": 2000, "calibration": 200, "validation": 500, "test": 1000}
SHORTER = {
    "qat.yaml": (
        "stages.1.distill.training.epochs=1",
        "stages.1.distill.training.views=1",
        "stages.3.quantize.training.epochs=1",
        "stages.3.quantize.training.views=1",
    ),
}

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all: they start from the same teacher."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """Overrides: a part of the slice's samples, and few timings."""
    path = tmp_path_factory.mktemp("data") / "part.npz"
    with np.load(FOLDER.parent / "data" / "fashion-mnist-slice.npz") as whole:
        part = {name: values[: PARTS.get(name.partition("_")[2])] for name, values in whole.items() if values.ndim}
    np.savez(path, **part)
    return (f"data.path={path}", "measure.rounds=6", "measure.seconds=2")


@pytest.mark.parametrize("recipe", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_runs_to_its_answer(recipe, quick, store, tmp_path):
    if recipe.stem == "litert" and not isolated.installed("litert"):
        pytest.skip("needs LiteRT's converter: compress doctor --install litert")
    result = compress.run(
        recipe, overrides=(*quick, *SHORTER.get(recipe.name, ())), store=store, out=tmp_path / "run", threads=1
    )
    quantized = [v for v in result.results.variants if v.stage.startswith("quantize")]
    asked = sum("quantize" in stage for stage in result.results.recipe["stages"])
    assert len(quantized) == asked * len({(v.target, v.runtime) for v in quantized})
    for variant in quantized:
        assert bool(variant.coverage) is variant.precision.startswith("int8")
        assert (result.out / variant.file).is_file()
        if variant.precision.startswith("int8") and variant.precision != "int8 mixed":
            assert variant.coverage.floating == {}
        if not variant.not_measured:
            assert variant.accuracy.value > 0.5


def test_what_a_forced_scheme_loses_is_predicted_before_it_is_deployed(quick, store, tmp_path):
    result = compress.run(
        FOLDER / "saturation.yaml", overrides=quick, store=store, out=tmp_path / "run", threads=1
    ).results
    forced = next(stage for stage in result.stages if "saturating" in stage.label and stage.kind == "quantize")
    assert any("16 bits" in line for line in forced.story)
