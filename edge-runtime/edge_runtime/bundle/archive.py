"""A bundle's file: a ZIP archive that can be written in one way only, and is read by no other.

``manifest.json``, ``manifest.sig`` and then the manifest's files in its order, each stored without compression, with
one date, one mode and no extra fields: the same inputs give the same bytes, and any ZIP tool can look inside. Reading
never trusts a field of the archive. The manifest's signature is checked before its JSON is parsed; from then on the
manifest says which bytes must stand where, down to the last one, and what differs is refused. So there is nothing to
decompress, no link, no folder, no second file of one name, no path but the manifest's, and nothing before, between or
behind. Format: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from edge_runtime import limits
from edge_runtime.bundle import signature
from edge_runtime.bundle.contents import Contents
from edge_runtime.bundle.files import BLOCK, blocks, opened
from edge_runtime.bundle.manifest import MANIFEST, SIGNATURE, File, Manifest, canonical, check, parse
from edge_runtime.bundle.signature import PrivateKey, PublicKey
from edge_runtime.errors import ArchiveError, BundleError, BundleTooLargeError, ContentError

LOCAL = struct.Struct("<4s5H3I2H")
CENTRAL = struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
ZIP_VERSION = 10
UNIX = 3 << 8
MIDNIGHT, FIRST_OF_1980 = 0, 1 << 5 | 1
"""The earliest date that ZIP can hold: every file has it."""
MODE = (stat.S_IFREG | 0o644) << 16
PURPOSE = b"edge-runtime bundle manifest 1\n"
"""Signed in front of the manifest, so that no signature made for another purpose can be passed off as a bundle's."""

Store = Callable[[Path, Iterator[bytes]], None]


def write(path: Path, manifest: Manifest, files: Mapping[str, Path | bytes], key: PrivateKey) -> str:
    """Make the bundle at ``path`` of ``files`` (content, or where it is, by path in the bundle). Returns its id.

    The file is whole or not there. Raises ManifestError for a manifest that no device would accept, ContentError when
    the files are not those that it lists.
    """
    check(manifest)
    if set(files) != {file.path for file in manifest.files}:
        wrong = sorted(set(files) ^ {file.path for file in manifest.files})
        raise ContentError(f"{path}: {wrong[0]} is either listed or given, and must be both")
    content = canonical(manifest)
    head = {MANIFEST: content, SIGNATURE: signature.sign(PURPOSE + content, key)}
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as stream:
            _fill(stream, [*_head(head), *manifest.files], {**head, **files})
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return hashlib.sha256(content).hexdigest()


def read_signed_manifest(path: Path, keys: Iterable[PublicKey]) -> tuple[Manifest, bytes]:
    """The manifest of a bundle, and its bytes, once one of ``keys`` is found to have signed them.

    The archive's structure is checked too, but not the content of its files. Raises BundleError.
    """
    with _opened(path) as (stream, length):
        manifest, content, signed, checksums = _begin(stream, length, keys, path)
        for file in manifest.files:
            checksums.append(_enter(stream, file.path, file.size, path))
            stream.seek(file.size, os.SEEK_CUR)
        _finish(stream, [*_head({MANIFEST: content, SIGNATURE: signed}), *manifest.files], checksums, path)
    return manifest, content


def unpack(path: Path, folder: Path, keys: Iterable[PublicKey], *, store: Store | None = None) -> Contents:
    """Write a bundle's files, its manifest and its signature into the empty ``folder``, each checked while copied.

    ``store`` writes one file of the blocks it is given, and makes the folders above it; whoever must know that the
    files are on the disk passes their own. Raises BundleError; what was written until then is the caller's to remove.
    """
    if any(folder.iterdir()):
        raise BundleError(f"{folder}: must be empty before {path.name} is unpacked there")
    store = store or _store
    with _opened(path) as (stream, length):
        manifest, content, signed, checksums = _begin(stream, length, keys, path)
        for file in manifest.files:
            checksums.append(_enter(stream, file.path, file.size, path))
            store(folder / file.path, _checked(stream, file, checksums[-1], path))
        _finish(stream, [*_head({MANIFEST: content, SIGNATURE: signed}), *manifest.files], checksums, path)
    store(folder / SIGNATURE, iter((signed,)))
    store(folder / MANIFEST, iter((content,)))
    return Contents(folder, manifest, hashlib.sha256(content).hexdigest())


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A regular file of a length that is allowed, and this length in bytes."""
    with ExitStack() as stack:
        try:
            stream, facts = stack.enter_context(opened(path))
        except OSError as error:
            raise BundleError(f"{path}: cannot be read: {error.strerror}; name a bundle's file") from error
        if facts.st_size > limits.BUNDLE_BYTES:
            raise BundleTooLargeError(
                f"{path}: {facts.st_size} bytes, where {limits.BUNDLE_BYTES} are allowed; make a smaller model"
            )
        yield stream, facts.st_size


def _begin(
    stream: BinaryIO, length: int, keys: Iterable[PublicKey], path: Path
) -> tuple[Manifest, bytes, bytes, list[int]]:
    """The manifest, its bytes, its signature, and both checksums; the stream stands behind them.

    Only here is a size taken from the archive itself, and it is capped.
    """
    found = []
    for name, most in ((MANIFEST, limits.MANIFEST_BYTES), (SIGNATURE, signature.SIGNATURE_BYTES)):
        header = _read(stream, LOCAL.size, path)
        checksum, size = LOCAL.unpack(header)[6], LOCAL.unpack(header)[8]
        if header != _local(name, checksum, size):
            raise _broken(path, f"does not begin as a bundle does, at {name}")
        if size > most:
            raise BundleTooLargeError(f"{path}: {name} has {size} bytes, where {most} are allowed; make it smaller")
        if _read(stream, len(name), path) != name.encode():
            raise _broken(path, f"has another file where {name} must be")
        content = _read(stream, size, path)
        if zlib.crc32(content) != checksum:
            raise _broken(path, f"has a damaged {name}")
        found.append((content, checksum))
    (content, first), (signed, second) = found
    signature.verify(PURPOSE + content, signed, keys)
    manifest = parse(content)
    files = [*_head({MANIFEST: content, SIGNATURE: signed}), *manifest.files]
    expected = END.size + sum(LOCAL.size + CENTRAL.size + 2 * len(file.path) + file.size for file in files)
    if length != expected:
        raise _broken(path, f"has {length} bytes where its manifest makes {expected}")
    return manifest, content, signed, [first, second]


def _enter(stream: BinaryIO, name: str, size: int, path: Path) -> int:
    """Read the header in front of a file, which must say what the manifest says; returns the file's checksum."""
    expected = LOCAL.size + len(name)
    header = _read(stream, expected, path)
    checksum = LOCAL.unpack_from(header)[6]
    if header != _local(name, checksum, size) + name.encode():
        raise _broken(path, f"has another header where that of {name} must be")
    return checksum


def _checked(stream: BinaryIO, file: File, checksum: int, path: Path) -> Iterator[bytes]:
    """A file's blocks. Raises ContentError behind the last one when they are not what was signed."""
    digest, crc, left = hashlib.sha256(), 0, file.size
    while left:
        block = _read(stream, min(BLOCK, left), path)
        digest.update(block)
        crc = zlib.crc32(block, crc)
        left -= len(block)
        yield block
    if digest.hexdigest() != file.sha256 or crc != checksum:
        raise ContentError(f"{path}: {file.path} is not the file that was signed; fetch the bundle again")


def _finish(stream: BinaryIO, files: list[File], checksums: list[int], path: Path) -> None:
    """What is left of the archive must be its directory, to the last byte."""
    expected = _directory(files, checksums)
    if stream.read(len(expected) + 1) != expected:
        raise _broken(path, "has a directory that does not fit its files")


def _fill(stream: BinaryIO, files: list[File], contents: Mapping[str, Path | bytes]) -> None:
    checksums = []
    for file in files:
        content = contents[file.path]
        digest, crc, size = hashlib.sha256(), 0, 0
        for block in _blocks(content):
            digest.update(block)
            crc, size = zlib.crc32(block, crc), size + len(block)
        if (digest.hexdigest(), size) != (file.sha256, file.size):
            raise ContentError(
                f"{file.path}: its content is not what the manifest says; make the manifest of this file"
            )
        stream.write(_local(file.path, crc, size) + file.path.encode())
        stream.writelines(_blocks(content))
        checksums.append(crc)
    stream.write(_directory(files, checksums))


def _blocks(content: Path | bytes) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with opened(content) as (stream, _):
        yield from blocks(stream)


def _store(path: Path, blocks: Iterator[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        stream.writelines(blocks)


def _head(contents: Mapping[str, bytes]) -> list[File]:
    """The manifest and its signature as files, which no manifest lists."""
    return [File(name, hashlib.sha256(content).hexdigest(), len(content)) for name, content in contents.items()]


def _local(name: str, checksum: int, size: int) -> bytes:
    return LOCAL.pack(b"PK\3\4", ZIP_VERSION, 0, 0, MIDNIGHT, FIRST_OF_1980, checksum, size, size, len(name), 0)


def _directory(files: list[File], checksums: list[int]) -> bytes:
    entries, offset = [], 0
    for file, checksum in zip(files, checksums, strict=True):
        entry = CENTRAL.pack(
            b"PK\1\2", UNIX | ZIP_VERSION, ZIP_VERSION, 0, 0, MIDNIGHT, FIRST_OF_1980, checksum, file.size, file.size,
            len(file.path), 0, 0, 0, 0, MODE, offset,
        )  # fmt: skip
        entries.append(entry + file.path.encode())
        offset += LOCAL.size + len(file.path) + file.size
    central = b"".join(entries)
    return central + END.pack(b"PK\5\6", 0, 0, len(files), len(files), len(central), offset, 0)


def _read(stream: BinaryIO, size: int, path: Path) -> bytes:
    block = stream.read(size)
    if len(block) < size:
        raise _broken(path, "is cut short")
    return block


def _broken(path: Path, problem: str) -> ArchiveError:
    return ArchiveError(f"{path}: {problem}; fetch the bundle again, or make it with `compress bundle`")
