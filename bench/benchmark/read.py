"""The results of a benchmark, from its folder or its benchmark.json; every obstacle is told in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from compress.bench.benchmark.results import FILE, Benchmark, from_json
from compress.bench.figures import Interval
from compress.bench.run.read import FILE as RUN_FILE
from compress.bench.strict_json import ResultsError
from compress.errors import RunError
from compress.suggest import few

Kind = Literal["benchmark", "run"]


def kind_of(place: Path) -> Kind | None:
    """What a folder or file looks like; None where it does not tell: damaged, foreign, or not there."""
    if place.is_dir():
        if (place / RUN_FILE).is_file():
            return "run"
        return "benchmark" if [*place.glob(FILE), *place.glob(f"*/{FILE}")] else None
    if place.name in (FILE, RUN_FILE):
        return "benchmark" if place.name == FILE else "run"
    try:
        schema = json.loads(place.read_text(encoding="utf-8")).get("schema")
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
    kinds: dict[str, Kind] = {"compress.benchmark": "benchmark", "compress.results": "run"}
    return kinds.get(schema.partition("/")[0]) if isinstance(schema, str) else None


def read_benchmark(place: Path) -> Benchmark:
    """Raises RunError for no benchmark, another version, a damaged file, impossible figures."""
    file = place / FILE if place.is_dir() else place
    try:
        found = from_json(file.read_text(encoding="utf-8"))
        _check(found)
    except FileNotFoundError as error:
        if not place.is_dir():
            raise RunError(f"{place} does not exist; give the folder of a benchmark, or its {FILE}") from error
        targets = sorted(path.parent.name for path in place.glob(f"*/{FILE}"))
        which = f"which of its targets? {few(targets)}" if targets else f"it has no {FILE}"
        raise RunError(f"{place} is not the folder of one benchmark: {which}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise RunError(f"{file} cannot be read: {why}; give the folder of a benchmark, or its {FILE}") from error
    except ResultsError as error:
        raise RunError(f"{file}: {error}") from error
    return found


def _check(benchmark: Benchmark) -> None:
    """Figures that no measurement gives, and no comparison can take: the file was changed by hand or by a fault."""
    for cell in benchmark.cells:
        for timing in cell.timings:
            _positive(
                f"{timing.model} in {cell.id}", timing.p50, timing.ratio_to_first, timing.p90, timing.p99, timing.p999
            )
            rate = timing.throughput  # of a few rounds its interval may reach down to 0
            if not (rate.value > 0 and 0 <= rate.low <= rate.value <= rate.high):
                raise ResultsError(f"the throughput of {timing.model} in {cell.id} cannot be: measure it again")
    for start in benchmark.cold:
        _positive(f"the cold start of {start.model}", start.total)


def _positive(what: str, *intervals: Interval | None) -> None:
    if not all(0 < found.low <= found.value <= found.high for found in intervals if found):
        raise ResultsError(f"{what} has figures that cannot be: measure it again")
