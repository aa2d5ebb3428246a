"""How an answer about energy looks: plain data, JSON by ``dataclasses.asdict``, and never a number for nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_runtime.energy.base import Resolution
from edge_runtime.errors import ProbeError


@dataclass(frozen=True)
class Spread:
    """The median of ``n`` windows, with the least and the largest."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(float(np.median(values)), float(min(values)), float(max(values)), len(values))


@dataclass(frozen=True)
class Energy:
    """What one inference takes, by one sensor or by a model.

    ``gross`` and ``net`` are joules an inference; net is what is left when the idle baseline is taken off for as long
    as the inference lasts. ``power`` and ``idle`` are watts, under load and at rest. ``rails``: gross joules an
    inference by rail, medians, also of rails that the total does not count. ``windows`` were used of
    ``windows_asked``; the shortest lasted ``seconds`` and held ``readings`` readings. ``measured`` is False for a
    modelled figure. ``not_measured``: why there is no figure; then ``gross`` and the others are None, which prints as
    *none* and never as zero.
    """

    sensor: str
    source: str
    measured: bool = True
    resolution: Resolution | None = None
    gross: Spread | None = None
    net: Spread | None = None
    power: Spread | None = None
    idle: Spread | None = None
    rails: dict[str, float] = field(default_factory=dict)
    windows: int = 0
    windows_asked: int = 0
    seconds: float = 0.0
    readings: int = 0
    not_measured: str | None = None
    warnings: tuple[str, ...] = ()


def model_energy(watts: float, seconds: float) -> Energy:
    """Energy of an inference of ``seconds`` on a machine said to take ``watts`` meanwhile: no measurement, and marked
    as such; only for those who ask for it. Raises ProbeError for figures that are not positive."""
    if not (math.isfinite(watts) and watts > 0 and math.isfinite(seconds) and seconds > 0):
        raise ProbeError(f"modelled energy needs positive watts and seconds, not {watts} W and {seconds} s")
    return Energy(
        sensor="model",
        source=f"modelled, not measured: {watts:g} W, as given, for the time of an inference",
        measured=False,
        gross=Spread(watts * seconds, watts * seconds, watts * seconds, 0),
        power=Spread(watts, watts, watts, 0),
        seconds=seconds,
    )
