"""Arguments and options that several commands share."""

from __future__ import annotations

import click

recipe_argument = click.argument("recipe", type=click.Path(path_type=str))
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the recipe for this once, e.g. stages[0].prune.ratio=0.3; may be repeated.",
)
store_option = click.option(
    "--store", metavar="DIR", help="The artifact store [default: $COMPRESS_STORE, or the user's cache folder]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON on standard output.")
