"""Who may make bundles: ed25519 keys (RFC 8032), their files, and signatures made and checked by PyNaCl (libsodium).

A signature here is the eight bytes of the key's id followed by ed25519's 64: a device that trusts several keys knows
which one to try, and one that trusts none of them can say which it lacks. The id is a hint; what counts is that the 64
bytes verify under a trusted key.

A key's file is one line: ``edge-ed25519 <base64 of 32 bytes> <name>``, and ``edge-ed25519-private ...`` for the private
half, so that neither can be taken for the other. The line may end as on Windows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from edge_runtime import limits
from edge_runtime.bundle.files import opened
from edge_runtime.errors import KeyFileError, SignatureError, SignatureLibraryError, UnknownKeyError

KEY_BYTES = 32
ID_BYTES = 8
SIGNATURE_BYTES = ID_BYTES + 64
PUBLIC, PRIVATE = "edge-ed25519", "edge-ed25519-private"
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class PublicKey:
    """What a device trusts. ``raw``: 32 bytes."""

    raw: bytes
    name: str

    @property
    def id(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the raw key."""
        return _digest(self.raw).hex()

    def line(self) -> str:
        """The key as its file has it."""
        return f"{PUBLIC} {base64.b64encode(self.raw).decode()} {self.name}\n"

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


@dataclass(frozen=True)
class PrivateKey:
    """What signs. ``seed``: the 32 bytes of RFC 8032 from which everything else follows; never shown."""

    seed: bytes = field(repr=False)
    name: str

    @property
    def public(self) -> PublicKey:
        return PublicKey(bytes(_nacl().SigningKey(self.seed).verify_key), self.name)

    def line(self) -> str:
        """The key as its file has it."""
        return f"{PRIVATE} {base64.b64encode(self.seed).decode()} {self.name}\n"


def new(name: str) -> tuple[PrivateKey, PublicKey]:
    """A fresh pair from the system's random numbers. Raises KeyFileError for a name that no key can have."""
    key = PrivateKey(bytes(_nacl().SigningKey.generate()), _checked_name(name, "a new key"))
    return key, key.public


def sign(message: bytes, key: PrivateKey) -> bytes:
    """The signature: 72 bytes, the same for the same message and key."""
    signing = _nacl().SigningKey(key.seed)
    return _digest(bytes(signing.verify_key)) + signing.sign(message).signature


def verify(message: bytes, signature: bytes, keys: Iterable[PublicKey]) -> PublicKey:
    """The one of ``keys`` that signed ``message``.

    Raises UnknownKeyError when none of them made the signature, SignatureError when one is said to have and has not.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(
            f"the signature has {len(signature)} bytes instead of {SIGNATURE_BYTES}; make the bundle again"
        )
    trusted, name = list(keys), signature[:ID_BYTES]
    named = [key for key in trusted if _digest(key.raw) == name]
    if not named:
        known = ", ".join(map(str, trusted)) or "none"
        raise UnknownKeyError(
            f"signed with key {name.hex()}, and the trusted keys are: {known}; sign with one of them, or trust the "
            "other: edge-runtime trust KEY.pub"  # last, so that who knows the home adds it
        )
    for key in named:
        if _holds(key, message, signature[ID_BYTES:]):
            return key
    raise SignatureError(f"this is not what {named[0]} signed: it was changed afterwards; fetch it again")


def load_public(path: str | os.PathLike[str]) -> PublicKey:
    """Read a public key's file. Raises KeyFileError."""
    raw, name = _read(Path(path), PUBLIC, secret=False)
    return PublicKey(raw, name)


def load_private(path: str | os.PathLike[str]) -> PrivateKey:
    """Read a private key's file, which nobody but its owner may read. Raises KeyFileError."""
    return PrivateKey(*_read(Path(path), PRIVATE, secret=True))


def _read(path: Path, kind: str, *, secret: bool) -> tuple[bytes, str]:
    try:
        with opened(path) as (stream, facts):
            content, mode = stream.read(limits.KEY_FILE_BYTES + 1), stat.S_IMODE(facts.st_mode)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}; name a file with a key") from error
    words = content.decode("ascii", "replace").rstrip("\r\n").split(" ")
    if len(content) > limits.KEY_FILE_BYTES or len(words) != 3 or words[0] != kind:
        if words[0] in (PUBLIC, PRIVATE) and words[0] != kind:
            what, other = ("private", "public") if secret else ("public", "private")
            raise KeyFileError(f"{path}: a {what} key is needed here, and this file holds a {other} one")
        raise KeyFileError(f"{path}: must be one line, '{kind} <base64 of {KEY_BYTES} bytes> <name>'")
    if secret and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise KeyFileError(f"{path}: others can read this private key (mode {mode:04o}): chmod 600 {path}")
    try:
        raw = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    # The last character has bits to spare: of the four ways to write a key, one is right.
    if len(raw) != KEY_BYTES or base64.b64encode(raw) != words[1].encode():
        raise KeyFileError(f"{path}: the key is not the base64 of {KEY_BYTES} bytes; copy the file again")
    return raw, _checked_name(words[2], str(path))


def _holds(key: PublicKey, message: bytes, signature: bytes) -> bool:
    signing = _nacl()
    from nacl.exceptions import CryptoError

    try:
        signing.VerifyKey(key.raw).verify(message, signature)
    except CryptoError:
        return False
    return True


def _checked_name(name: str, where: str) -> str:
    if not NAME.fullmatch(name):
        raise KeyFileError(
            f"{where}: {name[:80]!r} cannot be a key's name; use up to 64 lower-case letters, digits, dots and dashes"
        )
    return name


def _digest(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()[:ID_BYTES]


def _nacl() -> ModuleType:
    try:
        import nacl.signing
    except ImportError as error:
        raise SignatureLibraryError(
            f"signatures need PyNaCl, which does not load ({error}): python -m pip install 'edge-runtime[bundle]'"
        ) from None
    return nacl.signing
