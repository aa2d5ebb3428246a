"""`compress sensitivity`: which layer int8 harms, and in which it gains time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from compress.cli.options import json_option, set_option, store_option

if TYPE_CHECKING:
    from compress.bench.sensitivity.ranking import Ranking
    from compress.recipe import Recipe


@click.command()
@click.argument("recipe", metavar="RECIPE|RUN", type=click.Path(path_type=Path))
@set_option
@store_option
@json_option
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder for the files [default: runs/NAME]."
)
@click.option("--samples", type=click.IntRange(1), default=1000, show_default=True, help="Of the validation split.")
@click.option("--rounds", type=click.IntRange(6), default=20, show_default=True, help="Of the timing.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the samples and the timing.")
@click.option("--quiet", is_flag=True, help="Warnings and the tables only.")
def sensitivity(
    recipe: Path,
    overrides: tuple[str, ...],
    store: str | None,
    as_json: bool,
    out: Path | None,
    samples: int,
    rounds: int,
    seed: int,
    quiet: bool,
) -> None:
    """Rank the layers of a finished run by the harm that int8 does, with the time that it saves in each.

    Takes a RECIPE, or the folder of a RUN, whose float network is in the store. Writes sensitivity.json, .csv and .html
    into the run's folder. For every runtime of the recipe that this machine can measure.
    """
    from compress.progress import for_terminal
    from compress.store import Store, default_root

    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other")
    loaded, folder = _load(recipe, overrides)
    folder = out or folder
    with for_terminal(quiet, as_json) as emit:
        from compress.blame import rank_run

        artifacts = Store(Path(store) if store else default_root(), emit)
        rankings = rank_run(loaded, artifacts, emit, samples=samples, rounds=rounds, seed=seed)
    files = _write(loaded.name, rankings, folder)
    _show(rankings, files, as_json)


def _load(place: Path, overrides: tuple[str, ...]) -> tuple[Recipe, Path]:
    """The recipe, from its file or from what a run wrote, and the run's folder."""
    from compress.errors import RecipeError
    from compress.recipe_file import load_recipe

    if not place.is_dir():
        recipe = load_recipe(place, overrides)
        return recipe, Path("runs") / recipe.name
    from compress.bench.run.results import from_json
    from compress.recipe import Recipe

    if overrides:
        raise click.UsageError("--set changes a recipe; a finished run has had its own: give the recipe's file")
    file = place / "results.json"
    if not file.is_file():
        raise RecipeError(f"{place} is not the folder of a finished run: it has no results.json; {_instead(place)}")
    results = from_json(file.read_text(encoding="utf-8"))
    # Paths in a recipe are relative to its file, which lay here.
    return Recipe.model_validate(results.recipe).placed(Path(results.environment.get("folder", "."))), place


def _instead(place: Path) -> str:
    from compress.suggest import few

    runs = sorted(file.parent.name for file in place.glob("*/results.json"))
    return f"which of its runs? {few(runs)}" if runs else "make one with `compress run`, or give the recipe's file"


def _write(name: str, rankings: list[Ranking], folder: Path) -> list[Path]:
    from compress.bench.sensitivity import ranking
    from compress.bench.sensitivity import report as sensitivity_report
    from compress.errors import StoreError
    from compress.files import replace_file

    texts = {
        "sensitivity.json": ranking.to_json(rankings),
        "sensitivity.csv": ranking.to_csv(rankings),
        "sensitivity.html": sensitivity_report.page(name, rankings),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            with replace_file(folder / file) as temporary:
                temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; choose another with --out") from error
    return [folder / file for file in texts]


def _show(rankings: list[Ranking], files: list[Path], as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from rich.console import Console

    from compress.bench.sensitivity import report as sensitivity_report

    if as_json:
        plain = {"event": "result", "files": [str(file) for file in files], "rankings": rankings}
        click.echo(json.dumps(plain, default=asdict))
        return
    console = Console(file=sys.stdout, width=max(100, Console(file=sys.stdout).width))
    for ranking in rankings:
        console.print(sensitivity_report.terminal(ranking))
    click.echo(f"report: {files[-1]}", err=True)
