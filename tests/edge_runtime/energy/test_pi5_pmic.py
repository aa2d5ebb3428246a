"""The Raspberry Pi 5's power chip, through a vcgencmd that says what one has said."""

from __future__ import annotations

import shlex
from pathlib import Path

import power
import pytest

from edge_runtime.energy import pi5_pmic
from edge_runtime.energy.find import find
from edge_runtime.errors import SensorError


@pytest.fixture
def pi(tmp_path: Path):
    """A Raspberry Pi 5's file system: `pi(text, status)`."""

    def write(text: str, status: int = 0) -> Path:
        for name, content in {
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "usr/bin/vcgencmd": f'#!/bin/sh\n[ "$1" = pmic_read_adc ] || exit 9\nprintf %s {shlex.quote(text)}\n'
            f"exit {status}\n",
        }.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        (tmp_path / "usr/bin/vcgencmd").chmod(0o755)
        return tmp_path

    return write


def test_rails_are_paired_by_name_and_added_up(pi):
    (sensor,) = find(pi(power.PMIC)).sensors
    assert sensor.read() == pytest.approx(power.PMIC_WATTS)
    assert [rail.name for rail in sensor.rails] == ["3V7_WL_SW", "3V3_SYS", "DDR_VDD2", "VDD_CORE", "HDMI"]


def test_what_the_sum_lacks_is_said(pi):
    (sensor,) = find(pi(power.PMIC)).sensors
    assert "sum of 5 rails; less than the board draws" in sensor.source
    assert sensor.source.endswith("EXT5V, BATT not paired")


def test_a_current_without_its_voltage_is_left_out(pi):
    text = power.PMIC.replace("  VDD_CORE_V volt(15)=0.85000000V\n", "")
    (sensor,) = find(pi(text)).sensors
    assert sensor.read() == pytest.approx(power.PMIC_WATTS - 1.7)
    assert "VDD_CORE, EXT5V, BATT not paired" in sensor.source


def test_a_rail_that_vanishes_later_is_an_error_and_not_zero(pi):
    (sensor,) = find(pi(power.PMIC)).sensors
    pi(power.PMIC.replace("HDMI_A", "HDMI_X"))
    with pytest.raises(SensorError, match="rail HDMI is missing from this reading"):
        sensor.read()


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("Can't open device file: /dev/vcio", 255, "sudo usermod -aG video"),
        ("VCHI initialization failed", 255, "sudo usermod -aG video"),
        ('error=1 error_msg="Command not registered"', 0, "pmic_read_adc failed: error=1"),
        ("", 3, "failed: exit status 3"),
        ("temp=48.3'C", 0, "no rail with current and voltage"),
        ("     EXT5V_V volt(24)=5.09000000V\n", 0, "no rail with current and voltage"),
    ],
)
def test_why_it_cannot_be_read_is_said(pi, text: str, status: int, reason: str):
    found = find(pi(text, status))
    assert not found.sensors
    assert reason in found.unusable[0].reason


def test_a_program_that_hangs_is_given_up(pi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pi5_pmic, "TIMEOUT", 0.2)
    root = pi(power.PMIC)
    (root / "usr/bin/vcgencmd").write_text("#!/bin/sh\nexec sleep 5\n")
    assert "did not answer within 0.2 s" in find(root).unusable[0].reason


def test_lines_of_another_kind_are_passed_over():
    text = "x\n VDD_A current(1)=1.0V\n A_A current(7)=-0.5A\n A_V volt(9)=2A\n A_V volt(9)=2.0V\n"
    assert pi5_pmic.parse(text) == {"A": (-0.5, 2.0)}
