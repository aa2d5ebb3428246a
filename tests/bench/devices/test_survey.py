"""What is understood of a device from what its shell prints; the script itself runs here, too."""

from __future__ import annotations

import subprocess

import pytest

from compress.bench.devices.survey import MARKER, Survey, read, script
from compress.errors import DeviceError, DevicePythonError

PI = {
    "version": (3, 11, 2), "path": "/usr/bin/python3", "whole": True, "name": "CPython", "libc": ("glibc", "2.36"),
    "machine": "aarch64", "bits": 64,
}  # fmt: skip


def printed(*pythons: dict) -> bytes:
    lines = ["Welcome", MARKER, "system Debian GNU/Linux 12", "folder /home/pi/.cache/edge", *map(repr, pythons)]
    return "\n".join(lines).encode() + b"\n"


def test_a_board_that_will_do():
    found = read(printed(PI), "ssh://pi")
    assert found == Survey(
        "aarch64", "/usr/bin/python3", (3, 11, 2), (2, 36), "Debian GNU/Linux 12", "/home/pi/.cache/edge"
    )
    assert found.platforms[0] == "manylinux_2_36_aarch64"
    assert {"manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"} <= set(found.platforms)
    assert not any("2_37" in tag or "x86" in tag or "manylinux1_" in tag for tag in found.platforms)


def test_the_first_python_that_will_do_is_taken():
    found = read(printed(PI | {"version": (3, 8, 10)}, PI | {"version": (3, 12, 1), "path": "/opt/python3.12"}), "x")
    assert found.python == "/opt/python3.12"


def test_a_32_bit_system_on_a_64_bit_processor():
    assert read(printed(PI | {"bits": 32}), "x").arch == "armv7l"


def test_another_c_library_has_no_wheels():
    found = read(printed(PI | {"libc": ("", "")}), "x")
    assert found.libc is None and found.platforms == ()


def test_control_characters_do_not_reach_the_terminal():
    said = printed(PI).replace(b"Debian", b"\x1b[31mDebian")
    assert "\x1b" not in read(said, "x").words()


@pytest.mark.parametrize(
    ("pythons", "words"),
    [
        ([], "there is no Python"),
        ([PI | {"version": (3, 9, 2)}], r"its Python is 3\.9\.2; .*3\.10 or later"),
        ([{"version": (3, 11, 2), "path": "/usr/bin/python3", "whole": False}], "lacks a part of its standard library"),
        ([PI | {"name": "PyPy"}], "PyPy"),
    ],
)
def test_no_python_that_will_do(pythons: list[dict], words: str):
    with pytest.raises(DevicePythonError, match=words):
        read(printed(*pythons), "ssh://pi")


def test_no_shell_there():
    with pytest.raises(DeviceError, match="no POSIX shell"):
        read(b"Router> unknown command: sh\n", "ssh://router")


def test_the_script_runs_and_an_old_python_does_not_hide_a_newer_one(tmp_path):
    old = tmp_path / "python3"
    old.write_text(
        "#!/bin/sh\necho \"{'version': (3, 8, 10), 'path': 'old', 'whole': True, 'name': 'CPython'}\"; exit 1\n"
    )
    old.chmod(0o755)
    good = tmp_path / "python3.13"
    good.write_text(f'#!/bin/sh\necho "{PI | {"path": "good"}}"\n')
    good.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/home/some body"}
    said = subprocess.run(["sh", "-s"], input=script(None, None, "agent.py"), capture_output=True, env=environment)
    found = read(said.stdout, "here")
    assert found.python == "good"
    assert found.folder == "/home/some body/.cache/edge-runtime-bench"
    assert not found.agent


def test_a_folder_with_spaces_and_quotes(tmp_path):
    folder = tmp_path / "it's here"
    folder.mkdir()
    (folder / "agent.py").touch()
    said = subprocess.run(["sh", "-s"], input=script(None, str(folder), "agent.py"), capture_output=True)
    found = read(said.stdout, "here")
    assert found.folder == str(folder) and found.agent
