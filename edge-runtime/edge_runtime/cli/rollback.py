"""``edge-runtime rollback``: back to the version before the current one."""

from __future__ import annotations

import argparse

HELP = "go back to the version before, and mark the current one bad"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "A version that is marked bad is installed again only with `edge-runtime install --retry`."
    parser.add_argument("--reason", default="by hand", help="what is written into the history")


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.update.home import Home
    from edge_runtime.update.rollback import rollback

    version = rollback(Home(arguments.home), arguments.reason)
    print(f"{version.manifest.name} {version.manifest.sequence} ({version.id[:12]}): current")
    return 0
