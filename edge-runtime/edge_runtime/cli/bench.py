"""``edge-runtime bench``: measure models by a plan, and write what is measured as it is measured.

Every event is one line of the file, written in one piece. After a power failure the last line may be cut off; with
``--resume`` it is taken away, and the steps that are done are left out. Ctrl-C and SIGTERM end the measurement: an
``end`` event says so, and what was measured stays.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.probes.plan import Plan

HELP = "measure models by a plan: latency, throughput, cold start, memory, energy"

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit status: 0 when all of the plan is done, also if a model was refused; 1 when it could not be done; 130 "
        "when it was interrupted. What was measured is in EVENTS in any case."
    )
    parser.add_argument("plan", type=Path, help="a plan (JSON); its models' paths are relative to its folder")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="EVENTS", help="where to write events, a line each (JSON)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with EVENTS of the same plan")


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.errors import ProbeError
    from edge_runtime.probes import plan as plans
    from edge_runtime.probes.program import run as run_plan

    try:
        plan = plans.parse(arguments.plan.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ProbeError(f"{arguments.plan} is no plan: {error}") from None
    path: Path = arguments.output
    if path.exists() and not path.is_file():
        raise ProbeError(f"{path} is not a file; give the name of one")
    if path.exists() and not arguments.resume:
        raise ProbeError(f"{path} is there already: --resume goes on with it; or give another name")
    done = _done(path, plan) if path.exists() else set()
    with _writing(path) as write, _signals():
        try:
            run_plan(plan, arguments.plan.parent, write, done=done)
        except KeyboardInterrupt:
            print(f"edge-runtime bench: interrupted; what was measured is in {path}", file=sys.stderr)
            return INTERRUPTED
    return 0


def _done(path: Path, plan: Plan) -> set[str]:
    """The steps in a file of events, from which a cut-off line is taken away."""
    from edge_runtime.errors import ProbeError
    from edge_runtime.probes import events
    from edge_runtime.probes.plan import as_dict

    with path.open("r+b") as file:
        text = file.read()
        file.truncate(text.rfind(b"\n") + 1)
    found = events.read(path)
    if found and (found[0]["event"] != "begin" or found[0].get("plan") != as_dict(plan)):
        raise ProbeError(f"{path} holds what another plan has measured; give another name, or its own plan")
    return events.finished(found)


@contextmanager
def _writing(path: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """One write a line: whoever reads meanwhile, or after a crash, finds whole lines."""
    from edge_runtime.errors import ProbeError
    from edge_runtime.probes import events

    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def write(event: dict[str, Any]) -> None:
        line = events.line(event)
        try:
            written = os.write(file, line)
            while written < len(line):
                written += os.write(file, line[written:])
        except OSError as error:
            raise ProbeError(
                f"{path} cannot be written: {error.strerror}; make room, and go on with --resume"
            ) from None

    try:
        yield write
        os.fsync(file)
    finally:
        os.close(file)


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and a lost terminal end it as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
