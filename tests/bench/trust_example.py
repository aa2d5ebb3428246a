"""A trial's outcome with plausible values, for tests to change."""

from __future__ import annotations

from compress.bench.trust.outcomes import Outcome


def outcome(trial: int = 0, experiment: str = "false-alarms", **changes: object) -> Outcome:
    values = {
        "tool": "compress bench",
        "model": "20 and 20 layers",
        "neighbour": "steady",
        "figures": (1e-3, 1.1e-3),
        "ratio": (0.99, 0.98, 1.0),
        "said": "within 2 %",
        "seconds": 20.0,
        "others": 0.1,
        "at": "2026-01-01T00:00:00+00:00",
    }
    return Outcome(experiment=experiment, trial=trial, **(values | changes))
