"""`compress bench`: measure model files, here or on devices, with the method stated and every doubt in the table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from compress.cli.options import json_option

if TYPE_CHECKING:
    from compress.bench.benchmark.request import Request
    from compress.bench.benchmark.results import Benchmark
    from compress.bench.devices.base import Device

INCOMPLETE = 1
RESUMED = ("resume", "quiet", "as_json")
SHOWN = ("recording", "targets", "out", "watts", "quiet", "as_json")
"""Options that --resume and --from use."""
SCENARIOS = ("single-stream", "multi-stream", "offline", "batch")


@click.command()
@click.argument("models", nargs=-1, metavar="[NAME=]MODEL...")
@click.option("--model", "named", multiple=True, metavar="NAME=PATH", help="A further model, with the name it gets.")
@click.option(
    "--on", "targets", multiple=True, metavar="TARGET", help="Where [default: this machine]; may be repeated."
)
@click.option("--connect", metavar="ssh://...", help="Where the target is, if its file does not say.")
@click.option("--runtime", metavar="NAME", help="For all models instead of their own, such as openvino for .onnx.")
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help=f"Of {', '.join(SCENARIOS)}; several.")
@click.option("--threads", default="1", show_default=True, metavar="LIST", help="Of one call, such as 1,2,4.")
@click.option("--batch", "batches", default="1", show_default=True, metavar="LIST", help="Samples of a call: 1,8.")
@click.option("--query", type=click.IntRange(1), default=8, show_default=True, help="Samples of a multi-stream query.")
@click.option("--seconds", default="20 s", show_default=True, metavar="TIME", help="At most for a cell, of all models.")
@click.option("--precision", default="1%", show_default=True, metavar="SHARE", help="At which a cell ends; 0 never.")
@click.option("--key", "keys", multiple=True, metavar="KEY.pub", help="Whose bundles [default: trusted here].")
@click.option("--inputs", metavar="FILE.npz", help="Real inputs, one array each, rows are samples [default: random].")
@click.option("--axis", "axes", multiple=True, metavar="NAME=SIZE", help="Size of an axis that the model leaves open.")
@click.option(
    "--cold", type=click.IntRange(0), default=5, show_default=True, help="Fresh processes for the cold start."
)
@click.option("--memory/--no-memory", default=True, show_default=True, help="Memory of a fresh process.")
@click.option("--energy/--no-energy", default=True, show_default=True, help="Energy, where there is a sensor.")
@click.option("--meter", "meters", multiple=True, metavar="ADDRESS", help="An external meter too; see docs/energy.md.")
@click.option("--model-energy", "watts", type=float, metavar="WATTS", help="Also model energy, marked as modelled.")
@click.option("--sustain", metavar="TIME", help="Run every model on end for so long, such as 30m.")
@click.option("--roofline", is_flag=True, help="Measure the machine's peak rates, and how close each model comes.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of random inputs and orders.")
@click.option("--out", metavar="FOLDER", type=click.Path(path_type=Path), help="For the results [default: bench-TIME].")
@click.option("--resume", metavar="FOLDER", type=click.Path(path_type=Path), help="Go on with a benchmark cut off.")
@click.option("--from", "recording", metavar="EVENTS", type=click.Path(path_type=Path), help="Show a recording again.")
@click.option("--quiet", is_flag=True, help="Warnings and the tables only.")
@json_option
def bench(models: tuple[str, ...], named: tuple[str, ...], **options: Any) -> None:
    """Measure MODELs: .onnx, OpenVINO .xml, .tflite, TensorRT .engine, .pt2, .safetensors of a run; a bundle, opened as
    a device does; or a run's folder.

    They take turns, so that drift of the machine hits all alike; the first is what the others are compared with. A cell
    (scenario, threads, batch) ends when its intervals are tight enough, or when time is up, and says which.

    Exit codes: 0 all was measured, 1 an error or something was left out, 2 wrongly asked, 130 interrupted (143 by
    SIGTERM, 129 by a terminal that closed). What was measured is shown and kept in any case.
    """
    words = [*models, *named]
    _check_ways(words, options)
    if options["recording"]:
        _show_recording(options)
    elif options["resume"]:
        sys.exit(_go_on(options["resume"], options))
    else:
        sys.exit(_begin(words, options))


def _check_ways(words: Sequence[str], options: dict[str, Any]) -> None:
    """Models to measure, a benchmark to go on with, or a recording: one of them, and no option that it cannot use."""
    ways = [bool(words), bool(options["resume"]), bool(options["recording"])]
    if sum(ways) != 1:
        problem = "exclude each other" if any(ways) else "are all missing"
        raise click.UsageError(f"models, --resume FOLDER and --from EVENTS {problem}; see compress bench --help")
    if options["resume"] and options["out"]:
        raise click.UsageError("--resume goes on in its own folder; --out is for a new one")
    used = RESUMED if options["resume"] else SHOWN if options["recording"] else None
    context = click.get_current_context()
    asked = [one for one in context.command.params if isinstance(one, click.Option)]
    asked = [one for one in asked if context.get_parameter_source(one.name) is ParameterSource.COMMANDLINE]
    for option in asked if used is not None else ():
        if option.name not in used:
            way = "--resume goes on with what was asked before" if options["resume"] else "--from measures nothing"
            raise click.UsageError(f"{option.opts[0]}: {way}; leave it away")


def _begin(words: Sequence[str], options: dict[str, Any]) -> int:
    """A new benchmark, which leaves nothing where nothing was measured; its exit status."""
    from compress.bench.benchmark import measure as measuring
    from compress.bench.benchmark import place
    from compress.bench.benchmark import request as requests
    from compress.bench.benchmark.fits import UnfitError
    from compress.bench.devices.signals import as_ctrl_c
    from compress.cli import bench_options
    from compress.errors import BenchmarkError

    folder = options["out"] or bench_options.new_folder()
    with as_ctrl_c(), place.claimed(folder):
        place.free(folder)
        request = bench_options.request(words, options, ["compress", *sys.argv[1:]], folder)
        events: list[Path] = []
        try:
            devices = _devices(request)
            places = list(measuring.places_of(folder, [device.name for device in devices]).values())
            place.free_each(places)
            events = places
            try:
                requests.save(request, folder)
            except OSError as error:
                problem = f"cannot write to {folder}: {error.strerror}; choose another with --out"
                raise BenchmarkError(problem) from error
            return _measure(request, devices, folder, options)
        except UnfitError:  # what was told before is which models and machine there are
            for path in events:
                path.unlink(missing_ok=True)
            raise
        finally:
            if not any(map(place.told, events)):
                place.forget(folder, events)


def _go_on(folder: Path, options: dict[str, Any]) -> int:
    """With a benchmark that was cut off; its exit status."""
    from compress.bench.benchmark import measure as measuring
    from compress.bench.benchmark import place
    from compress.bench.benchmark import request as requests
    from compress.bench.devices.signals import as_ctrl_c
    from compress.errors import BenchmarkError

    request = requests.load(folder)
    with as_ctrl_c(), place.claimed(folder):
        devices = _devices(request)
        place.ours(request.plan, measuring.places_of(folder, [device.name for device in devices]).values())
        if changed := requests.changed(request):
            raise BenchmarkError(
                f"{changed[0]} is another file now than when this was begun, and would be mixed with it; measure it "
                "anew in another folder"
            )
        return _measure(request, devices, folder, options)


def _devices(request: Request) -> list[Device]:
    from compress.bench.devices.find import device_for

    return [
        device_for(name, connect, say=lambda line: click.echo(line, err=True)) if connect or name else device_for(None)
        for name, connect in request.targets
    ]


def _measure(request: Request, devices: list[Device], folder: Path, options: dict[str, Any]) -> int:
    from compress.bench.benchmark import measure as measuring
    from compress.bench.benchmark.fits import UnfitError
    from compress.bench.benchmark.write import write
    from compress.cli import bench_options
    from compress.progress import for_terminal

    asked = bench_options.named_axes(options["axes"])
    with for_terminal(options["quiet"]) as emit:
        outcome = measuring.measure(request, devices, folder, emit, axes=asked)
    names = [device.name for device in devices]
    for problem in outcome.problems.values():
        if isinstance(problem, UnfitError) and len(devices) == 1:
            raise problem
    benchmarks = outcome.benchmarks
    each = {name: path.parent for name, path in measuring.places_of(folder, names).items()}
    if benchmarks:
        write(benchmarks, folder, each=each)
        _show(benchmarks, options["as_json"])
        click.echo(f"results: {folder}", err=True)
    for name, problem in outcome.problems.items():
        click.echo(f"error: {name}: {problem}" if len(names) > 1 else f"error: {problem}", err=True)
    left = outcome.interrupted is not None or outcome.problems or not all(b.complete for b in benchmarks)
    if left and benchmarks:
        click.echo(f"to go on: compress bench --resume {folder}", err=True)
    if outcome.interrupted is not None:
        return outcome.interrupted
    refused = any(b.refused or b.missing for b in benchmarks)
    return INCOMPLETE if outcome.problems or refused or not benchmarks else 0


def _show_recording(options: dict[str, Any]) -> None:
    """Analyse and show again what a device once told; with --out also write it."""
    from compress.bench.benchmark import place
    from compress.bench.benchmark import request as requests
    from compress.bench.benchmark.analyse import analyse
    from compress.bench.benchmark.bundles import with_flash
    from compress.bench.benchmark.events import FILE, read
    from compress.bench.benchmark.floors import with_floors
    from compress.bench.benchmark.write import write
    from compress.cli import bench_options

    recording: Path = options["recording"]
    path = recording / FILE if recording.is_dir() else recording
    out: Path | None = options["out"]
    if out and out.resolve() != path.parent.resolve():
        place.free(out)
    name = options["targets"][0] if options["targets"] else bench_options.recorded_target(path)
    asked = bench_options.recorded(path)
    command, files, watts = (asked.command, asked.files, asked.watts) if asked else ([], {}, None)
    if asked and requests.changed(asked):
        files = {}  # what was measured was another model
    found = analyse(read(path), target=name, command=command, watts=options["watts"] or watts)
    benchmark = with_flash(with_floors(found, files), files)
    if out:
        write([benchmark], out, each={name: out})
    _show([benchmark], options["as_json"])


def _show(benchmarks: Sequence[Benchmark], as_json: bool) -> None:
    from rich.console import Console

    from compress.bench.benchmark import table
    from compress.cli import bench_options

    if as_json:
        for benchmark in benchmarks:
            click.echo(bench_options.one_line(benchmark))
        return
    width = max(80, Console(file=sys.stdout).width)
    Console(file=sys.stdout, width=width, highlight=False).print(table.terminal(benchmarks, width))
