from __future__ import annotations

import pytest
from benchmark_example import CALM

from compress.bench.benchmark.told import Told

BUSY = CALM | {"measuring": 1}


@pytest.mark.parametrize(
    "event",
    [{"event": "conditions", "at": 0.1, **BUSY}, {"event": "cell", "conditions": {"before": CALM, "worst": BUSY}}],
)
def test_another_benchmark_on_the_machine_is_warned_of_once(event):
    shown = []
    told = Told("pi", True, shown.append)
    event |= {"cell": "batch/t1/b8", "method": {"rounds": 9, "ended_by": "seconds"}}
    told(event)
    told(event)
    warnings = [one.message for one in shown if one.kind == "warning"]
    assert len(warnings) == 1 and warnings[0].startswith("pi: another benchmark measures on this machine")


def test_alone_nothing_is_warned_of():
    shown = []
    Told("pi", False, shown.append)({"event": "conditions", "at": 0.1, **CALM})
    assert shown == []
