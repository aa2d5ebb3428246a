from __future__ import annotations

import errno
import os

import numpy as np
import pytest
from crashes import Failing

from edge_runtime import cli
from edge_runtime.capture.store import Captures
from edge_runtime.update import durable


@pytest.fixture
def captures(tmp_path, capsys):
    """Runs ``edge-runtime captures ...`` in a home: its exit status, output and errors."""

    def run(*words):
        status = cli.main(["--home", str(tmp_path / "home"), "captures", *map(str, words)])
        return status, *capsys.readouterr()

    return run


def keep(home, count=12):
    random = np.random.default_rng(0)
    with Captures(None, home / "captures", version="7", labels=("coat", "boot\x1b[31m")) as store:
        for _ in range(count):
            pixels = random.integers(0, 256, (1, 1, 16, 16)).astype(np.uint8)
            store.observe(pixels, random.normal(size=(1, 2)).astype(np.float32), 0.001, "7")
        store.flush()


def test_on_capture_list_export_off(captures, tmp_path):
    home = tmp_path / "home"
    assert captures("list")[1] == "0 captures, 0.0 kB of 268.4 MB; capturing is off: at most 60 an hour, kept 30 days\n"
    assert captures("on", "--random", "1", "--hourly", "1000", "--near", "-1")[0] == 0
    keep(home)
    status, out, _ = captures("list")
    lines = out.splitlines()
    assert status == 0 and len(lines) == 13
    assert "1x16x16 uint8" in lines[0] and "random" in lines[0] and "p=1" in lines[0]
    assert "\x1b" not in out
    assert lines[-1].startswith("12 captures, ")
    assert " kB of 268.4 MB; capturing is on: at most 1000 an hour" in lines[-1]
    status, out, _ = captures("export", tmp_path / "tasks", "--format", "label-studio")
    assert status == 0 and out.startswith("12 captures: ") and (tmp_path / "tasks" / "tasks.json").is_file()
    assert captures("export", tmp_path / "data")[0] == 0 and (tmp_path / "data" / "captures.npz").is_file()
    assert captures("off")[1] == "capturing is off\n"
    keep(home)
    assert len(captures("list")[1].splitlines()) == 13


def test_settings_that_are_not_given_stay(captures):
    captures("on", "--random", "0.25")
    captures("off")
    captures("on", "--days", "2")
    from_file = captures("list")[1]
    assert "kept 2 days" in from_file
    captures("on", "--hourly", "7")
    assert "at most 7 an hour, kept 2 days" in captures("list")[1]


def test_settings_out_of_range_are_refused_and_change_nothing(captures):
    captures("on", "--hourly", "7")
    status, _, errors = captures("on", "--random", "0")
    assert status == 1 and errors.startswith("error[capture-settings-invalid]: captures: random is 0")
    assert "at most 7" in captures("list")[1]


def test_an_export_is_not_replaced_unless_that_is_asked_for(captures, tmp_path):
    captures("on", "--random", "1", "--near", "-1")
    keep(tmp_path / "home", 2)
    assert captures("export", tmp_path / "data")[0] == 0
    before = (tmp_path / "data" / "captures.npz").read_bytes()
    keep(tmp_path / "home", 4)
    status, _, errors = captures("export", tmp_path / "data")
    assert status == 1 and "captures.npz: is there already; name another folder, or add --replace" in errors
    assert (tmp_path / "data" / "captures.npz").read_bytes() == before
    assert captures("export", tmp_path / "data", "--replace")[0] == 0
    assert (tmp_path / "data" / "captures.npz").read_bytes() != before


def test_a_disk_that_is_full_is_said_so_with_what_to_do(captures, tmp_path, monkeypatch):
    monkeypatch.setattr(durable, "disk", Failing(errno.ENOSPC, 0))
    status, _, errors = captures("on")
    assert status == 1 and errors.startswith("error[capture-failed]: ")
    assert "captures/settings.json: cannot be written: No space left on device; free some space" in errors


def test_another_user_than_the_homes_switches_nothing(captures, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    status, _, errors = captures("on")
    assert status == 1 and "run it as" in errors and not (tmp_path / "home" / "captures").exists()


def test_a_pipe_in_the_place_of_the_settings_or_of_a_capture_is_not_waited_for(captures, tmp_path):
    captures("on", "--random", "1", "--near", "-1")
    keep(tmp_path / "home", 2)
    path = next((tmp_path / "home" / "captures").glob("*.npz"))
    path.unlink()
    os.mkfifo(path)
    assert "damaged" in captures("list")[1]
    (tmp_path / "home" / "captures" / "settings.json").unlink()
    os.mkfifo(tmp_path / "home" / "captures" / "settings.json")
    status, _, errors = captures("list")
    assert status == 1 and "it is not a file" in errors
    assert captures("on")[0] == 0 and captures("list")[0] == 0


def test_nothing_to_export_is_an_error_that_says_what_to_do(captures, tmp_path):
    status, _, errors = captures("export", tmp_path / "out")
    assert status == 1 and errors.startswith("error[capture-failed]: ") and "captures list" in errors


def test_gc_removes_what_is_too_old(captures, tmp_path):
    captures("on", "--random", "1", "--near", "-1")
    keep(tmp_path / "home", 2)
    assert captures("gc")[1] == "removed 0\n"
    for path in (tmp_path / "home" / "captures").glob("*.npz"):
        path.rename(path.with_name("20200101T000000" + path.name[15:]))
    assert captures("gc")[1] == "removed 2\n"


def test_a_damaged_file_is_named_in_the_list(captures, tmp_path):
    captures("on", "--random", "1", "--near", "-1")
    keep(tmp_path / "home", 2)
    path = next((tmp_path / "home" / "captures").glob("*.npz"))
    path.write_bytes(b"")
    assert f"damaged  {path}" in captures("list")[1]
    status, out, errors = captures("export", tmp_path / "out", "--format", "label-studio")
    assert status == 0 and out.startswith("1 captures") and "left out" in errors and path.name in errors


def test_without_an_action_the_usage_is_shown(captures):
    status, _, errors = captures()
    assert status == 2 and "ACTION" in errors


def test_the_columns_of_the_list_line_up_and_its_sizes_are_readable(captures, tmp_path):
    captures("on", "--random", "1", "--near", "-1", "--disk-bytes", "400000")
    random = np.random.default_rng(1)
    with Captures(None, tmp_path / "home" / "captures", version="7", labels=("coat", "a longer name")) as store:
        for side, logits in ((8, [[1, 0]]), (16, [[0, 1]]), (160, [[0]])):
            store.observe(random.integers(0, 256, (1, 1, side, side), np.uint8), np.float32(logits), 0.001, "7")
        store.flush()
    *rows, last = captures("list")[1].splitlines()
    assert len({row.index("random  p=1") for row in rows}) == 1
    assert sum("  -  " in row for row in rows) == 1  # no classifier's answer, and its column is there all the same
    size = sum(path.stat().st_size for path in (tmp_path / "home" / "captures").glob("*.npz"))
    assert last.startswith(f"3 captures, {size / 1e3:.1f} kB of 400.0 kB;")


def test_home_may_stand_behind_the_action_too(captures, tmp_path):
    other = tmp_path / "other"
    assert captures("on", "--random", "1", "--near", "-1", "--home", other)[0] == 0
    keep(other, 2)
    assert captures("list", "--home", other)[1].splitlines()[-1].startswith("2 captures")
    assert captures("--home", other, "list")[1].splitlines()[-1].startswith("2 captures")
    assert captures("list")[1].startswith("0 captures")
    assert captures("export", tmp_path / "data", "--home", other)[0] == 0
    assert captures("gc", "--home", other)[1] == "removed 0\n"
    assert captures("off", "--home", other)[0] == 0 and not (tmp_path / "home").exists()


def test_help_names_what_an_option_takes(captures):
    help = captures("on", "--help")[1]
    assert "--uncertain-above Q" in help and "--disk-bytes BYTES" in help and "(256 MiB)" in help
    assert "--labels FILE" in captures("export", "--help")[1]
