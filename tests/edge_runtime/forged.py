"""ZIP archives field by field, honest or not: written apart from ``edge_runtime.bundle.archive``, to test it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bundles import KEY, make_manifest

from edge_runtime.bundle import signature
from edge_runtime.bundle.archive import PURPOSE
from edge_runtime.bundle.manifest import Manifest, canonical
from edge_runtime.bundle.signature import PrivateKey

FIELDS = ("version", "flags", "method", "time", "date", "crc", "compressed", "size")
FILE = 0o100644 << 16
LINK = 0o120777 << 16
FOLDER = 0o040755 << 16 | 0x10


@dataclass
class Entry:
    """One file of an archive. ``both``, ``local``, ``central`` change header fields; ``data`` is what is stored."""

    name: str | bytes
    data: bytes
    both: dict[str, int] = field(default_factory=dict)
    local: dict[str, Any] = field(default_factory=dict)
    central: dict[str, Any] = field(default_factory=dict)

    def facts(self, changes: dict[str, Any]) -> dict[str, Any]:
        size = len(self.data)
        plain = {"version": 10, "flags": 0, "method": 0, "time": 0, "date": 33, "crc": zlib.crc32(self.data)}
        plain |= {"compressed": size, "size": size, "name": self.name, "extra": b"", "comment": b"", "mode": FILE}
        found = plain | self.both | changes
        return found | {"name": found["name"].encode() if isinstance(found["name"], str) else found["name"]}


def zipped(entries: Iterable[Entry], *, before: bytes = b"", after: bytes = b"", **end: Any) -> bytes:
    """The archive; ``end`` changes fields of its last record: ``count``, ``size``, ``offset``, ``comment``."""
    entries = list(entries)
    body, directory = before, b""
    for entry in entries:
        facts = entry.facts(entry.central)
        offset = entry.central.get("offset", len(body))
        made_by = entry.central.get("made_by", 3 << 8 | 10)
        directory += struct.pack("<4sH", b"PK\1\2", made_by) + struct.pack("<5H3I", *(facts[name] for name in FIELDS))
        directory += struct.pack(
            "<5H2I", len(facts["name"]), len(facts["extra"]), len(facts["comment"]), 0, 0, facts["mode"], offset
        )
        directory += facts["name"] + facts["extra"] + facts["comment"]
        facts = entry.facts(entry.local)
        body += b"PK\3\4" + struct.pack("<5H3I", *(facts[name] for name in FIELDS))
        body += struct.pack("<2H", len(facts["name"]), len(facts["extra"])) + facts["name"] + facts["extra"]
        body += entry.data
    count, comment = end.get("count", len(entries)), end.get("comment", b"")
    tail = struct.pack(
        "<4s4H2IH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, end.get("size", len(directory)),
        end.get("offset", len(body)), len(comment),
    )  # fmt: skip
    return body + directory + tail + comment + after


def signed(content: bytes, files: dict[str, bytes], key: PrivateKey = KEY) -> list[Entry]:
    """A bundle's entries with any bytes as the manifest, under a good signature: what a thief of the key can make."""
    head = {"manifest.json": content, "manifest.sig": signature.sign(PURPOSE + content, key)}
    return [Entry(name, data) for name, data in (head | files).items()]


def small() -> tuple[Manifest, dict[str, bytes]]:
    """A manifest and files of some hundred bytes: nothing here runs a model."""
    return make_manifest(
        model=b"no model at all, but a file",
        files={"golden/inputs.npy": b"inputs", "golden/outputs.npy": b"outputs", "sbom.cdx.json": b"{}"},
    )


def honest() -> list[Entry]:
    """The entries of a small bundle."""
    manifest, files = small()
    return signed(canonical(manifest), files)
