"""The protocol for energy, in a world whose time and power are known, and once in this one."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict

import numpy as np
import pytest
from plug import SHELLY, Plug
from power import Joules, Watts, World

from edge_runtime.energy import meter
from edge_runtime.energy.base import Rail
from edge_runtime.energy.meter import open_meter
from edge_runtime.energy.recorder import Recorder
from edge_runtime.energy.result import model_energy
from edge_runtime.errors import ProbeError, SensorError
from edge_runtime.probes.energy import measure


def test_a_counter_gives_gross_and_net_joules_of_an_inference():
    world = World(idle=2.0, load=5.0)
    samples = measure({"a": world.work(0.01)}, [Joules(world)], clock=world)
    (energy,) = samples.energies["a"]
    assert energy.gross.median == pytest.approx(0.05, rel=1e-6)
    assert energy.net.median == pytest.approx(0.03, rel=1e-6)
    assert energy.power.median == pytest.approx(5.0, rel=1e-6)
    assert energy.idle.median == pytest.approx(2.0, rel=1e-6)
    assert (energy.windows, energy.gross.n, energy.idle.n) == (5, 5, 6)
    assert energy.seconds == pytest.approx(10.0, abs=0.011)
    assert (energy.measured, energy.not_measured, energy.warnings) == (True, None, ())


def test_a_power_sensor_gives_the_same():
    world = World(idle=2.0, load=5.0)
    (energy,) = measure({"a": world.work(0.01)}, [Watts(world)], clock=world).energies["a"]
    assert energy.gross.median == pytest.approx(0.05, rel=1e-6)
    assert energy.net.median == pytest.approx(0.03, rel=1e-6)
    assert energy.readings >= 99
    assert energy.warnings == ()


def test_a_counter_that_wraps_in_every_window_gives_the_same():
    world = World()
    (energy,) = measure({"a": world.work(0.01)}, [Joules(world, span=17.0)], clock=world).energies["a"]
    assert energy.gross.median == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("interval", [0.1, 0.5])
def test_a_counter_that_is_updated_slowly_is_as_right_within_its_resolution(interval: float):
    world = World()
    samples = measure({"a": world.work(0.0137)}, [Joules(world, interval)], clock=world)
    (energy,) = samples.energies["a"]
    assert energy.gross.median == pytest.approx(5 * 0.0137, rel=0.01)
    assert energy.net.median == pytest.approx(3 * 0.0137, rel=0.02)
    assert energy.seconds >= 100 * interval
    assert samples.method["window_seconds"] == 100 * interval
    assert energy.readings >= 98
    assert energy.warnings == ()


def test_latency_comes_from_the_very_same_calls():
    world = World()
    samples = measure({"a": world.work(0.02), "b": world.work(0.05)}, [Watts(world)], clock=world, windows=3)
    assert [len(calls) for calls in samples.calls["b"]] == [200, 200, 200]
    np.testing.assert_allclose(np.concatenate(samples.calls["b"]), 0.05)
    (energy,) = samples.energies["b"]
    assert energy.gross.median == pytest.approx(energy.power.median * 0.05)


def test_the_load_surrounds_a_window_for_as_long_as_the_sensor_lags():
    world, starts = World(), []
    work = world.work(0.01)

    def call() -> None:
        starts.append(world.now())
        work()

    interval = 0.5
    samples = measure({"a": call}, [Watts(world, interval)], windows=2, clock=world)
    around = (len(starts) - sum(map(len, samples.calls["a"]))) * 0.01
    assert samples.method["lead_seconds"] == 2 * interval
    assert around == pytest.approx(2 * 2 * 2 * interval, abs=0.05)  # two windows, two sides


def test_variants_differ_by_what_they_take_and_batches_are_divided():
    world = World(idle=1.0)
    runs = {"lean": world.work(0.01, 3.0), "hungry": world.work(0.01, 9.0)}
    samples = measure(runs, [Joules(world)], batch=4, clock=world)
    assert samples.energies["lean"][0].gross.median == pytest.approx(0.03 / 4, rel=1e-6)
    assert samples.energies["hungry"][0].net.median == pytest.approx(0.08 / 4, rel=1e-6)


def test_every_round_runs_every_variant_in_an_order_of_its_own():
    world = World()
    steps: list[str] = []
    runs = {name: world.work(0.05) for name in "abc"}
    measure(runs, [Joules(world)], windows=8, window_seconds=1, clock=world, on_step=steps.append, seed=3)
    names = [step.split(": ")[1][0] for step in steps[1:]]
    rounds = ["".join(names[at : at + 3]) for at in range(0, 24, 3)]
    assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
    assert len(set(rounds)) > 2
    assert steps[0] == "idle for 30 s"


def test_all_sensors_are_read_at_once_and_not_added_up():
    world = World()
    samples = measure({"a": world.work(0.01)}, [Joules(world), Watts(world)], clock=world)
    counter, watts = samples.energies["a"]
    assert (counter.sensor, watts.sensor) == ("joules", "watts")
    assert counter.gross.median == pytest.approx(watts.gross.median, rel=1e-6)


def test_rails_are_told_apart_and_only_those_that_count_make_the_total():
    class Board(Watts):
        rails = (Rail("input"), Rail("gpu", counted=False))

        def readings(self) -> tuple[float, ...]:
            return (self.world.power, self.world.power / 4)

    world = World()
    (energy,) = measure({"a": world.work(0.01)}, [Board(world)], clock=world).energies["a"]
    assert energy.gross.median == pytest.approx(0.05)
    assert energy.rails == pytest.approx({"input": 0.05, "gpu": 0.0125})


def test_windows_of_one_reading_too_many_missing_are_left_out_and_told():
    world = World()
    # Off for 3 s of the first window, which begins at about 130 s, and for half a second of the second.
    off = [(133.0, 136.0), (145.0, 145.5)]
    sensor = Watts(world, says=lambda now, watts: None if any(a < now < b for a, b in off) else watts)
    (energy,) = measure({"a": world.work(0.01)}, [sensor], clock=world).energies["a"]
    assert (energy.windows, energy.windows_asked, energy.gross.n) == (4, 5, 4)
    assert energy.gross.median == pytest.approx(0.05)
    assert [warning.split(" s from")[0] for warning in energy.warnings[:2]] == [
        "window 1: no readings for 3.10",
        "window 2: no readings for 0.60",
    ]
    assert energy.warnings[0].endswith("left out")
    assert energy.warnings[1].endswith("bridged by a straight line")
    assert energy.warnings[2].endswith("readings failed, the last: the wire is off")


def test_a_reset_costs_one_window():
    world = World()

    class Forgetful(Joules):
        def readings(self) -> tuple[float, ...]:
            if world.time > 147 and not self.shift:
                self.shift = self.world.joules
            return super().readings()

    (energy,) = measure({"a": world.work(0.01)}, [Forgetful(world)], clock=world).energies["a"]
    assert (energy.windows, energy.gross.median) == (4, pytest.approx(0.05, rel=1e-6))
    assert energy.warnings == ("window 2: the counter was reset; left out",)


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (lambda now, watts: 0.0, "the sensor said 0 throughout, so it measures nothing"),
        (lambda now, watts: None, "the sensor did not answer once"),
        (lambda now, watts: watts if now < 130 else None, "no window has enough readings"),
        (lambda now, watts: -0.1, "J for a window under load"),
    ],
)
def test_a_sensor_that_measures_nothing_gives_none_and_not_zero(says, reason: str):
    world = World()
    bad, good = Watts(world, says=says), Joules(world)
    nothing, energy = measure({"a": world.work(0.01)}, [bad, good], clock=world).energies["a"]
    assert reason in nothing.not_measured
    assert (nothing.gross, nothing.net, nothing.power, nothing.rails) == (None, None, None, {})
    assert energy.gross.median == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("interval", [1e-3, 0.1])
def test_a_counter_that_stands_still_as_in_a_virtual_machine_gives_none(interval: float):
    class Still(Joules):
        def readings(self) -> tuple[float, ...]:
            return (0.0,)

    world = World()
    (energy,) = measure({"a": world.work(0.01)}, [Still(world, interval)], clock=world).energies["a"]
    assert energy.not_measured == "the counter stood still, so it counts nothing"
    assert energy.gross is None


def test_without_a_baseline_there_is_gross_and_no_net():
    world = World()
    sensor = Watts(world, says=lambda now, watts: watts if now > 130 else None)
    (energy,) = measure({"a": world.work(0.01)}, [sensor], clock=world).energies["a"]
    assert energy.gross.median == pytest.approx(0.05)
    assert (energy.net, energy.idle) == (None, None)
    assert any(warning.startswith("no idle baseline") for warning in energy.warnings)


def test_a_restless_baseline_and_a_load_that_hardly_shows_are_told():
    world = World(idle=2.0, load=2.0)
    sensor = Watts(world, says=lambda now, watts: watts + (1 if 110 < now < 120 else 0))
    (energy,) = measure({"a": world.work(0.01)}, [sensor], clock=world).energies["a"]
    assert any("the idle baseline is unsteady: 2 to 3 W" in warning for warning in energy.warnings)
    assert any(warning.startswith("net of idle is not above zero") for warning in energy.warnings)


def test_a_long_call_is_measured_whole():
    world = World()
    samples = measure({"a": world.work(25.0)}, [Watts(world)], clock=world, windows=2)
    assert [len(calls) for calls in samples.calls["a"]] == [1, 1]
    assert samples.energies["a"][0].gross.median == pytest.approx(125.0)


def test_answers_and_method_are_plain_json():
    world = World()
    samples = measure({"a": world.work(0.01)}, [Joules(world), Watts(world)], windows=2, clock=world)
    answers = json.loads(json.dumps([asdict(energy) for energy in samples.energies["a"]], allow_nan=False))
    assert answers[0]["resolution"] == {"step": 1e-6, "interval": 1e-3, "span": 0.0}
    method = json.loads(json.dumps(samples.method))
    assert method["sensors"][1]["source"] == "a test's power sensor"
    assert (method["idle_seconds"], method["window_seconds"], method["windows"]) == (30.0, 10.0, 2)


def test_without_a_sensor_energy_is_none():
    with pytest.raises(ProbeError, match="no power sensor: energy is none here"):
        measure({"a": int}, [])


@pytest.mark.parametrize("wrong", [{"windows": 0}, {"batch": 0}, {"window_seconds": 0}, {"idle_seconds": 0}])
def test_nothing_to_measure_is_an_error(wrong: dict):
    world = World()
    with pytest.raises(ProbeError, match="at least one variant, window and inference and positive times"):
        measure({"a": int}, [Watts(world)], clock=world, **wrong)
    with pytest.raises(ProbeError, match="got 0 variants"):
        measure({}, [Watts(world)], clock=world)


def test_a_call_that_fails_passes_its_error_on_and_closes_the_sensors():
    world, closed = World(), []

    class Closing(Watts):
        def close(self) -> None:
            closed.append(self)

    def fail() -> None:
        raise RuntimeError("the model is broken")

    with pytest.raises(RuntimeError, match="the model is broken"):
        measure({"a": fail}, [Closing(world)], clock=world)
    assert len(closed) == 1
    assert world.due == []


def test_a_sensor_that_cannot_be_opened_closes_those_that_were():
    world, closed = World(), []

    class Closing(Watts):
        def close(self) -> None:
            closed.append(self)

    class Locked(Watts):
        def open(self) -> None:
            raise SensorError("only for root")

    with pytest.raises(SensorError, match="only for root"):
        measure({"a": int}, [Closing(world), Locked(world)], clock=world)
    assert len(closed) == 1


def test_modelled_energy_is_marked():
    energy = model_energy(6.0, 0.002)
    assert not energy.measured
    assert energy.gross.median == pytest.approx(0.012)
    assert energy.gross.n == 0
    assert energy.source.startswith("modelled, not measured: 6 W, as given")
    assert energy.net is None
    for watts, seconds in ((0, 1), (-1, 1), (math.nan, 1), (1, 0), (1, math.inf)):
        with pytest.raises(ProbeError, match="positive watts and seconds"):
            model_energy(watts, seconds)


def test_in_real_time_a_slow_sensor_does_not_hold_up_a_quick_one():
    class Real(Watts):
        def readings(self) -> tuple[float, ...]:
            time.sleep(self.resolution.interval)
            return (3.0,)

    world = World()
    quick, slow = Real(world, 0.01), Real(world, 0.2)
    with Recorder([quick, slow]) as recorder:
        time.sleep(0.5)
    quick_track, slow_track = recorder.tracks
    assert len(quick_track.at) > 15
    assert 1 <= len(slow_track.at) <= 4
    assert all(b > a for a, b in zip(quick_track.at, quick_track.at[1:], strict=False))


def test_in_real_time_the_whole_protocol_runs():
    class Real(Watts):
        def readings(self) -> tuple[float, ...]:
            return (3.0,)

    samples = measure(
        {"a": lambda: time.sleep(0.002)}, [Real(World(), 0.02)], windows=2, window_seconds=0.3, idle_seconds=0.3
    )
    (energy,) = samples.energies["a"]
    assert energy.power.median == pytest.approx(3.0)
    assert energy.gross.median == pytest.approx(3.0 * np.concatenate(samples.calls["a"]).mean(), rel=0.1)
    assert energy.windows == 2


@pytest.mark.integration
def test_a_plug_that_drops_out_costs_the_window_it_drops_out_of(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(meter, "HTTP_INTERVAL", 0.05)
    plug = Plug()

    def off(step: str) -> None:
        plug.answer = None if step.startswith("window 2") else (200, json.dumps(SHELLY).encode())

    try:
        samples = measure(
            {"a": lambda: time.sleep(0.005)},
            [open_meter(plug.url)],
            windows=4,
            window_seconds=0.6,
            idle_seconds=1.2,
            on_step=off,
        )
    finally:
        plug.stop()
    (energy,) = samples.energies["a"]
    assert (energy.windows, energy.windows_asked) == (3, 4)
    assert energy.power.median == pytest.approx(8.9)
    assert energy.gross.median == pytest.approx(8.9 * 0.005, rel=0.2)
    assert any(warning.startswith("window 2: no readings for") for warning in energy.warnings)
    assert any("readings failed, the last: " in warning and "no answer" in warning for warning in energy.warnings)
