"""The ranking of layers for people: a page of its own, and the terminal's table."""

from __future__ import annotations

import html
from collections.abc import Sequence

from rich.table import Table

from compress.bench import words
from compress.bench.figures import PairedDifference
from compress.bench.sensitivity import plot as sensitivity_plot
from compress.bench.sensitivity.ranking import Ranking, Sensitivity

# The plots' colours, light and dark, as the report has them.
_STYLE = """
:root { color-scheme: light dark; --page: #fcfcfa; --ink: #1d2126; --faint: #9aa1a9; --line: #e1e3e0;
  --series-0: #0072b2; --series-1: #c65102; --series-3: #a8487f; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --ink: #e8eaec; --faint: #6c747d; --line: #30363c;
  --series-0: #56b4e9; --series-1: #f0944d; --series-3: #e08bbd; } }
body { margin: 0 auto; padding: 1.5rem 1rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
figure { margin: 0; width: min(44rem, 100%); } svg { width: 100%; height: auto; }
div { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:nth-child(2), td:nth-child(2) { text-align: left; } tr.costs td { color: var(--series-1); }
tr.slower td { color: var(--series-3); }
"""
COLUMNS = ("", "layer", "SQNR", "alone in int8 loses", "in float wins back", "in float takes", "grows by")
EXPLAINED = (
    "SQNR: signal to quantization noise of the logits when only this layer is int8; the lower, the more harm. "
    "Alone in int8 loses: accuracy against float, validation split. In float wins back: accuracy when only this layer "
    "is float, against all int8. In float takes: that variant's time against all int8; below 1, int8 is slower here. "
    "In brackets: 95 % intervals."
)


def page(name: str, rankings: Sequence[Ranking]) -> str:
    """A self-contained HTML page."""
    title = html.escape(f"{name}: which layer is to blame")
    sections = "\n".join(_section(ranking, index) for index, ranking in enumerate(rankings))
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n<p>{EXPLAINED}</p>\n{sections}\n</body>\n</html>\n"
    )


def terminal(ranking: Ranking) -> Table:
    """The most harmful layer first; what surely costs accuracy, or time, is coloured."""
    table = Table(title=f"{ranking.runtime}, {ranking.scheme}", caption=summary(ranking), title_justify="left")
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "layer" else "right", overflow="fold")
    for rank, layer in enumerate(ranking.layers, start=1):
        table.add_row(str(rank), *_cells(layer), style="red" if layer.costs else "yellow" if layer.slower else None)
    return table


def summary(ranking: Ranking) -> str:
    """All int8 against float, in a sentence, and in another where that int8 comes from."""
    sizes = f"{words.size(ranking.sizes['int8'])} instead of {words.size(ranking.sizes['float'])}"
    loss = f"loses {words.points(ranking.loss.value)} {_points_range(ranking.loss)}"
    speed = f", is {words.ratio(ranking.latency)} as fast as float" if ranking.latency else ", was not timed here"
    origin = ranking.method.get("int8")
    told = f" {origin[:1].upper()}{origin[1:]}." if origin else ""
    return f"All int8 {loss} on {words.counted(ranking.loss.n, 'sample')}{speed}, and is {sizes}.{told}"


def _section(ranking: Ranking, index: int) -> str:
    plots = [
        sensitivity_plot.noise_latency(ranking, name=f"noise-{index}"),
        sensitivity_plot.rows(ranking, name=f"rows-{index}"),
    ]
    figures = "".join(f"<figure>{plot}</figure>" for plot in plots if plot)
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    rows = "\n".join(_row(rank, layer) for rank, layer in enumerate(ranking.layers, start=1))
    return (
        f"<h2>{html.escape(ranking.runtime)}</h2>\n<p>{html.escape(summary(ranking))}</p>\n{figures}\n"
        f"<div><table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>"
    )


def _row(rank: int, layer: Sensitivity) -> str:
    kind = ' class="costs"' if layer.costs else ' class="slower"' if layer.slower else ""
    return f"<tr{kind}>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in (str(rank), *_cells(layer))) + "</tr>"


def _cells(layer: Sensitivity) -> tuple[str, ...]:
    return (
        layer.name,
        words.NO_VALUE if layer.sqnr is None else f"{layer.sqnr:.1f} dB",
        f"{100 * layer.loss.value:.2f} {_points_range(layer.loss)}",
        f"{100 * layer.gain.value:.2f} {_points_range(layer.gain)}",
        words.ratio(layer.latency) if layer.latency else words.NO_VALUE,
        words.size(layer.bytes) if layer.bytes > 0 else f"{layer.bytes} B",
    )


def _points_range(interval: PairedDifference) -> str:
    return f"[{100 * interval.low:.2f}, {100 * interval.high:.2f}]"
