"""Digests of values and files: what the keys and manifests of the store are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compress.errors import StoreError


def digest(value: Any) -> str:
    """SHA-256 of a value's canonical JSON: sorted keys, no spaces, text keys and finite numbers only."""
    _refuse_other_keys(value)
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def canonical(value: Any, indent: int | None = None) -> str:
    """JSON in one way only: sorted keys, and no spaces unless ``indent`` is given. Raises :class:`StoreError`."""
    separators = None if indent else (",", ":")
    try:
        return json.dumps(value, sort_keys=True, separators=separators, indent=indent, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise StoreError(f"not JSON, so it cannot be stored or be part of a key: {error}") from error


def _refuse_other_keys(value: Any) -> None:
    """json.dumps would turn the keys 1 and "1" into the same text."""
    if isinstance(value, Mapping):
        if wrong := [key for key in value if not isinstance(key, str)]:
            raise StoreError(f"not JSON, so it cannot be part of a key: {wrong[0]!r} is a key that is not text")
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for item in value:
        _refuse_other_keys(item)


def file_digest(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
