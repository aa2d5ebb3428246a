"""Which power sensors are found in recorded file systems, and what is said where there are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import power
import pytest

from edge_runtime import machine
from edge_runtime.energy.find import detect, find

Record = Callable[[dict[str, str]], Path]
JETSON = {"proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0"}
THOR = {"proc/device-tree/compatible": "nvidia,p3834-0008\0nvidia,tegra264\0"}
INA3221 = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon1"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, ()),
        ({"sys/class/powercap/intel-rapl:0/energy_uj": "1"}, ("rapl",)),
        ({"sys/class/hwmon/hwmon2/power1_average": "1"}, ("hwmon",)),
        ({"sys/class/hwmon/hwmon2/power1_input": "1"}, ("hwmon",)),
        ({"sys/class/hwmon/hwmon2/temp1_input": "1", "sys/class/hwmon/hwmon2/in0_input": "1"}, ()),
        ({f"{INA3221}/curr1_input": "1", f"{INA3221}/in1_label": "VDD_IN"}, ("ina3221",)),
        ({"sys/bus/i2c/drivers/ina3221x/0-0040/iio:device0/in_power0_input": "1"}, ("ina3221",)),
        ({"sys/bus/i2c/drivers/ina238/2-0044/hwmon/hwmon6/power1_input": "1"} | THOR, ("ina3221",)),
        ({"sys/bus/i2c/drivers/ina238/2-0044/hwmon/hwmon6/power1_input": "1"}, ()),
        ({"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: X"}, ("nvml",)),
        ({"dev/nvidiactl": ""}, ("nvml",)),
        ({"proc/driver/nvidia/gpus/0000:00:00.0/information": "Model: Orin"} | JETSON, ()),
        ({"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0", "usr/bin/vcgencmd": ""}, ("pi5-pmic",)),
        ({"proc/device-tree/model": "Raspberry Pi Compute Module 5 Rev 1.0", "usr/bin/vcgencmd": ""}, ("pi5-pmic",)),
        ({"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"}, ()),
        ({"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0", "usr/bin/vcgencmd": ""}, ()),
    ],
)
def test_sensors_are_found_by_the_files_they_leave(record: Record, files: dict[str, str], found: tuple[str, ...]):
    assert detect(record(files)) == found


def test_several_sensors_are_all_named(record: Record):
    files = {"sys/class/powercap/intel-rapl:0/energy_uj": "1", "proc/driver/nvidia/gpus/0/information": "Model: X"}
    assert detect(record(files)) == ("rapl", "nvml")


def test_a_sensor_behind_a_link_is_found(record: Record):
    root = record({"sys/devices/i2c/1-0040/hwmon/hwmon1/curr1_input": "1"})
    driver = root / "sys/bus/i2c/drivers/ina3221"
    driver.mkdir(parents=True)
    (driver / "1-0040").symlink_to(root / "sys/devices/i2c/1-0040")
    assert detect(root) == ("ina3221",)


def test_without_a_sensor_the_answer_is_none_and_not_zero(record: Record):
    found = find(record({"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0", "usr/bin/vcgencmd": ""}))
    assert (found.sensors, found.unusable, found.words()) == ((), (), "none")


def test_a_machine_with_several_has_them_all_and_names_the_one_that_cannot_be_read(record: Record):
    files = power.rapl({"0": ("package-0", 7)}) | {"proc/driver/nvidia/gpus/0/information": "Model: X"}
    files |= {"sys/class/hwmon/hwmon0/name": "amdgpu", "sys/class/hwmon/hwmon0/power1_input": "5000000"}
    found = find(record(files))
    assert [sensor.name for sensor in found.sensors] == ["rapl", "hwmon:amdgpu/power1"]
    assert [(sensor.name, sensor.reason) for sensor in found.unusable] == [
        ("nvml", "a recorded tree has no NVIDIA driver to ask")
    ]
    assert found.words().startswith("rapl: RAPL counter: package-0; without memory")


def test_this_machine_can_be_looked_at():
    found = find()
    kinds = {sensor.kind for sensor in found.sensors} | {sensor.name.partition(":")[0] for sensor in found.unusable}
    assert kinds == set(detect()) == set(machine.detect().sensors)
    assert found.words().startswith("none") == (not found.sensors)
