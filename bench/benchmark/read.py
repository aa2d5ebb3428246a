"""The results of a benchmark, from its folder or its benchmark.json; every obstacle is told in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

from compress.bench.benchmark.results import FILE, Benchmark, from_json
from compress.bench.read_run import FILE as RUN_FILE
from compress.bench.strict_json import ResultsError
from compress.errors import RunError
from compress.suggest import few


def is_benchmark(place: Path) -> bool:
    """Whether a folder or file looks like a benchmark's rather than a run's."""
    if place.is_dir():
        return not (place / RUN_FILE).is_file() and bool([*place.glob(FILE), *place.glob(f"*/{FILE}")])
    if place.name == FILE:
        return True
    try:
        schema = json.loads(place.read_text(encoding="utf-8")).get("schema")
    except (OSError, ValueError, AttributeError):
        return False
    return isinstance(schema, str) and schema.startswith("compress.benchmark/")


def read_benchmark(place: Path) -> Benchmark:
    """Raises RunError for no benchmark, another version, a damaged file, impossible figures."""
    file = place / FILE if place.is_dir() else place
    try:
        found = from_json(file.read_text(encoding="utf-8"))
        _check(found)
    except FileNotFoundError as error:
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
            known = [interval for interval in (timing.p50, timing.ratio_to_first) if interval]
            if not all(0 < interval.low <= interval.value <= interval.high for interval in known):
                raise ResultsError(f"{timing.model} in {cell.id} has figures that cannot be: measure it again")
