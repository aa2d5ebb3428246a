"""Captured inputs on the disk: one file each, whole or not there.

``<UTC time>-<exact hash>-<near hash>.npz`` holds the input as the model got it (``input``) and what is known about it
(``record``, JSON). The name tells all that is needed to see which are old or alike without opening them.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle.files import opened
from edge_runtime.errors import CaptureError
from edge_runtime.limits import CAPTURE_BYTES

_NAME = re.compile(r"(\d{8}T\d{6})-([0-9a-f]{32})-([0-9a-f]{32}|none)")

_DAMAGE = (OSError, EOFError, ValueError, KeyError, TypeError, RecursionError, NotImplementedError)
_DAMAGE += (zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Prediction:
    """``index`` and ``label`` of the likeliest class, ``confidence`` its probability, ``entropy`` in nats."""

    index: int
    label: str | None
    confidence: float
    entropy: float
    margin: float


@dataclass(frozen=True)
class Record:
    """``time`` in seconds since 1970. ``version``: the bundle's hash, or in older captures its sequence number.
    ``propensity``: the probability with which this input was kept when it came.

    ``prediction`` is None for a model that is no classifier."""

    time: float
    version: str
    propensity: float
    reasons: tuple[str, ...]
    prediction: Prediction | None


@dataclass(frozen=True)
class Name:
    """A file's name, taken apart. ``second``: since 1970. ``exact``: 32 hex digits; ``near``: 16 bytes or None."""

    second: int
    exact: str
    near: bytes | None

    @property
    def id(self) -> str:
        stamp = datetime.fromtimestamp(self.second, timezone.utc).strftime("%Y%m%dT%H%M%S")
        return f"{stamp}-{self.exact}-{self.near.hex() if self.near else 'none'}"


def parse_name(text: str) -> Name | None:
    """None for a file that is none of ours."""
    match = _NAME.fullmatch(text)
    if not match:
        return None
    try:
        moment = datetime.strptime(match[1], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return Name(int(moment.timestamp()), match[2], None if match[3] == "none" else bytes.fromhex(match[3]))


def names(folder: Path) -> Iterator[tuple[Name, Path]]:
    """Captured inputs in ``folder``, oldest first; nothing when it is not there."""
    if not folder.is_dir():
        return
    for path in sorted(folder.glob("*.npz")):
        if (name := parse_name(path.stem)) is not None:
            yield name, path


def remove_expired(folder: Path, days: float, now: float) -> int:
    """Remove inputs older than ``days``; how many. Raises OSError."""
    count = 0
    for name, path in names(folder):
        if name.second < now - days * 86_400:
            path.unlink(missing_ok=True)
            count += 1
    return count


def encode(sample: np.ndarray, record: Record) -> bytes:
    """A file's content, for an input without its batch axis."""
    text = json.dumps(asdict(record), allow_nan=False).encode()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, input=sample, record=np.frombuffer(text, np.uint8))
    return buffer.getvalue()


def read(path: Path) -> tuple[np.ndarray, Record]:
    """The input and its record. Raises CaptureError for a damaged file."""
    try:
        if path.stat().st_size > CAPTURE_BYTES:
            raise ValueError(f"longer than {CAPTURE_BYTES} bytes")
        with opened(path) as (stream, _), np.load(stream, allow_pickle=False) as archive:
            # A header may claim any size: what it claims is checked before the array is made.
            for part in archive.zip.infolist():
                if part.file_size > 8 * CAPTURE_BYTES:
                    raise ValueError(f"{part.filename} claims {part.file_size} bytes")
            return archive["input"], _record(json.loads(archive["record"].tobytes()))
    except _DAMAGE as error:
        raise CaptureError(f"{path} is damaged ({type(error).__name__}: {error}); remove it") from error


def _record(entry: dict[str, Any]) -> Record:
    known = entry["prediction"]
    prediction = None
    if known is not None:
        label = None if known["label"] is None else str(known["label"])
        numbers = (float(known[name]) for name in ("confidence", "entropy", "margin"))
        prediction = Prediction(int(known["index"]), label, *numbers)
    propensity = float(entry["propensity"])
    if not 0 < propensity <= 1:
        raise ValueError(f"a propensity of {propensity}")
    reasons = tuple(str(reason) for reason in entry["reasons"])
    return Record(float(entry["time"]), str(entry["version"]), propensity, reasons, prediction)
