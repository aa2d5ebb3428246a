"""What may have slowed a measurement down: the machine's state before and after it, and the worst in between.

It is looked at between rounds, about once a second: a thread that looks while something is timed would disturb it.
To what ``machine.conditions`` says comes ``others``: the share of the processor's whole time, over all its cores, that
went to other programs since the last look, from 0 to 1. It is what /proc/stat counts as busy (time stolen by the
hypervisor included) less what this process and its children took. ``measuring``: other benchmarks on
this machine.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_runtime import machine
from edge_runtime.energy.tree import ROOT, text
from edge_runtime.probes import neighbours

SECONDS = 1.0
"""Between two looks, at least."""

LEAST_SECONDS = 0.2
"""Shares over less than this are not told: the kernel counts in hundredths of a second."""

Now = dict[str, Any]


class Conditions:
    """``tick`` whenever nothing is being timed; ``report`` is what the events hold."""

    def __init__(self, root: Path = ROOT) -> None:
        self._others = Others(root)
        self._root = root
        self.before = now(root)
        self._seen: list[Now] = [self.before]
        self._due = time.monotonic() + SECONDS

    def tick(self) -> None:
        """Look, if it is time for it."""
        if time.monotonic() >= self._due:
            self.look()

    def look(self) -> Now:
        """Look now. ``others`` is over the time since the last look."""
        found = now(self._root) | {"others": self._others.share()}
        self._seen.append(found)
        self._due = time.monotonic() + SECONDS
        return found

    def report(self) -> dict[str, Now]:
        """``before``, ``after`` and ``worst``, which also tells how many looks there were."""
        return {"before": self.before, "after": self.look(), "worst": worst(self._seen)}


class Others:
    """The share of the processor that other programs take."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._last = self._read()

    def share(self) -> float | None:
        """Since the last time it was told; None where the kernel does not say, or too little time has gone by."""
        new = self._read()
        if new is None or self._last is None:
            return None
        busy, total, own = (after - before for after, before in zip(new, self._last, strict=True))
        if total < LEAST_SECONDS:
            return None
        self._last = new
        return min(1.0, max(0.0, (busy - own) / total))

    def _read(self) -> tuple[float, float, float] | None:
        """Seconds since the start: of all cores busy, of all cores, and of this process with its children."""
        fields = (text(self._root / "proc/stat") or "").split("\n", 1)[0].split()
        if len(fields) < 8 or fields[0] != "cpu":
            return None
        # user nice system idle iowait irq softirq steal; guests are in user and nice already
        ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in fields[1:9]]
        return sum(ticks) - ticks[3] - ticks[4], sum(ticks), sum(os.times()[:4])


def now(root: Path = ROOT) -> Now:
    """``machine.conditions`` as plain data; nothing is known of other programs at one moment."""
    return asdict(machine.conditions(root)) | {"others": None, "measuring": neighbours.count(root)}


def worst(seen: Sequence[Now]) -> Now:
    """Of several looks, the worst of each: hottest, slowest, held back at all, most of other programs."""

    def known(name: str) -> list[Any]:
        return [one[name] for one in seen if one.get(name) is not None]

    def most(name: str) -> Any:
        return max(known(name), default=None)

    flags = [flag for one in known("throttle_flags") for flag in one]
    return {
        "governor": "+".join(sorted({part for one in known("governor") for part in one.split("+")})) or None,
        "frequency": min(known("frequency"), default=None),
        "temperature": most("temperature"),
        "throttled": most("throttled"),
        "throttle_count": most("throttle_count"),
        "load_average": most("load_average"),
        "throttle_flags": list(dict.fromkeys(flags)) if known("throttle_flags") else None,
        "under_voltage": most("under_voltage"),
        "power_mode": "+".join(dict.fromkeys(known("power_mode"))) or None,
        "others": most("others"),
        "measuring": most("measuring"),
        "looks": len(seen),
    }
