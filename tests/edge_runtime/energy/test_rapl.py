"""Processor energy from recorded powercap trees."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import power
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.energy import rapl
from edge_runtime.energy.base import Odometer
from edge_runtime.energy.find import find
from edge_runtime.errors import SensorError, SensorResetError

Record = Callable[[dict[str, str]], Path]
LAPTOP = {
    "0": ("package-0", 5_000_000),
    "0:0": ("core", 3_000_000),
    "0:1": ("uncore", 500_000),
    "0:2": ("dram", 1_000_000),
    "1": ("psys", 9_000_000),
}


def only(root: Path) -> rapl.Rapl:
    (sensor,) = find(root).sensors
    return sensor


def advance(root: Path, **microjoules: int) -> None:
    """Let zones count on; `z0_2` is intel-rapl:0:2."""
    for name, more in microjoules.items():
        path = root / f"{power.POWERCAP}{name[1:].replace('_', ':')}/energy_uj"
        path.write_text(str(int(path.read_text()) + more))


def test_the_total_is_packages_and_memory_and_counts_nothing_twice(record: Record):
    root = record(power.rapl(LAPTOP))
    with only(root) as sensor:
        advance(root, z0=2_000_000, z0_0=1_200_000, z0_1=300_000, z0_2=400_000, z1=7_000_000)
        assert sensor.read() == pytest.approx(2.4)
        values = dict(zip([rail.name for rail in sensor.rails], sensor.readings(), strict=True))
    assert values == pytest.approx({"package-0": 2.0, "core-0": 1.2, "uncore-0": 0.3, "dram-0": 0.4, "psys": 7.0})
    assert sensor.source.startswith("RAPL counter: package-0 + dram-0; without board")


def test_two_sockets_are_added_up(record: Record):
    zones = {"0": ("package-0", 10), "0:0": ("dram", 20), "1": ("package-1", 30), "1:0": ("dram", 40)}
    root = record(power.rapl(zones))
    with only(root) as sensor:
        advance(root, z0=1_000_000, z0_0=10_000, z1=2_000_000, z1_0=20_000)
        assert sensor.read() == pytest.approx(3.03)
    assert [rail.name for rail in sensor.rails] == ["package-0", "dram-0", "package-1", "dram-1"]


def test_amd_has_a_package_and_cores_and_no_memory(record: Record):
    root = record(power.rapl({"0": ("package-0", 100), "0:0": ("core", 50)}, span=65_532_610_987))
    with only(root) as sensor:
        advance(root, z0=1_500_000, z0_0=900_000)
        assert sensor.read() == pytest.approx(1.5)
    assert "without memory, board" in sensor.source


def test_a_machine_that_shows_only_the_whole_counts_that(record: Record):
    root = record(power.rapl({"0": ("psys", 100)}))
    with only(root) as sensor:
        advance(root, z0=1_500_000)
        assert sensor.read() == pytest.approx(1.5)


def test_the_same_counter_through_mmio_is_not_read_again(record: Record):
    files = power.rapl({"0": ("package-0", 100)})
    files |= {name.replace("intel-rapl:", "intel-rapl-mmio:"): text for name, text in files.items()}
    assert [rail.name for rail in only(record(files)).rails] == ["package-0"]


def test_counting_begins_at_zero_when_it_is_opened(record: Record):
    root = record(power.rapl(LAPTOP))
    sensor = only(root)
    for _ in range(2):
        with sensor:
            assert sensor.read() == 0.0
            advance(root, z0=1_000_000)
            assert sensor.read() == pytest.approx(1.0)


def test_a_counter_that_wraps_goes_on(record: Record):
    root = record(power.rapl({"0": ("package-0", 262_143_000_000)}))
    path = root / f"{power.POWERCAP}0/energy_uj"
    with only(root) as sensor:
        path.write_text("262143300000")
        assert sensor.read() == pytest.approx(0.3)
        path.write_text("700000")  # 28,850 to the end of the range, then 700,000
        assert sensor.read() == pytest.approx(0.3 + 0.028850 + 0.7)


@given(
    span=st.integers(10_000, 10**12),
    start=st.integers(0, 10**12),
    parts=st.lists(st.floats(0, 0.999), max_size=40),
)
def test_whatever_wraps_the_joules_add_up(span: int, start: int, parts: list[float]):
    steps = [int(part * span) for part in parts]
    meter, position, total = Odometer(span), start % span, 0
    meter.update(position)
    for step in steps:
        position, total = (position + step) % span, total + step
        assert meter.update(position) == pytest.approx(total, rel=1e-12)


def test_a_counter_without_a_range_that_goes_back_was_reset(record: Record):
    files = power.rapl({"0": ("package-0", 5_000_000)})
    del files[f"{power.POWERCAP}0/max_energy_range_uj"]
    root = record(files)
    with only(root) as sensor:
        (root / f"{power.POWERCAP}0/energy_uj").write_text("1000000")
        with pytest.raises(SensorResetError, match=r"went back from 5 J to 1 J: it was reset"):
            sensor.read()
        advance(root, z0=2_000_000)
        assert sensor.read() == pytest.approx(2.0)


def test_a_counter_that_only_root_may_read_says_what_to_do():
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name, text in power.rapl(LAPTOP).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
            (root / name).chmod(0o400 if name.endswith("energy_uj") else 0o444)
        me = os.geteuid()
        if me == 0:
            os.seteuid(65534)
        else:
            (root / f"{power.POWERCAP}0/energy_uj").chmod(0)
        try:
            found = find(root)
        finally:
            os.seteuid(me)
    assert found.sensors == ()
    assert found.unusable[0].name == "rapl"
    advice = rf"sudo chmod a\+r {folder}/sys/class/powercap/intel-rapl:\*/energy_uj.*udev rule in docs/energy.md"
    with pytest.raises(SensorError, match=advice):
        raise SensorError(found.unusable[0].reason)
    assert found.words().startswith("none; rapl is there, but ")


@pytest.mark.parametrize(("text", "words"), [("", "holds no number"), ("N/A", "holds no number")])
def test_a_counter_that_says_nothing_is_not_a_zero(record: Record, text: str, words: str):
    files = power.rapl({"0": ("package-0", 0)}) | {f"{power.POWERCAP}0/energy_uj": text}
    found = find(record(files))
    assert not found.sensors
    assert words in found.unusable[0].reason
