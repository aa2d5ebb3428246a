"""`compress diff`: what changed between two runs or two benchmarks beyond noise; a gate for continuous integration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from compress.cli.options import json_option

if TYPE_CHECKING:
    from compress.bench.benchmark.results import Benchmark
    from compress.bench.diff.compare import Judged
    from compress.bench.run.results import Results

WORSE = 4


@click.command()
@click.argument("older", metavar="OLDER", type=click.Path(path_type=Path))
@click.argument("newer", metavar="NEWER", type=click.Path(path_type=Path))
@click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="FIGURE=PERCENT",
    help="How much worse is tolerated, several with commas [default: latency=3%,accuracy=0.5%,size=1%,memory=5%,"
    "energy=5%].",
)
@click.option(
    "--run-to-run",
    metavar="PERCENT",
    default="2%",
    show_default=True,
    help="How much times vary from run to run (standard deviation).",
)
@click.option("--only", multiple=True, metavar="PATTERN", help="Only variants such as 'quantize/*'; may be repeated.")
@click.option(
    "--strict",
    is_flag=True,
    help="Also fail where a figure of OLDER could not be compared: gone, cut off, or another state of the machine.",
)
@click.option("--all", "everything", is_flag=True, help="A row for every figure, changed or not.")
@json_option
def diff(
    older: Path,
    newer: Path,
    tolerances: tuple[str, ...],
    run_to_run: str,
    only: tuple[str, ...],
    strict: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """Compare two runs, each its folder or results.json, variant by variant; or two benchmarks of `compress bench`.

    Accuracy is compared sample by sample where both runs say which they got right. Latency is compared by each run's
    ratio to its own teacher (a benchmark's first model), and only on the same machine. Accuracy's tolerance is
    absolute, the others relative.

    Exit codes: 0 nothing worse, 1 an error, 2 not called with two runs, 4 worse beyond noise and beyond the tolerance.
    """
    allowed, between = _tolerances(tolerances), _percent(run_to_run, run_to_run, "--run-to-run")
    found, text = _compared(older, newer, {"tolerances": allowed, "run_to_run": between, "only": only})
    if as_json:
        click.echo(text)
    else:
        _show(found, everything)
    if found.worse or (strict and found.incomplete):
        sys.exit(WORSE)


def _compared(older: Path, newer: Path, options: dict[str, Any]) -> tuple[Judged, str]:
    """What changed, and the same as JSON, of two runs or of two benchmarks."""
    from compress.bench.benchmark.read import kind_of, read_benchmark
    from compress.bench.diff import benchmark as benchmarks
    from compress.bench.diff import compare as runs
    from compress.bench.run.read import read_run
    from compress.errors import RunError

    kinds = [kind_of(place) for place in (older, newer)]
    if set(kinds) == {"benchmark", "run"}:
        raise RunError(f"{older} is a {kinds[0]} and {newer} is a {kinds[1]}: two of one kind can be compared")
    if "benchmark" in kinds:  # where the other one is damaged, reading it tells how
        old, new = read_benchmark(older), read_benchmark(newer)
        found, what = benchmarks.compare(old, new, **options), "measurement (model/scenario/threads/batch)"
        have, text = [_measurements(old), _measurements(new)], benchmarks.to_json(found)
    else:
        old, new = read_run(older), read_run(newer)
        found, what = runs.compare(old, new, **options), "variant (stage/target/runtime)"
        have, text = [_variants(old), _variants(new)], runs.to_json(found)
    if not found.pairs and not found.worse:
        asked = f" that --only {' or '.join(options['only'])} means" if options["only"] else ""
        raise RunError(f"there is no {what} in both runs{asked}: {older} has {have[0]}; {newer} has {have[1]}")
    return found, text


def _tolerances(given: tuple[str, ...]) -> dict[str, float]:
    """``("latency=3%,size=0.01",)`` as fractions by name."""
    from compress.bench.diff.compare import TOLERANCES
    from compress.suggest import did_you_mean

    found = {}
    for part in (part.strip() for text in given for part in text.split(",")):
        name, equals, value = part.partition("=")
        if not equals:
            raise click.BadParameter(f"{part!r}: write for example latency=3%", param_hint="--tolerance")
        if name not in TOLERANCES:
            raise click.BadParameter(f"{name!r}: {did_you_mean(name, TOLERANCES)}", param_hint="--tolerance")
        found[name] = _percent(value, part, "--tolerance")
    return found


def _percent(value: str, given: str, option: str) -> float:
    from compress.quantities import FRACTION, parse

    try:
        fraction = parse(value, FRACTION, "3%")
    except ValueError as error:
        raise click.BadParameter(f"{given!r}: {error}", param_hint=option) from error
    if not 0 <= fraction <= 1:
        raise click.BadParameter(f"{given!r}: it must lie between 0% and 100%", param_hint=option)
    return fraction


def _variants(run: Results) -> str:
    from compress.suggest import few

    return few([f"{v.stage}/{v.target}/{v.runtime}" for v in run.variants], 4) or "none"


def _measurements(benchmark: Benchmark) -> str:
    from compress.suggest import few

    return few([f"{t.model}/{cell.id}" for cell in benchmark.cells for t in cell.timings], 4) or "none"


def _show(found: Judged, everything: bool) -> None:
    from rich.console import Console

    from compress.bench.diff import table as diff_table

    width = max(80, Console(file=sys.stdout).width)
    Console(file=sys.stdout, width=width, highlight=False).print(
        diff_table.terminal(found, width, everything=everything)
    )
