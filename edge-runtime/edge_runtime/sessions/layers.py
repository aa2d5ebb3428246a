"""What an engine's own profiler says of one layer, in words that all engines share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Conversion = Literal["type", "layout"]


@dataclass(frozen=True)
class LayerTime:
    """One kernel of a model as its engine runs it, which may do the work of several layers of the file.

    ``name``: the engine's; ``type``: the operator; ``kernel``: what executes it, in the engine's words; ``seconds``: of
    one inference, in which it runs ``calls`` times. ``precision``: what it computes in (``"int8"``, ``"float32"``), or
    None where the engine does not say. ``conversion``: set when it computes nothing, and only changes the type of
    numbers or their order in memory. ``macs``: multiply-accumulates of one inference, None where the engine keeps no
    shapes of weights. ``made_of``: names in the file of what it does, where the engine tells.
    """

    name: str
    type: str
    kernel: str
    seconds: float
    calls: int = 1
    precision: str | None = None
    conversion: Conversion | None = None
    macs: int | None = None
    made_of: tuple[str, ...] = ()


def middle_mean(values: Sequence[float]) -> float:
    """The mean of the middle half: outliers do not count, as in a median, but whole microseconds average to parts."""
    ordered = np.sort(values)
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())
