"""``state.json``: the one file that decides which version is current. Links and folders follow it.

It is replaced as a whole (``durable.write_file``), so a change has happened or has not, and every change from one state
to the next is a single one. What a crash leaves undone after it, ``recovery`` does.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edge_runtime import limits
from edge_runtime.bundle.files import opened
from edge_runtime.update import durable
from edge_runtime.words import short

SCHEMA = 1
ID = re.compile(r"[0-9a-f]{64}")
CHECKS = ("failures", "p99")
"""What a version on trial can be judged by: the share of inferences that failed, seconds of one. Not its memory: that
of a server holds its clients' pictures too, and can be compared with nothing. The self-test measures it alone."""


@dataclass(frozen=True)
class Policy:
    """What a version must do to be committed.

    ``attempts``: starts of a server it may use up. ``good``: inferences that must succeed, and ``window``: seconds that
    must pass without a crash, both since its last start.
    """

    attempts: int = 3
    good: int = 100
    window: float = 600.0

    def trial(self, judged: tuple[str, ...] = CHECKS) -> Trial:
        """One that has just begun."""
        return Trial(self.attempts, self.good, self.window, judged)


@dataclass(frozen=True)
class Trial:
    """How the current version, which is on trial, is doing.

    ``judged``: those of ``CHECKS`` that the version before it has not failed on this device itself. The rest is about
    the latest attempt: ``boot`` and ``began`` (seconds of ``clock.uptime``) say when it began, ``p99`` (seconds) what
    the server last reported.
    """

    attempts_left: int
    good_needed: int
    window: float
    judged: tuple[str, ...] = CHECKS
    good: int = 0
    failed: int = 0
    boot: str | None = None
    began: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class Served:
    """What the last version that was not on trial did in service: by this its successor's trial is made fair."""

    failures: float | None = None
    p99: float | None = None


@dataclass(frozen=True)
class State:
    """``current``, ``previous`` and ``good`` (last one committed) are ids. ``trial`` is about ``current``, None: it is
    not on trial. ``bad``: ids that failed here, and why. ``floors``: of models' names; see ``floor_of``. ``floor``: of
    every name, which is how it was kept before a home knew one for each."""

    current: str | None = None
    previous: str | None = None
    good: str | None = None
    trial: Trial | None = None
    served: Served = Served()
    floor: int = 0
    bad: Mapping[str, str] = field(default_factory=dict)
    floors: Mapping[str, int] = field(default_factory=dict)

    def floor_of(self, name: str) -> int:
        """The least sequence number of models of this name that may be installed or run. Each name counts its own."""
        return max(self.floor, self.floors.get(name, 0))


def save(path: Path, state: State) -> None:
    """Raises OSError, and then the old state is still there.

    The file is never longer than what `load` reads: reasons are cut short, and the oldest bad versions give way.
    """
    bad = {id: short(reason, limits.REASON_LENGTH) for id, reason in list(state.bad.items())[-limits.BAD_VERSIONS :]}
    facts = asdict(state) | {"schema": SCHEMA}
    while len(content := sealed(facts | {"bad": bad})) > limits.STATE_BYTES and bad:
        del bad[next(iter(bad))]
    if len(content) > limits.STATE_BYTES:  # it could not be read again
        raise OSError(errno.EFBIG, f"the state would take {len(content)} bytes, and may take {limits.STATE_BYTES}")
    durable.write_file(path, content)


def sealed(facts: dict[str, Any]) -> bytes:
    """What the file holds: these facts, and a checksum of them, since flash memory forgets bits."""
    return json.dumps(facts | {"sha256": _digest(facts)}, indent=1).encode() + b"\n"


def load(path: Path) -> State | None:
    """None where there is no such file. Raises ValueError when it cannot be understood, OSError when not read."""
    try:
        with opened(path) as (stream, _):
            content = stream.read(limits.STATE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENXIO):  # a folder, a pipe, a socket
            raise ValueError("it is not a file") from None
        raise
    if len(content) > limits.STATE_BYTES:
        raise ValueError(f"more than {limits.STATE_BYTES} bytes")
    facts = json.loads(content)
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        raise ValueError(f"not of schema {SCHEMA}")
    if facts.pop("sha256", None) != _digest(facts):
        raise ValueError("not what its checksum says")
    return State(
        current=_id(facts["current"]) if facts.get("current") is not None else None,
        previous=_id(facts["previous"]) if facts.get("previous") is not None else None,
        good=_id(facts["good"]) if facts.get("good") is not None else None,
        trial=_trial(facts["trial"]) if facts.get("trial") is not None else None,
        served=Served(**_numbers(facts.get("served", {}), "failures", "p99")),
        floor=_number(facts.get("floor", 0), int),
        bad={_id(key): _text(value) for key, value in _object(facts.get("bad", {})).items()},
        floors={_text(key): _number(value, int) for key, value in _object(facts.get("floors", {})).items()},
    )


def _digest(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _trial(facts: Any) -> Trial:
    facts = _object(facts)
    boot = facts.get("boot")
    return Trial(
        attempts_left=_number(facts.get("attempts_left"), int),
        good_needed=_number(facts.get("good_needed"), int),
        window=_number(facts.get("window")),
        judged=tuple(name for name in CHECKS if name in facts.get("judged", CHECKS)),
        good=_number(facts.get("good", 0), int),
        failed=_number(facts.get("failed", 0), int),
        boot=None if boot is None else _text(boot),
        **_numbers(facts, "began", "p99"),
    )


def _numbers(facts: Any, *names: str) -> dict[str, Any]:
    facts = _object(facts)
    return {name: None if facts.get(name) is None else _number(facts[name]) for name in names}


def _number(value: Any, *kinds: type) -> Any:
    if type(value) not in (kinds or (int, float)) or value < 0 or value != value:
        raise ValueError(f"{value!r:.80} is not a number that can stand here")
    return value


def _id(value: Any) -> str:
    if not ID.fullmatch(_text(value)):
        raise ValueError(f"{value!r:.80} is not a version's id")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > limits.REASON_LENGTH:
        raise ValueError(f"{value!r:.80} is not a text that can stand here")
    return value


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{value!r:.80} is not an object")
    return value
