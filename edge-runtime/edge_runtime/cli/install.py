"""``edge-runtime install``: check a bundle, test it here, and put it on trial."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path

HELP = "install a bundle: check it, test it here, put it on trial"

WAIVERS = {
    "retry": ("version-bad",),
    "allow_downgrade": ("not-newer",),
    "other_model": ("other-model",),
    "ignore_expiry": ("bundle-expired", "clock-wrong"),
}
"""The refusals that each option passes over, by their codes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit status: 0 if it is installed, or was already; 1 if it was refused, and then the version that was current "
        "still is; 2 for wrong usage. A running server takes the new version over."
    )
    parser.add_argument("bundle", type=Path, help="a bundle (.edge)")
    parser.add_argument("--retry", action="store_true", help="although this version has failed here before")
    parser.add_argument(
        "--allow-downgrade",
        action="store_true",
        help="although the current version is as new or newer; never below the floor that a bundle has set",
    )
    parser.add_argument("--other-model", action="store_true", help="although it replaces a model of another name")
    parser.add_argument(
        "--ignore-expiry", action="store_true", help="although it has expired, or the clock cannot tell"
    )
    parser.add_argument("--attempts", type=_count, metavar="N", help="starts of a server that the trial may take (3)")
    parser.add_argument("--good", type=_count, metavar="N", help="inferences that must succeed in the trial (100)")
    parser.add_argument("--window", type=_seconds, metavar="SECONDS", help="without a crash in the trial (600)")


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.update.home import Home
    from edge_runtime.update.install import ALREADY, REPAIRED, install
    from edge_runtime.update.recovery import read
    from edge_runtime.update.state import Policy

    home = Home(arguments.home)
    before = read(home).current
    waived = [code for option, codes in WAIVERS.items() if getattr(arguments, option) for code in codes]
    given = {name: value for name in ("attempts", "good", "window") if (value := getattr(arguments, name)) is not None}
    try:
        done = install(home, arguments.bundle, policy=Policy(**given), waived=waived)
    except KeyboardInterrupt:
        same = read(home).current == before
        words = "the version that was current still is" if same else "it is installed all the same"
        print(f"interrupted; {words}", file=sys.stderr)
        raise
    words = {ALREADY: "already installed", REPAIRED: "repaired"}.get(done.result, "on trial")
    print(f"{done.name} {done.sequence} ({done.id[:12]}): {words}")
    for excuse in done.excused:
        print(f"  {excuse}; the version before it does no better here, so it is not held against this one")
    return 0


def _count(text: str) -> int:
    with suppress(ValueError):
        if (value := int(text)) >= 1:
            return value
    raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r:.40}")


def _seconds(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) < 1e9:
            return value
    raise argparse.ArgumentTypeError(f"must be a number of seconds below 1e9, not {text!r:.40}")
