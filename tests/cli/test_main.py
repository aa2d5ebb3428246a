from __future__ import annotations

import subprocess
import sys
import time

import click
import pytest
from click.testing import CliRunner

import compress
from compress.cli import main
from compress.cli.group import COMMANDS
from compress.errors import DataError, RecipeError
from edge_runtime.errors import SessionError


def test_help_lists_every_command(call):
    text = call("--help").stdout
    assert all(f"  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself_in_the_words_of_the_list(call, name):
    result = call(name, "--help")
    assert result.exit_code == 0
    assert f"Usage: compress {name}" in result.stdout


def test_version(call):
    assert call("--version").stdout == f"compress, version {compress.__version__}\n"


def test_unknown_command_suggests_the_nearest_one(call):
    result = call("validat")
    assert result.exit_code == 2
    assert "did you mean 'validate'?" in result.stderr


@pytest.fixture
def failing(monkeypatch):
    """Makes a command that raises what it is given."""

    def make(error: BaseException) -> None:
        @click.command()
        def command() -> None:
            raise error

        monkeypatch.setattr(type(main), "get_command", lambda self, ctx, name: command)

    return make


@pytest.mark.parametrize(("error", "code"), [(DataError, 1), (RecipeError, 2), (SessionError, 1)])
def test_expected_errors_are_a_message_and_an_exit_code(call, failing, error, code):
    failing(error("gone"))
    result = call("run")
    assert (result.exit_code, result.stderr, result.stdout) == (code, "error: gone\n", "")


def test_unexpected_errors_keep_their_traceback(failing):
    failing(ZeroDivisionError("bug"))
    assert isinstance(CliRunner().invoke(main, ["run"]).exception, ZeroDivisionError)


@pytest.mark.parametrize(("command", "words"), [("run", "the next run goes on from here"), ("doctor", "interrupted\n")])
def test_interrupt_exits_with_130_and_says_what_is_kept(call, failing, command, words):
    failing(KeyboardInterrupt())
    result = call(command)
    assert result.exit_code == 130
    assert words in result.stderr


@pytest.mark.integration
def test_help_is_quick_and_imports_nothing_heavy():
    heavy = "torch", "numpy", "pydantic", "rich", "ruamel", "onnx"
    code = (
        "import sys\nfrom compress.cli import main\ntry: main(['--help'])\n"
        f"except SystemExit: print([m for m in {heavy} if m in sys.modules])"
    )
    times = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - began)
        assert done.stdout.endswith("[]\n")
    assert min(times) < 0.4
