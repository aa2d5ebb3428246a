"""An unpacked bundle: what is read from it, and what is noticed when it was changed."""

from __future__ import annotations

import io
import os
import pickle
import shutil

import numpy as np
import pytest
from bundles import KEY, make_bundle, npy

from edge_runtime.bundle import archive, contents
from edge_runtime.errors import BundleError, BundleTooLargeError, ContentError, ManifestError


@pytest.fixture
def unpacked(tmp_path) -> contents.Contents:
    folder = tmp_path / "folder"
    folder.mkdir()
    return archive.unpack(make_bundle(tmp_path), folder, [KEY.public])


def test_files_are_found_by_the_manifests_path(unpacked):
    assert unpacked.file("sbom.cdx.json").is_file()


@pytest.mark.parametrize(
    "path", ["manifest.json", "manifest.sig", "../folder/sbom.cdx.json", "/etc/passwd", "none", ""]
)
def test_a_path_that_the_manifest_does_not_list_is_refused(unpacked, path):
    with pytest.raises(ContentError, match="lists no file"):
        unpacked.file(path)


def test_an_untouched_folder_verifies_again_and_again(unpacked):
    unpacked.verify()
    contents.load(unpacked.folder).verify()


@pytest.mark.parametrize("name", ["model/model.onnx", "golden/outputs.npy", "sbom.cdx.json"])
def test_one_flipped_bit_is_noticed(unpacked, name):
    path = unpacked.folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(ContentError, match=name.replace(".", r"\.")):
        unpacked.verify()


def test_a_longer_a_shorter_and_a_missing_file_are_noticed(unpacked):
    path = unpacked.file("sbom.cdx.json")
    data = path.read_bytes()
    for change in (data + b"\n", data[:-1], None):
        path.unlink() if change is None else path.write_bytes(change)
        with pytest.raises(ContentError, match=r"sbom\.cdx\.json"):
            unpacked.verify()


def test_a_further_file_or_link_is_noticed(unpacked):
    for make in (lambda path: path.write_text("x"), lambda path: path.symlink_to("/tmp"), os.mkfifo):
        stray = unpacked.folder / "model" / "stray"
        make(stray)
        with pytest.raises(ContentError, match="'model/stray', which its manifest does not list"):
            unpacked.verify()
        stray.unlink()
    unpacked.verify()


def test_a_link_to_the_very_same_file_is_noticed(unpacked, tmp_path):
    path = unpacked.file(unpacked.manifest.model)
    shutil.move(path, tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ContentError, match=r"model\.onnx"):
        unpacked.verify()


def test_a_link_to_the_very_same_folder_is_noticed(unpacked, tmp_path):
    shutil.move(unpacked.folder / "model", tmp_path / "elsewhere")
    (unpacked.folder / "model").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ContentError, match="'model'"):
        unpacked.verify()


def test_a_changed_manifest_is_noticed(unpacked):
    path = unpacked.folder / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b'"sequence":1', b'"sequence":2'))
    with pytest.raises(ContentError, match=r"manifest\.json"):
        unpacked.verify()
    assert contents.load(unpacked.folder).id != unpacked.id


def test_what_is_no_unpacked_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json: cannot be read: .*; install the bundle again"):
        contents.load(tmp_path)
    (tmp_path / "manifest.json").write_bytes(b"{}")
    with pytest.raises(ManifestError):
        contents.load(tmp_path)
    with (tmp_path / "manifest.json").open("r+b") as stream:
        stream.truncate(2**32)
    with pytest.raises(BundleTooLargeError):
        contents.load(tmp_path)


def test_arrays_come_out_as_they_went_in(unpacked):
    outputs = unpacked.array("golden/outputs.npy")
    assert (outputs.shape, outputs.dtype) == ((8, 10), np.float32)
    assert np.array_equal(outputs, np.load(unpacked.file("golden/outputs.npy")))


@pytest.mark.parametrize(
    "array", [np.zeros((0, 3), np.uint8), np.array(5, np.int64), np.arange(6, dtype=np.float64).reshape(1, 2, 3)]
)
def test_arrays_of_any_plain_kind_pass(unpacked, array):
    unpacked.file("golden/outputs.npy").write_bytes(npy(array))
    found = unpacked.array("golden/outputs.npy")
    assert found.dtype == array.dtype and np.array_equal(found, array)


def header(text: str) -> bytes:
    line = text.encode() + b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(line).to_bytes(2, "little") + line


HOSTILE = {
    "pickle": pickle.dumps({"a": 1}),
    "objects": (lambda stream: (np.save(stream, np.array([{}], object), allow_pickle=True), stream.getvalue())[1])(
        io.BytesIO()
    ),
    "terabytes": header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000), }"),
    "negative_axes": header("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, -2), }") + bytes(4),
    "too_few_bytes": header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }") + bytes(15),
    "too_many_bytes": header("{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }") + bytes(17),
    "code": header("__import__('os').system('true')"),
    "fields": header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }") + bytes(4),
    "zip": b"PK\3\4" + bytes(100),
    "nothing": b"",
    "later_version": b"\x93NUMPY\x03\x00" + bytes(100),
    "many_axes": header("{'descr': '|u1', 'fortran_order': False, 'shape': (" + "1, " * 9 + "), }") + bytes(1),
    "number_of_no_kind": header("{'descr': '<f1', 'fortran_order': False, 'shape': (1,), }") + bytes(1),
    "fortran": header("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }") + bytes(4),
    "big_endian": header("{'descr': '>f4', 'fortran_order': False, 'shape': (1,), }") + bytes(4),
    "deep_header": header("(" * 5000),
    "long_header": header(" " * 60_000),
    "not_text": b"\x93NUMPY\x01\x00\x10\x00" + b"\xff" * 16,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_an_array_that_is_none_is_refused(unpacked, case):
    unpacked.file("golden/inputs.npy").write_bytes(HOSTILE[case])
    with pytest.raises(ContentError, match=r"inputs\.npy"):
        unpacked.array("golden/inputs.npy")
