"""What is to be measured: a plan, made on the workstation, read on the device. One JSON object.

    {"schema": "edge-runtime.bench/1", "models": [{"name": "int8", "path": "int8.onnx"}], "threads": [1, 4]}

What it does not name has the default below. It comes from another machine: a key that is not known, a value of another
type or out of bounds is refused by name, whether it is parsed or built here.

A plan is cut into *cells*: a scenario, a number of threads and a batch, in which all its models are timed in turns.
``Cell.name`` is ``single-stream/t1/b1``. Scenarios are those of MLPerf Inference (``scenarios``), and ``batch``:

- ``single-stream``: a call has one sample. It ignores ``batches``.
- ``multi-stream``: a query has ``query`` samples, and ends when all are done. It ignores ``batches``.
- ``offline``: all samples are there from the start; calls have ``batches`` samples, and several run at once.
- ``batch``: one call at a time, of ``batches`` samples.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import PurePosixPath
from typing import Any, NoReturn

from edge_runtime import limits
from edge_runtime.errors import ProbeError

SCHEMA = "edge-runtime.bench/1"
SCENARIOS = ("single-stream", "multi-stream", "offline", "batch")


@dataclass(frozen=True)
class PlanModel:
    """A model file. ``path`` and ``inputs`` are relative to the plan's folder.

    ``runtime``: None guesses it from the suffix. ``inputs``: an ``.npz`` with one array per input, whose rows are
    samples; None makes random ones. ``folders``: where a runtime may import the user's own code from, last of all.
    ``beside``: the files without which the model's is not whole, from its own folder; they count to its size. None: not
    said, and what usually lies beside such a file counts.
    """

    name: str
    path: str
    runtime: str | None = None
    inputs: str | None = None
    folders: tuple[str, ...] = ()
    beside: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        _check(self, "a model of the plan", _MODEL)


@dataclass(frozen=True)
class Plan:
    """What is to be measured, how precisely, and for how long.

    ``seconds``: upper bound of one cell, for all its models together. ``precision``: a cell ends earlier, when every
    95 % interval (of the ratio to the first model; with one model, of its median) is at most +- this fraction; 0 runs
    out the seconds. ``query``: samples of a multi-stream query. ``axes``: sizes of dynamic axes by name, the first axis
    being the batch. ``cold``: fresh processes per model for cold start; 0 is none. ``energy``: at rest for
    ``idle_seconds``, then ``windows`` windows of ``window_seconds`` for every model; ``meters``: external ones to read
    besides the sensors found (``edge_runtime.energy.meter``). ``sustain``: seconds for which every model runs on end;
    None is not at all. ``peaks``: measure this machine's peak rates. ``profile``: time the layers of every model.
    ``seed`` draws random inputs and every order.
    """

    models: tuple[PlanModel, ...]
    scenarios: tuple[str, ...] = ("single-stream",)
    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1,)
    seconds: float = 20.0
    precision: float = 0.01
    query: int = 8
    axes: Mapping[str, int] = field(default_factory=dict)
    cold: int = 5
    memory: bool = True
    energy: bool = False
    idle_seconds: float = 30.0
    windows: int = 5
    window_seconds: float = 10.0
    meters: tuple[str, ...] = ()
    sustain: float | None = None
    peaks: bool = False
    profile: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self, "the plan", _PLAN)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """What is timed, in this order."""
        sizes = {"single-stream": (1,), "multi-stream": (self.query,)}
        return tuple(
            Cell(scenario, threads, batch)
            for scenario in self.scenarios
            for threads in self.threads
            for batch in sizes.get(scenario, self.batches)
        )


@dataclass(frozen=True)
class Cell:
    """A scenario, the threads of one call, and its samples (of multi-stream: those of a query)."""

    scenario: str
    threads: int
    batch: int

    @property
    def name(self) -> str:
        return f"{self.scenario}/t{self.threads}/b{self.batch}"


def parse(text: str) -> Plan:
    """The plan in a JSON text. Raises ProbeError naming the key that is wrong."""
    if len(text) > limits.PLAN_CHARACTERS:
        _refuse(f"has {len(text)} characters; {limits.PLAN_CHARACTERS} are allowed")
    try:
        found = json.loads(text, object_pairs_hook=_pairs, parse_constant=lambda word: _refuse(f"has {word}"))
    except (json.JSONDecodeError, RecursionError) as error:
        _refuse(f"is not JSON: {error}")
    if not isinstance(found, dict):
        _refuse("is no JSON object")
    schema = found.pop("schema", None)
    if schema != SCHEMA:
        _refuse(f"has schema {schema!r:.80}, and this edge-runtime reads {SCHEMA!r}; use one version on both machines")
    values = _named(found, Plan, "the plan")
    if not isinstance(models := values.get("models"), list):
        raise ProbeError(f"key 'models' of the plan must be a list of models, not {models!r:.80}")
    values["models"] = tuple(map(_model, models))
    return Plan(**values)


def to_json(plan: Plan) -> str:
    """The text that ``parse`` reads."""
    return json.dumps(as_dict(plan), indent=1) + "\n"


def as_dict(plan: Plan) -> dict[str, Any]:
    """Plain data, with the schema."""
    return json.loads(json.dumps({"schema": SCHEMA} | asdict(plan)))


def _model(value: Any) -> PlanModel:
    if not isinstance(value, dict):
        raise ProbeError(f"key 'models' of the plan must hold objects, not {value!r:.80}")
    return PlanModel(**_named(value, PlanModel, "a model of the plan"))


def _named(found: dict[str, Any], kind: type, what: str) -> dict[str, Any]:
    """The values by name, lists as tuples. Raises ProbeError for a name that is not one, or is missing."""
    known = [item.name for item in fields(kind)]
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ProbeError(f"key {key!r:.80} of {what} is not known; {hint}")
    required = ("models",) if kind is Plan else ("name", "path")
    if missing := [key for key in required if key not in found]:
        raise ProbeError(f"key {missing[0]!r} of {what} is missing")
    return {key: tuple(value) if isinstance(value, list) and key != "models" else value for key, value in found.items()}


def _pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(found)
    if len(value) < len(found):
        _refuse("has an object with one key twice")
    return value


def _refuse(problem: str) -> NoReturn:
    raise ProbeError(f"the plan {problem}")


Check = Callable[[Any], str | None]
"""What a value must be, in words, or None when it is."""


def _check(given: object, what: str, checks: dict[str, Check]) -> None:
    for key, check in checks.items():
        value = getattr(given, key)
        if must := check(value):
            raise ProbeError(f"key {key!r} of {what} must be {must}, not {value!r:.80}")


def _whole(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if good else f"a whole number from {low} to {high}"

    return check


def _number(low: float, high: float) -> Check:
    def check(value: Any) -> str | None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        return None if number and low <= value <= high else f"a number from {low:g} to {high:g}"

    return check


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _or_none(check: Check) -> Check:
    return lambda value: None if value is None or (must := check(value)) is None else f"{must}, or null"


def _several(check: Check, words: str, *, least: int = 1, most: int = limits.PLAN_VALUES) -> Check:
    """A tuple of different values, each of which passes."""

    def of_several(value: Any) -> str | None:
        good = isinstance(value, tuple) and least <= len(value) <= most
        good = good and all(check(item) is None for item in value) and len(set(value)) == len(value)
        return None if good else f"a list of {least} to {most} different {words}"

    return of_several


def _scenario(value: Any) -> str | None:
    return None if value in SCENARIOS else "a scenario"


def _text(value: Any) -> str | None:
    good = isinstance(value, str) and 0 < len(value) <= limits.TEXT_LENGTH and value.isprintable()
    return None if good else f"a text of 1 to {limits.TEXT_LENGTH} printable characters"


def _below(value: Any) -> str | None:
    """A file in the plan's folder: the plan may not reach for others of the device's."""
    good = _text(value) is None and not PurePosixPath(value).is_absolute() and ".." not in PurePosixPath(value).parts
    return None if good else "a path in the plan's folder, without '..'"


def _axes(value: Any) -> str | None:
    size = _whole(1, limits.DYNAMIC_AXIS)
    good = isinstance(value, dict) and len(value) <= limits.PLAN_VALUES
    good = good and all(_text(name) is None and size(items) is None for name, items in value.items())
    return None if good else f"sizes from 1 to {limits.DYNAMIC_AXIS} by the name of an axis"


def _models(value: Any) -> str | None:
    good = isinstance(value, tuple) and 1 <= len(value) <= limits.PLAN_VALUES
    good = good and all(isinstance(model, PlanModel) for model in value)
    good = good and len({model.name for model in value}) == len(value)
    return None if good else f"1 to {limits.PLAN_VALUES} models with different names"


_MODEL: dict[str, Check] = {
    "name": _text,
    "path": _below,
    "runtime": _or_none(_text),
    "inputs": _or_none(_below),
    "folders": _several(_text, "paths", least=0),
    "beside": _or_none(_several(_below, "paths below the model's folder", least=0, most=limits.PLAN_FILES)),
}

_PLAN: dict[str, Check] = {
    "models": _models,
    "scenarios": _several(_scenario, f"ones of {', '.join(SCENARIOS)}", least=0),
    "threads": _several(_whole(1, 1024), "whole numbers from 1 to 1024"),
    "batches": _several(_whole(1, 65536), "whole numbers from 1 to 65536"),
    "seconds": _number(0.01, 86400),
    "precision": _number(0, 1),
    "query": _whole(1, 65536),
    "axes": _axes,
    "cold": _whole(0, 1000),
    "memory": _flag,
    "energy": _flag,
    "idle_seconds": _number(0.01, 3600),
    "windows": _whole(1, 1000),
    "window_seconds": _number(0.01, 3600),
    "meters": _several(_text, "names of meters", least=0),
    "sustain": _or_none(_number(1, 7 * 86400)),
    "peaks": _flag,
    "profile": _flag,
    "seed": _whole(0, 2**32 - 1),
}
