"""Rails of Jetson boards from recorded trees of each generation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import power
import pytest

from edge_runtime.energy.base import Sensor
from edge_runtime.energy.find import detect, find
from edge_runtime.errors import SensorError

Record = Callable[[dict[str, str]], Path]
FIRST = f"{power.DRIVERS}/ina3221/1-0040/hwmon/hwmon0"


def only(root: Path) -> Sensor:
    (sensor,) = find(root).sensors
    assert sensor.name == "ina3221"
    return sensor


def watts(sensor: Sensor) -> dict[str, float]:
    return dict(zip([rail.name for rail in sensor.rails], sensor.readings(), strict=True))


def counted(sensor: Sensor) -> list[str]:
    return [rail.name for rail in sensor.rails if rail.counted]


def test_the_input_is_the_total_and_the_rails_within_are_told_beside_it(record: Record):
    sensor = only(record(power.ORIN_NANO))
    assert watts(sensor) == pytest.approx({"VDD_IN": 4.92, "VDD_CPU_GPU_CV": 0.984, "VDD_SOC": 1.476})
    assert sensor.read() == pytest.approx(4.92)
    assert "VDD_IN: the module's input, without its carrier board" in sensor.source


def test_channels_that_are_not_connected_and_the_sum_of_shunts_are_no_rails(record: Record):
    sensor = only(record(power.AGX_ORIN))
    assert set(watts(sensor)) == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"}


def test_without_an_input_rail_those_that_do_not_feed_each_other_are_added_up(record: Record):
    sensor = only(record(power.AGX_ORIN))
    assert counted(sensor) == ["VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"]
    assert sensor.read() == pytest.approx((19800 * 160 + 19800 * 50 + 4968 * 900) / 1e6)
    sensor = only(record(power.AGX_XAVIER))
    assert len(counted(sensor)) == 6


def test_rails_that_are_missing_are_told_and_not_taken_for_zero(record: Record):
    files = {name: text for name, text in power.AGX_XAVIER.items() if not name.endswith("hwmon0/curr2_input")}
    sensor = only(record(files))
    assert "CPU" not in watts(sensor)
    assert sensor.notes() == ("rails without a reading: CPU",)


def test_without_its_input_rail_a_board_is_the_sum_of_the_rest(record: Record):
    files = {name: text for name, text in power.ORIN_NANO.items() if not name.endswith("/curr1_input")}
    sensor = only(record(files))
    assert counted(sensor) == ["VDD_CPU_GPU_CV", "VDD_SOC"]
    assert "without carrier board and unmeasured parts" in sensor.source


def test_a_channel_that_is_switched_off_or_has_no_name_is_no_rail(record: Record):
    files = power.ORIN_NANO | {f"{FIRST}/in3_enable": "0\n"}
    del files[f"{FIRST}/in2_label"]
    assert set(watts(only(record(files)))) == {"VDD_IN"}


def test_jetpack_4_tells_milliwatts_through_iio(record: Record):
    sensor = only(record(power.NANO))
    assert watts(sensor) == pytest.approx({"POM_5V_IN": 2.512, "POM_5V_GPU": 0.04, "POM_5V_CPU": 0.485})
    assert sensor.read() == pytest.approx(2.512)


def test_the_input_rail_may_be_on_any_chip(record: Record):
    sensor = only(record(power.TX2))
    assert counted(sensor) == ["VDD_IN"]
    assert sensor.read() == pytest.approx(3.575)


def test_thor_has_the_whole_boards_input_on_an_ina238(record: Record):
    root = record(power.THOR_BOARD | power.THOR_RAILS | power.ina238(28_750_000))
    sensor = only(root)
    assert counted(sensor) == ["VIN"]
    assert sensor.read() == pytest.approx(28.75)
    assert "VIN: the whole board's input" in sensor.source


def test_a_reading_below_zero_stays_one(record: Record):
    sensor = only(record(power.THOR_BOARD | power.THOR_RAILS))
    assert watts(sensor)["VDD_GPU"] == pytest.approx(-0.396)
    assert sensor.read() == pytest.approx(-0.396 + 6.534 + 6.448)


def test_the_same_chips_are_not_found_again_as_hwmon(record: Record):
    rails = power.THOR_RAILS | power.ina238(28_750_000)
    links = {f"sys/class/hwmon/{name.split('/hwmon/', 1)[1]}": text for name, text in rails.items()}
    root = record(power.THOR_BOARD | rails | links)
    assert detect(root) == ("ina3221",)
    assert only(root).read() == pytest.approx(28.75)


def test_rails_of_one_name_are_told_apart_by_their_chips(record: Record):
    files = power.ina3221("1-0040", [("A", 5000, 100)]) | power.ina3221("1-0041", [("A", 5000, 200)])
    assert watts(only(record(files))) == pytest.approx({"A@1-0040": 0.5, "A@1-0041": 1.0})


def test_the_step_is_that_of_the_shunt_and_the_interval_the_drivers(record: Record):
    sensor = only(record(power.ORIN_NANO))
    assert sensor.resolution.step == pytest.approx(40e-6 / 0.005 * 4.92)  # 8 mA at 4.92 V
    assert sensor.resolution.interval == 0.05
    assert only(record(power.ORIN_NANO | {f"{FIRST}/update_interval": "420\n"})).resolution.interval == 0.42


def test_a_board_with_nothing_connected_has_no_sensor(record: Record):
    root = record(power.ina3221("1-0040", [("NC", 0, 0), ("NC", 0, 0), ("NC", 0, 0)]))
    found = find(root)
    assert not found.sensors
    assert "no rail that is connected" in found.unusable[0].reason


def test_a_chip_that_stops_answering_is_an_error_and_not_zero(record: Record):
    root = record(power.ORIN_NANO)
    sensor = only(root)
    (root / FIRST / "curr1_input").write_text("")
    with pytest.raises(SensorError, match=r"curr1_input holds no number"):
        sensor.read()
    (root / FIRST / "curr1_input").unlink()
    with pytest.raises(SensorError, match=r"curr1_input cannot be read: No such file"):
        sensor.read()
