"""``edge-runtime history``: what was installed, committed, refused and gone back from here."""

from __future__ import annotations

import argparse
import json

HELP = "show what was installed, committed, refused and gone back from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "What was refused is there too, if a trusted key had signed it: with anything else somebody could fill the "
        "history, which forgets its oldest lines."
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    from edge_runtime.cli import printable
    from edge_runtime.errors import NothingInstalledError
    from edge_runtime.update.history import events

    if not arguments.home.is_dir():
        raise NothingInstalledError(f"{arguments.home}: nothing is installed here; use `edge-runtime install`")
    for event in events(arguments.home):
        if arguments.json:
            print(json.dumps(event))
        else:
            ids = event["ids"] if isinstance(event.get("ids"), list) else [event.get("id")]
            about = "".join(f" {str(id)[:12]}" for id in ids if id)
            told = event.get("reason") or ", ".join(
                f"{name} {event[name]}" for name in ("name", "sequence", "floor", "to") if event.get(name) is not None
            )
            print(printable(f"{event.get('at')} {event['event']}{about}{': ' if told else ''}{told}"))
    return 0
