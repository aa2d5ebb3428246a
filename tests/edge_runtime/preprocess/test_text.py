"""Texts become the tokens of the bundle's own tokenizer, at the model's length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, make_bundle
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from edge_runtime import limits
from edge_runtime.bundle import archive
from edge_runtime.bundle.manifest import Tensor
from edge_runtime.errors import InputError, InputTooLargeError, ManifestError
from edge_runtime.preprocess import make

WORDS = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3, "spam": 4, "ham": 5, "é": 6}
IDS = (Tensor("input", "int64", (None, 6)),)


def tokenizer(**words: int) -> Tokenizer:
    made = Tokenizer(models.WordLevel(WORDS | words, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def prepare_of(tmp_path: Path, made: Tokenizer | bytes | None = None, *, inputs=IDS, length: int = 6):
    content = made if isinstance(made, bytes) else (made or tokenizer()).to_str().encode()
    path = make_bundle(
        tmp_path,
        files={"tokenizer.json": content},
        preprocess={"kind": "text", "tokenizer": "tokenizer.json", "length": length},
        inputs=inputs,
    )
    (tmp_path / "unpacked").mkdir()
    return make(archive.unpack(path, tmp_path / "unpacked", [KEY.public]))


def test_a_text_is_cut_or_padded_to_the_models_length(tmp_path: Path):
    prepare = prepare_of(tmp_path)
    for text, ids in {
        "spam ham": [1, 4, 5, 2, 3, 3],
        "": [1, 2, 3, 3, 3, 3],
        "spam spam spam spam spam ham": [1, 4, 4, 4, 4, 2],
        "é what": [1, 6, 0, 2, 3, 3],
    }.items():
        for item in (text, text.encode()):
            prepared = prepare(item)
            assert (prepared.dtype, prepared.tolist()) == (np.int64, [ids])


def test_the_tokenizers_own_padding_and_truncation_are_kept(tmp_path: Path):
    made = tokenizer()
    made.enable_padding(pad_id=0, pad_token="[UNK]", direction="left")
    made.enable_truncation(4, direction="left")
    prepare = prepare_of(tmp_path, made)
    assert prepare("spam").tolist() == [[0, 0, 0, 1, 4, 2]]
    assert prepare("spam ham ham ham ham").tolist() == [[1, 5, 5, 5, 5, 2]]


@pytest.mark.parametrize("item", [b"\xff\xfe", None, 7, ["spam"], np.zeros(6, np.int64)])
def test_what_is_no_text_is_refused(tmp_path: Path, item: object):
    with pytest.raises(InputError) as refused:
        prepare_of(tmp_path)(item)
    assert refused.value.status == 400


def test_half_of_a_surrogate_pair_is_an_unknown_character(tmp_path: Path):
    assert prepare_of(tmp_path)("spam \ud800").tolist() == [[1, 4, 0, 2, 3, 3]]


def test_a_text_longer_than_the_cap_is_refused(tmp_path: Path):
    prepare = prepare_of(tmp_path)
    prepare("s" * limits.TEXT_CHARACTERS)
    for item in ("s" * (limits.TEXT_CHARACTERS + 1), b"s" * (4 * limits.TEXT_CHARACTERS + 1)):
        with pytest.raises(InputTooLargeError) as refused:
            prepare(item)
        assert refused.value.status == 413


def test_the_length_stands_in_the_manifest_where_the_model_leaves_it_open(tmp_path: Path):
    assert prepare_of(tmp_path, inputs=(Tensor("input", "int32", (None, None)),), length=4)("ham").tolist() == [
        [1, 5, 2, 3]
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": (Tensor("input", "int64", (None, 9)),)}, "6 integers, the model takes"),
        ({"inputs": (Tensor("input", "float32", (None, 6)),)}, "integers"),
        ({"inputs": (*IDS, Tensor("mask", "int64", (None, 6)))}, "takes 2"),
        ({"made": b"{}"}, "tokenizer cannot be read"),
        ({"made": b"\xff"}, "tokenizer cannot be read"),
        ({"made": Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))}, "names no padding token"),
        (
            {
                "made": tokenizer(**{f"w{i}": i for i in range(7, 300)}),
                "inputs": (Tensor("input", "uint8", (None, 6)),),
            },
            "more words than uint8",
        ),
    ],
)
def test_a_manifest_that_does_not_fit_its_tokenizer_or_model_is_refused(tmp_path: Path, changes: dict, words: str):
    with pytest.raises(ManifestError, match=words):
        prepare_of(tmp_path, **changes)
