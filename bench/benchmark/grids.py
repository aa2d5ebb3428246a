"""A benchmark as tables of cells, the same for a terminal, a document and a page: what stands where, in which unit.

Rows of a timing table are sorted by the median, the quickest first. Units stand in the headings and are chosen per
table, so that the numbers of a column can be compared by eye. A figure that was not measured is a dash, or the word
*none* where there was nothing to measure it with; it is never a zero.
"""

from __future__ import annotations

from compress.bench import words
from compress.bench.benchmark.energy_grid import energy
from compress.bench.benchmark.grid import DASH, Entry, Grid, Head, Mark, factor, own_load, scaled, sized, titled
from compress.bench.benchmark.results import Benchmark, Cell, ColdStart, Doubt, Sustained, Timing
from compress.bench.figures import Interval
from compress.progress import duration

MARKS: dict[str, Mark] = {
    "fastest": "good", "faster": "good", "slower": "bad", "no difference to tell": "unsure",
    "too few rounds": "unsure", "within 2 %": "", "first": "faint", "": "",
}  # fmt: skip
FLASH = "flash: the bundle as installed, or the model's files, in blocks of 4096 bytes; edge-runtime and engine apart"
PARTS = ("interpreter", "engine", "load", "first", "second")


def grids(benchmark: Benchmark) -> list[Grid]:
    """All tables of a benchmark that have a row."""
    found = [timing(benchmark, cell) for cell in benchmark.cells]
    found += [roofline(benchmark), cold(benchmark), memory(benchmark), energy(benchmark), sustained(benchmark)]
    return [grid.filled() for grid in found if grid.rows]


def cell_words(cell: Cell) -> str:
    """``single-stream, 1 thread, batch 1``; of a multi-stream query its samples."""
    size = (
        f"{words.counted(cell.batch, 'sample')} a query" if cell.scenario == "multi-stream" else f"batch {cell.batch}"
    )
    return f"{cell.scenario}, {words.counted(cell.threads, 'thread')}, {size}"


def call_words(cell: Cell) -> str:
    """What one time is of."""
    if cell.scenario == "offline":
        return "all streams at once, time of whole bursts"
    if cell.scenario == "multi-stream":
        return f"time of a query of {cell.batch} samples"
    return "time of one sample" if cell.batch == 1 else f"time of a call of {cell.batch} samples"


def verdict(cell: Cell, timing_: Timing) -> str:
    """What is said of a model in a cell: that it is the fastest, or how it compares with the first."""
    alone = len(cell.timings) > 1 and cell.fastest == [timing_.model]
    if len(cell.timings) == 1:
        return ""
    return "fastest" if alone else timing_.said


def timing(benchmark: Benchmark, cell: Cell, *, unit_of: float | None = None) -> Grid:
    """One cell's figures, the quickest first. Times of ``offline`` are of bursts: only its throughput is a figure.

    ``unit_of``: seconds whose unit the times are told in; by default that of this cell's slowest median.
    """
    offline = cell.scenario == "offline"
    timings = sorted(cell.timings, key=lambda t: -t.throughput.value if offline else t.p50.value)
    several = len(timings) > 1
    heads, columns = _rates(timings) if offline else _latencies(timings, unit_of)
    compared = [Head("Speed", "x"), Head("", left=True)] if several else []
    counts = [Head("Bursts" if offline else "Calls", rank=3), Head("Outliers", "%", rank=4)]
    rows = []
    for t, figures in zip(timings, columns, strict=True):
        said = verdict(cell, t)
        comparison = [factor(t.ratio_to_first), Entry(said, value=said, mark=MARKS[said])] if several else []
        rows.append([_name(t.model), figures[0], *comparison, *figures[1:], _count(t.n), _share(t.outliers, t.n)])
    heads = [Head("Model", left=True), heads[0], *compared, *heads[1:], *counts]
    note = f"{call_words(cell)}; {ended(cell)}{f'; speed against {cell.timings[0].model}' if several else ''}"
    return Grid(cell_words(cell), note, heads, rows, [*benchmark.doubts, *cell.doubts], [t.doubts for t in timings])


def _latencies(timings: list[Timing], unit_of: float | None) -> tuple[list[Head], list[list[Entry]]]:
    scale, unit = words.unit_of_times([unit_of] if unit_of else [t.p50.value for t in timings])
    heads = [Head("Median", unit), Head("p90", unit), Head("p99", unit), Head("p99.9", unit, rank=2)]
    rows = [
        [
            scaled(t.p50, scale),
            *(_tail(of, scale) for of in (t.p90, t.p99, t.p999)),
            Entry(words.grouped(t.throughput.value), value=t.throughput.value),
        ]
        for t in timings
    ]
    return [*heads, Head("Per second", "samples", rank=1)], rows


def _rates(timings: list[Timing]) -> tuple[list[Head], list[list[Entry]]]:
    rows = []
    for t in timings:
        low, high = (words.grouped(value) for value in (t.throughput.low, t.throughput.high))
        rows.append([Entry(words.grouped(t.throughput.value), f"[{low}, {high}]", t.throughput.value)])
    return [Head("Per second", "samples")], rows


def ended(cell: Cell) -> str:
    """``40 rounds in 8 openings, ended by precision``."""
    openings = f" in {words.counted(cell.placements, 'opening')}" if cell.placements > 1 else ""
    return f"{words.counted(cell.rounds, 'round')}{openings}, ended by {cell.ended_by}".replace(
        "ended by interrupted", "interrupted"
    )


def cold(benchmark: Benchmark) -> Grid:
    """From nothing to the first answer, in parts that follow each other; the second inference for comparison."""
    found = sorted(benchmark.cold, key=lambda c: c.total.value)
    scale, unit = words.unit_of_times(c.total.value for c in found)
    heads = [Head("Model", left=True), Head("Start to answer", unit), *(Head(part.title(), unit) for part in PARTS)]
    rows = [
        [_name(c.model + own_load(c, found)), scaled(c.total, scale), *(_plain(c, part, scale) for part in PARTS)]
        for c in found
    ]
    count = f"{found[0].n} fresh processes" if found and found[0].n > 1 else "one fresh process"
    note = f"medians of {count}, of the whole with the least and the largest; the files are in the page cache"
    return Grid(titled("cold start", found), note, heads, rows, benchmark.doubts)


def _plain(of: ColdStart, part: str, scale: float) -> Entry:
    value = getattr(of, part).value
    return Entry(words.digits(value / scale), value=value)


def memory(benchmark: Benchmark) -> Grid:
    """Resident memory and files."""
    used = {m.model: m for m in benchmark.memory}
    known = [m for m in benchmark.models if m.size is not None or m.name in used]
    gpu = any(m.gpu is not None for m in benchmark.memory)
    bundled = any(m.bundle for m in known)
    columns = [("File", None)] + ([("Flash", "flash")] if bundled else [])
    columns += [("Engine", "engine"), ("Loaded", "loaded"), ("First", "first"), ("Peak", "peak")]
    columns += [("GPU", "gpu")] if gpu else []
    names, sizes = [], []
    for model in known:
        found = used.get(model.name)
        files = {None: model.size, "flash": model.flash}
        sizes.append([files[of] if of in files else found and getattr(found, of) for _, of in columns])
        names.append(model.name + (own_load(found, benchmark.memory) if found else ""))
    scale, unit = words.unit_of_sizes(size for row in sizes for size in row if size is not None)
    heads = [Head("Model", left=True), *(Head(name, unit) for name, _ in columns)]
    rows = [[_name(name), *(sized(size, scale) for size in row)] for name, row in zip(names, sizes, strict=True)]
    own = benchmark.memory[0].interpreter if benchmark.memory else None
    note = "resident memory of a fresh process after each step"
    note += f", without the {words.size(own)} of Python and numpy" if own is not None else ""
    note = note if used else "bytes of the files; memory was not measured"
    note += f"; {FLASH}" if bundled else ""
    return Grid(titled("memory", benchmark.memory), note, heads, rows)


def sustained(benchmark: Benchmark) -> Grid:
    """How latency went under load for long."""
    found = benchmark.sustained
    scale, unit = words.unit_of_times(s.end for s in found)
    heads = [
        Head("Model", left=True), Head("First tenth", unit), Head("Last tenth", unit), Head("Slower by", "%"),
        Head("Lasted"), Head("Throttling", left=True),
    ]  # fmt: skip
    rows = [
        [
            _name(s.model + own_load(s, found)), Entry(words.digits(s.start / scale), value=s.start),
            Entry(words.digits(s.end / scale), value=s.end), _change(s), Entry(duration(lasted(s)), value=lasted(s)),
            Entry(throttling(s), value=s.throttled_at, mark="bad" if s.throttled_at is not None else ""),
        ]
        for s in found
    ]  # fmt: skip
    return Grid(titled("sustained load", found), "medians of about a second each", heads, rows, benchmark.doubts)


def roofline(benchmark: Benchmark) -> Grid:
    """How close each model comes to the least that its machine needs for it."""
    found = sorted(benchmark.floors, key=lambda floor: (floor.cell, -floor.reached))
    scale, unit = words.unit_of_times(floor.seconds for floor in found)
    of_macs, prefix = words.unit_of_counts(floor.macs for floor in found)
    moved, of_bytes = words.unit_of_sizes(floor.moved for floor in found)
    several = len({floor.cell for floor in found}) > 1
    heads = [
        Head("Model", left=True), *([Head("Cell", left=True)] if several else []), Head("Floor", unit),
        Head("Reached", "%"), Head("Bound by", left=True), Head("MACs", prefix), Head("Bytes", of_bytes),
    ]  # fmt: skip
    rows = []
    for floor in found:
        low, high = (words.digits(value / scale) for value in (floor.low, floor.high))
        bound = floor.side if floor.side == "compute" else floor.source
        rows.append(
            [
                _name(floor.model), *([Entry(floor.cell, value=floor.cell)] if several else []),
                Entry(words.digits(floor.seconds / scale), f"[{low}, {high}]", floor.seconds),
                Entry(f"{100 * floor.reached:.0f}", value=floor.reached), Entry(bound, value=bound),
                Entry(words.grouped(floor.macs / of_macs), value=floor.macs), sized(floor.moved, moved),
            ]
        )  # fmt: skip
    note = (
        "floor: the least time by the machine's measured peaks, with the range in which it lies as far as they may be "
        "off, of which only the lower end is a bound; reached: floor by median"
    )
    cell = next((cell for cell in benchmark.cells if not several and found and cell.id == found[0].cell), None)
    return Grid(
        f"roofline, {cell_words(cell)}" if cell else "roofline",
        note,
        heads,
        rows,
        benchmark.doubts,
        [_noted(floor.notes) for floor in found],
    )


def _noted(notes: list[str]) -> list[Doubt]:
    return [Doubt("note", note) for note in notes]


def lasted(found: Sustained) -> float:
    """Seconds under load so far."""
    return found.moments[-1].second - found.moments[0].second + 1


def throttling(found: Sustained) -> str:
    """When it began, in words, or that it did not."""
    why = f" ({found.why})" if found.why else ""
    if found.throttled_at is not None:
        return f"from {duration(found.throttled_at)} on{why}"
    return f"none seen{why}" if found.complete else f"not known{why}"


def _tail(interval: Interval | None, scale: float) -> Entry:
    return Entry(words.digits(interval.value / scale), value=interval.value) if interval else DASH


def _name(model: str) -> Entry:
    return Entry(model, value=model)


def _count(value: int) -> Entry:
    return Entry(f"{value:,}", value=value)


def _share(count: int, of: int) -> Entry:
    text = "0" if not count else "<0.1" if 1000 * count < of else f"{100 * count / of:.1f}"
    return Entry(text, value=count / of)


def _change(found: Sustained) -> Entry:
    growth = found.end / found.start - 1
    return Entry(f"{100 * growth:+.1f}".replace("-", "\N{MINUS SIGN}"), value=growth)
