"""A noisy neighbour: a process that computes on the other core while something is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STEADY = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
while True:
    pass
"""
BURSTS = """
import random, sys, time
draw = random.Random(int(sys.argv[1]))
while True:
    end = time.monotonic() + draw.uniform(0.05, 2)
    while time.monotonic() < end:
        pass
    time.sleep(draw.uniform(0.05, 2))
"""
KINDS = {
    "none": "nothing else is started",
    "steady": "a busy loop, pinned to the last core",
    "bursts": "busy for 0.05 to 2 s, then as long at rest, at random, on whichever core the system gives it",
}


@contextmanager
def neighbour(kind: str, seed: int = 0) -> Iterator[subprocess.Popen[bytes] | None]:
    """Its process, if any, which runs until the block ends. ``kind``: a key of KINDS; ``seed`` draws the bursts."""
    if kind == "none":
        yield None
        return
    code, argument = (STEADY, max(os.sched_getaffinity(0))) if kind == "steady" else (BURSTS, seed)
    child = subprocess.Popen([sys.executable, "-c", code, str(argument)], stdin=subprocess.DEVNULL)
    try:
        yield child
        if child.poll() is not None:
            raise RuntimeError(f"the noisy neighbour ended by itself with {child.returncode}")
    finally:
        child.kill()
        child.wait()
