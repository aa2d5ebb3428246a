"""Which power sensors are found in recorded file systems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime import sensors

Record = Callable[[dict[str, str]], Path]
JETSON = {"proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0"}
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
        ({"proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: X"}, ("nvml",)),
        ({"proc/driver/nvidia/gpus/0000:00:00.0/information": "Model: Orin"} | JETSON, ()),
        ({"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0", "usr/bin/vcgencmd": ""}, ("pi5-pmic",)),
        ({"proc/device-tree/model": "Raspberry Pi Compute Module 5 Rev 1.0", "usr/bin/vcgencmd": ""}, ("pi5-pmic",)),
        ({"proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0"}, ()),
        ({"proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0", "usr/bin/vcgencmd": ""}, ()),
    ],
)
def test_sensors_are_found_by_the_files_they_leave(record: Record, files: dict[str, str], found: tuple[str, ...]):
    assert sensors.detect(record(files)) == found


def test_several_sensors_are_all_named(record: Record):
    files = {"sys/class/powercap/intel-rapl:0/energy_uj": "1", "proc/driver/nvidia/gpus/0/information": "Model: X"}
    assert sensors.detect(record(files)) == ("rapl", "nvml")


def test_a_sensor_behind_a_link_is_found(record: Record):
    root = record({"sys/devices/i2c/1-0040/hwmon/hwmon1/curr1_input": "1"})
    driver = root / "sys/bus/i2c/drivers/ina3221"
    driver.mkdir(parents=True)
    (driver / "1-0040").symlink_to(root / "sys/devices/i2c/1-0040")
    assert sensors.detect(root) == ("ina3221",)
