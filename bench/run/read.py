"""The results of a finished run, from its folder or its results.json; every obstacle is told in one sentence."""

from __future__ import annotations

from pathlib import Path

from compress.bench.run.results import Results, ResultsError, Variant, from_json
from compress.bench.run.right import unpack
from compress.errors import RunError
from compress.suggest import few

FILE = "results.json"


def read_run(place: Path) -> Results:
    """Raises :class:`~compress.errors.RunError` for no run, another version, a damaged file, impossible figures."""
    file = place / FILE if place.is_dir() else place
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not place.is_dir():
            raise RunError(f"{place} does not exist; give the folder of a finished run, or its {FILE}") from error
        runs = sorted(found.parent.name for found in place.glob(f"*/{FILE}"))
        instead = f"which of its runs? {few(runs)}" if runs else "give the folder of a finished run"
        raise RunError(f"{place} is not the folder of a finished run: it has no {FILE}; {instead}") from error
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise RunError(f"{file} cannot be read: {why}; give the folder of a finished run, or its {FILE}") from error
    try:
        results = from_json(text)
        for variant in results.variants:
            _check(variant)
    except ResultsError as error:
        raise RunError(f"{file}: {error}") from error
    return results


def _check(variant: Variant) -> None:
    """Figures that no measurement gives, and no comparison can take: the file was changed by hand or by a fault."""
    latency, accuracy = variant.latency, variant.accuracy
    intervals = [latency.ratio_to_teacher, latency.interval] if latency else []
    ordered = all(0 < i.low <= i.value <= i.high for i in intervals if i)
    positive = [variant.size, latency and latency.p50, variant.memory and variant.memory.peak]
    counted = accuracy is None or (0 <= accuracy.correct <= accuracy.n and accuracy.n > 0)
    if not (ordered and counted and all(value > 0 for value in positive if value is not None)):
        raise ResultsError(f"{variant.id} has figures that cannot be: every size and time is above 0; run it again")
    if accuracy and variant.right:
        unpack(variant.right, accuracy)
