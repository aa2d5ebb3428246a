"""`compress targets`: the hardware that recipes can name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from compress.cli.options import json_option

if TYPE_CHECKING:
    from compress.targets.target import Target


@click.command()
@click.argument("name", required=False)
@json_option
def targets(name: str | None, as_json: bool) -> None:
    """List the hardware targets, or describe the one called NAME."""
    from compress.targets.target import list_targets, load_target

    if as_json:
        found = [target.model_dump(mode="json") for target in ([load_target(name)] if name else list_targets())]
        click.echo(json.dumps(found[0] if name else found, indent=2))
    elif name:
        _describe(load_target(name))
    else:
        for target in list_targets():
            click.echo(f"{target.name:<24} {target.title}  ({', '.join(target.runtimes)})")


def _describe(target: Target) -> None:
    from edge_runtime.machine import detect

    for key, value in target.model_dump(mode="json").items():
        if value not in (None, [], {}, ""):
            long = key in ("source", "notes")
            text = f"\n{'':<18}".join(value) if long else _words(key, value)
            click.echo(f"{key.replace('_', ' '):<17} {text}")
    measurable, reason = target.measurable_here(detect())
    click.echo(f"{'measurable here':<17} {'yes' if measurable else 'no'}: {reason}")


def _words(key: str, value: object) -> str:
    units = {"memory": (1e9, "GB"), "memory_bandwidth": (1e9, "GB/s"), "clock": (1e9, "GHz"), "tops": (1, "TOPS")}
    if key in units:
        scale, unit = units[key]
        return f"{value / scale:.3g} {unit}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
