"""Whether anything else ran on this machine while something was measured: a tail of milliseconds shows all of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

SHARE = 0.05
"""Of one core, that others may take while something is measured."""

TICKS = os.sysconf("SC_CLK_TCK")

Found = TypeVar("Found")


def calm_rounds(
    measures: dict[str, Callable[[], Found]], ours: Iterable[int], rounds: int, seconds: float
) -> dict[str, list[Found]]:
    """What each measure finds, in turns, in as many rounds as are asked for in which nothing else ran; fewer (and
    maybe none) when ``seconds`` are over. ``ours``: processes that belong to what is measured, with their children."""
    found: dict[str, list[Found]] = {name: [] for name in measures}
    end = time.monotonic() + seconds
    while time.monotonic() < end and any(len(one) < rounds for one in found.values()):
        for name, measure in measures.items():
            if len(found[name]) < rounds:
                before, started = others(ours), time.monotonic()
                result = measure()
                if others(ours) - before <= SHARE * (time.monotonic() - started):
                    found[name].append(result)
    return found


def others(ours: Iterable[int] = ()) -> float:
    """Processor seconds since the machine's start, without those of ``ours`` and of this process."""
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    times = os.times()
    own = times.user + times.system + times.children_user + times.children_system
    return (user + nice + system + irq + softirq + steal) / TICKS - own - sum(map(_used, ours))


def _used(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
