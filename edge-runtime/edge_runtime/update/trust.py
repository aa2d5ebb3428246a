"""Whose bundles are installed: a folder of public keys. A version that is installed stays when its key goes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike

from edge_runtime import limits
from edge_runtime.bundle import signature
from edge_runtime.bundle.signature import PublicKey
from edge_runtime.errors import HomeError, KeyFileError
from edge_runtime.update import durable
from edge_runtime.update.home import Home


def add(home: Home, path: str | PathLike[str]) -> PublicKey:
    """Trust the public key in this file from now on. Raises KeyFileError, HomeError."""
    key = signature.load_public(path)
    home.make()
    with home.locked(), _changing(home):
        trusted = home.trusted_keys()
        if all(other.id != key.id for other in trusted):
            if len(trusted) >= limits.TRUSTED_KEYS:
                raise HomeError(f"{home.keys}: {len(trusted)} keys are trusted already, the most there can be")
            durable.write_file(home.keys / f"{key.id}.pub", key.line().encode())
    return key


def remove(home: Home, id: str) -> PublicKey | None:
    """Trust the key with this id no longer. None: its file, by the name it was given here, held no key any more.

    Every file that holds the key goes. Raises KeyFileError when it is not trusted, HomeError.
    """
    home.make()
    with home.locked(), _changing(home):
        files = home.key_files()
        keys = {file: None if isinstance(key, KeyFileError) else key for file, key in files.items()}
        found = {file: key for file, key in keys.items() if (file.stem if key is None else key.id) == id}
        for file in found:
            durable.remove(file)
            durable.disk.sync(home.keys)
        if found:
            return next((key for key in found.values() if key), None)
        known = ", ".join(str(key) for key in keys.values() if key) or "none"
    raise KeyFileError(f"{home.keys}: no key with the id {id!r:.80} is trusted; there are: {known}")


@contextmanager
def _changing(home: Home) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise HomeError(
            f"{home.keys}: cannot be changed: {error.strerror}; free some space, for example with `edge-runtime gc`, "
            "and see that the file system can be written"
        ) from error
