"""`edge-runtime predict`: a line for every file, and one bad file spoils only its own."""

from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, LABELS, make_bundle
from PIL import Image

from edge_runtime import cli, limits
from edge_runtime.bundle import archive


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: m.edge, two pictures, a text that is none, and home/ which trusts the bundle's key."""
    monkeypatch.chdir(tmp_path)
    make_bundle(tmp_path, path=tmp_path / "m.edge")
    for name in ("one.png", "two.jpg"):
        random = np.random.default_rng(len(name) + ord(name[0]))
        Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(name)
    Path("broken.png").write_text("no picture")
    keys = tmp_path / "home" / "keys"
    keys.mkdir(parents=True)
    (keys / "tests.pub").write_text(KEY.public.line())
    monkeypatch.setenv("EDGE_RUNTIME_HOME", str(tmp_path / "home"))
    return tmp_path


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_every_file_has_one_line(folder: Path, capsys):
    assert cli.main(["predict", "m.edge", "one.png", "two.jpg"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows] == ["one.png", "two.jpg"]
    assert all(row[1] in LABELS and 0.1 <= float(row[2]) <= 1 for row in rows)


def test_one_file_that_fails_spoils_the_status_and_not_the_others(folder: Path, capsys):
    assert cli.main(["predict", "m.edge", "one.png", "broken.png", "none.png", ".", "two.jpg"]) == 1
    told = capsys.readouterr()
    assert [line.split("\t")[0] for line in told.out.splitlines()] == ["one.png", "two.jpg"]
    errors = told.err.splitlines()
    assert errors[0].startswith("error[image-unreadable]: broken.png: ")
    assert errors[1].startswith("error[input-invalid]: none.png: cannot be read")
    assert errors[2].startswith("error[input-invalid]: .: ") and len(errors) == 3


def test_json_has_one_object_a_line_and_errors_in_place(folder: Path, capsys):
    assert cli.main(["predict", "m.edge", "one.png", "broken.png", "--json", "--top", "3"]) == 1
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert set(good) == {"file", "label", "index", "confidence", "top"}
    assert good["label"] == LABELS[good["index"]] == good["top"][0][0]
    assert len(good["top"]) == 3 and good["confidence"] == good["top"][0][1]
    assert bad["file"] == "broken.png" and bad["error"]["code"] == "image-unreadable"


def test_top_adds_columns(folder: Path, capsys):
    assert cli.main(["predict", "m.edge", "one.png", "--top", "5"]) == 0
    row = capsys.readouterr().out.rstrip("\n").split("\t")
    shares = [float(text) for text in row[2::2]]
    assert len(row) == 11 and shares == sorted(shares, reverse=True)


@pytest.mark.parametrize(("option", "value"), [("--top", "0"), ("--top", "6"), ("--top", "x"), ("--threads", "0")])
def test_an_option_out_of_bounds_is_wrong_usage(folder: Path, capsys, option: str, value: str):
    assert cli.main(["predict", "m.edge", "one.png", option, value]) == 2
    assert option in capsys.readouterr().err


def test_nothing_to_do_is_wrong_usage(folder: Path, capsys):
    assert cli.main(["predict", "m.edge"]) == 2
    assert "--stdin" in capsys.readouterr().err


def test_lines_of_standard_input_are_paths_or_json(folder: Path, capsys, monkeypatch):
    pixels = np.array(Image.open("one.png").convert("L").resize((28, 28), Image.Resampling.BILINEAR))
    lines = [b"one.png", b"", json.dumps([pixels.tolist()]).encode(), b'"one.png"', b"[1,", b"none.png\r", b"{}"]
    stdin(monkeypatch, b"\n".join(lines))
    assert cli.main(["predict", "m.edge", "two.jpg", "--stdin", "--json"]) == 1
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["file"] for answer in answers] == [
        "two.jpg", "one.png", "line 3", "line 4", "line 5", "none.png", "line 7"
    ]  # fmt: skip
    assert answers[1]["confidence"] == answers[2]["confidence"]
    assert ["error" in answer for answer in answers] == [False, False, False, True, True, True, True]


def test_a_file_of_json_is_what_a_line_of_it_is(folder: Path, capsys):
    pixels = np.array(Image.open("one.png").convert("L").resize((28, 28), Image.Resampling.BILINEAR))
    Path("pixels.json").write_text(json.dumps([pixels.tolist()]))
    assert cli.main(["predict", "m.edge", "one.png", "pixels.json"]) == 0
    picture, numbers = (line.split("\t")[1:] for line in capsys.readouterr().out.splitlines())
    assert picture == numbers


def test_a_temporary_folder_that_is_full_is_said_with_what_to_do(folder: Path, capsys, monkeypatch):
    def full(path, blocks):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive, "_store", full)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "home"))
    assert cli.main(["predict", "m.edge", "one.png"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error[no-space]: m.edge: there is no room to unpack it in {folder / 'home'} (No space")
    assert "TMPDIR" in told and [path.name for path in (folder / "home").iterdir()] == ["keys"]


def test_a_line_too_long_is_refused_and_the_next_one_answered(folder: Path, capsys, monkeypatch):
    monkeypatch.setattr(limits, "INPUT_BYTES", 5000)
    stdin(monkeypatch, b"[" + b"1," * 9000 + b"1]\none.png\n" + b"[" * 9999)
    assert cli.main(["predict", "m.edge", "--stdin", "--json"]) == 1
    first, second, third = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert first["error"]["code"] == third["error"]["code"] == "input-too-large"
    assert second["file"] == "one.png"


def test_names_cannot_forge_lines_or_command_a_terminal(folder: Path, capsys):
    Path("x\ny\t\x1b[2J.png").write_bytes(Path("one.png").read_bytes())
    assert cli.main(["predict", "m.edge", "x\ny\t\x1b[2J.png", "gone\n\x1b.png"]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("x\\ny\\t\\x1b[2J.png\tclass-")
    assert told.err.startswith("error[input-invalid]: gone\\n\\x1b.png: cannot be read") and told.err.count("\n") == 1


def test_a_stranger_is_refused_with_the_way_to_trust_them(folder: Path, capsys):
    (folder / "home/keys/tests.pub").rename(folder / "tests.pub")
    assert cli.main(["predict", "m.edge", "one.png"]) == 1
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error[bundle-key-unknown]: ")
    assert "edge-runtime trust" in told.err and "--key" in told.err
    assert cli.main(["predict", "m.edge", "one.png", "--key", "tests.pub"]) == 0


def test_answers_are_written_as_soon_as_they_are_known(folder: Path):
    """So that another program can ask line by line."""
    command = [sys.executable, "-m", "edge_runtime.cli", "predict", "m.edge", "--stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        for name in (b"one.png", b"two.jpg"):
            process.stdin.write(name + b"\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith(name + b"\t")
        process.stdin.close()
        assert process.wait(10) == 0
