"""How a measurement on a device ended, in words, and whether that device is what its target says."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from compress.errors import DeviceError, KilledError
from compress.targets.target import Target
from edge_runtime.cli import printable
from edge_runtime.machine import Machine

CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
INTERRUPTED = 130
"""Exit status of edge-runtime when it was asked to end."""
LEFT_ALONE = (
    "what came before is kept. Did somebody end it, or does that system end what a login leaves behind (then: "
    "loginctl enable-linger)?"
)


def judge(work: Mapping[str, Any], where: str) -> None:
    """Return when the plan was worked through; raise DeviceError otherwise. ``work`` is what ``agent.status`` says."""
    if work["is"] == "gone":
        raise KilledError(f"{where}: what was measuring there is gone without a word; {LEFT_ALONE}")
    status = work["status"]
    if not status:
        return
    said = printable(work["log"].splitlines()[-1]) if work["log"] else "it said nothing"
    if status == -signal.SIGKILL and work["memory"]:
        raise KilledError(
            f"{where}: the kernel ended the measurement there for want of memory; what came before is kept. Close "
            "other programs there, or measure fewer models, smaller batches, or fewer threads at a time"
        )
    if -status in CRASHES:
        name = signal.Signals(-status).name
        raise DeviceError(f"{where}: the measurement there crashed ({name}): {said}. What came before is kept")
    if status < 0 or status == INTERRUPTED:
        how = f"ended by {signal.Signals(-status).name}" if status < 0 else "asked to end"
        raise KilledError(f"{where}: the measurement there was {how}; {LEFT_ALONE}")
    raise DeviceError(f"{where}: the measurement there ended with status {status}: {said}. What came before is kept")


def mismatch(target: Target, begin: Mapping[str, Any]) -> str | None:
    """Why the machine of a ``begin`` event is not such a target; None when it is."""
    try:
        told = {key: tuple(value) if isinstance(value, list) else value for key, value in begin["machine"].items()}
        good, why = target.measurable_here(Machine(**told))
    except (AttributeError, KeyError, TypeError) as error:
        return f"it does not say what machine it is ({error})"
    return None if good else why
