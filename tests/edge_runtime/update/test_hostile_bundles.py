"""Hostile bundles and a disk that is really full: refused, nothing written outside, the old version serving.

`bundle/test_hostile_archives.py` has the archives field by field; these are the famous ones, through `install`.
"""

from __future__ import annotations

import json
import os
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import make_bundle, make_manifest
from forged import LINK, Entry, signed, zipped
from updates import NOW, Told, installed, make_home, passing

from edge_runtime import limits
from edge_runtime.bundle.manifest import canonical
from edge_runtime.errors import BundleError, SpaceError
from edge_runtime.update import checks
from edge_runtime.update.install import install
from edge_runtime.update.trial import begin


def bomb() -> bytes:
    """A model of 64 MB in 64 kB, under a good signature."""
    manifest, files = make_manifest(sequence=2)
    zeros = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join([*(zeros.compress(bytes(1 << 20)) for _ in range(64)), zeros.flush()])
    entries = signed(canonical(manifest), files)
    entries[2] = Entry("model/model.onnx", data, both={"method": 8, "size": 64 << 20})
    return zipped(entries)


def link() -> bytes:
    manifest, files = make_manifest(sequence=2)
    entries = signed(canonical(manifest), files)
    entries[2] = Entry("model/model.onnx", b"/etc/passwd", central={"mode": LINK})
    return zipped(entries)


def traversal(path: str) -> bytes:
    """The manifest names the path too, and is signed: what whoever has stolen a key would try."""
    manifest, files = make_manifest(sequence=2)
    content = canonical(manifest).replace(b"model/model.onnx", path.encode())
    assert json.loads(content)["model"] == path
    files = {path if name == "model/model.onnx" else name: data for name, data in files.items()}
    return zipped(signed(content, files))


def one_more(path: str) -> bytes:
    """A file that the manifest does not list."""
    manifest, files = make_manifest(sequence=2)
    return zipped([*signed(canonical(manifest), files), Entry(path, b"evil")])


ATTACKS = {
    "zip bomb": bomb,
    "symlink": link,
    "above": lambda: traversal("../../evil.onnx"),
    "absolute": lambda: traversal("/tmp/evil.onnx"),
    "link of the home": lambda: traversal("../../current/x.onnx"),
    "one more file": lambda: one_more("model/evil.onnx"),
    "one more file above": lambda: one_more("../../state.json"),
    "nothing but a directory": lambda: zipped([]),
    "not a zip": lambda: b"\x7fELF" + bytes(1000),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_leaves_the_old_version_and_no_trace(attack, home, bundles, tmp_path):
    old = installed(home, bundles[1], commit=True)
    before = everything(tmp_path)
    path = tmp_path / "m.edge"
    path.write_bytes(ATTACKS[attack]())
    with pytest.raises(BundleError):
        install(home, path, selftest=passing, now=lambda: NOW)
    path.unlink()
    assert everything(tmp_path) == before
    assert begin(home).id == old


def everything(folder: Path) -> dict[str, object]:
    """All files with their contents; locks and histories may come and grow."""
    paths = (path for path in folder.rglob("*") if not path.name.endswith(("lock", "history.jsonl")))
    return {str(path): path.read_bytes() if path.is_file() else os.path.islink(path) for path in paths}


def test_a_file_that_is_too_large_is_refused_before_it_is_read(home, bundles, tmp_path):
    old = installed(home, bundles[1], commit=True)
    path = tmp_path / "m.edge"
    with path.open("wb") as stream:
        stream.truncate(limits.BUNDLE_BYTES + 1)
    with pytest.raises(BundleError) as told:
        install(home, path, selftest=passing, now=lambda: NOW)
    assert told.value.status == 413
    assert begin(home).id == old


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MB, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", "tmpfs", folder], capture_output=True, check=False
    )
    if mounting.returncode:
        pytest.skip("mounting needs root; test_install.py fails every call to the disk in turn instead")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.integration
def test_a_disk_that_is_too_small_is_seen_before_anything_is_unpacked(small_disk, bundles, tmp_path):
    home = make_home(small_disk / "home")
    old = installed(home, bundles[1], commit=True)
    path = make_bundle(tmp_path, sequence=2, files={"weights.bin": bytes(8 * 1024**2)})
    tester = Told()
    with pytest.raises(SpaceError, match="MB are needed and"):
        install(home, path, selftest=tester, now=lambda: NOW)
    assert tester.asked == []
    assert begin(home).id == old


@pytest.mark.integration
def test_a_disk_that_fills_up_while_a_bundle_is_unpacked(small_disk, bundles, tmp_path, monkeypatch):
    home = make_home(small_disk / "home")
    old = installed(home, bundles[1], commit=True)
    path = make_bundle(tmp_path, sequence=2, files={"weights.bin": bytes(4 * 1024**2)})
    real = checks.check_space

    def then_another_program_writes(*arguments):
        real(*arguments)
        (small_disk / "log").write_bytes(bytes(12 * 1024**2))

    monkeypatch.setattr(checks, "check_space", then_another_program_writes)
    with pytest.raises(SpaceError, match="No space left on device"):
        install(home, path, selftest=passing, now=lambda: NOW)
    assert begin(home).id == old
    assert list(home.staging.iterdir()) == []
    (small_disk / "log").unlink()
    monkeypatch.setattr(checks, "check_space", real)
    assert install(home, path, selftest=passing, now=lambda: NOW).sequence == 2


@pytest.mark.integration
def test_on_a_disk_without_a_byte_left_a_trial_is_not_given_out_and_a_good_version_is(small_disk, bundles):
    home = make_home(small_disk / "home")
    first = installed(home, bundles[1], commit=True)
    installed(home, bundles[2])
    fill(small_disk / "log")
    assert begin(home).id == first
    (small_disk / "log").unlink()
    assert begin(home).manifest.sequence == 2


@pytest.mark.integration
def test_on_a_disk_that_can_only_be_read_a_good_version_serves(small_disk, bundles):
    home = make_home(small_disk / "home")
    first = installed(home, bundles[1], commit=True)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert begin(home).id == first


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        for size in (1 << 20, 4096, 1):
            try:
                while stream.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
