"""``edge-runtime captures``: switch capturing on and off, see what has been kept, and take it away for labelling."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime.cli import add_home, printable

if TYPE_CHECKING:
    from edge_runtime.capture.policy import Policy

HELP = "keep some inputs for labelling, list and export them"

_SETTINGS: dict[str, tuple[Callable[[str], object], str, str]] = {
    "random": (float, "P", "probability of every input (0.001)"),
    "uncertain": (float, "P", "probability of an input that the model is unsure of (0.5)"),
    "drifting": (float, "P", "probability of an input unlike those that the model was made with (0.5)"),
    "measure": (str, "NAME", "of uncertainty: entropy or margin (entropy)"),
    "uncertain_above": (float, "Q", "quantile of the reference from which an input is uncertain (0.95)"),
    "drifting_above": (float, "Q", "quantile of the reference from which an input is unlike it (0.99)"),
    "hourly": (int, "N", "inputs kept in an hour, at most (60)"),
    "disk_bytes": (int, "BYTES", "bytes on the disk, at most (256 MiB)"),
    "days": (float, "DAYS", "days after which an input is removed (30)"),
    "near": (int, "BITS", "by which two pictures' hashes may differ to count as one (2); -1: only equal inputs do"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Capturing is off until it is switched on. A running server follows within a second."
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("list", help="what is kept, and by which settings")
    on = actions.add_parser("on", help="switch capturing on; settings that are not given stay as they are")
    for name, (kind, metavar, text) in _SETTINGS.items():
        option = f"--{name.replace('_', '-')}"
        on.add_argument(option, type=kind, metavar=metavar, default=argparse.SUPPRESS, help=text)
    actions.add_parser("off", help="switch capturing off; what is kept stays")
    actions.add_parser("gc", help="remove what is older than the settings allow")
    export = actions.add_parser("export", help="write what is kept into a folder")
    export.add_argument("folder", type=Path, metavar="FOLDER", help="is made if need be, for its owner only")
    export.add_argument(
        "--format",
        choices=("dataset", "label-studio"),
        default="dataset",
        help="for `compress` to train with (dataset), or tasks for people who label (label-studio)",
    )
    export.add_argument("--replace", action="store_true", help="although an export is in that folder already")
    export.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="a JSON export of Label Studio: only what it labels, with its labels",
    )
    for action in actions.choices.values():
        add_home(action, argparse.SUPPRESS)  # absent, it leaves what stands before the action


def run(arguments: argparse.Namespace) -> int:
    folder = arguments.home / "captures"
    actions = {"list": _list, "on": _on, "off": _off, "gc": _gc, "export": _export}
    return actions[arguments.action](folder, arguments)


def _on(folder: Path, arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    given = {name: getattr(arguments, name) for name in _SETTINGS if hasattr(arguments, name)}
    _change(folder, lambda policy: replace(policy, on=True, **given))
    print(f"capturing is on, into {folder}")
    return 0


def _off(folder: Path, arguments: argparse.Namespace) -> int:
    from dataclasses import replace

    _change(folder, lambda policy: replace(policy, on=False))
    print("capturing is off")
    return 0


def _change(folder: Path, change: Callable[[Policy], Policy]) -> None:
    from edge_runtime.capture import policy
    from edge_runtime.errors import CaptureSettingsError
    from edge_runtime.update.home import Home

    path = folder / "settings.json"
    Home(folder.parent).check()  # what another user writes the server could not read
    try:
        known = policy.load(path)
    except CaptureSettingsError:  # damaged: whoever switches decides anew
        known = policy.Policy()
    policy.save(path, change(known))


def _gc(folder: Path, arguments: argparse.Namespace) -> int:
    import time

    from edge_runtime.capture import items, policy

    print(f"removed {items.remove_expired(folder, policy.load(folder / 'settings.json').days, time.time())}")
    return 0


def _list(folder: Path, arguments: argparse.Namespace) -> int:
    from edge_runtime.capture import items, policy
    from edge_runtime.errors import CaptureError
    from edge_runtime.watch.alarms import rfc3339

    settings = policy.load(folder / "settings.json")
    rows: list[tuple[str, ...]] = []
    size = 0
    for _, path in items.names(folder):
        size += path.stat().st_size
        try:
            sample, record = items.read(path)
        except CaptureError as error:
            rows.append((f"damaged  {error}",))
            continue
        known = record.prediction
        said = "-" if known is None else f"{known.label or known.index} {known.confidence:.3f}"
        shape = "x".join(map(str, sample.shape))
        chance = f"p={record.propensity:.3g}"
        row = (f"{shape} {sample.dtype}", said, ",".join(record.reasons), chance, record.version[:12])
        rows.append(tuple(map(printable, (rfc3339(record.time), *row))))
    widths = [max(map(len, column)) for column in zip(*(row for row in rows if len(row) > 1), strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip() if len(row) > 1 else printable(row[0]))
    print(
        f"{len(rows)} captures, {_size(size)} of {_size(settings.disk_bytes)}; capturing is "
        f"{'on' if settings.on else 'off'}: at most {settings.hourly} an hour, kept {settings.days:g} days"
    )
    return 0


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"


def _export(folder: Path, arguments: argparse.Namespace) -> int:
    import sys

    from edge_runtime.capture.export import export

    done = export(
        folder,
        arguments.folder,
        arguments.format,
        labels=arguments.labels,
        classes=_classes(arguments.home),
        replace=arguments.replace,
    )
    for reason in done.left_out:
        print(f"left out: {printable(reason)}", file=sys.stderr)
    print(printable(f"{done.count} captures: {', '.join(str(path) for path in done.files)}"))
    return 0


def _classes(home: Path) -> tuple[str, ...]:
    """The current model's labels, in its order; none when nothing is installed."""
    from edge_runtime.errors import EdgeRuntimeError
    from edge_runtime.update.home import Home

    try:
        current = Home(home).current()
    except EdgeRuntimeError:
        return ()
    return () if current is None else current.manifest.labels
