"""`compress validate`: every mistake of a recipe, with its line, before anything runs."""

from __future__ import annotations

import click

from compress.cli.options import recipe_argument, set_option


@click.command()
@recipe_argument
@set_option
def validate(recipe: str, overrides: tuple[str, ...]) -> None:
    """Check RECIPE: its keys and values, contradictions, files and targets. Runs and writes nothing."""
    from compress.recipe_file import load_recipe

    checked = load_recipe(recipe, overrides)
    stages = " -> ".join(["teacher", *(stage.kind for stage in checked.stages)])
    click.echo(f"{recipe}: fine: {stages}, for {', '.join(target.name for target in checked.targets)}")
