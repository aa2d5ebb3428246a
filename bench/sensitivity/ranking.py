"""What each layer's int8 costs and gains, as data with a JSON and a CSV form; `compress sensitivity` measures it.

Units as everywhere: fractions 0 to 1, bytes; a ratio of times says what it divides.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from compress.bench.figures import Interval, PairedDifference

SCHEMA = "compress.sensitivity/1"


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """One layer. ``operator``: in the runtime's words; ``weights``: how many, 0 for a product of two activations.

    ``loss``: accuracy lost against float when only this layer is int8; ``error``: of the logits then, root mean square
    relative to theirs. ``gain``: accuracy won against all int8 when only this layer is float (above 0: a gain);
    ``remaining``: the logits' error then. ``latency``: time(all int8 but this layer) / time(all int8), above 1 where
    int8 saves time; None where the target cannot be timed here. ``bytes``: by which the file grows with it in float.
    """

    name: str
    operator: str
    weights: int
    loss: PairedDifference
    error: float
    gain: PairedDifference
    remaining: float
    latency: Interval | None
    bytes: int

    @property
    def sqnr(self) -> float | None:
        """Signal to quantization noise of the logits in dB when only this layer is int8; None: there is no noise."""
        return -20 * math.log10(self.error) if self.error > 0 else None

    @property
    def costs(self) -> bool:
        """Whether it surely costs accuracy, alone in int8 or among all others."""
        return self.loss.low > 0 or self.gain.low > 0

    @property
    def slower(self) -> bool:
        """Whether it surely takes longer in int8 than in float here."""
        return self.latency is not None and self.latency.high < 1


@dataclass(frozen=True, slots=True)
class Ranking:
    """``layers``: the most harmful first. ``loss``, ``error``: of all int8 against float. ``latency``: time(float) /
    time(all int8). ``sizes``: bytes of both files. ``method``: how it was measured."""

    runtime: str
    scheme: str
    layers: tuple[Sensitivity, ...]
    loss: PairedDifference
    error: float
    latency: Interval | None
    sizes: dict[str, int]
    method: dict[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(layer.name for layer in self.layers)


def to_json(rankings: Sequence[Ranking]) -> str:
    plain = [asdict(ranking) for ranking in rankings]
    for ranking, values in zip(rankings, plain, strict=True):
        for layer, row in zip(ranking.layers, values["layers"], strict=True):
            row["sqnr"] = layer.sqnr
    return json.dumps({"schema": SCHEMA, "rankings": plain}, indent=1, allow_nan=False) + "\n"


def to_csv(rankings: Sequence[Ranking]) -> str:
    """One row a layer and runtime, empty cells for what was not measured."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    ends = ("", "_low", "_high")
    writer.writerow(
        ["runtime", "rank", "layer", "operator", "weights", "error", "sqnr_db"]
        + [f"{name}{end}" for name in ("loss", "gain", "latency_ratio") for end in ends]
        + ["error_without", "bytes"]
    )
    for ranking in rankings:
        for index, layer in enumerate(ranking.layers, start=1):
            intervals = [layer.loss, layer.gain, layer.latency]
            writer.writerow(
                [ranking.runtime, index, layer.name, layer.operator, layer.weights, layer.error, layer.sqnr]
                + [value for i in intervals for value in ((i.value, i.low, i.high) if i else (None,) * 3)]
                + [layer.remaining, layer.bytes]
            )
    return out.getvalue()
