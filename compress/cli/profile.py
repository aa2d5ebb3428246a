"""`compress profile`: which layers of a model take the time, here or on a device, and how fast they could be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from compress.bench.devices.base import Device, Event
    from compress.bench.profile.layers import Profile
    from edge_runtime.probes.plan import Plan


@click.command()
@click.argument("model", metavar="MODEL", type=click.Path(path_type=Path))
@click.option("--runtime", metavar="NAME", help="Such as openvino for an .onnx [default: the file's own].")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="Of one inference.")
@click.option("--on", "target", metavar="TARGET", help="Where [default: this machine].")
@click.option("--connect", metavar="ssh://...", help="Where the target is, if its file does not say.")
@click.option("--inputs", metavar="FILE.npz", help="Real inputs, one array each, rows are samples [default: random].")
@click.option("--axis", "axes", multiple=True, metavar="NAME=SIZE", help="Size of an axis that the model leaves open.")
@click.option("--top", type=click.IntRange(1), default=20, show_default=True, help="Layers to show.")
@click.option("--peaks/--no-peaks", default=True, show_default=True, help="Measure the machine's peak rates too.")
@click.option("--json", "out", metavar="FILE", type=click.Path(path_type=Path), help="Write all layers; - is stdout.")
def profile(
    model: Path,
    runtime: str | None,
    threads: int,
    target: str | None,
    connect: str | None,
    inputs: str | None,
    axes: tuple[str, ...],
    top: int,
    peaks: bool,
    out: Path | None,
) -> None:
    """Show where the time of one inference of MODEL goes: .onnx and OpenVINO .xml files, and .safetensors of a run.

    The engine's own profiler times its kernels. It slows them down, so the same inference is also timed without it; the
    shares are what a profile is for. See docs/profile.md.
    """
    from compress.bench.benchmark.models import given, planned
    from compress.bench.devices.find import device_for
    from compress.cli.bench_options import check_runtime, inputs_file, named_axes
    from compress.errors import BenchmarkError
    from edge_runtime.errors import ProbeError
    from edge_runtime.probes.plan import Plan

    check_runtime(runtime)
    models = given([str(model)], runtime=runtime, targets=[target] if target else [])
    if len(models) != 1:
        names = ", ".join(str(one.path) for one in models)
        raise BenchmarkError(f"{model} is a run of {len(models)} models; profile one of their files: {names}")
    in_plan, files = planned(models, inputs_file(inputs))
    try:
        plan = Plan(
            models=in_plan,
            scenarios=(),
            threads=(threads,),
            cold=0,
            memory=False,
            axes=named_axes(axes),
            peaks=peaks,
            profile=True,
        )
    except ProbeError as error:
        raise BenchmarkError(str(error)) from error
    found = _measure(device_for(target, connect), plan, files, models[0].name, models[0].path)
    _show(found, top, out)


def _measure(device: Device, plan: Plan, files: Mapping[str, Path], name: str, path: Path) -> Profile:
    import tempfile

    from compress.bench.benchmark.fits import fitting
    from compress.bench.devices.signals import as_ctrl_c
    from compress.bench.profile.layers import read
    from compress.errors import DeviceError

    events: list[Event] = []

    def on_event(event: Event) -> None:
        if event["event"] == "progress":
            click.echo(f"{device.name}: {event['what']}", err=True)
        else:
            events.append(event)

    with as_ctrl_c(), tempfile.TemporaryDirectory(prefix="profile-") as folder:
        try:
            device.run(plan, files, fitting(plan, plan.axes, on_event), folder=Path(folder))
        except DeviceError:
            if not any(event["event"] == "profile" for event in events):
                raise
    return read(events, name, path)


def _show(found: Profile, top: int, out: Path | None) -> None:
    from rich.console import Console

    from compress.bench.profile import table as profile_table
    from compress.bench.profile.layers import to_json
    from compress.errors import StoreError
    from compress.files import replace_file

    if out == Path("-"):
        click.echo(to_json(found), nl=False)
        return
    console = Console(file=sys.stdout, highlight=False)
    width = max(profile_table.LEAST_WIDTH, console.width)
    Console(file=sys.stdout, width=width, highlight=False).print(profile_table.terminal(found, top, width))
    if out:
        try:
            with replace_file(out) as temporary:
                temporary.write_text(to_json(found), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot write {out}: {error.strerror}; choose another file with --json") from error
        click.echo(f"all layers: {out}", err=True)
