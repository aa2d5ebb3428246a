"""What `archive.write` makes, and what comes out of it again."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from dataclasses import replace

import pytest
from bundles import KEY, OTHER_KEY, listed, make_bundle, make_manifest
from forged import honest, small, zipped

from edge_runtime.bundle import archive, contents
from edge_runtime.bundle.manifest import canonical
from edge_runtime.errors import BundleError, ContentError, ManifestError, UnknownKeyError


def test_a_bundle_comes_out_as_it_went_in(tmp_path):
    path = make_bundle(tmp_path, sequence=7)
    manifest, files = make_manifest(sequence=7)
    found = archive.unpack(path, empty(tmp_path), [OTHER_KEY.public, KEY.public])
    assert found.manifest == manifest
    assert {name: found.file(name).read_bytes() for name in files} == files
    assert archive.read_signed_manifest(path, [KEY.public]) == (manifest, canonical(manifest))
    assert contents.load(found.folder) == found
    found.verify()


def test_the_same_inputs_make_the_same_bytes(tmp_path):
    first = make_bundle(tmp_path, path=tmp_path / "first.edge")
    second = make_bundle(tmp_path, path=tmp_path / "second.edge")
    assert first.read_bytes() == second.read_bytes()


def test_files_given_by_path_and_by_content_make_the_same_bytes(tmp_path):
    manifest, files = small()
    for name, data in files.items():
        (tmp_path / name.replace("/", "-")).write_bytes(data)
    archive.write(tmp_path / "content.edge", manifest, files, KEY)
    archive.write(tmp_path / "path.edge", manifest, {name: tmp_path / name.replace("/", "-") for name in files}, KEY)
    assert (tmp_path / "content.edge").read_bytes() == (tmp_path / "path.edge").read_bytes()


def test_any_zip_tool_can_read_it(tmp_path):
    path = make_bundle(tmp_path)
    with zipfile.ZipFile(path) as found:
        assert found.testzip() is None
        assert found.namelist()[:3] == ["manifest.json", "manifest.sig", "model/model.onnx"]
        assert {item.compress_type for item in found.infolist()} == {zipfile.ZIP_STORED}
        assert {item.date_time for item in found.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {item.external_attr >> 16 for item in found.infolist()} == {0o100644}
    if tool := shutil.which("unzip"):
        subprocess.run([tool, "-tq", path], check=True, stdout=subprocess.DEVNULL)


def test_the_tests_forger_writes_honest_archives_to_the_byte(tmp_path):
    path = tmp_path / "m.edge"
    archive.write(path, *small(), KEY)
    assert zipped(honest()) == path.read_bytes()


def test_a_bundle_of_a_stranger_is_refused_by_name(tmp_path):
    path = make_bundle(tmp_path, key=OTHER_KEY)
    for read in (lambda: archive.read_signed_manifest(path, [KEY.public]), lambda: unpack(path, tmp_path)):
        with pytest.raises(UnknownKeyError, match=rf"{OTHER_KEY.public.id}.*tests \({KEY.public.id}\)") as caught:
            read()
        assert (caught.value.code, caught.value.status) == ("bundle-key-unknown", 403)


def test_a_device_that_trusts_nobody_refuses_everything(tmp_path):
    with pytest.raises(UnknownKeyError, match="the trusted keys are: none"):
        archive.read_signed_manifest(make_bundle(tmp_path), [])


def test_a_manifest_that_no_device_would_accept_is_not_written(tmp_path):
    with pytest.raises(ManifestError, match="raise_floor"):
        make_bundle(tmp_path, sequence=3, raise_floor=4)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_those_of_the_manifest_are_not_written(tmp_path):
    manifest, files = small()
    with pytest.raises(ContentError, match=r"model/model\.onnx"):
        archive.write(tmp_path / "m.edge", manifest, files | {"model/model.onnx": b"another one"}, KEY)
    with pytest.raises(ContentError, match=r"stray\.txt"):
        archive.write(tmp_path / "m.edge", manifest, files | {"stray.txt": b""}, KEY)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_bundle(tmp_path):
    path = make_bundle(tmp_path)
    before = path.read_bytes()
    manifest, files = small()
    with pytest.raises(ContentError):
        archive.write(path, manifest, files | {"model/model.onnx": b"another one"}, KEY)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_empty_and_large_files_pass(tmp_path):
    files = {"empty.bin": b"", "large.bin": bytes(3 * archive.BLOCK + 5)}
    path = make_bundle(tmp_path, files=files)
    found = unpack(path, tmp_path)
    assert {name: found.file(name).read_bytes() for name in files} == files


def test_whoever_stores_the_files_gets_every_one_of_them_the_manifest_last(tmp_path):
    path, stored = make_bundle(tmp_path), {}

    def store(place, blocks):
        stored[place.relative_to(tmp_path / "folder").as_posix()] = b"".join(blocks)

    found = archive.unpack(path, empty(tmp_path), [KEY.public], store=store)
    assert list(found.folder.iterdir()) == []
    assert list(stored)[-1] == "manifest.json"
    assert stored["manifest.json"] == canonical(found.manifest)
    assert set(stored) == {"manifest.json", "manifest.sig", *(file.path for file in found.manifest.files)}


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    folder = empty(tmp_path)
    (folder / "mine").write_text("kept")
    with pytest.raises(BundleError, match="must be empty"):
        archive.unpack(make_bundle(tmp_path), folder, [KEY.public])
    assert [path.name for path in folder.iterdir()] == ["mine"]


def test_another_sequence_number_makes_another_id(tmp_path):
    ids = {unpack(make_bundle(tmp_path, sequence=n), tmp_path, f"folder-{n}").id for n in (1, 2)}
    assert len(ids) == 2


def test_the_id_does_not_depend_on_who_signed(tmp_path):
    manifest, files = small()
    assert archive.write(tmp_path / "a", manifest, files, KEY) == archive.write(
        tmp_path / "b", manifest, files, OTHER_KEY
    )


def test_the_order_of_files_is_the_manifests(tmp_path):
    manifest, files = small()
    turned = replace(manifest, files=tuple(reversed(listed(files))))
    archive.write(tmp_path / "m.edge", turned, files, KEY)
    with zipfile.ZipFile(tmp_path / "m.edge") as found:
        assert found.namelist()[2:] == [file.path for file in turned.files]
    unpack(tmp_path / "m.edge", tmp_path).verify()


def empty(folder, name="folder"):
    (folder / name).mkdir(exist_ok=True)
    return folder / name


def unpack(path, folder, name="folder"):
    return archive.unpack(path, empty(folder, name), [KEY.public])
