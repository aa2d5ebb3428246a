"""A comparison of two runs for a terminal: the answer first, then what changed, then what explains it.

By place (target and runtime), a row for every figure that is worse, better, tolerated or cannot be told. What is the
same or within noise is counted, with the largest noise that would have hidden a change; how accuracy was compared, and
why something was not, is said once for all figures that share it. ``everything`` gives each figure its row. Below
``INLINE_WIDTH`` columns the intervals move to a second line.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import groupby
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from compress.bench import words
from compress.bench.diff.compare import Judged, Pair
from compress.bench.diff.facts import Fact
from compress.bench.diff.judge import Change

STYLES = {"worse": "bold dark_orange", "better": "bold blue", "cannot tell": "bold", "not compared": "dim"}
TOLD = ("worse", "cannot tell", "better", "tolerated")
QUIET = ("same", "within noise")
INLINE_WIDTH = 100
MOST_VALUE = 40  # characters of a value in a list of what differs
_SHOWN = {
    "accuracy": lambda value: words.percent(value),
    "speed": words.times,
    "median": words.seconds,
    "size": words.size,
    "memory": words.size,
    "energy": words.joules,
    "p90": words.seconds,
    "p99": words.seconds,
    "throughput": lambda value: f"{words.grouped(value)}/s",
    "cold start": words.seconds,
}
_CALLED = {"size": "file"}
_GROWS = dict.fromkeys(("speed", "median", "p90", "p99", "throughput", "cold start"), "time ")


def terminal(difference: Judged, width: int = 100, *, everything: bool = False) -> RenderableType:
    """A rich renderable for a terminal of ``width`` columns; 72 at least."""
    parts: list[RenderableType] = [Text(headline(difference), style="bold"), Text(_runs(difference), style="dim")]
    for place, pairs in groupby(difference.pairs, key=lambda pair: pair.place):
        parts += [Text(), Text(place, style="bold"), *_place(list(pairs), difference.heading, width, everything)]
    for title, lines in _lists(difference):
        parts += [Text(), Text(title, style="bold"), *map(_indented, lines)]
    return Group(*parts, Text(), Text(method(difference), style="dim"))


def headline(difference: Judged) -> str:
    """The answer in a sentence."""
    counts = {word: len(difference.having(word)) for word in ("worse", "better", "cannot tell")}
    worse = counts["worse"]
    unknown = difference.unknown()
    nothing = "Nothing is worse"
    if difference.worse:
        nothing = "No figure is worse"  # but a model is gone
    elif unknown:
        nothing = "Nothing that could be compared is worse"
    said = [words.counted(worse, "figure") + " worse" if worse else nothing]
    said[0] += " beyond noise and tolerance"
    said += [f"{counts['better']} better"] if counts["better"] else []
    said += [f"{counts['cannot tell']} cannot be told"] if counts["cannot tell"] else []
    return "; ".join([*said, *unknown]) + "."


def _runs(difference: Judged) -> str:
    old, new = (f"{run['name']} {run['created']}" for run in (difference.old, difference.new))
    return f"older: {old}\nnewer: {new}"


def _place(pairs: list[Pair], heading: str, width: int, everything: bool) -> Iterable[RenderableType]:
    figures = [(pair, change) for pair in pairs for change in pair.changes]
    told = [(pair, change) for pair, change in figures if everything or change.word in TOLD]
    if told:
        yield _table(told, heading, inline=width >= INLINE_WIDTH)
    quiet = [change for _, change in figures if change.word in QUIET]
    if quiet and not everything:
        yield _indented(f"no change beyond noise: {_summary(quiet)}")
    medians = [] if everything else [(pair, change) for pair, change in figures if _for_information(change)]
    for why, of in _by_reason([figure for figure in figures if figure not in medians]):
        yield _indented(f"{_names(of)}: {why}", style="dim")
    for why, of in _by_reason(medians):
        told = ", ".join(_median(*median) for median in of)
        yield _indented(f"median, for information: {told}; {why}", style="dim")


def _for_information(change: Change) -> bool:
    return change.figure == "median" and change.word == "not compared" and None not in (change.old, change.new)


def _median(pair: Pair, change: Change) -> str:
    return f"{pair.called} {words.seconds(change.old)} -> {words.seconds(change.new)}"


def _by_reason(figures: list[tuple[Pair, Change]]) -> Iterable[tuple[str, list[tuple[Pair, Change]]]]:
    """How accuracy was compared where that is told, and why others were not compared at all."""
    reasons: dict[str, list[tuple[Pair, Change]]] = {}
    for pair, change in figures:
        if change.word == "not compared":
            reasons.setdefault(f"not compared: {change.why}", []).append((pair, change))
        elif change.figure == "accuracy" and change.word in TOLD:
            reasons.setdefault(change.why, []).append((pair, change))
    return reasons.items()


def _table(rows: list[tuple[Pair, Change]], first: str, inline: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    for heading, justify in ((first, "left"), ("Figure", "left"), ("Older", "right"), ("Newer", "right")):
        table.add_column(heading, justify=justify, overflow="fold")
    table.add_column("Change", justify="right", overflow="fold")
    table.add_column("", no_wrap=True)
    last = None
    for pair, change in rows:
        step = pair.called
        table.add_row(
            "" if step == last else step,
            _CALLED.get(change.figure, change.figure),
            _value(change.figure, change.old),
            _value(change.figure, change.new),
            Text((" " if inline else "\n").join(filter(None, _change(change)))),
            Text(change.word, style=STYLES.get(change.word, "")),
        )
        last = step
    return table


def _change(change: Change) -> tuple[str, str]:
    """``-0.31 points`` and ``[-0.52, -0.10]``, ``time +4.1 %`` and ``[+2.0, +6.3]``: as the figure itself moved."""
    if change.value is None:
        return words.NO_VALUE, ""
    sign = -1 if change.figure == "accuracy" else 1
    places, unit = (2, "points") if change.figure == "accuracy" else (1, "%")
    said = f"{_GROWS.get(change.figure, '')}{_signed(sign * change.value, places)} {unit}"
    if change.low is None:
        return said, ""
    low, high = sorted((sign * change.low, sign * change.high))
    return said, f"[{_signed(low, places)}, {_signed(high, places)}]"


def _signed(value: float, places: int) -> str:
    text = f"{100 * value:+.{places}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def _value(figure: str, value: float | None) -> str:
    return words.NO_VALUE if value is None else _SHOWN[figure](value)


def _summary(changes: list[Change]) -> str:
    """``accuracy (5, noise up to 0.31 points), file (4)``."""
    said = []
    for figure in dict.fromkeys(change.figure for change in changes):
        of = [change for change in changes if change.figure == figure]
        noise = [max(abs(change.low), abs(change.high)) for change in of if change.low is not None]
        unit = words.points if figure == "accuracy" else partial(words.percent, places=1)
        upto = f", noise up to {unit(max(noise))}" if noise else ""
        said.append(f"{_CALLED.get(figure, figure)} ({len(of)}{upto})")
    return ", ".join(said)


def _names(figures: list[tuple[Pair, Change]]) -> str:
    """``median of teacher, prune``."""
    by_figure: dict[str, list[str]] = {}
    for pair, change in figures:
        by_figure.setdefault(_CALLED.get(change.figure, change.figure), []).append(pair.called)
    merged: dict[tuple[str, ...], list[str]] = {}
    for figure, steps in by_figure.items():
        merged.setdefault(tuple(steps), []).append(figure)
    return "; ".join(f"{', '.join(names)} of {', '.join(steps)}" for steps, names in merged.items())


def _indented(text: str, style: str = "") -> RenderableType:
    return Padding(Text(text, style=style), (0, 0, 0, 2), expand=False)


def _lists(difference: Judged) -> Iterable[tuple[str, list[str]]]:
    """(title, lines) of what explains the changes; nothing of what did not change."""
    if difference.lost:
        yield "Gone", list(difference.lost)
    for title, ids in (("Only in the older run", difference.only_old), ("Only in the newer run", difference.only_new)):
        if ids:
            yield title, list(ids)
    for title, said in (("Verdicts", difference.verdicts), ("Budget", difference.budget)):
        if said:
            yield (
                title,
                [
                    f"{words.place(s.target, s.runtime)}, {s.what.replace('_', ' ')}: {s.old or 'none'} -> "
                    f"{s.new or 'none'}{': ' + s.reason if s.reason else ''}"
                    for s in said
                ],
            )
    for title, facts in difference.explained().items():
        if facts:
            yield title, [_fact(fact) for fact in facts]
    if difference.made_anew:
        yield "Made anew, for the code, the libraries or what they read changed", [", ".join(difference.made_anew)]


def _fact(fact: Fact) -> str:
    return f"{fact.key}: {_short(fact.old)} -> {_short(fact.new)}"


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text if len(text) <= MOST_VALUE else f"{text[: MOST_VALUE - 1]}…"


def method(difference: Judged) -> str:
    """How it was compared, in words."""
    tolerances = ", ".join(
        f"{name} {words.points(value) if name == 'accuracy' else words.percent(value, 1)}"
        for name, value in difference.tolerances.items()
    )
    return (
        f"Tolerances: {tolerances}; times vary by {words.percent(difference.run_to_run, 1)} from run to run. The "
        f"intervals hold all together in 95 % of comparisons. {difference.method}"
    )
