"""The answer in sentences: which model is the fastest where, and only where the intervals say so; what is missing."""

from __future__ import annotations

from compress.bench import words
from compress.bench.benchmark.grids import cell_words
from compress.bench.benchmark.results import Benchmark, Cell

MOST_CELLS = 6
"""Cells that are told one by one; more are counted."""


def headlines(benchmark: Benchmark) -> list[str]:
    """A sentence for each cell with several models, or one for all where they agree."""
    cells = [cell for cell in benchmark.cells if len(cell.timings) > 1]
    said = [(cell, _fastest(cell)) for cell in cells]
    if len({text for _, text in said}) == 1 and len(said) > 1:
        lines = [f"in all {len(said)} cells: {said[0][1]}"]
    elif len(said) <= MOST_CELLS:
        lines = [f"{cell_words(cell)}: {text}{_by(cell)}" for cell, text in said]
    else:
        counts = dict.fromkeys(text for _, text in said)
        lines = [f"in {sum(t == text for _, t in said)} of {len(said)} cells: {text}" for text in counts]
    if benchmark.emulated:
        lines.insert(0, "emulated: these times are those of an emulator; they say nothing of hardware")
    if not benchmark.complete:
        lines.insert(0, f"partial: {benchmark.why or 'it was cut off'}")
    return lines


def left_out(benchmark: Benchmark) -> list[str]:
    """What was refused or is missing, and why."""
    refused = [f"{r.model or 'all models'}, {r.what}: {r.reason}" for r in benchmark.refused]
    return [*refused, *benchmark.missing]


def machine_words(benchmark: Benchmark) -> str:
    """The machine in a line."""
    machine = benchmark.machine
    board = f"{machine['model']}, " if machine.get("model") else ""
    parts = [f"{board}{machine.get('cpu', 'unknown processor')}", words.counted(machine.get("cores", 1), "core")]
    parts += [machine[key] for key in ("arch", "os") if machine.get(key)]
    return f"{', '.join(parts)}; {benchmark.created}"


def _fastest(cell: Cell) -> str:
    if len(cell.fastest) == 1:
        return f"{cell.fastest[0]} is the fastest"
    tied = [t for t in sorted(cell.timings, key=lambda t: t.p50.value) if t.model in cell.fastest]
    names = [t.model for t in tied]
    first = cell.timings[0].model
    all_faster = f"; all of them faster than {first}" if all(t.said == "faster" for t in tied) else ""
    return f"{_tie(cell, names)}{all_faster}"


def _tie(cell: Cell, names: list[str]) -> str:
    """What is known of models of which none was shown to beat another: never the opposite of what a row says."""
    together = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    if any(t.said == "too few rounds" for t in cell.timings if t.model in names):
        return f"too few rounds to tell {together} apart"
    if not cell.alike:
        return f"no difference to tell between {together}"
    if len(cell.alike) == len(names) * (len(names) - 1) // 2:
        return f"{together} are alike within 2 %"
    pairs = "; ".join(f"{one} and {other} are alike within 2 %" for one, other in cell.alike)
    return f"none of {together} is shown to be 2 % faster than another{f' ({pairs})' if len(cell.alike) < 3 else ''}"


def _by(cell: Cell) -> str:
    """By how much, where there is one fastest: against the first model, to which ratios are."""
    found = next((t for t in cell.timings if cell.fastest == [t.model] and t.ratio_to_first), None)
    return f", {words.ratio(found.ratio_to_first)} the speed of {cell.timings[0].model}" if found else ""
