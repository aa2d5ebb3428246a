"""`compress store`: what the artifact store holds."""

from __future__ import annotations

import click

from compress.cli.options import store_option

DAY = 86_400.0


@click.command()
@store_option
@click.option("--gc", "days", type=click.FloatRange(0), metavar="DAYS", help="Delete what was not used for so long.")
@click.option("--verify", is_flag=True, help="Compare every file's SHA-256 and set damaged artifacts aside.")
def store(store: str | None, days: float | None, verify: bool) -> None:
    """List the artifacts by kind; with --gc, free space first."""
    import sys
    from collections import defaultdict
    from pathlib import Path

    from compress.progress import Plain
    from compress.store import Store, default_root

    held = Store(Path(store) if store else default_root(), Plain(sys.stderr))
    if days is not None:
        click.echo(f"freed {held.gc(days * DAY) / 1e6:.1f} MB")
    kinds = defaultdict(list)
    for artifact in held.artifacts():
        if not verify or held.get(artifact.key, verify=True):
            kinds[artifact.kind].append(artifact.size)
    for kind, sizes in sorted(kinds.items()):
        click.echo(f"{kind:<10} {len(sizes):>5}  {sum(sizes) / 1e6:>10.1f} MB")
    click.echo(f"{held.root}: {held.size() / 1e6:.1f} MB")
