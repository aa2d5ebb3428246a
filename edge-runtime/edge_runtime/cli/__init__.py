"""The device's command line, ``edge-runtime COMMAND ...``: a table of commands, each a module imported when asked for.

A command's module has ``HELP`` (one line), ``add_arguments(parser)`` and ``run(arguments) -> int``, the exit status. At
its top it imports the standard library and nothing slow: ``--help`` imports all of them to show their lines. What is
needed to do the work is imported in ``run``.

Every command has ``--home`` (``arguments.home``, a Path); one with actions gives it to each of them (``add_home``). An
EdgeRuntimeError is told as ``error[code]: message`` on standard error, with exit status 1, and what the system refuses
without a class of ours as ``error[os-error]``; wrong usage is 2, as argparse has it.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.places import DEFAULT_HOME, default_home
from edge_runtime.words import printable

COMMANDS = {
    "predict": "edge_runtime.cli.predict",
    "trust": "edge_runtime.cli.trust",
    "serve": "edge_runtime.cli.serve",
    "install": "edge_runtime.cli.install",
    "rollback": "edge_runtime.cli.rollback",
    "status": "edge_runtime.cli.status",
    "history": "edge_runtime.cli.history",
    "gc": "edge_runtime.cli.gc",
    "captures": "edge_runtime.cli.captures",
    "sensors": "edge_runtime.cli.sensors",
    "bench": "edge_runtime.cli.bench",
}
"""Where each command lives, in the order in which help lists them."""

FAILED, USAGE, INTERRUPTED = 1, 2, 130
"""Exit statuses."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit status."""
    try:
        status = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _dispatch(argv: list[str]) -> int:
    place = _command_at(argv)
    try:
        before = _main_parser(listing=place == len(argv)).parse_args(argv[:place])
        if place == len(argv):
            _main_parser(listing=True).print_help(sys.stderr)
            return USAGE
        return _run(argv[place], argv[place + 1 :], before.home)
    except SystemExit as exit:  # argparse: 0 after help and version, 2 after wrong usage
        return exit.code if isinstance(exit.code, int) else FAILED
    except EdgeRuntimeError as error:
        return _tell(error.code, str(error))
    except BrokenPipeError:
        raise
    except OSError as error:
        return _tell("os-error", str(error))
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(name: str, arguments: list[str], home: Path | None) -> int:
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"commands are {', '.join(COMMANDS)}"
        _main_parser(listing=False).error(f"unknown command {name!r}; {hint}")
    command = _module(name)
    parser = argparse.ArgumentParser(prog=f"edge-runtime {name}", description=command.HELP, allow_abbrev=False)
    add_home(parser)
    command.add_arguments(parser)
    parsed = parser.parse_args(arguments)
    parsed.home = parsed.home or home or default_home()
    return command.run(parsed)


def _command_at(argv: list[str]) -> int:
    """Where the command's name stands: the first word that is neither an option nor the value of --home."""
    place = 0
    while place < len(argv) and argv[place].startswith("-"):
        place += 2 if argv[place] == "--home" else 1
    return min(place, len(argv))


def _main_parser(*, listing: bool) -> argparse.ArgumentParser:
    """The parser of what stands before the command. ``listing``: with the commands in its help, which imports them."""
    parser = argparse.ArgumentParser(
        prog="edge-runtime",
        usage="edge-runtime [--help] [--version] [--home HOME] COMMAND ...",
        description="Install, serve, watch and update a compressed model on the device it was made for.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and leave")
    add_home(parser)
    if listing:
        width = max(map(len, COMMANDS)) + 2
        lines = [f"  {name:<{width}}{_module(name).HELP}" for name in COMMANDS]
        parser.epilog = "\n".join(["commands:", *lines, "", "edge-runtime COMMAND --help tells more."])
    return parser


def add_home(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "--home",
        type=Path,
        default=default,
        help=f"where installed models and trusted keys live; otherwise $EDGE_RUNTIME_HOME, or {DEFAULT_HOME}",
    )


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import edge_runtime

        print(f"edge-runtime {edge_runtime.__version__}")
        parser.exit()


def _module(name: str) -> ModuleType:
    return importlib.import_module(COMMANDS[name])


def _tell(code: str, message: str) -> int:
    print(f"error[{code}]: {printable(message)}", file=sys.stderr)
    return FAILED
