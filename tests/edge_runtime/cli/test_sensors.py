"""``edge-runtime sensors``."""

from __future__ import annotations

import json

import power
import pytest
from plug import SHELLY, Plug

from edge_runtime import cli
from edge_runtime.energy import find as looking
from edge_runtime.energy.base import Sensor
from edge_runtime.energy.find import Found, Unusable


@pytest.fixture
def sensors(monkeypatch, capsys):
    """Runs the command on a machine with these: its exit status, output and errors."""

    def run(found: tuple[Sensor, ...] = (), unusable: tuple[Unusable, ...] = (), words: tuple[str, ...] = ()):
        monkeypatch.setattr(looking, "find", lambda: Found(found, unusable))
        status = cli.main(["sensors", *words])
        return status, *capsys.readouterr()

    return run


def test_without_a_sensor_it_says_none(sensors):
    status, out, _ = sensors()
    assert (status, out) == (0, "none: energy cannot be measured here, except by an external meter (--meter)\n")


def test_a_sensor_is_named_with_what_it_says_and_an_unreadable_one_with_the_reason(sensors):
    locked = Unusable("rapl", "energy_uj is readable by root alone")
    status, out, _ = sensors((power.Watts(power.World(idle=2.5)),), (locked,))
    assert status == 0
    assert out.splitlines() == [
        "watts: 2.500 W  a test's power sensor",
        "rapl: not readable: energy_uj is readable by root alone",
    ]


def test_a_counter_is_looked_at_for_a_while(sensors, monkeypatch):
    world = power.World(idle=3.0)
    monkeypatch.setattr("time.sleep", world.sleep)
    monkeypatch.setattr("time.monotonic", world.now)
    status, out, _ = sensors((power.Joules(world),), words=("--json", "--seconds", "2"))
    (fact,) = json.loads(out)["sensors"]
    assert (status, fact["counts"], fact["rails"]) == (0, True, {"all": pytest.approx(3.0)})


def test_a_meter_can_be_tried(sensors):
    plug = Plug()
    try:
        status, out, _ = sensors(words=("--meter", plug.url))
    finally:
        plug.stop()
    assert status == 0
    assert out.startswith(f"meter:{plug.url}: {SHELLY['apower']:.3f} W  external meter")


def test_a_meter_that_is_none_is_an_error(sensors):
    status, _, errors = sensors(words=("--meter", "/no/such/meter"))
    assert status == 1
    assert errors.startswith("error[meter-invalid]: /no/such/meter: there is no such file or device")
