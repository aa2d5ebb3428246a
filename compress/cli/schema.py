"""`compress schema`: the recipe's JSON Schema, for editors that complete and check YAML."""

from __future__ import annotations

import click


@click.command()
def schema() -> None:
    """Print the recipe's JSON Schema (draft 2020-12)."""
    import json

    from compress.recipe import Recipe

    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    click.echo(json.dumps(draft | Recipe.model_json_schema(), indent=2, ensure_ascii=False))
