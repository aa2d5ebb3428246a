"""What a bundle takes of a device's flash: foretold from its manifest, and as the file system says."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from bundles import KEY, make_bundle

from edge_runtime.bundle import archive, flash
from edge_runtime.bundle.manifest import MANIFEST, SIGNATURE


@pytest.mark.parametrize(("sizes", "bytes_"), [([], 0), ([0], 0), ([1], 4096), ([4096], 4096), ([4097, 1], 12288)])
def test_files_take_whole_blocks(sizes, bytes_):
    assert flash.blocks(sizes) == bytes_


@pytest.fixture
def unpacked(tmp_path) -> Path:
    folder = tmp_path / "unpacked"
    folder.mkdir()
    archive.unpack(make_bundle(tmp_path), folder, [KEY.public])
    return folder


def test_an_installed_bundle_is_all_its_files_and_folders(unpacked, tmp_path):
    manifest, _ = archive.read_signed_manifest(make_bundle(tmp_path), [KEY.public])
    files = [path for path in unpacked.rglob("*") if path.is_file()]
    assert {MANIFEST, SIGNATURE, "model.onnx"} <= {path.name for path in files}
    folders = [unpacked, *(path for path in unpacked.rglob("*") if path.is_dir())]
    told = sum(-(-path.stat().st_size // 4096) * 4096 for path in files) + 4096 * len(folders)
    assert flash.installed(manifest) == told
    assert flash.installed(manifest) > flash.blocks(file.size for file in manifest.files)


def test_what_lies_there_is_what_du_says(unpacked):
    said = subprocess.run(["du", "-s", "-B1", str(unpacked)], capture_output=True, text=True, check=True).stdout
    assert flash.taken(unpacked) == int(said.split()[0])


def test_links_are_not_followed(unpacked, tmp_path):
    large = tmp_path / "large"
    large.mkdir()
    (large / "file").write_bytes(os.urandom(1 << 20))
    before = flash.taken(unpacked)
    (unpacked / "link").symlink_to(large)
    assert flash.taken(unpacked) - before < 1 << 16
