"""``edge-runtime bench``: measure models by a plan, and write what is measured as it is measured.

Every event is one line of the file, written in one piece. After a power failure the last line may be cut off; with
``--resume`` it is taken away, and the steps that are done are left out. Ctrl-C and SIGTERM end the measurement: an
``end`` event says so, and what was measured stays. Only one process at a time writes to a file.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.probes.plan import Plan

HELP = "measure models by a plan: latency, throughput, cold start, memory, energy"

INTERRUPTED = 130
LOCK_SECONDS = 5.0
"""That one whose starter was killed may take to end and let the file go."""
ENDING_SECONDS = 20.0
"""After which a call of an engine that does not return no longer keeps it."""


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
    parser.add_argument(
        "--attached",
        action="store_true",
        help="end with standard input: for a program that starts it and may be killed",
    )


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.probes.program import run as run_plan

    if arguments.attached:
        threading.Thread(target=_end_with_input, daemon=True).start()
    plan = _plan(arguments.plan)
    with _signals(), _opened(arguments.output, new=not arguments.resume) as file:
        done = _done(arguments.output, plan) if arguments.resume else set()
        try:
            run_plan(plan, arguments.plan.parent, _writer(file, arguments.output), done=done)
        except KeyboardInterrupt:
            print(f"edge-runtime bench: interrupted; what was measured is in {arguments.output}", file=sys.stderr)
            return INTERRUPTED
    return 0


def _plan(path: Path) -> Plan:
    """Raises ProbeError for a file that is not there, cannot be read, or holds no plan."""
    from edge_runtime.errors import ProbeError
    from edge_runtime.probes import plan as plans

    try:
        return plans.parse(path.read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise ProbeError(f"{path} is no plan: {error}") from None
    except FileNotFoundError:
        raise ProbeError(f"{path}: there is no such file; give a plan, which `compress bench` makes") from None
    except OSError as error:
        raise ProbeError(f"{path} cannot be read: {error.strerror}; give the file of a plan") from None


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
def _opened(path: Path, *, new: bool) -> Iterator[int]:
    """The file of events, which nobody else writes to meanwhile. ``new``: it may not be there yet."""
    from edge_runtime.errors import ProbeError

    if path.exists() and not path.is_file():
        raise ProbeError(f"{path} is not a file; give the name of one")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | (os.O_EXCL if new else 0)
        file = os.open(path, flags, 0o644)
    except FileExistsError:
        raise ProbeError(f"{path} is there already: --resume goes on with it; or give another name") from None
    except OSError as error:
        raise ProbeError(f"{path} cannot be written: {error.strerror}; give another place") from None
    try:
        if not _locked(file):
            raise ProbeError(f"{path}: another process measures into it; wait for it, or give another name")
        yield file
        os.fsync(file)
    finally:
        os.close(file)


def _locked(file: int) -> bool:
    """Whether the lock on it could be had; also where the file system has no locks."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        except OSError:
            return True
        else:
            return True


def _writer(file: int, path: Path) -> Callable[[dict[str, Any]], None]:
    """One write a line: whoever reads meanwhile, or after a crash, finds whole lines."""
    from edge_runtime.errors import ProbeError
    from edge_runtime.probes import events

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

    return write


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and a lost terminal end it as Ctrl-C does, unless they are ignored, as nohup has it."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    caught = [signal.SIGTERM] + [
        number for number in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(number) != signal.SIG_IGN
    ]
    kept = {number: signal.signal(number, interrupt) for number in caught}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _end_with_input() -> None:
    """Whoever holds the other end of standard input has gone, also if it was killed: nobody wants this any more."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(ENDING_SECONDS)
    os._exit(INTERRUPTED)
