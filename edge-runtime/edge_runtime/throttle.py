"""What the firmware of a small board says about its power: held back, and why; and which power mode it is in.

A Raspberry Pi's firmware tells eight bits: four about this moment, and the same four for "since it was started". They
are in a file of newer kernels, and otherwise asked of ``vcgencmd get_throttled``. A Pi whose firmware tells nothing may
still have the driver that watches its supply (``rpi_volt``).
https://www.raspberrypi.com/documentation/computers/os.html#get_throttled

A Jetson keeps the number of its power mode in ``/var/lib/nvpmodel/status``, and its name in ``/etc/nvpmodel.conf``;
laptops and some PCs have an ACPI platform profile.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from edge_runtime.energy.tree import board, text

PROGRAM = "usr/bin/vcgencmd"
TIMEOUT = 2.0
"""Seconds that vcgencmd may take."""

FLAGS = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
"""Bits 0 to 3; bits 16 to 19 say the same of the time since the start."""
SINCE = 16
NOW = 0b1111


def bits(root: Path) -> int | None:
    """get_throttled of a Raspberry Pi, or None elsewhere."""
    for path in sorted(root.glob("sys/devices/platform/soc*/soc*:firmware/get_throttled")):
        if (found := _hexadecimal(text(path))) is not None:
            return found
    if (board(root) or "").startswith("Raspberry Pi") and (root / PROGRAM).exists():
        return _hexadecimal(_ask(root / PROGRAM).partition("=")[2])
    return None


def names(found: int) -> tuple[str, ...]:
    """The flags that are set, in words: "under-voltage now", "throttled since start"."""
    now = [f"{flag} now" for bit, flag in enumerate(FLAGS) if found >> bit & 1]
    return (*now, *(f"{flag} since start" for bit, flag in enumerate(FLAGS) if found >> (SINCE + bit) & 1))


def under_voltage(root: Path, found: int | None) -> bool | None:
    """Whether the supply is too weak at this moment; ``found``: what ``bits`` says."""
    if found is not None:
        return bool(found & 1)
    for path in sorted(root.glob("sys/class/hwmon/hwmon*/name")):
        if text(path) == "rpi_volt" and (alarm := text(path.parent / "in0_lcrit_alarm")) in ("0", "1"):
            return alarm == "1"
    return None


def power_mode(root: Path) -> str | None:
    """A Jetson's power mode by name and number, or an ACPI platform profile."""
    if found := re.search(r"pmode:(\d+)", text(root / "var/lib/nvpmodel/status") or ""):
        number = int(found[1])
        known = text(root / "etc/nvpmodel.conf") or ""
        name = re.search(rf"^<\s*POWER_MODEL\s+ID={number}\s+NAME=(\S+)\s*>", known, re.MULTILINE)
        return f"{name[1]} ({number})" if name else f"mode {number}"
    return text(root / "sys/firmware/acpi/platform_profile") or None


def _hexadecimal(words: str | None) -> int | None:
    try:
        return int(words or "", 16)
    except ValueError:
        return None


def _ask(program: Path) -> str:
    """``throttled=0x50000``, or nothing: whoever may not ask the firmware knows nothing of it."""
    try:
        done = subprocess.run(
            [str(program), "get_throttled"], capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
