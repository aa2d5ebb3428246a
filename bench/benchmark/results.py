"""What `compress bench` found out on one target, as plain frozen data with a versioned JSON form.

Tables, drawings, the report and `compress diff` read only these classes, so each can be made again from
``benchmark.json`` alone. The single calls are not in it: they stay in ``events.jsonl``, from which it is made.

Units: seconds, bytes, joules, watts, samples per second, fractions 0 to 1. A ratio is time(first model) / time(this):
above 1 is faster. Intervals are 95 % intervals. A quantity that was not measured is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from compress.bench import strict_json
from compress.bench.figures import Interval
from compress.bench.strict_json import Strict

SCHEMA = "compress.benchmark/1"
FILE = "benchmark.json"
Said = Literal["first", "faster", "slower", "within 2 %", "no difference to tell", "too few rounds"]


@dataclass(frozen=True, slots=True)
class Model(Strict):
    """A file that was measured, or should have been. ``source``: of the inputs; ``assumed``: sizes of open axes.

    ``flash``: bytes that it takes on a device in whole blocks: its bundle as installed, or its files where it has none.
    ``bundle``: name, sequence number and id of the bundle that it came in.
    """

    name: str
    path: str
    runtime: str | None = None
    version: str | None = None
    size: int | None = None
    inputs: list[dict[str, Any]] = field(default_factory=list)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    source: str = ""
    assumed: dict[str, int] = field(default_factory=dict)
    flash: int | None = None
    bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Doubt(Strict):
    """Something that makes figures doubtful. ``word``: for a table; ``text``: what it is, and what to do."""

    word: str
    text: str


@dataclass(frozen=True, slots=True)
class Metric(Strict):
    """The figure by which MLPerf judges a scenario. ``name``: with its unit; None where too little was measured."""

    name: str
    value: Interval | None


@dataclass(frozen=True, slots=True)
class Timing(Strict):
    """One model in one cell: seconds of a call that takes ``samples`` samples. ``n`` calls in ``rounds`` rounds.
    Of ``offline`` a call is a burst of several streams, and its seconds are divided by its samples.

    ``p50``: the typical call: the estimate over openings that its interval belongs to; ``p50_calls``: the median of all
    calls together. ``p90``, ``p99``, ``p999``: None where there are too few calls. ``throughput``: samples by the time
    that all calls took. ``outliers``: calls above median + 10 standard deviations as the MAD estimates them, and above
    1.5 medians; ``slowest``: the slowest call; both stay in every figure. ``percentiles``: the 0th, 1st ... 100th.
    """

    model: str
    samples: int
    n: int
    rounds: int
    p50: Interval
    p90: Interval | None
    p99: Interval | None
    p999: Interval | None
    mean: float
    slowest: float
    throughput: Interval
    metric: Metric
    outliers: int
    said: Said
    ratio_to_first: Interval | None = None
    warm_up: dict[str, Any] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    percentiles: tuple[float, ...] = ()
    p50_calls: float | None = None


@dataclass(frozen=True, slots=True)
class Cell(Strict):
    """A scenario with so many threads and samples a call, in which all models took turns.

    ``timings``: in the order of the models. ``fastest``: the models that none was shown to beat; one alone is the
    fastest. ``alike``: the pairs of these that are shown to be within 2 % of each other. ``ended_by``: ``precision``,
    ``seconds``, or ``interrupted`` where the cell was not finished.
    """

    id: str
    scenario: str
    threads: int
    batch: int
    timings: list[Timing]
    fastest: list[str]
    ended_by: str
    rounds: int
    placements: int
    method: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    alike: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ColdStart(Strict):
    """From nothing to the first answer in fresh processes, in seconds; medians of ``n``, the page cache warm.

    ``value`` is the median, ``low`` and ``high`` the least and the largest: ``n`` is too small for an interval.
    """

    model: str
    threads: int
    n: int
    interpreter: Interval
    engine: Interval
    load: Interval
    first: Interval
    second: Interval
    total: Interval


@dataclass(frozen=True, slots=True)
class Memory(Strict):
    """Resident bytes of one fresh process. ``interpreter``: Python with numpy. The others have that taken off:
    ``engine`` imported, model ``loaded``, after the ``first`` inference, and the ``peak``. ``gpu``: on the GPU."""

    model: str
    threads: int
    batch: int
    interpreter: int
    engine: int
    loaded: int
    first: int
    peak: int
    gpu: int | None = None


@dataclass(frozen=True, slots=True)
class Energy(Strict):
    """Joules an inference by one sensor: the median of the windows with the least and the largest.

    ``measured`` is False for a figure modelled from watts that were given. ``none``: why there is no figure.
    ``latency``: seconds of a call in the same windows: the median of their medians, the least and the largest.
    """

    model: str
    threads: int
    batch: int
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
    resolution: dict[str, Any] = field(default_factory=dict)
    none: str | None = None
    warnings: list[str] = field(default_factory=list)
    method: dict[str, Any] = field(default_factory=dict)
    latency: Interval | None = None


@dataclass(frozen=True, slots=True)
class Moment(Strict):
    """About a second of sustained load, ``second`` seconds after it began."""

    second: float
    p50: float
    p99: float
    n: int
    frequency: float | None = None
    temperature: float | None = None
    throttled: bool | None = None


@dataclass(frozen=True, slots=True)
class Sustained(Strict):
    """A model under load for long. ``start``, ``end``: medians of the first and the last tenth of the moments' p50.

    ``throttled_at``: when throttling began, in seconds; None: not seen, and ``why`` says how it would have been.
    """

    model: str
    threads: int
    batch: int
    moments: list[Moment]
    start: float
    end: float
    complete: bool
    throttled_at: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Floor(Strict):
    """What an inference takes at least on this machine, by its measured peaks (:mod:`compress.bench.roofline.floor`).

    ``cell``: whose median it is compared with; ``reached``: floor / median. ``side``: ``compute`` or ``memory``.
    ``moved``: bytes that have to move. ``low``, ``high``: of the floor, as far as the peaks may be off.
    """

    model: str
    cell: str
    macs: int
    moved: int
    seconds: float
    low: float
    high: float
    side: str
    source: str
    reached: float
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Refused(Strict):
    """What a model could not be asked for; an empty ``model`` stands for all of them.

    ``what``: ``open``, ``cold``, ``memory``, ``energy``, ``sustain``, ``profile``, or a cell; ``code``: the error's
    stable name.
    """

    model: str
    what: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Benchmark(Strict):
    """All that was measured on one target. ``created``: ISO 8601. ``emulated``: by a program that plays a processor,
    whose times say nothing of hardware.

    ``complete``: whether the plan was carried out to its end; ``missing``: what was not, in words; ``why``: it ended.
    ``peaks`` and ``profiles`` are kept as the device gave them. ``doubts``: about the whole.
    """

    target: str
    created: str
    command: list[str]
    version: str
    machine: dict[str, Any]
    plan: dict[str, Any]
    models: list[Model]
    cells: list[Cell] = field(default_factory=list)
    cold: list[ColdStart] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    energy: list[Energy] = field(default_factory=list)
    sustained: list[Sustained] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    peaks: list[dict[str, Any]] = field(default_factory=list)
    profiles: list[dict[str, Any]] = field(default_factory=list)
    conditions: list[dict[str, Any]] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    emulated: bool = False
    complete: bool = False
    missing: list[str] = field(default_factory=list)
    why: str = ""


def to_json(benchmark: Benchmark) -> str:
    """Indented JSON; raises :class:`~compress.bench.strict_json.ResultsError` naming a value JSON cannot hold."""
    return strict_json.dump(benchmark, SCHEMA, "benchmark")


def from_json(text: str) -> Benchmark:
    """Raises :class:`~compress.bench.strict_json.ResultsError` on another schema version or a malformed file."""
    return strict_json.load(text, Benchmark, SCHEMA, "benchmark", "measure again")
