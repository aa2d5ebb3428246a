"""What models are fed: by type, by shape, from a file, and what is refused."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from edge_runtime import InputError, TensorSpec
from edge_runtime.probes.inputs import fixed_batch, make

PIXELS = TensorSpec("input", "uint8", ("batch", 1, 8, 8))


def made(
    *specs: TensorSpec, batch: int = 2, axes: dict[str, int] | None = None, seed: int = 0, file: Path | None = None
):
    return make(specs, batch, axes=axes or {}, seed=seed, file=file)


def test_random_values_fit_their_type():
    dtypes = ["uint8", "int8", "int64", "int32", "float32", "float16", "bool"]
    arrays = made(*(TensorSpec(dtype, dtype, ("batch", 5000)) for dtype in dtypes)).calls[0]
    assert all(array.dtype.name == name and array.shape == (2, 5000) for name, array in arrays.items())
    assert (arrays["uint8"].min(), arrays["uint8"].max()) == (0, 255)
    assert (arrays["int8"].min(), arrays["int8"].max()) == (-128, 127)
    assert (arrays["int64"].min(), arrays["int64"].max()) == (0, 99)
    assert abs(arrays["float32"].mean()) < 0.1
    assert abs(arrays["float32"].std() - 1) < 0.1


def test_a_text_models_masks_are_ones_and_its_segments_zeros():
    names = ("input_ids", "attention_mask", "token_type_ids")
    found = made(*(TensorSpec(name, "int64", ("batch", "sequence")) for name in names), axes={"sequence": 12})
    arrays = found.calls[0]
    assert arrays["input_ids"].shape == (2, 12)
    assert len(np.unique(arrays["input_ids"])) > 5
    assert (arrays["attention_mask"] == 1).all()
    assert (arrays["token_type_ids"] == 0).all()
    assert found.assumed == {}


def test_the_seed_decides_the_values():
    one, same, other = (made(PIXELS, seed=seed).calls[0]["input"] for seed in (1, 1, 2))
    assert (one == same).all()
    assert not (one == other).all()
    assert made(PIXELS, seed=7).source == "random (seed 7)"


def test_sizes_that_nobody_gives_are_assumed_and_told():
    text = made(TensorSpec("ids", "int64", ("batch", "sequence")))
    assert text.assumed == {"sequence": 128}
    picture = made(TensorSpec("x", "float32", ("batch", None, None, None)))
    assert picture.assumed == {"x.1": 3, "x.2": 224, "x.3": 224}
    last = made(TensorSpec("x", "float32", (None, "height", "width", 3)))
    assert last.assumed == {"height": 224, "width": 224}
    named = made(TensorSpec("x", "float32", ("batch", None, 8, 8)), axes={"x.1": 1})
    assert (named.calls[0]["x"].shape, named.assumed) == ((2, 1, 8, 8), {})


def test_an_axis_with_the_batchs_name_is_the_batch_wherever_it_stands():
    found = made(TensorSpec("x", "float32", ("n", 4)), TensorSpec("state", "float32", (2, "n", 8)), batch=3)
    assert found.calls[0]["state"].shape == (2, 3, 8)


@pytest.mark.parametrize(
    ("shapes", "batch"),
    [
        ([("batch", 3)], None),
        ([(None, 3)], None),
        ([(4, 3)], 4),
        ([(1, 3, 224, 224)], 1),
        ([(), (8, 3)], 8),
        ([(5,)], 1),
        ([("n",)], None),
        ([(1, 512), (2, 1, 128)], 1),
    ],
)
def test_a_batch_is_fixed_where_the_first_axis_of_the_first_input_is(shapes: list[tuple], batch: int | None):
    assert fixed_batch([TensorSpec(str(index), "float32", shape) for index, shape in enumerate(shapes)]) == batch


def test_real_rows_are_gone_through_in_whole_batches(tmp_path: Path):
    rows = np.arange(7 * 64, dtype=np.uint8).reshape(7, 1, 8, 8)
    np.savez(tmp_path / "rows.npz", input=rows)
    found = made(PIXELS, batch=3, file=tmp_path / "rows.npz")
    assert [call["input"].shape for call in found.calls] == [(3, 1, 8, 8)] * 2
    assert (np.concatenate([call["input"] for call in found.calls]) == rows[:6]).all()
    assert found.source == "rows.npz, 7 rows, the first 6 used"


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((4, 1, 8, 8), np.uint8)}, "arrays named 'x'; the model's inputs are 'input': uint8"),
        ({"input": np.zeros((4, 1, 8, 8), np.float32)}, r"rows\.npz: input 'input': uint8 .* its array is float32"),
        ({"input": np.zeros((4, 8, 8), np.uint8)}, r"its array is uint8 of shape \(4, 8, 8\)"),
        ({"input": np.zeros((1, 1, 8, 8), np.uint8)}, "has 1 rows, and a call takes 2 samples"),
        ({"input": np.array([{}])}, r"rows\.npz cannot be read as \.npz of plain arrays"),
    ],
    ids=["name", "dtype", "rank", "rows", "pickle"],
)
def test_a_file_that_does_not_fit_is_refused_in_words(tmp_path: Path, arrays: dict, words: str):
    np.savez(tmp_path / "rows.npz", **arrays)
    with pytest.raises(InputError, match=words):
        made(PIXELS, file=tmp_path / "rows.npz")


@pytest.mark.parametrize("content", [b"", b"not a zip", None], ids=["empty", "text", "missing"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "rows.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"rows\.npz cannot be read"):
        made(PIXELS, file=tmp_path / "rows.npz")


def test_words_cannot_be_made_up():
    with pytest.raises(InputError, match="random values cannot be made for input 'text': object"):
        made(TensorSpec("text", "object", ("batch",)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "uint8", "int64"])
def test_values_are_drawn_in_no_more_memory_than_they_need(dtype: str):
    size = 8 * 1024**2
    spec = TensorSpec("x", dtype, ("batch", size))
    made(TensorSpec("x", dtype, ("batch", 8)), batch=1)
    tracemalloc.start()
    try:
        nbytes = made(spec, batch=1).calls[0]["x"].nbytes
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < nbytes + 6 * 1024**2


def test_inputs_that_no_machine_holds_are_refused_with_what_to_do():
    spec = TensorSpec("x", "float32", ("batch", "sequence", 4096, 4096, None))
    with pytest.raises(InputError, match=r"input 'x' of shape .* would take .* GB") as refused:
        made(spec, batch=1, axes={"sequence": 4096, "x.4": 4096})
    assert "batch, sequence, x.4: give smaller sizes (--axis NAME=SIZE)" in str(refused.value)
    with pytest.raises(InputError, match="would take") as refused:
        made(TensorSpec("x", "float32", (1, 10**7, 10**7)), batch=1)
    assert "--axis" not in str(refused.value)


@pytest.mark.parametrize("shapes", [[(0, 3)], [(0, 3), ("batch", 4)], [(2, 0)], [("batch", 0), (0,)]])
def test_a_call_without_values_is_refused(shapes: list[tuple]):
    with pytest.raises(InputError, match="holds no values, for an axis of it is fixed at 0"):
        made(*(TensorSpec(str(index), "float32", shape) for index, shape in enumerate(shapes)))


def test_an_empty_state_beside_real_inputs_is_fed():
    found = made(PIXELS, TensorSpec("past", "float32", ("batch", 2, 0, 8)))
    assert found.calls[0]["past"].shape == (2, 2, 0, 8)
