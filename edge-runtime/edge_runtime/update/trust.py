"""Whose bundles are installed: a folder of public keys. A version that is installed stays when its key goes."""

from __future__ import annotations

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
    with home.locked():
        trusted = home.trusted_keys()
        if all(other.id != key.id for other in trusted):
            if len(trusted) >= limits.TRUSTED_KEYS:
                raise HomeError(f"{home.keys}: {len(trusted)} keys are trusted already, the most there can be")
            durable.write_file(home.keys / f"{key.id}.pub", key.line().encode())
    return key


def remove(home: Home, id: str) -> PublicKey:
    """Trust the key with this id no longer. Raises KeyFileError when it is not trusted."""
    home.make()
    with home.locked():
        for file in sorted(home.keys.glob("*.pub")):
            key = signature.load_public(file)
            if key.id == id:
                durable.remove(file)
                durable.disk.sync(home.keys)
                return key
        known = ", ".join(map(str, home.trusted_keys())) or "none"
    raise KeyFileError(f"{home.keys}: no key with the id {id!r:.80} is trusted; there are: {known}")
