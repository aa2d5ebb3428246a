"""Which inputs are kept, and with what probability.

Every input has a probability of being kept, larger for those worth labelling: ``random`` for all, ``uncertain`` for
those whose entropy (or small margin) is beyond a quantile of the bundle's reference, ``drifting`` for those farther
from the reference than a quantile of it. The largest that applies holds; the sampling is that of Horvitz and Thompson
(1952): a mean over all inputs is estimated from those kept by giving each the weight 1 / probability, and for that no
probability may be zero, so ``random`` may not be.

The quota of an hour works on the probability too. After every tenth of it has been used all probabilities are halved,
so a busy hour is thinned out rather than cut off, and what was recorded stays true: a probability depends only on what
came before. When the quota is used up nothing more is kept until the next hour, and those inputs are counted as missed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.bundle.files import opened
from edge_runtime.errors import CaptureError, CaptureSettingsError
from edge_runtime.limits import CAPTURE_SETTINGS_BYTES
from edge_runtime.update import durable
from edge_runtime.watch.outputs import Reading
from edge_runtime.watch.reference import LEVELS, Reference

STEPS = 10
"""Parts of an hour's quota; each halves the probabilities."""


@dataclass(frozen=True)
class Policy:
    """``random``, ``uncertain``, ``drifting``: probabilities. ``measure``: of uncertainty, "entropy" or "margin";
    ``uncertain_above``, ``drifting_above``: quantiles of the reference, one of ``LEVELS``. ``hourly``: inputs kept in
    an hour, at most; ``disk_bytes``: bytes kept, at most; ``days``: how long an input is kept. ``near``: bits by which
    the hashes of two pictures may differ for the second to count as the first; -1: only equal inputs do."""

    on: bool = False
    random: float = 0.001
    uncertain: float = 0.5
    drifting: float = 0.5
    measure: str = "entropy"
    uncertain_above: float = 0.95
    drifting_above: float = 0.99
    hourly: int = 60
    disk_bytes: int = 256 * 1024**2
    days: float = 30.0
    near: int = 2

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
                raise CaptureSettingsError(f"captures: {name} is {value!r}; give a number from {least} to {most}")
        for name in ("hourly", "disk_bytes", "near"):
            if not isinstance(getattr(self, name), int):
                raise CaptureSettingsError(f"captures: {name} is {getattr(self, name)!r}; give a whole number")
        for name in ("uncertain_above", "drifting_above"):
            if getattr(self, name) not in LEVELS:
                known = ", ".join(map(str, LEVELS))
                raise CaptureSettingsError(f"captures: {name} is {getattr(self, name)!r}; use one of {known}")
        if self.measure not in ("entropy", "margin") or not isinstance(self.on, bool):
            raise CaptureSettingsError(
                f'captures: measure is {self.measure!r} and on is {self.on!r}; use "entropy" or "margin", true or false'
            )

    def probabilities(
        self, read: Reading | None, distances: np.ndarray, thresholds: Mapping[str, float | None]
    ) -> tuple[np.ndarray, list[list[str]]]:
        """(N,) probabilities and the reasons for them. ``distances`` (N,) from the reference; ``thresholds`` of
        "uncertain" and "drifting", None where there is no reference to take them from."""
        chance = np.full(len(distances), float(self.random))
        reasons = [["random"] for _ in range(len(distances))]
        scores = {"drifting": distances}
        if read is not None:
            scores["uncertain"] = read.entropy if self.measure == "entropy" else -read.margin
        for name, values in scores.items():
            bound = thresholds.get(name)
            if bound is None:
                continue
            for index in np.flatnonzero(values > bound):
                chance[index] = max(chance[index], getattr(self, name))
                reasons[index].append(name)
        return chance, reasons

    def thresholds(self, reference: Reference | None) -> dict[str, float | None]:
        """What uncertainty and distance must exceed, by the reference's quantiles."""
        if reference is None:
            return {}
        return {
            "uncertain": reference.quantile(self.measure, self.uncertain_above),
            "drifting": reference.quantile("distance", self.drifting_above),
        }

    def quota(self, used: int) -> float:
        """What probabilities are multiplied by when ``used`` inputs have been kept in this hour."""
        return 0.0 if used >= self.hourly else 0.5 ** (used * STEPS // self.hourly)


_RANGES = (
    ("random", 1e-6, 1),
    ("uncertain", 0, 1),
    ("drifting", 0, 1),
    ("hourly", 1, 100_000),
    ("disk_bytes", 1, 1024**4),
    ("days", 0.01, 3650),
    ("near", -1, 32),
)


def load(path: Path) -> Policy:
    """The settings in a file; off where there is none. Raises CaptureSettingsError."""
    try:
        with opened(path) as (stream, _):
            data = stream.read(CAPTURE_SETTINGS_BYTES + 1)
    except FileNotFoundError:
        return Policy()
    except OSError as error:
        raise CaptureSettingsError(
            f"{path} cannot be read ({error.strerror}); correct its permissions, or remove it"
        ) from error
    try:
        if len(data) > CAPTURE_SETTINGS_BYTES:
            raise ValueError(f"longer than {CAPTURE_SETTINGS_BYTES} bytes")
        return from_dict(json.loads(data))
    except (ValueError, TypeError, RecursionError) as error:
        raise CaptureSettingsError(
            f"{path} is damaged ({error}); write it anew with `edge-runtime captures on`"
        ) from error


def from_dict(settings: dict[str, Any]) -> Policy:
    """Raises CaptureSettingsError for unknown names and values out of range."""
    known = {field.name for field in fields(Policy)}
    if not isinstance(settings, dict) or not set(settings) <= known:
        unknown = sorted(set(settings) - known) if isinstance(settings, dict) else settings
        raise CaptureSettingsError(f"captures: unknown settings {unknown}; there are {', '.join(sorted(known))}")
    return Policy(**settings)


def save(path: Path, policy: Policy) -> None:
    """Raises CaptureError, and then the old settings stand."""
    try:
        durable.make_folders(path.parent)
        path.parent.chmod(0o700)
        durable.write_file(path, json.dumps(asdict(policy), indent=2).encode() + b"\n")
    except OSError as error:
        raise CaptureError(
            f"{path}: cannot be written: {error.strerror}; free some space (`edge-runtime captures gc`), or become the "
            "owner of its folder"
        ) from error
