"""What a run says while it works: events, and the sinks that show them.

Stages are given a callable and emit :class:`Event` into it; nothing here is global. The sinks are context managers:
:class:`Live` bars on a terminal, :class:`Plain` lines in a log, :class:`Quiet` warnings, :class:`Json` for programs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from typing import IO, Literal, Self

Kind = Literal["start", "progress", "done", "cached", "warning", "line"]


@dataclass(frozen=True)
class Event:
    """``stage``: label of the plan's step, empty for the run itself. ``done`` of ``total``: units of the stage's own
    (batches, samples, rounds); ``seconds``: the stage's wall time, in ``done`` events."""

    kind: Kind
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    message: str = ""


Emit = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The emitter of those who do not listen."""


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    hours, minutes_ = divmod(minutes, 60)
    return f"{hours} h {minutes_:02} min" if hours else f"{minutes} min {rest:02} s"


class Sink(AbstractContextManager):
    """Receives events: ``with Plain(stream) as emit: emit(Event(...))``."""

    def __call__(self, event: Event) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class Plain(Sink):
    """One line for every start and end; progress at most every ``interval`` seconds, with the time left."""

    def __init__(self, stream: IO[str], interval: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._interval, self._clock = stream, interval, clock
        self._began = self._last = clock()
        self._first = 0

    def __call__(self, event: Event) -> None:
        now = self._clock()
        if event.kind == "start":
            self._began = self._last = now
            self._first = event.done
        if event.kind == "progress":
            if now - self._last < self._interval:
                return
            self._last = now
        self._stream.write(f"{self._words(event, now)}\n")
        self._stream.flush()

    def _words(self, event: Event, now: float) -> str:
        label, tail = event.stage, f": {event.message}" if event.message else ""
        if event.kind == "progress":
            fresh = event.done - self._first  # a resumed stage starts in the middle
            left = (now - self._began) / fresh * (event.total - event.done) if fresh > 0 else None
            share = f"{event.done / event.total:.0%}" if event.total else str(event.done)
            return f"{label}: {share}{f', {duration(left)} left' if left is not None and event.total else ''}{tail}"
        if event.kind == "done":
            return f"{label}: done in {duration(event.seconds)}{tail}"
        if event.kind == "cached":
            return f"{label}: from the store{tail}"
        if event.kind == "warning":
            return f"warning: {label + ': ' if label else ''}{event.message}"
        if event.kind == "start":
            return f"{label}: started{tail}"
        return f"{label}{tail}" if label else event.message


class Quiet(Sink):
    """Warnings only."""

    def __init__(self, stream: IO[str]) -> None:
        self._plain = Plain(stream)

    def __call__(self, event: Event) -> None:
        if event.kind == "warning":
            self._plain(event)


class Json(Sink):
    """One JSON object a line, with a wall-clock ``time`` in seconds since 1970."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        self._stream.write(json.dumps({"event": event.kind, "time": round(time.time(), 3), **_fields(event)}) + "\n")
        self._stream.flush()


class Live(Sink):
    """A bar with the time left for the stage that runs, and a line for each that is done, on a terminal."""

    def __init__(self, stream: IO[str]) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self._console = Console(file=stream, highlight=False)
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[message]}", style="dim", markup=False),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def __call__(self, event: Event) -> None:
        if event.kind in ("start", "progress"):
            self._update(event)
            return
        if event.kind in ("done", "cached") and event.stage in self._tasks:
            self._bars.remove_task(self._tasks.pop(event.stage))
        mark, style, words = {
            "done": ("✓", "green", f"{event.stage}  {duration(event.seconds)}"),
            "cached": ("=", "cyan", f"{event.stage}  from the store"),
            "warning": ("!", "yellow", event.stage),
            "line": (" ", "", event.stage),
        }[event.kind]
        text = "  ".join(part for part in (words, event.message) if part)
        self._bars.console.print(f"{mark} {text}", style=style, markup=False)

    def _update(self, event: Event) -> None:
        total = event.total or None
        if event.stage not in self._tasks:
            self._tasks[event.stage] = self._bars.add_task(event.stage, total=total, message="")
        task = self._tasks[event.stage]
        message = {"message": event.message} if event.message else {}
        self._bars.update(task, completed=event.done, total=total, **message)


def for_terminal(quiet: bool, as_json: bool = False) -> Sink:
    """What a command shows: events for programs on standard output, or progress for people on standard error."""
    if as_json:
        return Json(sys.stdout)
    if quiet:
        return Quiet(sys.stderr)
    return Live(sys.stderr) if sys.stderr.isatty() else Plain(sys.stderr)


def _fields(event: Event) -> dict[str, object]:
    """The event's fields that say something."""
    return {name: value for name, value in asdict(event).items() if name != "kind" and value not in ("", 0)}
