"""A profile for a terminal: the layers that take longest, with bars, and below them what it all means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from compress.bench import words
from compress.bench.profile.layers import Layer, Profile
from compress.bench.roofline import floor as roofline

LEAST_WIDTH = 80
"""Columns that a table needs."""
BAR = 12
"""Columns of the longest bar."""
EIGHTHS = " ▏▎▍▌▋▊▉"
OPTIONAL = {"GMAC/s": 8, "kernel": 0, "MMAC": 7}
"""Columns that are left out where the terminal is narrow, and the room they take; 0 is as much as the longest name. A
kernel is not told where all are the same."""
TYPE = 20
"""Room for a type's name, at most."""
NAME, NAME_LEAST = 28, 14
"""Room for a layer's name before optional columns get any, and at least."""
TAKEN = 46
"""Room of the columns that are always there, with what is between them."""
KINDS = 5
"""Kinds of layers that are named."""
PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", None: words.NO_VALUE}
TOLD = 0.005
"""Shares below this are not worth words."""


def terminal(profile: Profile, top: int = 20, width: int = 120) -> RenderableType:
    """A rich renderable; ``top``: rows of layers, the longest first."""
    title = f"{profile.model}, {profile.runtime} {profile.version}, {words.counted(profile.threads, 'thread')}"
    parts: list[RenderableType] = [Text(title, style="bold"), Text(_where(profile), style="dim")]
    shown = sorted(profile.layers, key=lambda layer: -layer.seconds)[:top]
    parts.append(_table(shown, width))
    below = Table.grid(Column(style="bold", no_wrap=True), Column(ratio=1), padding=(0, 2, 0, 0))
    for label, line in lines(profile, len(shown)):
        # A number is not parted from its percent sign.
        below.add_row(label, Text(line.replace(" %", "\u00a0%")))
    return Group(*parts, Padding(below, (0, 1)))


def lines(profile: Profile, shown: int) -> list[tuple[str, str]]:
    """What stands below the table: labels, and sentences."""
    rows = sorted((layer.share for layer in profile.layers), reverse=True)
    part = words.percent(sum(rows[:shown]), 0)
    rest = f", of which the {shown} shown {_take(shown)} {part}" if shown < len(rows) else ""
    floor = f"{roofline.say(profile.floor)}." if profile.floor else f"none: {profile.no_floor}."
    return [
        (
            "Layers",
            f"{words.counted(len(rows), 'layer')} {_take(len(rows))} {words.seconds(profile.layers_sum)}{rest}.",
        ),
        ("", f"{_kinds(profile)}."),
        ("", _conversions(profile)),
        ("Inference", _inference(profile)),
        *([("Peak", _peaks(profile.peaks))] if profile.peaks else []),
        ("Floor", floor[0].upper() + floor[1:]),
        *(("", f"{note[0].upper()}{note[1:]}.") for note in (profile.floor.notes if profile.floor else ())),
        ("Method", f"{profile.method['profiler']}; {words.counted(profile.method['calls'], 'call')}."),
    ]


def _take(count: int) -> str:
    return "takes" if count == 1 else "take"


def _where(profile: Profile) -> str:
    shapes = ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in profile.inputs.items())
    emulated = "; EMULATED: these times say nothing about hardware" if profile.emulated else ""
    return f"{profile.machine}; {shapes}{emulated}"


def _table(layers: list[Layer], width: int) -> Table:
    scale, unit = words.unit_of_times(layer.seconds for layer in layers)
    shown, room = _columns(layers, width)
    heads = {unit: True, "share": True, "": False, "layer": False, "type": False, "kernel": False, "in": False}
    heads |= {"MMAC": True, "GMAC/s": True, "of peak": True}
    columns = [
        Column(head, justify="right" if right else "left", no_wrap=True)
        for head, right in heads.items()
        if head in shown or head not in OPTIONAL
    ]
    table = Table(*columns, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    longest = max((layer.share for layer in layers), default=0.0)
    places = _places(max((layer.seconds for layer in layers), default=0.0) / scale)
    for layer in layers:
        row = [f"{layer.seconds / scale:.{places}f}", words.percent(layer.share, 1)]
        length = bar(layer.share / longest if longest else 0).ljust(BAR)
        row += [Text(length, style="blue"), _end(_called(layer), room)]
        row += [_start(layer.type, TYPE)] + ([layer.kernel] if "kernel" in shown else []) + [_computes(layer)]
        row += [_number(layer.macs, 1e6)] if "MMAC" in shown else []
        row += [_number(layer.rate, 1e9)] if "GMAC/s" in shown else []
        table.add_row(*row, _percent(layer.of_peak), style="dim" if layer.conversion else None)
    return table


def _columns(layers: list[Layer], width: int) -> tuple[set[str], int]:
    """Those of OPTIONAL that there is room for, and what is left for names."""
    room = width - TAKEN - min(TYPE, max((len(layer.type) for layer in layers), default=0))
    wanted = min(NAME, max((len(_called(layer)) for layer in layers), default=0))
    kernels = {layer.kernel for layer in layers}
    shown = set()
    for name, columns in OPTIONAL.items():
        columns = columns or max(map(len, kernels), default=0) + 2
        if room - columns >= wanted and (name != "kernel" or len(kernels) > 1):
            shown.add(name)
            room -= columns
    return shown, max(room, NAME_LEAST)


def _called(layer: Layer) -> str:
    return layer.name if layer.calls == 1 else f"{layer.name} ({layer.calls} times)"


def _end(text: str, length: int) -> str:
    """Names of layers begin alike, and differ in the end."""
    return text if len(text) <= length else f"…{text[1 - length :]}"


def _start(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def bar(fraction: float) -> str:
    """``BAR`` columns for 1, drawn to an eighth of one."""
    eighths = round(min(max(fraction, 0.0), 1.0) * BAR * 8)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def _places(largest: float) -> int:
    """Decimals that leave the largest number three digits."""
    return 2 if largest < 10 else 1 if largest < 100 else 0


def _computes(layer: Layer) -> str:
    if layer.conversion:
        return layer.conversion
    return PRECISIONS.get(layer.precision, layer.precision)


def _number(value: float | None, scale: float) -> str:
    """Three digits, and no more than two decimals."""
    if not value:
        return words.NO_VALUE
    scaled = value / scale
    return "<0.01" if scaled < 0.01 else f"{scaled:.2f}" if scaled < 1 else words.digits(scaled)


def _percent(value: float | None) -> str:
    if value is None:
        return words.NO_VALUE
    return "<1 %" if value < 0.01 else words.percent(value, 0)


def _kinds(profile: Profile) -> str:
    """``QLinearConv 82 % (13), QLinearAdd 8 % (5), others 10 % (9)``."""
    shares: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for layer in profile.layers:
        shares[layer.type] += layer.share
        counts[layer.type] += 1
    order = sorted(shares, key=lambda kind: -shares[kind])
    named = [kind for kind in order[:KINDS] if shares[kind] >= TOLD] or order[:1]
    others = [kind for kind in order if kind not in named]
    told = [f"{kind} {words.percent(shares[kind], 0)} ({counts[kind]})" for kind in named]
    if others:
        rest, count = sum(shares[kind] for kind in others), sum(counts[kind] for kind in others)
        told.append(f"others {_percent(rest)} ({count})")
    return ", ".join(told)


def _conversions(profile: Profile) -> str:
    kinds = {"type": "changes the type (quantize, dequantize, cast)", "layout": "the layout (reorder, transpose)"}
    said = [
        f"{words.percent(profile.share(kind), 1)} {what}" for kind, what in kinds.items() if profile.share(kind) >= TOLD
    ]
    return f"{', '.join(said)}, and computes nothing." if said else "Hardly any changes only the type or the layout."


def _peaks(peaks: Mapping[str, Any]) -> str:
    measured = {precision: roofline.rate(peaks, precision) for precision in ("float32", "int8")}
    rates = [f"{roofline.giga(value)} GMAC/s in {precision}" for precision, value in measured.items() if value]
    moved = roofline.giga(max(peaks["read"], peaks["copy"]))
    return f"{', '.join(rates)}, {moved} GB/s from memory: measured."


def _inference(profile: Profile) -> str:
    """How the layers' sum relates to what an inference takes."""
    start = (
        f"{words.seconds(profile.unprofiled)} without the profiler (median), {words.seconds(profile.profiled)} with it."
    )
    between = 1 - profile.layers_sum / profile.unprofiled
    if between >= 0:
        return f"{start} {words.percent(between, 0)} of the former lies between layers: engine and Python."
    return (
        f"{start} The layers' sum is {words.percent(-between, 0)} above the former: what profiling itself takes, most "
        "of it in short layers."
    )
