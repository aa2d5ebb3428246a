"""A board's power: flags by name, a weak supply, power modes; and processors that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime import machine, throttle

Record = Callable[[dict[str, str]], Path]
PI = {"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0"}
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


def test_every_flag_has_its_name(record: Record):
    assert throttle.names(0) == ()
    assert throttle.names(0x50005) == (
        "under-voltage now", "throttled now", "under-voltage since start", "throttled since start"
    )  # fmt: skip
    assert throttle.names(0xA000A)[:2] == ("frequency capped now", "soft temperature limit now")
    now = machine.conditions(record(PI | {FIRMWARE: "50000\n"}))
    assert now.throttle_flags == ("under-voltage since start", "throttled since start")
    assert (now.throttled, now.under_voltage) == (False, False)


def vcgencmd(record: Record, script: str) -> Path:
    root = record(PI | {"usr/bin/vcgencmd": f"#!/bin/sh\n{script}\n"})
    (root / "usr/bin/vcgencmd").chmod(0o755)
    return root


def test_older_kernels_are_asked_through_vcgencmd(record: Record):
    now = machine.conditions(vcgencmd(record, 'test "$1" = get_throttled && echo throttled=0x1'))
    assert (now.throttled, now.under_voltage, now.throttle_flags) == (True, True, ("under-voltage now",))


@pytest.mark.parametrize("script", ["exit 1", "echo VCHI initialization failed", "echo throttled=", "exec sleep 60"])
def test_a_firmware_that_does_not_answer_leaves_it_unknown(
    record: Record, script: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(throttle, "TIMEOUT", 0.2)
    now = machine.conditions(vcgencmd(record, script))
    assert (now.throttled, now.under_voltage, now.throttle_flags) == (None, None, None)


@pytest.mark.parametrize(("alarm", "weak"), [("1", True), ("0", False)])
def test_the_supplys_driver_tells_of_under_voltage_too(record: Record, alarm: str, weak: bool):
    hwmon = "sys/class/hwmon/hwmon2/"
    root = record({f"{hwmon}name": "rpi_volt\n", f"{hwmon}in0_lcrit_alarm": f"{alarm}\n"})
    assert machine.conditions(root).under_voltage is weak


def test_a_jetsons_power_mode_has_its_name(record: Record):
    modes = (
        "# < POWER_MODEL ID=2 NAME=OLD >\n< POWER_MODEL ID=0 NAME=15W >\nCPU 1\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n"
    )
    root = record({"var/lib/nvpmodel/status": "pmode:0002 fmode:quiet", "etc/nvpmodel.conf": modes})
    assert machine.conditions(root).power_mode == "MAXN_SUPER (2)"
    (root / "etc/nvpmodel.conf").unlink()
    assert machine.conditions(root).power_mode == "mode 2"


def test_a_laptops_power_mode_is_its_platform_profile(record: Record):
    assert machine.conditions(record({"sys/firmware/acpi/platform_profile": "low-power\n"})).power_mode == "low-power"


@pytest.mark.parametrize(
    ("files", "emulated"),
    [
        ({"proc/cpuinfo": "processor : 0\nmodel name : QEMU Virtual CPU version 2.5+\n"}, True),
        ({"proc/device-tree/fw-cfg@9020000/compatible": "qemu,fw-cfg-mmio\0"}, True),
        ({"proc/cpuinfo": "processor : 0\nmodel name : AMD EPYC\n"}, False),
        (PI, False),
    ],
    ids=["x86", "board", "real", "pi"],
)
def test_an_emulated_processor_is_told_from_a_real_one(record: Record, files: dict, emulated: bool):
    assert machine.emulated(record(files)) is emulated


def test_an_emulator_that_does_not_show_can_be_named(record: Record, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("EDGE_RUNTIME_EMULATED", "1")
    assert machine.emulated(record(PI))
