"""Drawings of a benchmark, as inline SVG in the page's colours (see ``bench/drawing.py``).

A model has one colour throughout. What is not there is not drawn: each function gives None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from compress.bench import words
from compress.bench.benchmark.results import Benchmark, Cell, Energy
from compress.bench.curves import DASHES, Curve, distribution
from compress.bench.drawing import INK, MARKERS, SERIES, STYLE, as_svg, new_figure

BAR = 0.36
"""Height of one of two bars in a row."""


def colours(benchmark: Benchmark) -> dict[str, int]:
    """Which colour each model has."""
    return {model.name: index % len(SERIES) for index, model in enumerate(benchmark.models)}


def spread(benchmark: Benchmark, cell: Cell, *, name: str) -> str | None:
    """The share of calls by their time, a line for each model of a cell."""
    if cell.scenario == "offline":
        return None  # a burst's time is none of a call
    series = colours(benchmark)
    lines = [
        Curve(t.model, t.percentiles, series[t.model], index // len(SERIES)) for index, t in enumerate(cell.timings)
    ]
    return distribution(lines, name=name)


def energy(benchmark: Benchmark, *, name: str = "energy") -> str | None:
    """Joules an inference: gross as a pale bar, net of idle as a full one, from the least to the largest as a line."""
    known = [e for e in benchmark.energy if e.gross]
    if not known:
        return None
    several = len({(e.sensor, e.threads, e.batch) for e in known}) > 1
    scale, unit = words.unit_of_joules(e.gross.value for e in known)
    series = colours(benchmark)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(height=1.0 + 0.34 * len(known))
        for row, e in enumerate(known):
            colour = SERIES[series[e.model]]
            axes.barh(row, e.gross.value / scale, height=2 * BAR, color=colour, alpha=0.35 if e.measured else 0.15)
            if e.net:
                axes.barh(row, max(0.0, e.net.value) / scale, height=BAR, color=colour)
            low, high = e.gross.low / scale, e.gross.high / scale
            axes.plot([low, high], [row, row], color=INK, linewidth=1)
        axes.set_yticks(range(len(known)), [_energy_label(e, several) for e in known])
        axes.grid(False, axis="y")
        axes.set_axisbelow(True)
        axes.invert_yaxis()
        axes.set_xlim(left=0)
        modelled = ", modelled ones paler" if not all(e.measured for e in known) else ""
        axes.set_xlabel(f"energy of an inference, {unit}: gross pale, net of idle full")
        return as_svg(figure, name, f"Energy of an inference{modelled}")


def start(benchmark: Benchmark, *, name: str = "start") -> str | None:
    """From nothing to the first answer, in parts that follow each other."""
    if not benchmark.cold:
        return None
    parts = ("interpreter", "engine", "load", "first")
    values = {part: [getattr(c, part).value for c in benchmark.cold] for part in parts}
    labels = {"interpreter": "interpreter", "engine": "engine", "load": "load the model", "first": "first inference"}
    return _stacked([c.model for c in benchmark.cold], {labels[p]: v for p, v in values.items()}, "time", name)


def memory(benchmark: Benchmark, *, name: str = "memory") -> str | None:
    """Resident memory without the interpreter's, in the steps in which it is taken."""
    found = benchmark.memory
    if not found:
        return None
    steps = {
        "engine": [m.engine for m in found],
        "model loaded": [max(0, m.loaded - m.engine) for m in found],
        "while it runs": [max(0, m.peak - max(m.loaded, m.engine)) for m in found],
    }
    return _stacked([m.model for m in found], steps, "memory", name)


def sustained(benchmark: Benchmark, *, name: str = "sustained") -> str | None:
    """Median latency under load over time; a dashed line marks where throttling began."""
    if not benchmark.sustained:
        return None
    series = colours(benchmark)
    scale, unit = words.unit_of_times(m.p50 for s in benchmark.sustained for m in s.moments)
    longest = max(s.moments[-1].second for s in benchmark.sustained)
    minutes, clock = (60.0, "minutes") if longest > 180 else (1.0, "seconds")
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(height=3.0)
        for s in benchmark.sustained:
            colour = SERIES[series[s.model]]
            at = np.array([m.second for m in s.moments]) / minutes
            p50, p99 = (np.array([getattr(m, of) for m in s.moments]) / scale for of in ("p50", "p99"))
            axes.fill_between(at, p50, p99, color=colour, alpha=0.18, linewidth=0)
            axes.plot(at, p50, color=colour, linewidth=1.5, label=s.model)
            if s.throttled_at is not None:
                axes.axvline(s.throttled_at / minutes, color=colour, linewidth=1.1, linestyle="--")
        axes.set(xlabel=f"{clock} under load", ylabel=f"latency, {unit}")
        axes.set_ylim(bottom=0)
        axes.margins(x=0.01)
        figure.legend(loc="outside upper left", ncols=3, fontsize=8)
        return as_svg(figure, name, "Median latency under sustained load, shaded up to the 99th percentile")


def sweep(benchmark: Benchmark, scenario: str, *, name: str = "sweep") -> str | None:
    """Samples per second by threads and batch; None unless at least one of them was swept."""
    cells = [cell for cell in benchmark.cells if cell.scenario == scenario]
    threads, batches = (sorted({getattr(cell, what) for cell in cells}) for what in ("threads", "batch"))
    if len(threads) < 2 and len(batches) < 2:
        return None
    across, along = ("batch", "threads") if len(batches) > 1 else ("threads", "batch")
    lines = threads if along == "threads" else batches
    series = colours(benchmark)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(height=3.2)
        for model, colour in series.items():
            for index, value in enumerate(lines):
                own = [cell for cell in cells if getattr(cell, along) == value]
                points = sorted(
                    (getattr(cell, across), t.throughput) for cell in own for t in cell.timings if t.model == model
                )
                _line(axes, points, SERIES[colour], index, _line_label(model, along, value, len(lines)))
        ticks = batches if across == "batch" else threads
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_ylim(bottom=0)
        unit = "samples a call" if across == "batch" else "threads"
        axes.set(xlabel=unit, ylabel="samples per second (95 % interval)")
        figure.legend(loc="outside upper left", ncols=2, fontsize=8, handlelength=2.4)
        return as_svg(figure, name, f"Samples per second by {unit}, {scenario}")


def roofline(benchmark: Benchmark, *, name: str = "roofline") -> str | None:
    """MACs a second by MACs a byte: the roof that the machine's peaks make, and where each model stands under it."""
    found = [floor for floor in benchmark.floors if floor.macs and floor.moved]
    if not found:
        return None
    peaks, series = benchmark.peaks[0], colours(benchmark)
    medians = {(t.model, cell.id): t.p50.value for cell in benchmark.cells for t in cell.timings}
    intensity = np.array([floor.macs / floor.moved for floor in found])
    reached = np.array([floor.macs / medians[floor.model, floor.cell] for floor in found]) / 1e9
    bandwidth = max(peaks["read"], peaks["copy"])
    int8 = max((rate for rate in peaks["int8"].values() if rate), default=0.0)
    roofs = {"float32": peaks["float32"]} | ({"int8": int8} if int8 > peaks["float32"] else {})
    across = np.geomspace(min(intensity.min(), 0.5) / 2, max(intensity.max(), int8 / bandwidth, 100) * 2, 200)
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(height=3.3)
        for style, (precision, rate) in zip(DASHES, roofs.items(), strict=False):
            roof = np.minimum(rate, across * bandwidth) / 1e9
            axes.plot(across, roof, style, color=INK, linewidth=1.2, label=f"roof, {precision}")
        for index, floor in enumerate(found):
            marker = MARKERS[series[floor.model] % len(MARKERS)]
            seen = any(other.model == floor.model for other in found[:index])
            label = None if seen else floor.model
            axes.plot(intensity[index], reached[index], marker, color=SERIES[series[floor.model]], label=label)
        axes.set(xscale="log", yscale="log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.12g}"))
            axis.set_minor_locator(NullLocator())
        axes.set(xlabel="MACs a byte from memory, log", ylabel="10⁹ MACs a second, log")
        figure.legend(loc="outside upper left", ncols=3, fontsize=8)
        return as_svg(figure, name, "Roofline: MACs a second by MACs a byte, with the machine's peaks")


def _line(axes: Axes, points: Sequence[tuple[int, object]], colour: str, index: int, label: str) -> None:
    if not points:
        return
    x, rates = [point[0] for point in points], [point[1] for point in points]
    value, low, high = (np.array([getattr(rate, of) for rate in rates]) for of in ("value", "low", "high"))
    style = {"linestyle": DASHES[index % len(DASHES)], "marker": MARKERS[index % len(MARKERS)], "markersize": 5}
    axes.errorbar(x, value, yerr=(value - low, high - value), color=colour, label=label, elinewidth=1, **style)


def _line_label(model: str, along: str, value: int, lines: int) -> str:
    if lines < 2:
        return model
    return f"{model}, {words.counted(value, 'thread') if along == 'threads' else f'batch {value}'}"


def _stacked(names: Sequence[str], parts: Mapping[str, Sequence[float]], what: str, name: str) -> str:
    """Bars of parts that follow each other; ``what``: ``time`` in seconds or ``memory`` in bytes."""
    most = max(sum(values) for values in zip(*parts.values(), strict=True))
    scale, unit = words.unit_of_times([most]) if what == "time" else words.unit_of_sizes([most])
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(height=1.25 + 0.3 * len(names))
        left = np.zeros(len(names))
        for index, (label, values) in enumerate(parts.items()):
            widths = np.array(values) / scale
            axes.barh(range(len(names)), widths, left=left, height=0.6, color=SERIES[index], label=label)
            left = left + widths
        axes.set_yticks(range(len(names)), names)
        axes.grid(False, axis="y")
        axes.set_axisbelow(True)
        axes.invert_yaxis()
        title = "start to first answer" if what == "time" else "resident memory without the interpreter's"
        axes.set_xlabel(f"{title}, {unit}")
        figure.legend(loc="outside upper left", ncols=4, fontsize=8, handlelength=1, handletextpad=0.4, columnspacing=1)
        return as_svg(figure, name, f"{title}, by model")


def _energy_label(e: Energy, several: bool) -> str:
    where = f", {e.sensor}" if e.measured else ", modelled"
    load = f", {words.counted(e.threads, 'thread')}, batch {e.batch}"
    return f"{e.model}{where}{load}" if several else f"{e.model}{'' if e.measured else where}"
