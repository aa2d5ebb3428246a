"""What a peer is, and how its process is run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

TIME_LIMIT = 300.0
"""Seconds after which a run has failed."""


class PeerError(Exception):
    """A tool that could not be installed, ended with an error, or said something that is not understood."""


@dataclass(frozen=True)
class Peer:
    """``measure(file)`` runs the tool once on a model file and returns the figure that it tells first, in seconds.

    ``reads``: the suffix of the files that it takes. ``tells``: which figure that is. ``run``: how it is run, in words.
    ``untold``: what its user would want to know, and is not told.
    """

    name: str
    reads: str
    tells: str
    run: str
    untold: str
    measure: Callable[[Path], float]


def output(command: Sequence[str | Path], **variables: str) -> str:
    """What a process prints. Raises PeerError with what it said when it fails or does not end."""
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env=os.environ | variables,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"{command[0]} did not end within {TIME_LIMIT:.0f} s: {_words(command)}") from None
    if done.returncode:
        raise PeerError(f"{_words(command)} ended with {done.returncode}: {done.stderr[-2000:] or done.stdout[-2000:]}")
    return done.stdout


def last_figure(printed: str, key: str) -> float:
    """``key`` of the JSON object in the last line, a number above 0. Raises PeerError when it is not there."""
    lines = printed.strip().splitlines()
    try:
        return positive(json.loads(lines[-1])[key], key)
    except (IndexError, KeyError, TypeError, ValueError):
        raise PeerError(f"there is no {key!r} in its last line: {printed[-300:]!r}") from None


def positive(value: object, what: str) -> float:
    """Raises PeerError unless it is a time: a finite number above 0."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise PeerError(f"{what} is {value!r}, and should be a time") from None
    if not 0 < number < float("inf"):
        raise PeerError(f"{what} is {value!r}, and should be a time above 0")
    return number


def _words(command: Sequence[str | Path]) -> str:
    return " ".join(map(str, command))
