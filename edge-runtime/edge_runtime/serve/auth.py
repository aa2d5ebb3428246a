"""Who may ask, and by which name: tokens from files that nobody else can read, and where to listen without one."""

from __future__ import annotations

import hmac
import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_runtime import limits
from edge_runtime.errors import AdminError, HostError, ListenError, TokenError, TokenFileError
from edge_runtime.serve.routes import ADMIN, TOKEN


class Token:
    """A bearer token. What is presented is compared in a time that does not tell how much of it is right."""

    def __init__(self, text: bytes) -> None:
        self._expected = b"Bearer " + text

    def allows(self, authorization: bytes | None) -> bool:
        """Whether an Authorization header's value presents this token."""
        if authorization is None:
            return False
        scheme, _, rest = authorization.partition(b" ")
        # The scheme's name is no secret and may be written in any case (RFC 9110, section 11.1).
        return scheme.lower() == b"bearer" and hmac.compare_digest(b"Bearer " + rest.strip(), self._expected)

    def __repr__(self) -> str:
        return "<Token>"


@dataclass(frozen=True)
class Access:
    """``hosts``: names by which requests may call this machine; None for any, which needs a token."""

    token: Token | None = None
    admin: Token | None = None
    hosts: frozenset[str] | None = frozenset({"localhost", "127.0.0.1", "::1"})

    def check_host(self, headers: Mapping[bytes, bytes]) -> None:
        """A page in a browser can send requests here under its own host's name; a client of ours does not.

        Raises HostError.
        """
        if self.hosts is not None and b"host" in headers:
            name = host_name(headers[b"host"])
            if name not in self.hosts:
                raise HostError(f"this is not {name!r:.80}; ask for localhost, or start the server with a token")

    def check_token(self, who: str, headers: Mapping[bytes, bytes]) -> None:
        """``who`` may use the address (``routes``). Raises TokenError and AdminError."""
        authorization = headers.get(b"authorization")
        if who == ADMIN:
            if self.admin is None:
                raise AdminError("this server has no administrator; start it with --admin-token-file")
            if not self.admin.allows(authorization):
                raise TokenError("send the administrator's token: Authorization: Bearer ...")
        elif who == TOKEN and self.token is not None and not self.token.allows(authorization):
            raise TokenError("send this server's token: Authorization: Bearer ...")


def read_token(path: Path) -> Token:
    """The token in a file's only line. Raises TokenFileError, also when others than its owner may read it."""
    text = read_private(path, limits.TOKEN_BYTES).strip()
    if len(text) < limits.TOKEN_LENGTH or not all(0x21 <= byte <= 0x7E for byte in text):
        raise TokenFileError(
            f"{path}: a token is one line of at least {limits.TOKEN_LENGTH} visible ASCII characters; "
            f"make one with: (umask 077; openssl rand -hex 32 > {path.name})"
        )
    return Token(text)


def read_private(path: Path, most: int) -> bytes:
    """A secret file's content. Raises TokenFileError unless it is ours alone, and no longer than ``most`` bytes."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(handle, "rb") as stream:
            facts = os.fstat(handle)
            content = stream.read(most + 1)
    except OSError as error:
        raise TokenFileError(f"{path}: cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(facts.st_mode):
        raise TokenFileError(f"{path}: is not a file")
    if facts.st_mode & 0o077:
        raise TokenFileError(f"{path}: others can read it (mode {facts.st_mode & 0o777:o}); run: chmod 600 {path}")
    if facts.st_uid not in (os.geteuid(), 0):
        raise TokenFileError(f"{path}: belongs to another user ({facts.st_uid}); run: chown {os.geteuid()} {path}")
    if len(content) > most:
        raise TokenFileError(f"{path}: more than {most} bytes")
    return content


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_listening(host: str, token: Token | None) -> None:
    """Raises ListenError for an address that others reach, without a token to keep them out."""
    if token is None and not is_loopback(host):
        raise ListenError(
            f"{host} can be reached by others: give --token-file, or listen on 127.0.0.1 "
            "behind a proxy that asks who comes"
        )


def host_name(header: bytes) -> str:
    """The host in a Host header's value, in lower case, without its port and brackets."""
    text = header.decode("latin-1").lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]
