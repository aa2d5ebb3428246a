"""What time it is, in two ways. A device without a battery-backed clock starts in 1970, or where it was switched off.

So lengths of time are measured by the kernel's count of seconds since it started, which nobody can set; and the date
decides one thing only, whether a bundle has expired (``checks.check_expiry``).
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FORMAT = "%Y-%m-%dT%H:%M:%SZ"
RELEASED = float(calendar.timegm((2026, 11, 1, 0, 0, 0)))
"""A date before this code was written, in seconds since 1970: a clock that shows an earlier one is wrong."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True)
class Uptime:
    """``boot`` differs after every start of the kernel; ``seconds`` count from then, sleep included."""

    boot: str
    seconds: float


Wall = Callable[[], float]
Running = Callable[[], Uptime]


def uptime() -> Uptime:
    return Uptime(BOOT_ID.read_text().strip(), time.clock_gettime(time.CLOCK_BOOTTIME))


def text(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC."""
    return time.strftime(FORMAT, time.gmtime(seconds))


def moment(text: str) -> float:
    """The reverse."""
    return float(calendar.timegm(time.strptime(text, FORMAT)))
