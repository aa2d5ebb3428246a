"""Runs a plan, and tells what it measures while it measures it.

The work is done in steps (``events``). Each stands between a ``start`` and a ``done`` event, and a step in ``done`` is
left out, so a run that was broken off goes on where it stopped; the step in which that happened is begun anew, and its
new ``start`` makes void what it had told before (``events.current``).

1. ``model/NAME``: each model is opened and run once in a process of its own. A model that cannot be opened, or crashes,
   is *refused* with the reason, and the others go on.
2. ``cold/NAME``, ``memory/NAME``: fresh processes, before anything else is in memory.
3. ``peaks``: what this machine can do.
4. Every cell of the plan: its models in turns. A model that does not take a cell's batch is refused there.
5. ``profile/NAME``, ``energy``, ``sustain/NAME``: in the first cell's number of threads, with the smallest batch that a
   model takes. The one that heats the machine most comes last.

A cell's ``round`` events come while it is measured, its ``cell`` event at its end: rounds without it are of a cell that
was broken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

import edge_runtime
from edge_runtime import machine
from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.probes import conditions, neighbours, steps
from edge_runtime.probes.plan import SCHEMA, Plan, PlanModel, as_dict

Write = Callable[[dict[str, Any]], None]

PROGRESS_SECONDS = 0.5
"""Between two lines of progress about one thing, at least."""


def run(plan: Plan, folder: Path, write: Write, *, done: Iterable[str] = ()) -> None:
    """Measure ``plan``, whose files lie in ``folder``; ``write`` gets every event. ``done``: steps to leave out.

    Whatever ends it early is told in ``end``, and passes on: KeyboardInterrupt, or what ``write`` raises.
    """
    program = Program(plan, folder, write, set(done))
    try:
        with neighbours.present():
            _run(program)
    except _Untold as error:
        raise error.cause from None


def _run(program: Program) -> None:
    program.begin()
    try:
        program.work()
    except _Untold:
        raise
    except BaseException as error:
        words = "it was interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
        program.tell("end", complete=False, why=words)
        raise
    program.tell("end", complete=True, why="all of the plan is done")


class _Untold(BaseException):
    """An event could not be written. No Exception, lest it be taken for what an engine raised."""

    def __init__(self, cause: Exception) -> None:
        self.cause = cause


class Program:
    """What the steps share: the plan, what is told, and which models are there."""

    def __init__(self, plan: Plan, folder: Path, write: Write, done: set[str]) -> None:
        self.plan, self.folder = plan, folder.absolute()
        self._write, self._done = write, done
        self._begun = time.monotonic()
        self._told = ("", 0.0)
        self.models: list[PlanModel] = []
        self.cores = machine.detect().cores

    def begin(self) -> None:
        self.tell(
            "begin",
            schema=SCHEMA,
            version=edge_runtime.__version__,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            machine=asdict(machine.detect()),
            plan=as_dict(self.plan),
            emulated=machine.emulated(),
            resumed=bool(self._done),
        )
        self.tell("conditions", **conditions.now())

    def work(self) -> None:
        for index, model in enumerate(self.plan.models):
            self.progress(f"opening {model.name}", index, len(self.plan.models))
            if steps.opens(self, model):
                self.models.append(model)
        for model in self.models:
            steps.cold_start(self, model)
        if self.plan.peaks and self.models:
            steps.peaks(self)
        for cell in self.plan.cells:
            steps.time_cell(self, cell)
        if self.plan.profile:
            for model in self.models:
                steps.profile(self, model)
        if self.plan.energy:
            steps.energy(self)
        if self.plan.sustain is not None:
            for model in self.models:
                steps.sustain(self, model)
        self.tell("conditions", **conditions.now())

    def tell(self, event: str, **facts: Any) -> None:
        try:
            self._write({"event": event, "at": round(time.monotonic() - self._begun, 6), **facts})
        except Exception as error:
            raise _Untold(error) from error

    def progress(self, what: str, done: float, of: float) -> None:
        now = time.monotonic()
        if self._told[0] != what or now - self._told[1] >= PROGRESS_SECONDS:
            self._told = (what, now)
            self.tell("progress", what=what, done=round(done, 3), of=of)

    def is_done(self, step: str) -> bool:
        return step in self._done

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Around a step that is not done yet."""
        self.tell("start", what=name)
        yield
        self.tell("done", what=name)

    @contextmanager
    def refusing(self, model: PlanModel | None, what: str) -> Iterator[None]:
        """What an engine raises becomes an event; the rest of the plan goes on."""
        try:
            yield
        except Exception as error:  # engines' errors share no base class
            self.refuse(model, what, error)

    def refuse(self, model: PlanModel | None, what: str, error: Exception) -> None:
        known = isinstance(error, EdgeRuntimeError)
        self.tell(
            "refused",
            model=model and model.name,
            what=what,
            code=error.code if known else "failed",
            reason=self.without_folder(str(error) if known else f"{type(error).__name__}: {error}"),
        )

    def without_folder(self, words: str) -> str:
        """Files by their own names: where the plan keeps them is nothing that its maker knows."""
        for folder in sorted({str(PurePosixPath(m.path).parent) for m in self.plan.models}, key=len, reverse=True):
            words = words.replace(f"{self.folder / folder}/", "")
        return words.replace(f"{self.folder}/", "")
