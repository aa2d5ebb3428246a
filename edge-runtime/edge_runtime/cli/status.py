"""``edge-runtime status``: which version is current, how its trial is going, and what is wrong."""

from __future__ import annotations

import argparse
import json
from typing import Any

HELP = "show which version is current, and how its trial is going"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit status: 0, also when there are problems."
    parser.add_argument("--json", action="store_true", help="one JSON object, with everything that is known")


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.cli import printable
    from edge_runtime.update.home import Home
    from edge_runtime.update.status import status

    facts = status(Home(arguments.home))
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return 0
    for role in ("current", "previous", "good"):
        print(f"{role:<9} {_version(facts[role])}")
    if trial := facts["trial"]:
        attempts = "attempt" if trial["attempts_left"] == 1 else "attempts"
        print(
            f"{'trial':<9} {trial['attempts_left']} {attempts} left, {trial['good']} of {trial['good_needed']} good "
            f"inferences, {trial['failed']} failed, window {trial['window']:g} s"
        )
    print(f"{'floor':<9} {facts['floor']}")
    for id, reason in facts["bad"].items():
        print(f"{'bad':<9} {id[:12]}  {printable(reason)}")
    for key in facts["keys"]:
        print(f"{'key':<9} {key}")
    print(f"{'free':<9} {facts['free'] / 1e6:.0f} MB")
    for problem in facts["problems"]:
        print(f"{'problem':<9} {printable(problem)}")
    return 0


def _version(facts: dict[str, Any] | None) -> str:
    if facts is None:
        return "-"
    if facts["name"] is None:
        return f"damaged ({facts['id'][:12]})"
    size = "" if facts["flash"] is None else f", {facts['flash'] / 1e6:.2f} MB"
    return f"{facts['name']} {facts['sequence']} ({facts['id'][:12]}){size}"
