"""Energy as a sensor told it, or modelled: the fields that results of runs and of benchmarks share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compress.bench import words
from compress.bench.figures import Interval
from edge_runtime.energy.result import model_energy

SPREADS = ("gross", "net", "power", "idle")
NONE = "none"


def sensed(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an ``edge_runtime.energy.result.Energy`` that came as JSON, by name."""
    return {
        "sensor": answer["sensor"],
        "source": answer["source"],
        "measured": answer.get("measured", True),
        **{name: _spread(answer[name]) for name in SPREADS if answer.get(name)},
        "rails": answer.get("rails") or {},
        "windows": answer.get("windows", 0),
        "windows_asked": answer.get("windows_asked", 0),
        "seconds": answer.get("seconds", 0.0),
        "resolution": answer.get("resolution") or {},
        "none": answer.get("not_measured"),
        "warnings": list(answer.get("warnings") or ()),
    }


def absent(why: str) -> dict[str, Any]:
    """The fields where there was no sensor, by name."""
    return {"sensor": NONE, "source": NONE, "none": why}


def modelled(watts: float, seconds: float) -> dict[str, Any]:
    """The fields of what ``watts`` for the ``seconds`` of a sample would be, by name.

    Raises ProbeError for figures that are not above 0.
    """
    answer = model_energy(watts, seconds)
    joules = Interval(answer.gross.median, answer.gross.low, answer.gross.high)
    return {"sensor": answer.sensor, "source": answer.source, "measured": False, "gross": joules}


def updates(resolution: Mapping[str, float | None]) -> str:
    """`` (steps of 6.1e-05, updated every 1.00 ms)``, as far as that is documented."""
    step, interval = resolution.get("step"), resolution.get("interval")
    told = [f"steps of {step:g}"] if step else []
    told += [f"updated every {words.seconds(interval)}"] if interval else []
    return f" ({', '.join(told)})" if told else ""


def _spread(given: Mapping[str, Any]) -> Interval:
    return Interval(given["median"], given["low"], given["high"])
