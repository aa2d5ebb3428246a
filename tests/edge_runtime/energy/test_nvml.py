"""GPUs through a library that pretends to be NVIDIA's."""

from __future__ import annotations

from ctypes import c_char_p, c_int

import pytest

from edge_runtime.energy import nvml
from edge_runtime.energy.find import find
from edge_runtime.energy.tree import ROOT

SUPPORTED, NOT_SUPPORTED, LOST = 0, 3, 15


class Function:
    """A function of the library; it remembers how it was declared, as ctypes does."""

    argtypes = restype = None

    def __init__(self, call):
        self.call = call

    def __call__(self, *arguments):
        assert len(arguments) == len(self.argtypes)
        return self.call(*arguments)


class Driver:
    """GPUs by number: name, millijoules or None, milliwatts or None."""

    def __init__(self, gpus: list[tuple[bytes, int | None, int | None]]) -> None:
        self.gpus, self.open, self.code = gpus, 0, SUPPORTED
        work = {
            "nvmlInit_v2": self._init,
            "nvmlShutdown": self._shutdown,
            "nvmlDeviceGetCount_v2": lambda number: self._write(number, len(self.gpus)),
            "nvmlDeviceGetHandleByIndex_v2": lambda index, handle: self._write(handle, index + 1),
            "nvmlDeviceGetName": self._name,
            "nvmlDeviceGetTotalEnergyConsumption": lambda device, value: self._tell(device, 1, value),
            "nvmlDeviceGetPowerUsage": lambda device, value: self._tell(device, 2, value),
            "nvmlErrorString": lambda code: b"GPU is lost" if code == LOST else b"Driver Not Loaded",
        }
        for name, call in work.items():
            setattr(self, name, Function(call))

    def _init(self):
        self.open += 1
        return self.code

    def _shutdown(self):
        self.open -= 1
        return SUPPORTED

    def _write(self, pointer, value):
        pointer._obj.value = value
        return SUPPORTED

    def _name(self, device, text, length):
        text.value = self.gpus[device.value - 1][0]
        assert length == 96
        return SUPPORTED

    def _tell(self, device, which, pointer):
        value = self.gpus[device.value - 1][which]
        return self.code or (NOT_SUPPORTED if value is None else self._write(pointer, value))


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch):
    """Installs GPUs: `driver(("NVIDIA L4", millijoules, milliwatts), ...)`."""

    def install(*gpus: tuple[bytes, int | None, int | None]) -> Driver:
        library = Driver(list(gpus))
        monkeypatch.setattr(nvml.ctypes, "CDLL", lambda name: library)
        monkeypatch.setattr(nvml, "present", lambda root: True)
        return library

    return install


def gpus() -> list:
    return [sensor for sensor in find(ROOT).sensors if sensor.kind == "nvml"]


def test_energy_is_counted_from_the_moment_of_opening(driver):
    library = driver((b"NVIDIA L4", 5_000_000, 30_000))
    (sensor,) = gpus()
    assert (sensor.name, sensor.counts, sensor.rails[0].name) == ("nvml:0", True, "NVIDIA L4")
    with sensor:
        assert sensor.read() == 0.0
        library.gpus[0] = (b"NVIDIA L4", 5_012_345, 30_000)
        assert sensor.read() == pytest.approx(12.345)
    assert library.open == 0


def test_a_gpu_that_counts_no_energy_tells_power_averaged_over_a_second(driver):
    driver((b"Quadro P1000", None, 41_500))
    (sensor,) = gpus()
    with sensor:
        assert sensor.read() == pytest.approx(41.5)
    assert (sensor.counts, sensor.resolution.span) == (False, 1.0)
    assert "power, averaged by the driver" in sensor.source


def test_every_gpu_is_a_sensor_and_one_that_tells_nothing_does_not_hide_the_others(driver):
    driver((b"Orin", None, None), (b"NVIDIA L4", 1, 1))
    found = find(ROOT)
    assert [sensor.name for sensor in found.sensors if sensor.kind == "nvml"] == ["nvml:1"]
    assert ("nvml:0", "nvml:0: this GPU tells NVML neither its energy nor its power") in [
        (sensor.name, sensor.reason) for sensor in found.unusable
    ]


def test_an_error_is_told_in_the_librarys_words(driver):
    library = driver((b"NVIDIA L4", 1, 1))
    (sensor,) = gpus()
    with sensor:
        library.code = LOST
        with pytest.raises(nvml.SensorError, match=r"TotalEnergyConsumption: GPU is lost \(error 15\)"):
            sensor.read()
    assert library.open == 0


def test_a_driver_that_does_not_run_is_named(driver):
    driver().code = 9
    reasons = [sensor.reason for sensor in find(ROOT).unusable if sensor.name == "nvml"]
    assert reasons == ["NVML: nvmlInit_v2: Driver Not Loaded (error 9)"]


def test_without_the_library_it_is_said_where_it_comes_from(driver, monkeypatch: pytest.MonkeyPatch):
    driver()

    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(nvml.ctypes, "CDLL", missing)
    reasons = [sensor.reason for sensor in find(ROOT).unusable if sensor.name == "nvml"]
    assert reasons == [
        "NVIDIA's libnvidia-ml.so.1 cannot be loaded: libnvidia-ml.so.1: cannot open shared object file; it comes with "
        "the driver"
    ]


def test_results_are_declared_as_the_c_library_has_them(driver):
    library = driver((b"NVIDIA L4", 1, 1))
    gpus()
    assert library.nvmlDeviceGetPowerUsage.restype is c_int
    assert library.nvmlErrorString.restype is c_char_p
    assert library.nvmlErrorString.argtypes == (c_int,)
