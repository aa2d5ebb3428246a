"""Archives made to do harm: each is refused with its code, in little time, and nothing is written elsewhere."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import KEY
from forged import FOLDER, LINK, Entry, honest, signed, small, zipped

from edge_runtime import limits
from edge_runtime.bundle import archive
from edge_runtime.bundle.manifest import canonical
from edge_runtime.errors import (
    ArchiveError,
    BundleError,
    BundleTooLargeError,
    ContentError,
    ManifestError,
    SignatureError,
)

FIRST, SECOND = 2, 3
"""Positions of the first two files behind the manifest and the signature."""


@pytest.fixture
def refused(tmp_path) -> Callable[[bytes, type[BundleError]], BundleError]:
    """Give these bytes to both readers; the error of ``unpack``, once nothing is found outside of its folder."""

    def attempt(content: bytes, kind: type[BundleError], *, only_unpack: bool = False) -> BundleError:
        place = tmp_path / "place"
        path, folder = place / "m.edge", place / "inner" / "folder"
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if not only_unpack:
            with pytest.raises(kind):
                archive.read_signed_manifest(path, [KEY.public])
        with pytest.raises(kind) as caught:
            archive.unpack(path, folder, [KEY.public])
        for found in tmp_path.rglob("*"):
            assert not found.is_symlink()
            assert found in (place, path, place / "inner", folder) or folder in found.parents
        return caught.value

    return attempt


def changed(position: int, **fields: dict) -> list[Entry]:
    """The small bundle with one entry's headers changed."""
    entries = honest()
    for name, value in fields.items():
        setattr(entries[position], name, value)
    return entries


def bomb() -> Entry:
    """100 MB of zeros in 100 kB, in the place of the model."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(packer.compress(bytes(1_000_000)) for _ in range(100)) + packer.flush()
    crc = 0
    for _ in range(100):
        crc = zlib.crc32(bytes(1_000_000), crc)
    return Entry("model/model.onnx", data, {"method": 8, "size": 100_000_000, "crc": crc})


def replaced(position: int, entry: Entry) -> list[Entry]:
    entries = honest()
    entries[position] = entry
    return entries


def inserted(position: int, entry: Entry) -> list[Entry]:
    entries = honest()
    entries.insert(position, entry)
    return entries


def overlapping() -> list[Entry]:
    """The directory says that the second file's bytes are the first one's."""
    entries = honest()
    first = sum(30 + len(entry.name) + len(entry.data) for entry in entries[:FIRST])
    entries[SECOND].central["offset"] = first
    return entries


EVIL = b"evil"
ATTACKS: dict[str, Callable[[], bytes]] = {
    "path_traversal": lambda: zipped(inserted(FIRST, Entry("../../evil", EVIL))),
    "path_traversal_in_place_of_a_file": lambda: zipped(changed(FIRST, name="../../../evilfile")),
    "path_traversal_in_the_directory_only": lambda: zipped(changed(FIRST, central={"name": "../../../evil.xx"})),
    "absolute_name": lambda: zipped(inserted(FIRST, Entry("/tmp/evil", EVIL))),
    "backslashes": lambda: zipped(inserted(FIRST, Entry("..\\evil", EVIL))),
    "drive_letter": lambda: zipped(inserted(FIRST, Entry("C:evil", EVIL))),
    "name_with_a_zero_byte": lambda: zipped(changed(FIRST, name=b"model/model.on\0x")),
    "name_that_is_not_utf8": lambda: zipped(inserted(FIRST, Entry(b"\xff\xfe", EVIL))),
    "empty_name": lambda: zipped(inserted(FIRST, Entry("", EVIL))),
    "other_case": lambda: zipped(changed(FIRST, name="Model/model.onnx")),
    "symlink_attribute": lambda: zipped(changed(FIRST, central={"mode": LINK})),
    "symlink_before_a_file_below_it": lambda: zipped(inserted(FIRST, Entry("model", b"/tmp", central={"mode": LINK}))),
    "folder_entry": lambda: zipped(inserted(FIRST, Entry("model/", b"", central={"mode": FOLDER}))),
    "executable_attribute": lambda: zipped(changed(FIRST, central={"mode": 0o100755 << 16})),
    "other_system": lambda: zipped(changed(FIRST, central={"made_by": 10})),
    "duplicate_name": lambda: zipped(inserted(SECOND, honest()[FIRST])),
    "duplicate_name_with_other_content": lambda: zipped(inserted(SECOND, Entry("model/model.onnx", EVIL))),
    "second_manifest_at_the_end": lambda: zipped([*honest(), honest()[0]]),
    "compressed_entry": lambda: zipped(replaced(FIRST, bomb())),
    "compressed_manifest": lambda: zipped(changed(0, both={"method": 8})),
    "stored_but_said_to_be_deflated": lambda: zipped(changed(FIRST, both={"method": 8})),
    "encrypted_flag": lambda: zipped(changed(FIRST, both={"flags": 1})),
    "data_descriptor_flag": lambda: zipped(changed(FIRST, both={"flags": 8, "crc": 0, "size": 0, "compressed": 0})),
    "utf8_flag": lambda: zipped(changed(FIRST, both={"flags": 0x800})),
    "extra_field": lambda: zipped(changed(FIRST, local={"extra": b"\1\0\0\0"})),
    "zip64_extra_field": lambda: zipped(
        changed(FIRST, both={"size": 0xFFFFFFFF, "compressed": 0xFFFFFFFF}, local={"extra": b"\1\0\x10\0" + bytes(16)})
    ),
    "entry_comment": lambda: zipped(changed(FIRST, central={"comment": b"hello"})),
    "other_date": lambda: zipped(changed(FIRST, both={"date": 34})),
    "overlapping_entries": lambda: zipped(overlapping()),
    "offset_behind_the_end": lambda: zipped(changed(FIRST, central={"offset": 0xFFFFFFF0})),
    "bytes_before": lambda: zipped(honest(), before=b"#!/bin/sh\n"),
    "bytes_behind": lambda: zipped(honest(), after=b"\0"),
    "archive_comment": lambda: zipped(honest(), comment=b"hello"),
    "another_archive_behind": lambda: zipped(honest()) + zipped(honest()),
    "other_name_in_the_local_header": lambda: zipped(changed(FIRST, local={"name": "model/model.onnY"})),
    "other_name_in_the_directory": lambda: zipped(changed(FIRST, central={"name": "model/model.onnY"})),
    "other_size_in_the_local_header": lambda: zipped(changed(FIRST, local={"size": 1})),
    "other_size_in_the_directory": lambda: zipped(changed(FIRST, central={"size": 1, "compressed": 1})),
    "other_checksum_in_the_directory": lambda: zipped(changed(FIRST, central={"crc": 1})),
    "too_many_entries_counted": lambda: zipped(honest(), count=65535),
    "too_few_entries_counted": lambda: zipped(honest(), count=1),
    "directory_somewhere_else": lambda: zipped(honest(), offset=0),
    "a_thousand_more_entries": lambda: zipped([*honest(), *(Entry(f"file-{i}", b"") for i in range(1000))]),
    "files_in_another_order": lambda: zipped([*honest()[:FIRST], *reversed(honest()[FIRST:])]),
    "signature_first": lambda: zipped([honest()[1], honest()[0], *honest()[FIRST:]]),
    "a_file_missing": lambda: zipped(honest()[:-1]),
    "no_signature": lambda: zipped([honest()[0], *honest()[FIRST:]]),
    "nothing_but_the_manifest": lambda: zipped(honest()[:1]),
    "empty_archive": lambda: zipped([]),
    "empty_file": lambda: b"",
    "no_zip": lambda: b"\x7fELF" + bytes(1000),
    "gzip": lambda: b"\x1f\x8b" + bytes(1000),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_is_refused_as_no_bundle(refused, attack):
    started = time.perf_counter()
    error = refused(ATTACKS[attack](), ArchiveError)
    assert time.perf_counter() - started < 1 + 5 * (attack == "compressed_entry")  # which takes a second to make
    assert (error.code, error.status) == ("bundle-archive-invalid", 400)


@pytest.mark.parametrize("position", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("field", ["version", "flags", "method", "time", "date", "crc", "compressed", "size"])
@pytest.mark.parametrize("where", ["both", "local", "central"])
def test_no_header_field_may_differ(refused, position, field, where):
    refused(zipped(changed(position, **{where: {field: 1}})), BundleError, only_unpack=True)


def test_every_truncation_is_refused(refused):
    content = zipped(honest())
    for length in {*range(0, len(content), 97), *range(len(content) - 100, len(content))}:
        refused(content[:length], BundleError)


def test_a_flipped_bit_in_any_byte_is_refused(tmp_path):
    content = bytearray(zipped(honest()))
    path = tmp_path / "m.edge"
    for position in range(len(content)):
        content[position] ^= 1 << position % 8
        path.write_bytes(content)
        with pytest.raises(BundleError):
            archive.unpack(path, fresh(tmp_path), [KEY.public], store=forget)
        content[position] ^= 1 << position % 8
    path.write_bytes(content)
    archive.unpack(path, fresh(tmp_path), [KEY.public], store=forget)


def test_a_flipped_bit_is_refused_before_the_files_unless_it_is_in_one(tmp_path):
    content = bytearray(zipped(honest()))
    path, inside, start = tmp_path / "m.edge", set(), 0
    for position, entry in enumerate(honest()):
        start += 30 + len(entry.name)
        inside |= set(range(start, start + len(entry.data))) if position >= FIRST else set()
        start += len(entry.data)
    accepted = set()
    for position in range(len(content)):
        content[position] ^= 1
        path.write_bytes(content)
        try:
            archive.read_signed_manifest(path, [KEY.public])
            accepted.add(position)
        except BundleError:
            pass
        content[position] ^= 1
    assert accepted == inside


def test_a_changed_file_is_refused_by_its_hash(refused):
    entries = honest()
    entries[FIRST].data = bytes(len(entries[FIRST].data))  # with a checksum that fits
    error = refused(zipped(entries), ContentError, only_unpack=True)
    assert (error.code, error.status) == ("bundle-content-damaged", 400)
    assert "model/model.onnx" in str(error)


def test_a_changed_manifest_is_refused_by_its_signature(refused):
    entries = honest()
    entries[0].data = entries[0].data.replace(b'"sequence":1', b'"sequence":9')
    error = refused(zipped(entries), SignatureError)
    assert (error.code, error.status) == ("bundle-signature-invalid", 403)


def test_the_signature_is_checked_before_the_manifest_is_parsed(refused, monkeypatch):
    def parse(data):
        raise AssertionError("parsed")

    monkeypatch.setattr(archive, "parse", parse)
    entries = honest()
    entries[0].data = b"{" + entries[0].data
    refused(zipped(entries), SignatureError)


def test_a_signature_of_another_bundle_is_refused(refused):
    entries, other = honest(), signed(b"{}", {})
    entries[1] = other[1]
    refused(zipped(entries), SignatureError)


def test_a_signature_for_another_purpose_is_refused(refused):
    from edge_runtime.bundle import signature

    entries = honest()
    entries[1].data = signature.sign(entries[0].data, KEY)
    refused(zipped(entries), SignatureError)


@pytest.mark.parametrize("length", [0, 1, 71])
def test_a_short_signature_is_refused(refused, length):
    entries = honest()
    entries[1].data = entries[1].data[:length]
    refused(zipped(entries), SignatureError)


def test_a_long_signature_is_refused_before_it_is_read(refused):
    entries = honest()
    entries[1].data = bytes(73)
    refused(zipped(entries), BundleTooLargeError)


def test_a_manifest_above_the_cap_is_refused_before_it_is_read(refused):
    error = refused(zipped(changed(0, both={"size": 0xFFFFFFFF, "compressed": 0xFFFFFFFF})), BundleTooLargeError)
    assert (error.code, error.status) == ("bundle-too-large", 413)


def test_a_manifest_above_the_cap_is_refused_even_when_signed(refused):
    refused(zipped(signed(bytes(limits.MANIFEST_BYTES + 1), {})), BundleTooLargeError)


def test_a_file_above_the_cap_is_refused_at_once(tmp_path):
    path = tmp_path / "m.edge"
    path.write_bytes(zipped(honest()))
    os.truncate(path, limits.BUNDLE_BYTES + 1)  # takes no space
    started = time.perf_counter()
    with pytest.raises(BundleTooLargeError, match="2147483649 bytes"):
        archive.unpack(path, fresh(tmp_path), [KEY.public])
    assert time.perf_counter() - started < 0.1


def test_a_file_that_its_signed_manifest_makes_larger_is_refused_before_it_is_read(refused):
    manifest, files = small()
    content = canonical(manifest).replace(b'"size":27', b'"size":2147483000')
    refused(zipped(signed(content, files)), BundleError)


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", "a/../../evil", "./evil", "a//b", "a/", "", "..", "c:\\evil"])
def test_a_path_that_leads_elsewhere_is_refused_even_when_signed(refused, path):
    manifest, files = small()
    value = json.loads(canonical(manifest))
    value["files"][0]["path"] = value["model"] = path
    files = {path if name == "model/model.onnx" else name: data for name, data in files.items()}
    content = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    error = refused(zipped(signed(content, files)), ManifestError)
    assert "files[0]: path" in str(error)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_refused_without_waiting(tmp_path, make):
    make(tmp_path / "m.edge")
    with pytest.raises(BundleError, match=r"is not a file|cannot be read"):
        archive.read_signed_manifest(tmp_path / "m.edge", [KEY.public])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"none\.edge: cannot be read: No such file"):
        archive.read_signed_manifest(tmp_path / "none.edge", [KEY.public])


def fresh(folder: Path) -> Path:
    (folder / "folder").mkdir(exist_ok=True)
    return folder / "folder"


def forget(path: Path, blocks) -> None:
    for _ in blocks:
        pass
