"""A device of the end-to-end stories that is a whole machine: asked by ssh and through a tunnel, served by systemd."""

from __future__ import annotations

import contextlib
import http.client
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import appliance
from device import Device, free_port, until

HOME = "/var/lib/edge-runtime"
USER = "edge-runtime"
PATIENCE = 150.0
"""Seconds: a processor of software is some ten times slower."""


class Served(Device):
    """``server`` is systemd's. ``home`` is a path there."""

    def __init__(self, login: appliance.Login) -> None:
        super().__init__(Path(HOME), free_port())
        self.login = login

    def command(self, *arguments: object) -> subprocess.CompletedProcess:
        """As the user that serves, which owns the home."""
        return self.login.command(self.words(*arguments))

    def words(self, *arguments: object) -> str:
        as_user = f"setpriv --reuid={USER} --regid={USER} --init-groups "
        return as_user + shlex.join(["edge-runtime", "--home", HOME, *map(str, arguments)])

    def ready(self) -> bool:
        try:
            return self.ask("GET", "/v2/health/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def await_ready(self) -> None:
        until(self.ready, "server that is ready", seconds=PATIENCE)

    def send(self, file: Path) -> str:
        """Its path there."""
        there = f"/tmp/{file.name}"
        self.login.run(f"cat > {there}", file.read_bytes())
        return there

    def unit(self, *properties: str) -> dict[str, str]:
        """What systemd knows of the service."""
        asked = " ".join(f"-p {name}" for name in properties)
        lines = self.login.run(f"systemctl show edge-runtime {asked}").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def resident(self) -> int:
        """Bytes of the server's process."""
        pid = self.unit("MainPID")["MainPID"]
        lines = self.login.run(f"cat /proc/{pid}/status").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])

    def log(self) -> str:
        return self.login.run("journalctl -b -u edge-runtime -o cat --no-pager")


@contextmanager
def booted(where: Path, disk: Path) -> Iterator[Served]:
    """The device with that disk, which is changed in place. Leaving pulls the plug."""
    with appliance.booted(where, disk) as login:
        device = Served(login)
        with login.forwarded(device.port, 8000):
            yield device


@contextmanager
def shown(device: Served) -> Iterator[None]:
    """When something fails, what the server has said is told with it."""
    try:
        yield
    except BaseException as error:
        with contextlib.suppress(Exception):
            error.add_note(device.log()[-3000:])
        raise
