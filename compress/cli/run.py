"""`compress run`: a recipe in, students and the answer out; with `--plan`, only what would be done."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli.options import json_option, recipe_argument, set_option, store_option
from compress.errors import CompressError

if TYPE_CHECKING:
    from compress.recipe import Recipe
    from compress.runner import RunResult
    from compress.store import Store

BUDGET_MISSED = 3


class _Run(click.Command):
    def invoke(self, ctx: click.Context) -> Any:
        """With `--json` an expected error is an event too, besides its message on standard error."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from compress.cli.group import is_expected

            if ctx.params["as_json"] and is_expected(error):
                _print_event("error", message=str(error), exit_code=getattr(error, "exit_code", 1))
            raise


@click.command(cls=_Run)
@recipe_argument
@set_option
@store_option
@json_option
@click.option("--plan", "only_plan", is_flag=True, help="Show the steps, and which are in the store; run nothing.")
@click.option("--out", metavar="DIR", help="Folder for tables, report and models [default: runs/NAME].")
@click.option("--quiet", is_flag=True, help="Warnings and the table only.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Of training and evaluation [default: all cores].")
@click.option("--remeasure", is_flag=True, help="Time the models again, even where this was done before.")
def run(
    recipe: str,
    overrides: tuple[str, ...],
    store: str | None,
    as_json: bool,
    only_plan: bool,
    out: str | None,
    quiet: bool,
    threads: int | None,
    remeasure: bool,
) -> None:
    """Carry out RECIPE. What the store has already is not made again; an interrupted run goes on where it was.

    With --json each line of a run is an event; the last is the result, or the error.

    Exit codes: 0 done, 1 an error, 2 the recipe is wrong, 3 the result is outside the recipe's budget.
    """
    from compress.progress import for_terminal
    from compress.recipe_file import load_recipe
    from compress.store import Store, default_root

    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other")
    loaded = load_recipe(recipe, overrides)
    with for_terminal(quiet, as_json) as emit:
        artifacts = Store(Path(store) if store else default_root(), emit)
        if not only_plan:
            from compress import runner

            folder = Path(out) if out else Path("runs") / loaded.name
            result = runner.run(loaded, store=artifacts, out=folder, emit=emit, threads=threads, remeasure=remeasure)
    if only_plan:
        _show_plan(loaded, artifacts, as_json)
        return
    if as_json:
        _print_results(result)
    else:
        _show_results(result)
    if result.budget_met is False:
        sys.exit(BUDGET_MISSED)


def _show_plan(recipe: Recipe, store: Store, as_json: bool) -> None:
    from compress.cli.show_plan import show
    from compress.plan import Facts, plan

    try:
        from compress import runner

        facts = runner.facts(recipe)
    except CompressError as error:
        click.echo(f"warning: the data cannot be read, so what the store holds is unknown: {error}", err=True)
        facts = Facts()
    show(plan(recipe, facts), store, as_json)


def _print_results(result: RunResult) -> None:
    verdicts, budget = result.results.verdicts, result.results.budget
    _print_event("result", out=str(result.out), budget_met=result.budget_met, verdicts=verdicts, budget=budget)


def _print_event(event: str, **fields: object) -> None:
    click.echo(json.dumps({"event": event, **fields}, default=asdict))


def _show_results(result: RunResult) -> None:
    from rich.console import Console

    from compress.bench.run import table

    width = max(80, Console(file=sys.stdout).width)
    Console(file=sys.stdout, width=width).print(table.terminal(result.results, width))
    click.echo(f"report: {result.out / 'report.html'}", err=True)
