from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sshd import INSTALLED, MISSING, Server, counting_wheel, server

from compress.bench.devices.ssh import Ssh
from edge_runtime.probes.plan import Plan, PlanModel


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Server]:
    """A device with an ssh server."""
    if not INSTALLED:
        pytest.skip(MISSING)
    with server(tmp_path / "board") as found:
        yield found


@pytest.fixture
def said() -> list[str]:
    """What was told to people."""
    return []


@pytest.fixture
def ssh(board: Server, said: list[str], tmp_path: Path) -> Callable[..., Ssh]:
    """Makes the device at the end of the connection; it counts to ``ticks`` instead of measuring."""
    wheel = counting_wheel(tmp_path)

    def make(
        name: str = "board",
        address: str = "ssh://device",
        *,
        ticks: int = 5,
        pause: float = 0.0,
        fails: str = "",
        **settings: object,
    ) -> Ssh:
        environment = {"TICKS": str(ticks), "PAUSE": str(pause), "FAILS": fails}
        defaults = {
            "options": board.options,
            "wheels": lambda *_: [wheel],
            "say": said.append,
            "environment": environment,
        }
        return Ssh(name, address, **(defaults | settings))

    return make


@pytest.fixture
def plan() -> Plan:
    return Plan((PlanModel("small", "models/small.bin"),))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    path = tmp_path / "small.bin"
    path.write_bytes(bytes(range(256)) * 100)
    return {"models/small.bin": path}
