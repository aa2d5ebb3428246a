"""What a run found out, as plain frozen data with a versioned JSON form.

Everything downstream (verdicts, tables, plots, the report) reads only these classes, so a report can be made again
from ``results.json`` alone, on another machine, years later.

Units: seconds, bytes, joules, watts, samples per second, fractions 0 to 1. A ratio is time(reference) / time(this):
above 1 is faster. A difference is accuracy(reference) - accuracy(this): above 0 is a loss. Intervals are 95 %
intervals, but for those of energy. A quantity that was not measured is None. NaN and infinity are never written: they
are not JSON, and they would hide a measurement that went wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from compress.bench import strict_json
from compress.bench.figures import Accuracy, Interval, Latency
from compress.bench.strict_json import ResultsError as ResultsError
from compress.bench.strict_json import Strict

SCHEMA = "compress.results/1"
VerdictWord = Literal["paid", "did not pay", "cannot tell", "not measured"]


@dataclass(frozen=True, slots=True)
class Memory(Strict):
    """Resident bytes of a fresh process: before loading the model, after loading it, and the peak while it runs."""

    interpreter: int
    loaded: int
    peak: int


@dataclass(frozen=True, slots=True)
class Energy(Strict):
    """Joules a sample takes, by one sensor: the median of the windows with the least and the largest.

    ``measured`` is False for a figure modelled from watts that were given. ``none``: why there is no figure.
    """

    sensor: str
    source: str
    measured: bool = True
    gross: Interval | None = None
    net: Interval | None = None
    power: Interval | None = None
    idle: Interval | None = None
    rails: dict[str, float] = field(default_factory=dict)
    windows: int = 0
    windows_asked: int = 0
    seconds: float = 0.0
    resolution: dict[str, float | None] = field(default_factory=dict)
    none: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Coverage(Strict):
    """What of a quantized file runs in integers: ``int8`` of ``layers`` convolutions and matrix products.

    ``floating``: the others by name, with the reason. ``unfused``: quantizers and dequantizers that cost time and save
    none. ``weight_bytes``: bytes of the stored weights by number format.
    """

    int8: int
    layers: int
    unfused: int
    floating: dict[str, str] = field(default_factory=dict)
    weight_bytes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Promise(Strict):
    """A quantization's `max_drop`: the ``limit``, and the upper end ``high`` of what may be lost on validation."""

    limit: float
    high: float
    met: bool


@dataclass(frozen=True, slots=True)
class Variant(Strict):
    """One model file on one runtime of one target.

    ``step``: place in the recipe, the teacher is 0. ``parent``: id of the variant a step before on the same target and
    runtime. ``size``: bytes of all its files. ``not_measured``: why there is no latency here, in words.
    ``agreement``: shares of equal argmax with ``torch`` (PyTorch, the same step) and ``float`` (the file int8 was
    made from), and the largest difference of a logit to each: ``max_abs_diff`` and ``float_max_abs_diff``.
    ``coverage``, ``max_drop``: of quantized files. ``right``: which test samples it got right (see ``right.py``).
    ``flash``: bytes that the files take on a device, in whole blocks; its bundle has more, see `compress bundle`.
    ``energy``: of a sample, one a sensor; empty unless the recipe asks for it.
    """

    id: str
    stage: str
    step: int
    parent: str | None
    target: str
    runtime: str
    precision: str
    file: str | None = None
    size: int | None = None
    params: int | None = None
    macs: int | None = None
    not_measured: str | None = None
    threads: int = 1
    batch: int = 1
    latency: Latency | None = None
    memory: Memory | None = None
    accuracy: Accuracy | None = None
    agreement: dict[str, float] = field(default_factory=dict)
    coverage: Coverage | None = None
    max_drop: Promise | None = None
    right: str | None = None
    flash: int | None = None
    energy: list[Energy] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Verdict(Strict):
    """Did this stage pay on this target and runtime, and why. ``variant``: id of the model it is about."""

    stage: str
    target: str
    runtime: str
    verdict: VerdictWord
    reason: str
    variant: str = ""


@dataclass(frozen=True, slots=True)
class StageRecord(Strict):
    """What a stage did. ``kind``: prune, distill, ...; ``key``: its address in the store; ``story``: lines of words."""

    label: str
    kind: str
    key: str
    seconds: float
    cached: bool
    settings: dict[str, Any] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BudgetLine(Strict):
    """One limit of the budget against the last variant of a target and runtime; ``met`` None: it cannot be told."""

    what: str
    limit: float
    value: float | None
    target: str
    runtime: str
    met: bool | None
    by: str


@dataclass(frozen=True, slots=True)
class Results(Strict):
    """A whole run. ``created``: ISO 8601. The dictionaries hold JSON values and are shown as they are.

    ``environment`` keeps the machine under ``machine``; ``method`` says how latency and accuracy were measured, the
    ``latency`` and ``energy`` by measurement. ``conditions``, by measurement: ``before``, ``after`` and the time
    ``taken`` (ISO 8601).
    """

    name: str
    created: str
    recipe: dict[str, Any]
    environment: dict[str, Any]
    conditions: dict[str, Any]
    data: dict[str, Any]
    method: dict[str, Any]
    stages: list[StageRecord]
    variants: list[Variant]
    verdicts: list[Verdict] = field(default_factory=list)
    budget: list[BudgetLine] = field(default_factory=list)


def to_json(results: Results) -> str:
    """The results as indented JSON; raises :class:`ResultsError` naming the place of a value JSON cannot hold."""
    return strict_json.dump(results, SCHEMA, "results")


def from_json(text: str) -> Results:
    """The results in ``text``; raises :class:`ResultsError` on another schema version or a malformed file."""
    return strict_json.load(text, Results, SCHEMA, "results", "run the recipe again")


def places(variant: Variant) -> tuple[str, str]:
    """Target and runtime: variants are compared within one place only."""
    return variant.target, variant.runtime
