"""Where a model's time goes on a device: its engine's profile, read against the file and the machine's peak rates.

events of a plan with ``profile`` (and ``peaks``)  ->  ``read``  ->  Profile  ->  ``profile_table``, JSON
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compress.bench.profile.layer_names import name_layers
from compress.bench.roofline import floor as roofline
from compress.bench.roofline.cost import cost
from compress.bench.roofline.floor import Floor
from compress.errors import ModelError, RunError

SCHEMA = "compress.profile/1"


@dataclass(frozen=True)
class Layer:
    """One kernel; ``seconds`` of one inference, in which it runs ``calls`` times; ``share`` of all layers' seconds.

    ``name``: the file's where it is known, else the engine's, which is ``kernel_name``. ``precision``: of what it
    computes in; ``conversion``: "type" or "layout" of one that only changes that. ``macs``: None where it does not
    multiply, or nobody tells; ``rate``: MACs a second; ``of_peak``: of the measured peak of its precision.
    """

    name: str
    kernel_name: str
    type: str
    kernel: str
    precision: str | None
    conversion: str | None
    seconds: float
    share: float
    calls: int
    macs: int | None
    rate: float | None
    of_peak: float | None
    made_of: tuple[str, ...]


@dataclass(frozen=True)
class Profile:
    """``layers`` in the order they run. ``unprofiled``, ``profiled``: median seconds of an inference without and with
    the profiler; ``layers_sum``: of the layers. ``floor``: None where the peak or the file's cost is not known, and
    ``no_floor`` says why. ``method`` is the probe's; ``emulated``: times mean nothing."""

    model: str
    runtime: str
    version: str
    threads: int
    machine: str
    emulated: bool
    inputs: dict[str, list[int]]
    layers: tuple[Layer, ...]
    unprofiled: float
    profiled: float
    layers_sum: float
    floor: Floor | None
    no_floor: str
    peaks: dict[str, Any] | None
    method: dict[str, Any]

    def share(self, conversion: str) -> float:
        """Of the layers' seconds, in changes of "type" or of "layout"."""
        return sum(layer.share for layer in self.layers if layer.conversion == conversion)


def read(events: Iterable[Mapping[str, Any]], name: str, path: Path) -> Profile:
    """The profile of the model called ``name``, whose file lies at ``path`` here too.

    Raises :class:`RunError` with the device's own words when there is none.
    """
    kept: dict[str, Mapping[str, Any]] = {}
    refused = []
    for event in events:
        if event["event"] == "refused" and event.get("model") in (name, None):
            refused.append(event)
        elif event.get("model", name) == name:
            kept[event["event"]] = event
    if "profile" not in kept:
        ended = kept.get("end", {})
        reasons = [event["reason"] for event in refused] or [ended.get("why") or "the measurement ended without it"]
        raise RunError(f"{name} has no profile: {'; '.join(dict.fromkeys(reasons))}")
    event, peaks, begin = kept["profile"], kept.get("peaks"), kept["begin"]
    method = event["method"]
    found, why = _floor(path, event["inputs"], peaks, method["unprofiled_p50"], refused)
    return Profile(
        model=name,
        runtime=event["runtime"],
        version=method["version"],
        threads=event["threads"],
        machine=begin["machine"]["model"] or begin["machine"]["cpu"],
        emulated=begin.get("emulated", False),
        inputs=event["inputs"],
        layers=_layers(event, path, peaks),
        unprofiled=method["unprofiled_p50"],
        profiled=method["profiled_p50"],
        layers_sum=method["layers_sum"],
        floor=found,
        no_floor=why,
        peaks=None if peaks is None else {key: peaks[key] for key in peaks if key not in ("event", "at")},
        method=method,
    )


def to_json(profile: Profile) -> str:
    """One document, ``"schema": "compress.profile/1"``; seconds, bytes, MACs, fractions."""
    return json.dumps({"schema": SCHEMA} | asdict(profile), indent=1, ensure_ascii=False) + "\n"


def _layers(event: Mapping[str, Any], path: Path, peaks: Mapping[str, Any] | None) -> tuple[Layer, ...]:
    found = []
    for layer, known in zip(event["layers"], name_layers(event["layers"], path, event["inputs"]), strict=True):
        rate = known.macs / layer["seconds"] if known.macs and layer["seconds"] else None
        peak = roofline.rate(peaks, layer["precision"]) if peaks else None
        given = {key: layer[key] for key in ("type", "kernel", "precision", "conversion", "seconds", "share", "calls")}
        found.append(
            Layer(
                name=known.name,
                kernel_name=layer["name"],
                macs=known.macs,
                rate=rate,
                of_peak=rate / peak if rate and peak else None,
                made_of=tuple(layer["made_of"]),
                **given,
            )
        )
    return tuple(found)


def _floor(
    path: Path,
    inputs: Mapping[str, list[int]],
    peaks: Mapping[str, Any] | None,
    p50: float,
    refused: list[Mapping[str, Any]],
) -> tuple[Floor | None, str]:
    if peaks is None:
        return None, next((e["reason"] for e in refused if e.get("what") == "peaks"), "no peak rates were measured")
    try:
        return roofline.floor(cost(path, inputs), peaks, p50), ""
    except ModelError as error:
        return None, str(error)
