"""The command line: quick, one table of commands, and every refusal in one line."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import edge_runtime
from edge_runtime import cli
from edge_runtime.errors import EdgeRuntimeError, UnknownKeyError

COMMAND = [sys.executable, "-m", "edge_runtime.cli"]


class Command:
    """A command's module, for the table."""

    HELP = "do what the test says"

    def __init__(self, do):
        self.do = do

    def add_arguments(self, parser) -> None:
        parser.add_argument("words", nargs="*")

    def run(self, arguments) -> int:
        return self.do(arguments)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    def install(do):
        monkeypatch.setitem(sys.modules, "a_command", Command(do))
        monkeypatch.setattr(cli, "COMMANDS", {"act": "a_command"})

    return install


def test_the_version_is_that_of_the_package(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"edge-runtime {edge_runtime.__version__}\n"


def test_help_lists_every_command_with_its_line(capsys):
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, module in cli.COMMANDS.items():
        assert any(line.split() == [name, *importlib.import_module(module).HELP.split()] for line in lines), name


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_help_of_its_own(name: str, capsys):
    assert cli.main([name, "--help"]) == 0
    assert f"edge-runtime {name}" in capsys.readouterr().out


def test_without_a_command_help_is_shown_as_an_error(capsys):
    assert cli.main([]) == 2
    assert "predict" in capsys.readouterr().err


@pytest.mark.parametrize(("word", "hint"), [("predcit", "did you mean 'predict'?"), ("xyz", "commands are")])
def test_an_unknown_command_suggests_the_nearest_one(word: str, hint: str, capsys):
    assert cli.main([word]) == 2
    assert hint in capsys.readouterr().err


def test_home_may_stand_before_or_behind_the_command_or_in_the_environment(command, monkeypatch):
    seen: list[Path] = []
    command(lambda arguments: seen.append(arguments.home) or 0)
    monkeypatch.setenv("EDGE_RUNTIME_HOME", "/from-environment")
    for words in (["--home", "/a", "act"], ["--home=/a", "act"], ["act", "--home", "/a"], ["act"]):
        assert cli.main(words) == 0
    assert cli.main(["--home", "/b", "act", "--home", "/a"]) == 0
    monkeypatch.delenv("EDGE_RUNTIME_HOME")
    assert cli.main(["act", "one"]) == 0
    assert list(map(str, seen)) == ["/a"] * 3 + ["/from-environment", "/a", "/var/lib/edge-runtime"]


def test_a_refusal_is_one_line_with_its_code(command, capsys):
    def refuse(arguments) -> int:
        raise UnknownKeyError("signed by a stranger")

    command(refuse)
    assert cli.main(["act"]) == 1
    assert capsys.readouterr().err == "error[bundle-key-unknown]: signed by a stranger\n"


def test_what_the_system_refuses_is_told_without_a_traceback(command, capsys):
    command(lambda arguments: Path("/nowhere/at/all").read_bytes())
    assert cli.main(["act"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error[os-error]: ") and "/nowhere/at/all" in told


def test_a_defect_of_our_own_keeps_its_traceback(command):
    command(lambda arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cli.main(["act"])


def test_an_interrupt_has_the_status_that_shells_give_it(command):
    def interrupt(arguments) -> int:
        raise KeyboardInterrupt

    command(interrupt)
    assert cli.main(["act"]) == 130


def test_a_reader_who_has_enough_is_no_error_of_ours():
    code = "import sys\nfrom edge_runtime import cli\nsys.exit(cli.main(['--help']))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(10)


def every_error(kind: type[EdgeRuntimeError] = EdgeRuntimeError) -> list[type[EdgeRuntimeError]]:
    return [kind, *(error for child in kind.__subclasses__() for error in every_error(child))]


def test_codes_are_unique_kebab_case_and_have_an_http_status():
    importlib.import_module("edge_runtime.errors")
    errors = set(every_error())
    ours = {error for error in errors if error.__module__.startswith("edge_runtime")}
    codes = [error.code for error in ours]
    assert len(set(codes)) == len(codes), sorted(codes)
    for error in ours:
        assert error.code.replace("-", "").isalnum() and error.code == error.code.lower()
        assert 400 <= error.status < 600


def seconds(argument: str) -> float:
    """Processor time of the command in a fresh process: what it costs, whatever else the machine is doing."""
    code = (
        "import resource, subprocess, sys\n"
        f"subprocess.run({[*COMMAND, argument]!r}, stdout=subprocess.DEVNULL, check=True)\n"
        "usage = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(usage.ru_utime + usage.ru_stime)"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_takes_less_than_a_tenth_of_a_second(argument: str):
    assert any(seconds(argument) < 0.1 for _ in range(30))  # a busy machine can be half as fast for seconds


def loaded_after(*arguments: str) -> set[str]:
    code = (
        "import json, sys\nfrom edge_runtime import cli\n"
        f"status = cli.main({list(arguments)!r})\n"
        "print(json.dumps([status, *sys.modules]))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    status, *modules = json.loads(output.splitlines()[-1])
    assert status == 0
    return {module.partition(".")[0] for module in modules}


HEAVY = {"numpy", "PIL", "tokenizers", "nacl", "onnxruntime", "openvino", "asyncio", "ssl", "multiprocessing"}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in cli.COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]):
    assert HEAVY.isdisjoint(loaded_after(*arguments))
