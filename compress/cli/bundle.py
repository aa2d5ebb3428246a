"""`compress bundle`: a run's model as the signed file for a device."""

from __future__ import annotations

from datetime import datetime

import click


@click.command()
@click.argument("run", type=click.Path(path_type=str))
@click.option("--variant", metavar="V", help="A variant, a target or target/runtime [default: the first target].")
@click.option("-o", "--out", required=True, metavar="FILE", help="The bundle to write.")
@click.option("--key", required=True, metavar="FILE", help="The private key that signs it; see `compress keys`.")
@click.option(
    "--sequence",
    type=click.IntRange(min=1),
    help="Devices go to larger numbers only [default: one more than the bundle at FILE, or 1].",
)
@click.option("--licence", metavar="NAME", help="The model's own licence, such as Apache-2.0.")
@click.option(
    "--expires",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    metavar="TIME",
    help="No device installs it afterwards: 2030-01-31, or 2030-01-31T12:00:00Z (UTC).",
)
@click.option("--raise-floor", type=click.IntRange(min=0), help="Once it runs, refuse lower sequence numbers for good.")
def bundle(
    run: str,
    variant: str | None,
    out: str,
    key: str,
    sequence: int | None,
    licence: str | None,
    expires: datetime | None,
    raise_floor: int | None,
) -> None:
    """Make a signed bundle of a model of the finished RUN (its folder).

    Of a target the recommended model is taken. It holds some validation samples, for the device to test itself with.
    """
    from pathlib import Path

    from compress.bundle import bundle as make
    from edge_runtime.bundle.flash import blocks, installed
    from edge_runtime.bundle.signature import load_private

    made = make(
        Path(run),
        Path(out),
        load_private(key),
        variant=variant,
        sequence=sequence,
        licence=licence,
        expires=expires and f"{expires:%Y-%m-%dT%H:%M:%SZ}",
        raise_floor=raise_floor,
    )
    for words in made.warnings:
        click.echo(f"warning: {words}", err=True)
    manifest = made.manifest
    click.echo(f"{made.path}: {manifest.provenance['variant']}, {made.size / 1e3:.0f} kB, for {manifest.target}")
    model = blocks(file.size for file in manifest.files if file.path.startswith("model/"))
    click.echo(
        f"on a device: {installed(manifest) / 1e3:.0f} kB of flash, {model / 1e3:.0f} kB of it the model's; "
        "edge-runtime and its engine apart"
    )
    click.echo(f"{manifest.name} {manifest.sequence}, id {made.id[:16]}{', unchanged' if made.again else ''}")
