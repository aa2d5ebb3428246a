"""`compress keys`: who may make bundles."""

from __future__ import annotations

import click


@click.group()
def keys() -> None:
    """Make the keys that sign bundles."""


@keys.command()
@click.argument("name")
@click.option("-o", "--out", "folder", default=".", metavar="DIR", help="Where to put it [default: here].")
def new(name: str, folder: str) -> None:
    """Make a pair: NAME.key signs and stays secret, NAME.pub is what devices trust."""
    from pathlib import Path

    from compress.bundle.keys import new as make
    from edge_runtime.bundle.signature import load_public

    private, public = make(name, Path(folder))
    click.echo(f"{private}: signs bundles; keep it secret, with a copy elsewhere, and off every device")
    click.echo(f"{public}: for the devices, key {load_public(public).id}")
