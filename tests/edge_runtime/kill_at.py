"""A process that kills itself in a named step: python kill_at.py HOME OPERATION STEP WHEN [BUNDLE].

OPERATION is what it does (`OPERATIONS`), STEP where it ends (`STEPS`), WHEN before, midway or after: midway is after
the second call to the disk within that step. The steps are functions of the product, wrapped from here; the product
knows nothing of it. Exit status 3: the step was not reached, or had no middle.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from updates import EAGER, NOW, passing

from edge_runtime.update import durable, gc, history, install, rollback, state, trial
from edge_runtime.update.home import Home

STEPS: dict[str, tuple[ModuleType, str]] = {
    "check": (install, "_check"),
    "stage": (install, "_stage"),
    "place": (install, "_place"),
    "self_test": (install, "_test"),
    "switch": (install, "_switch"),
    "finish": (trial, "_finish"),
    "fail": (trial, "fail"),
    "go_back": (rollback, "go_back"),
    "save": (state, "save"),
    "follow": (rollback, "follow"),
    "note": (history, "note"),
    "collect": (gc, "collect"),
}


def do_install(home: Home, bundle: Path) -> None:
    install.install(home, bundle, selftest=passing, policy=EAGER, now=lambda: NOW)


def do_report(home: Home, bundle: Path) -> None:
    trial.report(home, version=home.linked("current"), good=EAGER.good)


def do_fail(home: Home, bundle: Path) -> None:
    trial.report(home, version=home.linked("current"), failed=1000)


OPERATIONS: dict[str, Callable[[Home, Path], object]] = {
    "install": do_install,
    "begin": lambda home, bundle: trial.begin(home),
    "commit": do_report,
    "fail": do_fail,
    "rollback": lambda home, bundle: rollback.rollback(home),
    "gc": lambda home, bundle: gc.gc(home),
}


def die(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


class Deadly(durable.Disk):
    """The process ends with the third call: between the second and the third, so to speak."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if callable(found) and not name.startswith("_"):
            self.calls += 1
            if self.calls > 2:
                die()
        return found


def wrap(step: str, when: str) -> None:
    module, name = STEPS[step]
    real = getattr(module, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if when == "before":
            die()
        if when == "midway":
            durable.disk = Deadly()
        real(*arguments, **options)
        if when == "after":
            die()
        sys.exit(3)

    # Also where another module has imported it by name.
    for other in (install, trial, rollback, state, history, gc):
        for key, value in list(vars(other).items()):
            if value is real:
                setattr(other, key, wrapped)


def main() -> int:
    root, operation, step, when, *bundle = sys.argv[1:]
    wrap(step, when)
    OPERATIONS[operation](Home(root), Path(bundle[0]) if bundle else Path())
    return 3


if __name__ == "__main__":
    sys.exit(main())
