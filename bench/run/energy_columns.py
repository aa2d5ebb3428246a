"""Energy in a run's table: columns for every sensor that a place's variants were measured with, and what to know."""

from __future__ import annotations

from collections.abc import Sequence

from compress.bench import words
from compress.bench.energy import NONE, updates
from compress.bench.figures import Interval
from compress.bench.run.results import Energy, Variant

Shown = tuple[str, str]
"""A figure, and its spread beside it."""
NOTHING: Shown = (words.NO_VALUE, "")
SPREAD = "energy of a sample: medians of the windows, with the least and the largest; net is gross less idle"


def headings(variants: Sequence[Variant]) -> list[tuple[str, str]]:
    """(name, unit) of each column; none where energy was not asked for."""
    unit = _unit(variants)[1]
    return [(name, unit if figured else "") for name, figured in _named(variants)]


def cells(variant: Variant, variants: Sequence[Variant]) -> list[Shown]:
    """The figures of one of ``variants``, by column."""
    scale, _ = _unit(variants)
    found: list[Shown] = []
    for sensor in _sensors(variants):
        of = next((e for e in variant.energy if e.sensor == sensor.sensor), None)
        if not sensor.measured or sensor.sensor == NONE:
            found.append(_shown(of, of and of.gross, scale))
        else:
            found += [_shown(of, of and of.gross, scale), _shown(of, of and of.net, scale)]
    return found


def notes(variants: Sequence[Variant]) -> list[str]:
    """What the figures are and see, why there is none, and what went wrong, each said once."""
    every = [(variant, energy) for variant in variants for energy in variant.energy]
    figured = [energy for _, energy in every if energy.gross]
    found = [SPREAD] if any(energy.measured for energy in figured) else []
    found += [f"{e.sensor}: {e.source}{updates(e.resolution)}" if e.measured else e.source for e in figured]
    # Without a sensor the reason is everyone's; of a sensor that failed, somebody's.
    found += [f"energy {NONE}: {e.none}" if e.sensor == NONE else f"{e.sensor}: {e.none}" for _, e in every if e.none]
    warned: dict[str, list[str]] = {}
    for variant, energy in every:
        lost = energy.windows_asked - energy.windows if energy.gross and energy.measured else 0
        said = [*energy.warnings, *([f"{energy.windows} of {energy.windows_asked} windows"] if lost else [])]
        for warning in said:
            warned.setdefault(f"{energy.sensor}: {warning}", []).append(words.step(variant))
    return [*dict.fromkeys(found), *(f"{', '.join(steps)}: {warning}" for warning, steps in warned.items())]


def _named(variants: Sequence[Variant]) -> list[tuple[str, bool]]:
    """Names of the columns, and whether there are figures in them. One sensor needs no name: a note has it."""
    sensors = _sensors(variants)
    several = sum(energy.measured for energy in sensors) > 1
    found = []
    for energy in sensors:
        if energy.sensor == NONE:
            found.append(("Energy", False))
        elif not energy.measured:
            found.append(("Energy modelled", True))
        else:
            name = f"Energy {energy.sensor}" if several else "Energy"
            found += [(f"{name} gross", True), (f"{name} net", True)]
    return found


def _sensors(variants: Sequence[Variant]) -> list[Energy]:
    """One answer of each sensor, in their order."""
    return list({energy.sensor: energy for variant in reversed(variants) for energy in variant.energy}.values())


def _unit(variants: Sequence[Variant]) -> tuple[float, str]:
    return words.unit_of_joules(e.gross.value for v in variants for e in v.energy if e.gross)


def _shown(energy: Energy | None, joules: Interval | None, scale: float) -> Shown:
    if energy is None:
        return NOTHING
    if joules is None:
        return NONE if energy.none else words.NO_VALUE, ""
    value, low, high = (words.digits(number / scale) for number in (joules.value, joules.low, joules.high))
    return value, f"[{low}, {high}]" if energy.measured else ""
