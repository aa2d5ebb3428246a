"""What is sent to a device, and the file of events that comes back."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from compress.errors import DeviceError

LINE_BYTES = 64 * 1024**2
"""One event; the times of a round are the longest, at four bytes each."""


@dataclass(frozen=True)
class Parcel:
    """Something to send, called by its SHA-256. ``unpacked``: the bytes that it takes there in the end."""

    name: str
    source: Path | bytes
    digest: str
    size: int
    unpacked: int

    @classmethod
    def of(cls, name: str, source: Path | bytes) -> Parcel:
        """Raises DeviceError for a file that cannot be read."""
        if isinstance(source, bytes):
            return cls(name, source, hashlib.sha256(source).hexdigest(), len(source), len(source))
        try:
            with source.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            size = unpacked = source.stat().st_size
            if source.suffix == ".whl":
                with zipfile.ZipFile(source) as archive:
                    unpacked = sum(entry.file_size for entry in archive.infolist())
        except (OSError, zipfile.BadZipFile) as error:
            raise DeviceError(f"{source} cannot be read, so it cannot be sent: {error}") from error
        return cls(name, source, found, size, unpacked)

    def open(self) -> IO[bytes]:
        """Its bytes."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")


class Kept:
    """A file of events as far as it has come: whole lines, and ``size`` bytes of them."""

    def __init__(self, path: Path) -> None:
        """A last line that is not whole, left by a program that died, is cut off."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        self.size = path.read_bytes().rfind(b"\n") + 1
        with path.open("r+b") as file:
            file.truncate(self.size)
        self._rest = b""

    def add(self, piece: bytes) -> list[bytes]:
        """Keep what came; the lines that it has completed."""
        whole, newline, self._rest = (self._rest + piece).rpartition(b"\n")
        if len(self._rest) > LINE_BYTES:
            raise DeviceError(f"{self.path}: a line of events has more than {LINE_BYTES} bytes; it is no event")
        if not newline:
            return []
        with self.path.open("ab") as out:
            out.write(whole + newline)
        self.size += len(whole) + 1
        return whole.split(b"\n")

    def forget_rest(self) -> None:
        """The next piece begins with a new line: it is asked for from ``size`` on."""
        self._rest = b""

    def read(self) -> bytes:
        return self.path.read_bytes()[: self.size]

    def digest(self) -> str:
        return hashlib.sha256(self.read()).hexdigest()
