"""``edge-runtime gc``: remove versions that are no longer needed."""

from __future__ import annotations

import argparse

HELP = "remove versions other than the current, the previous and the last good one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Every install does this first; by itself it is for when space is short."


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.cli import printable
    from edge_runtime.update.gc import gc
    from edge_runtime.update.home import Home

    gone = gc(Home(arguments.home))
    for id in gone:
        print(f"removed {printable(id)}")
    if not gone:
        print("nothing to remove")
    return 0
