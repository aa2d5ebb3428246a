"""Cold start: how long it takes from nothing to the first answer, in fresh processes.

A start has parts that follow each other: the interpreter with numpy; the engine's import; loading the model; its first
inference, in which engines still allocate and compile; and its second, to see what the first one cost. The files lie in
the kernel's cache: one process before has read them all. Right after power-on, reading them comes on top.
"""

from __future__ import annotations

from collections.abc import Callable

from edge_runtime.probes.fresh import Job, run

PARTS = ("interpreter", "engine", "load", "first", "second")

CACHE = "page cache warm"


def measure(job: Job, times: int, *, on_start: Callable[[int], object] | None = None) -> list[dict[str, float]]:
    """Seconds of each part, of ``times`` starts. ``on_start`` is told how many are done. Raises as ``fresh.run``."""
    found = []
    for index in range(times):
        if on_start:
            on_start(index)
        parts = run(job).times
        found.append({part: parts[part] for part in PARTS})
    return found
