"""Texts: the numbers that the bundle's own tokenizer gives them, cut or padded to the model's length.

The tokenizer is a ``tokenizer.json``, read by the library of the same name. Padding has an id of its own, so the graph
knows by itself which places to leave out of its attention.
"""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_runtime import limits
from edge_runtime.errors import ExtraMissingError, InputError, InputTooLargeError, ManifestError

if TYPE_CHECKING:
    from edge_runtime.bundle.contents import Contents
    from edge_runtime.preprocess import Prepare

PADDING = ("[PAD]", "<pad>", "<|pad|>")
"""Names of the padding token, where the tokenizer's file does not say which it is."""


def make(contents: Contents) -> Prepare:
    """Prepares texts (str, or bytes in UTF-8) as token ids (1, length)."""
    manifest, wanted = contents.manifest, contents.manifest.inputs[0]
    length = manifest.preprocess["length"]
    if len(wanted.shape) != 2 or wanted.shape[1] not in (None, length) or np.dtype(wanted.dtype).kind not in "iu":
        raise ManifestError(
            f"{manifest.name}: a text becomes {length} integers, the model takes {wanted.dtype} {wanted.shape[1:]}"
        )
    tokenizer = _load(contents.file(manifest.preprocess["tokenizer"]).read_bytes(), length, manifest.name)
    largest = np.iinfo(wanted.dtype).max
    if tokenizer.get_vocab_size() - 1 > largest:
        raise ManifestError(f"{manifest.name}: the vocabulary has more words than {wanted.dtype} can number")

    def prepare(item: Any) -> np.ndarray:
        return np.array([tokenizer.encode(_text(item)).ids], wanted.dtype)

    return prepare


def _text(item: Any) -> str:
    if isinstance(item, (bytes, bytearray, memoryview)):
        if len(item) > 4 * limits.TEXT_CHARACTERS:
            raise _too_long(f"{len(item)} bytes")
        try:
            item = bytes(item).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"this text is not UTF-8 ({error}); save it as UTF-8") from None
    if not isinstance(item, str):
        raise InputError(f"this model takes a text, got {type(item).__name__}; send a string")
    if len(item) > limits.TEXT_CHARACTERS:
        raise _too_long(f"{len(item)}")
    # Half of a surrogate pair, which JSON can spell, is no character.
    return item.encode("utf-8", "replace").decode("utf-8")


def _too_long(length: str) -> InputTooLargeError:
    return InputTooLargeError(f"a text may have {limits.TEXT_CHARACTERS} characters, got {length}; send less of it")


def _load(data: bytes, length: int, name: str) -> Any:
    try:
        tokenizer = _library().Tokenizer.from_str(data.decode("utf-8"))
    except ExtraMissingError:
        raise
    except Exception as error:  # the library raises bare Exception for a file that it cannot read
        raise ManifestError(f"{name}: the tokenizer cannot be read ({error}); make the bundle again") from None
    cut = tokenizer.truncation or {}
    tokenizer.enable_truncation(length, **{key: cut[key] for key in ("stride", "strategy", "direction") if key in cut})
    padding = tokenizer.padding or {}
    token = padding.get("pad_token") or next((p for p in PADDING if tokenizer.token_to_id(p) is not None), None)
    if token is None:
        raise ManifestError(f"{name}: the tokenizer names no padding token, and shorter texts need one")
    number = padding["pad_id"] if "pad_id" in padding else tokenizer.token_to_id(token)
    tokenizer.enable_padding(length=length, pad_id=number, pad_token=token, direction=padding.get("direction", "right"))
    return tokenizer


def _library() -> ModuleType:
    try:
        import tokenizers
    except ImportError as error:
        raise ExtraMissingError(
            f"texts need tokenizers, which does not load ({error}): python -m pip install 'edge-runtime[text]'"
        ) from None
    return tokenizers
