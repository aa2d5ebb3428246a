"""``edge-runtime sensors``: what can measure power here, what it says now, and why another one cannot be read."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge_runtime.energy.base import Sensor

HELP = "show which power sensors there are, and what they say now"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit status: 0, also without a sensor; 1 when a meter that is named does not answer."
    parser.add_argument(
        "--meter",
        action="append",
        default=[],
        metavar="NAME",
        help="an external meter too: a file, /dev/ttyUSB0?baud=9600, http://plug/rpc/Switch.GetStatus?id=0",
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="how long to look at a counter (default: 1)")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.cli import printable
    from edge_runtime.energy.find import find
    from edge_runtime.energy.meter import open_meter

    meters = [open_meter(name) for name in arguments.meter]
    found = find()
    facts = [_look(sensor, arguments.seconds) for sensor in (*found.sensors, *meters)]
    unusable = {sensor.name: sensor.reason for sensor in found.unusable}
    if arguments.json:
        print(json.dumps({"sensors": facts, "unusable": unusable}, indent=1))
        return 0
    for fact in facts:
        print(f"{printable(fact['name'])}: {fact['watts']:.3f} W  {printable(fact['source'])}")
        for note in fact["notes"]:
            print(f"  {printable(note)}")
    for name, reason in unusable.items():
        print(f"{printable(name)}: not readable: {printable(reason)}")
    if not facts:
        print("none: energy cannot be measured here, except by an external meter (--meter)")
    return 0


def _look(sensor: Sensor, seconds: float) -> dict[str, Any]:
    """A sensor's watts now, by rail; a counter's over some seconds."""
    import time

    with sensor:
        began = time.monotonic()
        before = sensor.readings()
        if sensor.counts:
            time.sleep(max(seconds, 2 * sensor.resolution.interval))
        values = sensor.readings()
        took = time.monotonic() - began
        if sensor.counts:
            values = tuple((after - first) / took for first, after in zip(before, values, strict=True))
        return {
            "name": sensor.name,
            "kind": sensor.kind,
            "source": sensor.source,
            "watts": sensor.total(values),
            "rails": {rail.name: value for rail, value in zip(sensor.rails, values, strict=True)},
            "counts": sensor.counts,
            "step": sensor.resolution.step,
            "interval": sensor.resolution.interval,
            "notes": list(sensor.notes()),
        }
