"""The systemd unit that comes with the package."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edge_runtime import limits
from edge_runtime.cli import main


@pytest.fixture
def unit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["serve", "--print-unit"]) == 0
    path = tmp_path / "edge-runtime.service"
    path.write_text(capsys.readouterr().out)
    return path


def test_it_waits_for_readiness_watches_and_restarts(unit):
    lines = set(unit.read_text().splitlines())
    assert {"Type=notify", "WatchdogSec=30", "Restart=always", "StartLimitIntervalSec=0"} <= lines


def test_a_server_that_stops_has_the_time_it_takes(unit):
    [line] = [line for line in unit.read_text().splitlines() if line.startswith("TimeoutStopSec=")]
    assert int(line.partition("=")[2]) > limits.DRAIN_SECONDS + limits.CLOSE_SECONDS + 4


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed here")
def test_systemd_understands_it_and_finds_it_hardened(unit):
    verified = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")
    found = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", unit], capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout  # an exposure of at most 2.0 of 10
