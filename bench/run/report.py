"""One self-contained HTML page about a run: no external resource, light and dark, readable on a phone.

Its tables can be sorted and filtered (:mod:`compress.bench.page`), and read without that.

Everything on it comes from a :class:`~compress.bench.run.results.Results`, so a report can be made again from a kept
``results.json``. All text is escaped by the template engine; only our own drawings are let through as markup.
"""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Template
from markupsafe import Markup
from ruamel.yaml import YAML

from compress.bench import page, words
from compress.bench.figures import PairedDifference
from compress.bench.run import plots
from compress.bench.run.recommend import margin_of
from compress.bench.run.results import Results, Variant, Verdict, places
from compress.bench.run.table import budget_groups, met, place_tables
from compress.bench.run.verdict import STUDENT
from compress.progress import duration


@dataclass(frozen=True)
class Answer:
    """What came of one place: the verdict on the whole, and the final variant's numbers against the teacher's."""

    place: str
    variant: Variant
    verdict: Verdict
    numbers: dict[str, Figure | None]


@dataclass(frozen=True)
class Figure:
    """A number against the teacher's. ``spread``: its 95 % interval, empty where it is exact; ``shown``: whether the
    interval excludes that there is no difference."""

    text: str
    spread: str = ""
    shown: bool = True


def render(results: Results) -> str:
    """The report as HTML."""
    return _template().render(
        results=results,
        headline=headline(results),
        answers=answers(results),
        tables=place_tables(results),
        figures=_figures(results.variants),
        budget=budget_groups(results),
        differences=_differences(results.variants),
        margin=words.points(margin_of(_budget(results))),
        latency_method=results.method.get("latency", {}),
        energy_method=results.method.get("energy", {}),
        other_methods={what: value for what, value in results.method.items() if what not in ("latency", "energy")},
        energies=[(v, energy) for v in results.variants for energy in v.energy if energy.gross],
        recipe=_yaml(results.recipe),
    )


def headline(results: Results) -> tuple[str, str]:
    """(The answer in a sentence, the numbers behind it): the report's top."""
    given = answers(results)
    counts = Counter(answer.verdict.verdict for answer in given)
    measured = counts.total() - counts["not measured"]
    unmeasured = f" Not measured: {counts['not measured']} of {counts.total()}." if measured < counts.total() else ""
    if not measured:
        return "Nothing was measured, so it cannot be told whether it paid.", unmeasured.strip()
    if counts["paid"] == measured:
        answer = {1: "It paid.", 2: "It paid on both runtimes measured."}.get(
            measured, f"It paid on all {measured} runtimes measured."
        )
    elif counts["paid"]:
        answer = f"It paid on {counts['paid']} of {measured} runtimes measured."
    elif counts["did not pay"] == measured:
        answer = "It did not pay."
    else:
        answer = "It cannot be told whether it paid."
    return answer, f"{_best(given)}.{_gate(results)}{unmeasured}"


def answers(results: Results) -> list[Answer]:
    """One for each place whose student the results judge."""
    known = {v.id: v for v in results.variants}
    teachers = {places(v): v for v in results.variants if v.step == 0}
    return [
        Answer(words.place(*where), student, verdict, _numbers(student, teachers.get(where)))
        for verdict in results.verdicts
        if verdict.stage == STUDENT and (student := known.get(verdict.variant))
        if (where := places(student))
    ]


def _gate(results: Results) -> str:
    """Paying and keeping the budget are two things: the answer must not hide the one behind the other."""
    counts = Counter(met(line.met) for line in results.budget)
    said = ", ".join(f"{counts[word]} {word}" for word in ("met", "not met", "cannot tell") if counts[word])
    return f" Budget lines: {said}." if said else ""


def _best(given: list[Answer]) -> str:
    """The fastest student among those with the best verdict, in numbers."""
    order = ["paid", "cannot tell", "did not pay", "not measured"]
    best = min(given, key=lambda answer: (order.index(answer.verdict.verdict), -_speed(answer.variant)))
    said = [
        found.format(number.text) if number.shown else f"no difference in {what} shown ({number.text} {number.spread})"
        for (found, what), number in zip(_PHRASES, best.numbers.values(), strict=True)
        if number
    ]
    return f"{best.place}, {words.step(best.variant)}: {', '.join(said)}"


_UNKNOWN = "not readable here"
# How facts of a machine are shown that are not plain counts.
_UNITS = {"frequency": words.hertz, "memory": words.size, "temperature": "{:.0f} °C".format}
# How each of an answer's numbers is told in a sentence, and what it is a number of.
_PHRASES = (
    ("{} the teacher's speed", "speed"),
    ("{} the size of its file", "size"),
    ("{} points of accuracy", "accuracy"),
)


def _numbers(variant: Variant, teacher: Variant | None) -> dict[str, Figure | None]:
    """The tiles: against the teacher on the same runtime; None where not known."""
    speed = variant.latency and variant.latency.ratio_to_teacher
    sized = teacher and teacher.size and variant.size
    drop = variant.accuracy and variant.accuracy.drop_vs_teacher
    return {
        "speed": speed and Figure(words.times(speed.value), words.bracket(speed), not speed.low <= 1 <= speed.high),
        "file size": Figure(f"1/{words.digits(teacher.size / variant.size, 2)}") if sized else None,
        "accuracy, points": drop and _gain(drop),
    }


def _gain(drop: PairedDifference) -> Figure:
    """The loss of accuracy, told as a gain."""
    spread = f"[{_signed(-drop.high)}, {_signed(-drop.low)}]"
    return Figure(_signed(-drop.value), spread, not drop.low <= 0 <= drop.high)


def _signed(gain: float) -> str:
    """A gain of accuracy in points: ``+0.10``."""
    return f"{100 * gain:+.2f}".replace("-", "\N{MINUS SIGN}")


def _speed(variant: Variant) -> float:
    ratio = variant.latency and variant.latency.ratio_to_teacher
    return ratio.value if ratio else 0.0


def _figures(variants: list[Variant]) -> list[tuple[str, Markup]]:
    """(caption, drawing) for every target that was measured; runtimes of one target share a drawing."""
    figures = []
    for index, target in enumerate(dict.fromkeys(v.target for v in variants)):
        here = [v for v in variants if v.target == target]
        drawings = (
            (f"Accuracy against latency on {target}", plots.accuracy_latency(here, name=f"latency{index}")),
            (f"Accuracy against file size, {target}", plots.accuracy_size(here, name=f"size{index}")),
            (f"How single calls are spread on {target}", plots.latency_spread(here, name=f"spread{index}")),
            (f"How many calls took how long on {target}", plots.latency_curves(here, name=f"curves{index}")),
        )
        # Safe: matplotlib escapes every label it writes, and nothing else of the results gets into a drawing.
        figures += [(caption, Markup(svg)) for caption, svg in drawings if svg]
    return figures


def _differences(variants: list[Variant]) -> list[tuple[Variant, str, PairedDifference]]:
    """(variant, its reference in words, the paired difference) for all that were compared."""
    rows = []
    teachers = {variant.id for variant in variants if variant.step == 0}
    for variant in variants:
        if variant.accuracy is None:
            continue
        for called, drop in (
            ("the teacher", variant.accuracy.drop_vs_teacher),
            ("the step before", variant.accuracy.drop_vs_parent if variant.parent not in teachers else None),
        ):
            if drop:
                rows.append((variant, called, drop))
    return rows


def _agreement(value: float, name: str) -> str:
    return f"{value:.2g}" if name.endswith("max_abs_diff") else words.percent(value)


def _budget(results: Results) -> dict[str, float | None]:
    """The limits as numbers: the recipe may have them as text ("2 ms"), the checked lines have not."""
    return {line.what: line.limit for line in results.budget}


def _yaml(value: dict[str, Any]) -> str:
    out = io.StringIO()
    writer = YAML()
    writer.default_flow_style = None
    writer.width = 100
    writer.dump(value, out)
    return out.getvalue()


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """(path, text) of nested values, for lists of facts."""
    if isinstance(value, dict) and value:
        return [pair for key, item in value.items() for pair in flat(item, f"{prefix} {key}".strip())]
    if isinstance(value, list | tuple):
        return [(prefix.replace("_", " "), ", ".join(map(str, value)) or "none")]
    if value is None or value == {}:
        return [(prefix.replace("_", " "), _UNKNOWN)]
    show = _UNITS.get(prefix.rpartition(" ")[2], str)
    return [(prefix.replace("_", " "), show(value) if isinstance(value, int | float) else str(value))]


def _by_reason(floating: dict[str, str]) -> list[tuple[str, str]]:
    """(reason, names): layers that are in float for one reason are told together, at most a few by name."""
    groups: dict[str, list[str]] = {}
    for name, why in floating.items():
        groups.setdefault(why, []).append(name)
    return [
        (why, ", ".join(names[:4]) + (f" and {len(names) - 4} more" * (len(names) > 4)))
        for why, names in groups.items()
    ]


def _by_measurement(value: Any) -> list[tuple[str, list[tuple[str, str]]]]:
    """(measurements, facts) of a dict by measurement: those with the same facts are one entry.

    Anything else, such as the flat facts of a results file made by other means, is one entry without a name.
    """
    if not (isinstance(value, dict) and value and all(isinstance(item, dict) for item in value.values())):
        return [("", flat(value))]
    merged: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for label, item in value.items():
        merged.setdefault(tuple(_course(item)), []).append(label)
    return [(", ".join(labels), list(facts)) for facts, labels in merged.items()]


def _course(item: dict[str, Any]) -> list[tuple[str, str]]:
    """A measurement's facts, those of before and after on one line: ``0.4``, or ``0.4 before, 0.9 after``."""
    if not {"before", "after"} <= item.keys():
        return flat(item)
    before, after = dict(flat(item["before"])), dict(flat(item["after"]))
    facts = [pair for key, other in item.items() if key not in ("before", "after") for pair in flat(other, key)]
    for name in before | after:
        first, then = (side.get(name, _UNKNOWN) for side in (before, after))
        facts.append((name, first if first == then else f"{first} before, {then} after"))
    return facts


@cache
def _template() -> Template:
    engine = page.engine()
    engine.filters |= {
        "facts": flat,
        "by_measurement": _by_measurement,
        "by_reason": _by_reason,
        "met": met,
        "points": words.points,
        "duration": duration,
        "digits": words.digits,
        "joules": words.joules,
        "ratio": words.ratio,
        "seconds": words.seconds,
        "size": words.size,
        "step": words.step,
        "agreement": _agreement,
    }
    return engine.get_template("run/report.html.j2")
