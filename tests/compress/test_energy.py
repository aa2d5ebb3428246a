"""Energy in a run: the protocol of `compress bench` on a run's variants, by the sensors of this machine and meters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from meter_file import IDLE, LOAD, MeterFile

import compress
from compress import energy
from compress.data.dataset import SPLITS
from compress.errors import CompressError
from compress.recipe import Measure
from compress.recipe_file import load_recipe
from edge_runtime.energy.find import find
from edge_runtime.energy.meter import open_meter

RECIPE = """\
name: small
teacher:
  architecture: convnet
  arguments: {widths: [4]}
  normalize: {mean: [0.4], std: [0.25]}
  train: {epochs: 1, batch: 64}
data: {source: npz, path: data.npz}
stages: []
targets: [{name: this-machine, runtimes: [onnxruntime]}]
measure: {rounds: 6, seconds: 1}
"""


@pytest.fixture
def no_sensors(monkeypatch, tmp_path):
    """A machine without one, whatever this one has; the protocol in half a second."""
    monkeypatch.setattr(energy, "find", lambda: find(tmp_path))
    monkeypatch.setattr(energy, "TIMES", {"idle_seconds": 0.6, "windows": 5, "window_seconds": 0.1})


@pytest.fixture
def recipe(tmp_path, small_data) -> Path:
    arrays = {f"x_{name}": getattr(small_data, name).inputs for name in SPLITS}
    arrays |= {f"y_{name}": getattr(small_data, name).labels for name in SPLITS}
    np.savez(tmp_path / "data.npz", **arrays)
    (tmp_path / "small.yaml").write_text(RECIPE)
    return tmp_path / "small.yaml"


def test_a_meter_tells_gross_and_net_of_every_variant(no_sensors, tmp_path):
    heard = []
    with MeterFile(tmp_path / "meter.csv") as meter:
        runs = {"one": meter.call, "two": meter.call}
        found = energy.measure(
            runs, [open_meter(str(meter.path))], batch=2, tell=lambda done, total, words: heard.append((done, total))
        )
    assert found["energies"].keys() == runs.keys()
    (answer,) = found["energies"]["one"]
    assert answer["windows"] == 5
    assert answer["power"]["median"] == pytest.approx(LOAD, rel=0.15)
    assert answer["idle"]["median"] == pytest.approx(IDLE, rel=0.15)
    assert 0 < answer["net"]["median"] < answer["gross"]["median"]
    assert found["method"]["batch"] == 2
    assert heard == [(index, 11) for index in range(11)]


def test_without_a_sensor_there_is_a_reason_and_no_figure(no_sensors):
    assert energy.measure({"one": bool}, []) == {"none": "no sensor found"}


def test_what_can_be_read_is_named_and_else_why_nothing_can(no_sensors):
    assert energy.sensors_here(Measure(energy=True)) == ["no sensor found"]
    assert energy.sensors_here(Measure(meters=["http://plug/status"])) == ["http://plug/status"]


def test_a_meters_file_is_relative_to_the_recipe_and_an_address_is_not(recipe):
    (recipe.parent / "meter.csv").touch()
    loaded = load_recipe(recipe, ["measure.meters=[meter.csv, 'http://plug/status']"])
    names = [meter.name for meter in energy.meters(loaded.measure, loaded)]
    assert names == [f"meter:{recipe.parent / 'meter.csv'}", "meter:http://plug/status"]


def test_a_meter_that_is_none_is_told_before_anything_is_done(recipe):
    with pytest.raises(CompressError) as raised:
        load_recipe(recipe, ["measure.meters=[nowhere.csv]"])
    assert "measure.meters" in str(raised.value) and "there is no such file or device" in str(raised.value)


@pytest.mark.parametrize("watts", ["0", "-5", ".inf", ".nan"])
def test_modelled_watts_must_be_above_nothing(recipe, watts):
    with pytest.raises(CompressError, match="model_energy"):
        load_recipe(recipe, [f"measure.model_energy={watts}"])


@pytest.mark.integration
def test_a_run_has_energy_only_when_asked_and_says_where_it_is_from(no_sensors, recipe, tmp_path):
    def run(*overrides: str) -> compress.RunResult:
        return compress.run(recipe, overrides=overrides, store=tmp_path / "store", out=tmp_path / "out", threads=1)

    def text(name: str) -> str:
        return (tmp_path / "out" / name).read_text()

    plain = run()
    assert all(row.energy == [] for row in plain.results.variants)
    assert "nergy" not in text("table.md") + text("table.csv")

    rows = run("measure.energy=true", "measure.model_energy=5").results.variants
    for row in rows:
        none, modelled = row.energy
        assert (none.sensor, none.none, none.gross) == ("none", "no sensor found", None)
        assert not modelled.measured
        assert modelled.gross.value == pytest.approx(5 * row.latency.mean)
    assert "energy none: no sensor found" in text("table.md")
    assert "modelled, not measured: 5 W, as given" in text("report.html")

    with MeterFile(tmp_path / "meter.csv"):
        measured = run("measure.meters=[meter.csv]").results
    for row in measured.variants:
        (answer,) = row.energy
        assert answer.sensor == f"meter:{tmp_path / 'meter.csv'}"
        assert answer.measured and answer.gross.value > 0 and answer.windows == 5
    assert measured.method["energy"].keys() == {"measure/this-machine/onnxruntime"}
    again = run("measure.meters=[meter.csv]").results  # nobody feeds the meter now
    assert [row.energy for row in again.variants] == [row.energy for row in measured.variants]
