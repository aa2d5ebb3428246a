"""The group `compress`: finds its commands by name, and turns errors into messages and exit codes.

0: done. 1: an expected error. 2: the recipe or the command line is wrong. 3: done, and outside the budget.
4: the newer of two runs is worse. 130: interrupted. Unexpected errors are bugs and show their traceback.
"""

from __future__ import annotations

import importlib
import signal
from typing import Any

import click

from compress import __version__
from compress.errors import CompressError

# The help is here so that listing the commands imports none of them.
COMMANDS = {
    "run": "Carry out a recipe and say whether it paid.",
    "validate": "Check a recipe without running anything.",
    "schema": "Print the recipe's JSON Schema.",
    "targets": "List hardware targets, or describe one.",
    "doctor": "What this machine has, and what is missing.",
    "sensitivity": "Rank the layers by what int8 costs and gains in each.",
    "bundle": "Make the signed file of a model for a device.",
    "keys": "Make the keys that sign bundles.",
    "bench": "Measure model files: latency, memory, energy, here or on devices.",
    "profile": "Show in which layers a model's time goes, here or on a device.",
    "diff": "Say what changed between two runs beyond noise.",
    "store": "Show what the artifact store holds, and free space.",
}


def is_expected(error: Exception) -> bool:
    """Whether it is told in a message; other errors are bugs."""
    from edge_runtime.errors import EdgeRuntimeError

    return isinstance(error, CompressError | EdgeRuntimeError)


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        return getattr(importlib.import_module(f"compress.cli.{name}"), name) if name in COMMANDS else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args[0] not in COMMANDS:
            from compress.suggest import did_you_mean

            ctx.fail(f"No such command '{args[0]}'; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not is_expected(error):
                raise
            click.echo(f"error: {error}", err=True)
            ctx.exit(getattr(error, "exit_code", 1))
        except KeyboardInterrupt as error:
            running = ctx.invoked_subcommand == "run"
            click.echo(f"interrupted{'; the next run goes on from here' if running else ''}", err=True)
            ctx.exit(128 + getattr(error, "number", signal.SIGINT))  # of `compress bench`, which hears SIGTERM too


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="compress")
def main() -> None:
    """Compress a trained model for a device, and say truthfully whether it paid."""
