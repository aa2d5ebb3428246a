"""The power chip of the Raspberry Pi 5 family, which measures its own outputs.

`vcgencmd pmic_read_adc` prints a current and a voltage for each of a dozen rails:

     VDD_CORE_A current(7)=0.75012000A
     VDD_CORE_V volt(15)=0.89745940V

They belong together by name; the numbers in brackets are those of the converter's inputs. ``EXT5V`` and ``BATT`` have a
voltage and no current, so what the 5 V input feeds without the chip (USB, fan, HATs) and what the chip itself loses is
in no rail: the sum is less than what the board draws. A reading starts a process, so about ten a second are possible,
and taking them costs a few per cent of a core, in the idle baseline and under load alike. Earlier boards measure no
current.

https://www.raspberrypi.com/documentation/computers/os.html#vcgencmd
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from edge_runtime.energy import tree
from edge_runtime.energy.base import Rail, Resolution, Sensor
from edge_runtime.errors import SensorError

KIND = "pi5-pmic"
PROGRAM = "usr/bin/vcgencmd"
BOARDS = ("Raspberry Pi 5", "Raspberry Pi Compute Module 5")
TIMEOUT = 2.0
"""Seconds that a reading may take."""

LINE = re.compile(r"\s*(\w+)_([AV]) (?:current|volt)\(\d+\)=(-?\d+(?:\.\d+)?)([AV])\s*")


def present(root: Path) -> bool:
    return (tree.board(root) or "").startswith(BOARDS) and (root / PROGRAM).exists()


def find(root: Path) -> Iterator[Sensor]:
    yield Pi5Pmic(root / PROGRAM)


def parse(text: str) -> dict[str, tuple[float | None, float | None]]:
    """Amperes and volts by rail; None for what is not told."""
    found: dict[str, dict[str, float]] = {}
    for line in text.splitlines():
        if (match := LINE.fullmatch(line)) and match[2] == match[4]:
            found.setdefault(match[1], {})[match[2]] = float(match[3])
    return {rail: (pair.get("A"), pair.get("V")) for rail, pair in found.items()}


class Pi5Pmic(Sensor):
    """All rails that have both a current and a voltage when the sensor is made. ``program``: vcgencmd."""

    kind = name = KIND
    counts = False
    resolution = Resolution(step=None, interval=0.1)

    def __init__(self, program: Path) -> None:
        self._program = program
        rails = parse(self._ask())
        paired = [rail for rail, (amperes, volts) in rails.items() if amperes is not None and volts is not None]
        if not paired:
            raise SensorError(f"{program} pmic_read_adc shows no rail with current and voltage: update the firmware")
        self.rails = tuple(Rail(name) for name in paired)
        alone = [rail for rail in rails if rail not in paired]
        without = f"; {', '.join(alone)} not paired" if alone else ""
        self.source = (
            f"power chip of the Raspberry Pi: sum of {len(paired)} rails; less than the board draws, for what the "
            f"5 V input feeds directly (USB, fan, HAT) and the chip's losses are in none{without}"
        )

    def readings(self) -> tuple[float, ...]:
        found = parse(self._ask())
        values = []
        for rail in self.rails:
            amperes, volts = found.get(rail.name, (None, None))
            if amperes is None or volts is None:
                raise SensorError(f"{self._program}: rail {rail.name} is missing from this reading")
            values.append(amperes * volts)
        return tuple(values)

    def _ask(self) -> str:
        command = [str(self._program), "pmic_read_adc"]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL, check=False
            )
        except subprocess.TimeoutExpired:
            raise SensorError(f"{self._program} did not answer within {TIMEOUT:g} s") from None
        except OSError as error:
            raise SensorError(f"{self._program} cannot be run: {error.strerror or error}") from None
        said = (done.stdout + done.stderr).strip()
        if "/dev/vcio" in said or "VCHI" in said or "ermission denied" in said:
            raise SensorError(
                f"{self._program} may not ask the firmware: run as root, or `sudo usermod -aG video $USER` and log in "
                f"again ({said[:200]})"
            )
        if done.returncode or "error=" in said:
            raise SensorError(f"{self._program} pmic_read_adc failed: {said[:200] or f'exit status {done.returncode}'}")
        return done.stdout
