"""``edge-runtime trust``: whose bundles this device installs."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = "trust a public key, list the trusted ones, or trust one no longer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Without a file or an option, lists the trusted keys. A version stays installed when its key goes."
    what = parser.add_mutually_exclusive_group()
    what.add_argument("key", nargs="?", type=Path, help="a public key's file (.pub), from `compress keys new`")
    what.add_argument("--remove", metavar="ID", help="trust the key with this id no longer")


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.cli import printable
    from edge_runtime.errors import KeyFileError
    from edge_runtime.update import trust
    from edge_runtime.update.home import Home

    home = Home(arguments.home)
    if arguments.remove:
        print(f"no longer trusted: {trust.remove(home, arguments.remove) or arguments.remove}")
    elif arguments.key:
        print(f"trusted: {trust.add(home, arguments.key)}")
    else:
        files = home.key_files().values()
        for problem in (found for found in files if isinstance(found, KeyFileError)):
            print(f"not used: {printable(str(problem))}", file=sys.stderr)
        keys = home.trusted_keys()
        for key in keys:
            print(key)
        if not keys:
            print(f"{home.root}: no key is trusted; name a public key's file to trust it", file=sys.stderr)
    return 0
