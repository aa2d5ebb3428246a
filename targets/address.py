"""Where a device is: ``ssh://[user@]host[:port]``. The host may be a name in ``~/.ssh/config``, which has the rest."""

from __future__ import annotations

import re
from dataclasses import dataclass

from compress.errors import TargetError

_FORM = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][\w.-]*)@)?"
    r"(?P<host>[A-Za-z0-9_][\w.-]*|\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\])(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII,
)


@dataclass(frozen=True)
class Address:
    """``host`` is without the brackets of an IPv6 address. None: as ssh's own configuration has it."""

    host: str
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{f'{self.user}@' if self.user else ''}{host}{f':{self.port}' if self.port else ''}"

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the ssh command takes for it."""
        port = ("-p", str(self.port)) if self.port else ()
        return (*port, f"{self.user}@{self.host}" if self.user else self.host)


def parse_address(text: str) -> Address:
    """The address in ``text``. Raises TargetError: also for a password, which ssh would not take from there."""
    found = _FORM.fullmatch(text)
    port = int(found["port"]) if found and found["port"] else None
    if not found or (port is not None and not 0 < port < 65536):
        raise TargetError(f"'{text:.200}' is no address of a device; write ssh://user@host or ssh://user@host:port")
    return Address(found["host"].strip("[]"), found["user"], port)
