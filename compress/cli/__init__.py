"""The command line: one small file per command, which imports what it needs when it runs and not before."""

from compress.cli.group import main

__all__ = ["main"]
