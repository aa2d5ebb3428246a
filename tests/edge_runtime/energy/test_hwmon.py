"""Power channels of chips that nothing else here knows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.energy.find import find

Record = Callable[[dict[str, str]], Path]
CHIP = "sys/class/hwmon/hwmon"


def test_a_graphics_card_is_one_sensor(record: Record):
    files = {f"{CHIP}2/name": "amdgpu\n", f"{CHIP}2/power1_average": "31250000\n", f"{CHIP}2/power1_label": "PPT\n"}
    (sensor,) = find(record(files)).sensors
    assert (sensor.kind, sensor.name, sensor.counts) == ("hwmon", "hwmon:amdgpu/PPT", False)
    assert sensor.read() == pytest.approx(31.25)
    assert sensor.resolution.span > 0


def test_the_present_power_is_preferred_to_an_average(record: Record):
    files = {f"{CHIP}2/name": "amdgpu", f"{CHIP}2/power1_average": "1000000", f"{CHIP}2/power1_input": "2000000"}
    (sensor,) = find(record(files)).sensors
    assert sensor.read() == 2.0
    assert sensor.resolution.span == 0


def test_channels_are_never_added_up_for_one_may_lie_within_another(record: Record):
    files = {f"{CHIP}0/name": "pmbus", f"{CHIP}0/power1_input": "90000000", f"{CHIP}0/power2_input": "80000000"}
    files |= {f"{CHIP}1/name": "pmbus", f"{CHIP}1/power1_input": "70000000", f"{CHIP}1/power1_cap": "1"}
    sensors = find(record(files)).sensors
    assert {sensor.name: sensor.read() for sensor in sensors} == {
        "hwmon:pmbus/power1": 90.0,
        "hwmon:pmbus/power2": 80.0,
        "hwmon:pmbus/power1#2": 70.0,
    }


def test_intervals_are_the_drivers_where_it_tells_them(record: Record):
    files = {f"{CHIP}0/name": "power_meter", f"{CHIP}0/power1_average": "5", f"{CHIP}0/power1_average_interval": "1000"}
    (sensor,) = find(record(files | {f"{CHIP}0/update_interval": "2000"})).sensors
    assert (sensor.resolution.interval, sensor.resolution.span) == (2.0, 1.0)


def test_a_channel_that_does_not_answer_is_named_and_the_others_are_used(record: Record):
    files = {f"{CHIP}0/name": "a", f"{CHIP}0/power1_input": "", f"{CHIP}0/power2_input": "3000000"}
    found = find(record(files))
    assert [sensor.name for sensor in found.sensors] == ["hwmon:a/power2"]
    assert [sensor.name for sensor in found.unusable] == ["hwmon:a/power1"]
