"""Pairs of keys in two files: NAME.key signs bundles and stays here, NAME.pub goes to the devices."""

from __future__ import annotations

import os
from pathlib import Path

from compress.errors import BundlingError
from compress.files import fsync
from edge_runtime.bundle import signature


def new(name: str, folder: Path) -> tuple[Path, Path]:
    """Make a pair; returns its files, private first. Never replaces one: a lost key cannot be made again.

    Raises BundlingError, or KeyFileError for a name that no key can have.
    """
    private, public = signature.new(name)
    secret, shown = folder / f"{name}.key", folder / f"{name}.pub"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in (secret, shown):
            if path.exists():
                raise BundlingError(f"{path}: exists; choose another name, or move the old key away")
        _write(secret, private.line(), 0o600)
        _write(shown, public.line(), 0o644)
        fsync(folder)
    except OSError as error:
        raise BundlingError(f"{error.filename}: {error.strerror}; choose another folder with -o") from error
    return secret, shown


def _write(path: Path, text: str, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with open(handle, "w", encoding="ascii") as stream:
        os.fchmod(handle, mode)  # whatever the umask leaves
        stream.write(text)
        stream.flush()
        os.fsync(handle)
