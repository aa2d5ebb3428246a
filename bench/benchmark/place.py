"""The folder of a benchmark's results: one measurement at a time, and never over somebody's files.

``claimed`` locks it. A new benchmark goes only where none of its files is (``free``), and leaves nothing when nothing
was measured; one that is gone on with only where its own events are (``ours``).
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from compress.bench.benchmark import request, results, write
from compress.bench.benchmark.bundles import FOLDER as BUNDLES
from compress.bench.benchmark.events import FILE as EVENTS
from compress.bench.benchmark.events import Event, read
from compress.errors import BenchmarkError, RunError
from edge_runtime.probes.plan import Plan, as_dict

FILES = (request.FILE, EVENTS, results.FILE, write.TABLE, write.CSV, write.REPORT, BUNDLES)

LOCK_TIMES = 20
"""Tries to make and lock a folder that others make and remove."""


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder where it is missing, and keep other measurements out of it. When nothing came into it, what was
    made goes again. Raises BenchmarkError where another one measures into it, or it cannot be made."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = _lock(folder)
    try:
        yield
    finally:
        for place in made:
            with suppress(OSError):  # it has become something
                place.rmdir()
        os.close(lock)


def free(folder: Path) -> None:
    """Raises BenchmarkError where a new benchmark would write over what lies in ``folder``."""
    if (folder / request.FILE).exists():
        raise BenchmarkError(
            f"{folder} is the folder of another benchmark: choose another with --out, or go on with that one: compress "
            f"bench --resume {folder}"
        )
    _none_of(folder / name for name in FILES)


def free_each(places: Iterable[Path]) -> None:
    """The same of the folders of several targets; ``places``: of their events."""
    _none_of(file for path in places for file in (path, path.with_name(results.FILE)))


def _none_of(files: Iterable[Path]) -> None:
    if taken := next((path for path in files if path.exists()), None):
        raise BenchmarkError(f"{taken} is there already, and would be lost: choose another folder with --out")


def by_plan(plan: Plan, events: Iterable[Event]) -> bool:
    """Whether this plan has measured all of ``events``."""
    return all(event.get("plan") == as_dict(plan) for event in events if event["event"] == "begin")


def ours(plan: Plan, places: Iterable[Path]) -> None:
    """Raises BenchmarkError where a benchmark that is gone on with has the events of another plan."""
    for path in filter(told, places):
        if not by_plan(plan, _read(path)):
            raise BenchmarkError(
                f"{path}: another plan has measured this than the one in {request.FILE}; start the benchmark anew in "
                f"another folder. To see what it has: compress bench --from {path}"
            )


def told(events: Path) -> bool:
    """Whether a device has told anything into this file."""
    return events.is_file() and events.stat().st_size > 0


def _read(path: Path) -> list[Event]:
    try:
        return read(path)
    except RunError as error:
        raise BenchmarkError(f"{error}; start the benchmark anew in another folder") from error


def forget(folder: Path, places: Iterable[Path]) -> None:
    """Take away what a new benchmark that has measured nothing left: only where ``free`` had found none of it."""
    for path in (folder / request.FILE, *places):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / BUNDLES, ignore_errors=True)
    for path in places:
        if path.parent != folder:
            with suppress(OSError):
                path.parent.rmdir()


def _lock(folder: Path) -> int:
    for _ in range(LOCK_TIMES):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # whoever had made it has just taken it away
            continue
        except OSError as error:
            raise BenchmarkError(f"cannot write to {folder}: {error.strerror}; choose another with --out") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise BenchmarkError(
                f"another `compress bench` is measuring into {folder}: wait for it, or choose another with --out"
            ) from None
        except OSError:
            return lock  # a file system without locks
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), folder.stat()):
                return lock
        os.close(lock)
    raise BenchmarkError(f"cannot write to {folder}: it is taken away again and again; choose another with --out")
