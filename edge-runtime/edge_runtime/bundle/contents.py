"""A bundle once it is unpacked: a folder that holds what its manifest lists, and nothing else."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import limits
from edge_runtime.bundle import npy
from edge_runtime.bundle.files import blocks, opened
from edge_runtime.bundle.manifest import MANIFEST, SIGNATURE, File, Manifest, parse
from edge_runtime.errors import BundleError, BundleTooLargeError, ContentError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Contents:
    """``id``: the SHA-256 of the manifest's bytes, in hexadecimal; two bundles with one id hold the same files."""

    folder: Path
    manifest: Manifest
    id: str

    def file(self, path: str) -> Path:
        """Where the file is that the manifest lists as ``path``. Raises ContentError for any other."""
        if not any(file.path == path for file in self.manifest.files):
            raise ContentError(f"{self.folder}: its manifest lists no file {path!r:.80}")
        return self.folder / path

    def array(self, path: str) -> np.ndarray:
        """The array in an .npy file, of which nothing is evaluated and no size is believed. Raises ContentError."""
        try:
            return npy.load(self.file(path).read_bytes())
        except (OSError, ValueError) as error:
            raise ContentError(f"{self.folder / path}: is not an array: {error}; make the bundle again") from error

    def verify(self) -> None:
        """Read every file again. Raises ContentError for the first that is not what was signed, or not listed."""
        if hashlib.sha256(_read(self.folder / MANIFEST)).hexdigest() != self.id:
            raise ContentError(f"{self.folder}: {MANIFEST} was changed; install the bundle again")
        for file in self.manifest.files:
            _verify(self.folder / file.path, file)
        listed = {MANIFEST, SIGNATURE, *(file.path for file in self.manifest.files)}
        for base, folders, names in os.walk(self.folder):
            for name in [*names, *(name for name in folders if (Path(base) / name).is_symlink())]:
                if (found := (Path(base) / name).relative_to(self.folder).as_posix()) not in listed:
                    raise ContentError(
                        f"{self.folder}: holds {found!r:.80}, which its manifest does not list; remove it"
                    )


def load(folder: str | os.PathLike[str]) -> Contents:
    """The bundle unpacked in ``folder``. Its files are not read: see ``Contents.verify``. Raises BundleError."""
    folder = Path(folder)
    content = _read(folder / MANIFEST)
    return Contents(folder, parse(content), hashlib.sha256(content).hexdigest())


def _read(path: Path) -> bytes:
    try:
        with opened(path) as (stream, _):
            content = stream.read(limits.MANIFEST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read: {error.strerror}; install the bundle again") from error
    if len(content) > limits.MANIFEST_BYTES:
        raise BundleTooLargeError(f"{path}: more than {limits.MANIFEST_BYTES} bytes; install the bundle again")
    return content


def _verify(path: Path, file: File) -> None:
    digest = hashlib.sha256()
    try:
        with opened(path, follow=False) as (stream, facts):
            if facts.st_size == file.size:
                for block in blocks(stream):
                    digest.update(block)
    except OSError as error:
        raise ContentError(f"{path}: cannot be read: {error.strerror}; install the bundle again") from error
    if digest.hexdigest() != file.sha256:
        raise ContentError(f"{path}: is not the file that was signed; install the bundle again")
