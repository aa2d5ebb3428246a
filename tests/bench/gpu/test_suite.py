"""The GPU suite on the CPU: the same lines but for CUDA's own, as its user starts it."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from compress.bench.benchmark.analyse import analyse
from compress.bench.gpu import nvml
from compress.bench.gpu.answers import compare
from compress.bench.gpu.networks import NETWORKS
from compress.bench.gpu.refused import Refused
from edge_runtime.energy.find import find
from edge_runtime.probes import events, plan

ROOT = Path(__file__).parents[3]
SUITE = ROOT / "bench/gpu/suite.py"
SMALL = ("--device", "cpu", "--networks", "tiny", "--batches", "1", "4", "--seconds", "0.3")
WAYS = ("eager-fp32", "eager-bf16", "eager-tf32", "graph-bf16", "tensorrt-fp16")
BARE = """
import runpy, sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in {allowed} or not any("site-packages" in (p or "") for p in self.places(name)):
            return None
        raise ModuleNotFoundError(f"No module named {{top!r}}", name=top)

    def places(self, name):
        from importlib.machinery import PathFinder
        if "." in name:
            return []
        found = PathFinder.find_spec(name)
        return [] if found is None else [found.origin, *(found.submodule_search_locations or ())]

sys.meta_path.insert(0, Nothing())
sys.argv = {arguments}
runpy.run_path(sys.argv[0], run_name="__main__")
"""
ALLOWED = {
    *("torch", "numpy", "torchgen", "functorch"),
    *("typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe", "fsspec", "filelock", "setuptools"),
}
"""PyTorch, what it requires, and numpy."""


def run(*arguments: str, code: int = 0, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SUITE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> Path:
    """A small run, all of whose parts are taken."""
    out = tmp_path_factory.mktemp("suite")
    quick = ("--energy", "--idle-seconds", "0.3", "--windows", "1", "--window-seconds", "0.2")
    done = run(*SMALL, *quick, "--ways", *WAYS, "-o", str(out))
    assert done.stdout.split() == [str(out / "tiny.jsonl")]
    return out / "tiny.jsonl"


@pytest.fixture(scope="module")
def told(record) -> list[events.Event]:
    return events.read(record)


def of(told: list[events.Event], kind: str) -> list[events.Event]:
    return [event for event in told if event["event"] == kind]


@pytest.mark.integration
def test_the_record_begins_with_the_machine_the_plan_and_the_device(told):
    begin = told[0]
    assert (begin["event"], begin["schema"], begin["gpu"]["device"]) == ("begin", plan.SCHEMA, "cpu")
    found = plan.parse(json.dumps(begin["plan"]))
    assert {model.name for model in found.models} == set(WAYS)
    assert [cell.name for cell in found.cells] == ["single-stream/t1/b1", "batch/t1/b4", "offline/t1/b4"]


@pytest.mark.integration
def test_the_record_ends_complete_and_its_clock_never_goes_back(told):
    assert (told[-1]["event"], told[-1]["complete"], told[-1]["why"]) == ("end", True, None)
    times = [event["at"] for event in told]
    assert times == sorted(times)


@pytest.mark.integration
def test_what_a_cpu_lacks_is_refused_with_a_reason_and_the_others_go_on(told):
    refused = {event["model"]: event for event in of(told, "refused")}
    assert {name: event["code"] for name, event in refused.items()} == {
        "eager-tf32": "no-device",
        "graph-bf16": "no-device",
        "tensorrt-fp16": "missing",
    }
    assert all(event["what"] == "open" for event in refused.values())
    assert "pip install tensorrt" in refused["tensorrt-fp16"]["reason"]
    assert [event["model"] for event in of(told, "model")] == ["eager-fp32", "eager-bf16"]


@pytest.mark.integration
def test_every_way_says_what_it_is_and_how_far_its_answers_are_from_float32(told):
    reference, half = of(told, "model")
    assert (reference["difference"], reference["agreement"], reference["inputs"][0]["dtype"]) == (0, 1, "float32")
    assert 0 < half["difference"] < 0.05
    assert half["inputs"] == [{"name": "input", "dtype": "bfloat16", "shape": [None, 1, 8, 8]}]
    assert half["size"] < reference["size"]
    assert "random (seed 0)" in half["weights"]


@pytest.mark.integration
def test_each_cell_is_closed_after_rounds_in_which_every_way_ran(told):
    cells = of(told, "cell")
    assert [cell["cell"] for cell in cells] == ["single-stream/t1/b1", "batch/t1/b4", "offline/t1/b4"]
    for cell in cells:
        rounds = [event for event in of(told, "round") if event["cell"] == cell["cell"]]
        assert {event["model"] for event in rounds} == set(cell["models"]) == {"eager-fp32", "eager-bf16"}
        assert len(rounds) == 2 * cell["method"]["rounds"]
        assert {event["samples"] for event in rounds} == {64 if cell["scenario"] == "offline" else cell["batch"]}
        assert all((events.decode(event["seconds"]) > 0).all() for event in rounds)
        assert cell["conditions"]["after"]["load_average"]
        assert "copies" in cell["method"]["data"]


@pytest.mark.integration
def test_memory_is_that_of_a_fresh_process_for_every_batch(told):
    memory = of(told, "memory")
    assert [(m["model"], m["batch"]) for m in memory] == [
        (way, batch) for way in ("eager-fp32", "eager-bf16") for batch in (1, 4)
    ]
    for event in memory:
        # PyTorch is not in what the interpreter had.
        assert event["interpreter"] < 100e6 < event["engine"] <= event["loaded"] <= event["peak"]
        assert event["gpu"] is None


@pytest.mark.integration
def test_energy_comes_from_a_sensor_that_is_named_or_is_said_to_be_none(told):
    energy = of(told, "energy")
    assert [(e["model"], e["batch"]) for e in energy] == [("eager-fp32", 4), ("eager-bf16", 4)]
    for event in energy:
        if "none" in event:
            assert event["none"] == find().why_none()
        else:
            assert all(answer["sensor"] and answer["source"] for answer in event["energies"])


@pytest.mark.integration
def test_the_tables_of_a_benchmark_are_made_from_the_record(told):
    found = analyse(told, target="nvidia-gpu")
    assert (found.complete, found.missing) == (True, [])
    assert [cell.id for cell in found.cells] == ["single-stream/t1/b1", "batch/t1/b4", "offline/t1/b4"]
    first, second = found.cells[0].timings
    assert (first.model, first.said, second.model) == ("eager-fp32", "first", "eager-bf16")
    rounds = [events.decode(e["seconds"]) for e in of(told, "round") if e["cell"] == "batch/t1/b4"]
    in_all = {timing.model: timing.n for timing in found.cells[1].timings}
    assert sum(in_all.values()) == sum(len(seconds) for seconds in rounds)


@pytest.mark.integration
def test_nothing_but_pytorch_and_numpy_is_needed(tmp_path):
    arguments = [str(SUITE), *SMALL, "--ways", "eager-fp32", "--no-memory", "--no-offline", "-o", str(tmp_path)]
    code = BARE.format(allowed=ALLOWED, arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert events.read(tmp_path / "tiny.jsonl")[-1]["complete"]


@pytest.mark.integration
def test_packed_as_one_file_it_runs_away_from_the_checkout(tmp_path):
    packed, out = tmp_path / "gpu-suite.pyz", tmp_path / "out"
    run("--pack", str(packed))
    command = [sys.executable, str(packed), *SMALL, "--ways", "eager-fp32", "--no-offline", "-o", str(out)]
    safe = os.environ | {"PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120, env=safe)
    assert done.returncode == 0, done.stderr
    told = events.read(out / "tiny.jsonl")
    assert told[-1]["complete"]
    assert len(of(told, "memory")) == 2
    assert not [name for name in zipfile.ZipFile(packed).namelist() if "__pycache__" in name]


@pytest.mark.integration
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--networks", "resnet51"), "there is no network 'resnet51'; there are student"),
        (("--ways", "quick*"), "no way is called quick*; there are eager-fp32"),
        (("--batches", "0"), "'batches' of the plan must be"),
    ],
)
def test_what_is_asked_wrongly_is_said_in_words(arguments, words, tmp_path):
    done = run("--device", "cpu", *arguments, "-o", str(tmp_path), code=2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.integration
def test_without_a_gpu_it_says_so():
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert "finds no CUDA device here" in run(code=1).stderr


@pytest.mark.integration
def test_stopped_in_the_middle_it_keeps_what_was_measured_and_says_so(tmp_path):
    arguments = [*SMALL[:-1], "40", "--ways", "eager-fp32", "--precision", "0", "-o", str(tmp_path)]
    path = tmp_path / "tiny.jsonl"
    with subprocess.Popen([sys.executable, str(SUITE), *arguments], stderr=subprocess.PIPE, text=True) as process:
        give_up = time.monotonic() + 60
        while not (path.exists() and b'"round"' in path.read_bytes()):
            assert process.poll() is None and time.monotonic() < give_up, process.stderr.read()
            time.sleep(0.1)
        process.terminate()
        words = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "what was measured is in" in words and "Traceback" not in words
    told = events.read(path)
    assert (told[-1]["event"], told[-1]["complete"], told[-1]["why"]) == ("end", False, "ended by SIGTERM")
    assert not analyse(told, target="nvidia-gpu").complete


@pytest.mark.integration
@pytest.mark.slow
def test_compiled_and_exported_ways_run_too(tmp_path):
    run(*SMALL, "--ways", "eager-fp32", "aoti-bf16", "onnxruntime-fp32", "--no-memory", "-o", str(tmp_path))
    told = events.read(tmp_path / "tiny.jsonl")
    assert [event["model"] for event in of(told, "model")] == ["eager-fp32", "aoti-bf16", "onnxruntime-fp32"]
    assert of(told, "refused") == []
    assert of(told, "model")[2]["difference"] < 1e-5
    assert {event["model"] for event in of(told, "round")} == {"eager-fp32", "aoti-bf16", "onnxruntime-fp32"}


def test_resnet50_is_as_large_as_its_name_says():
    network = NETWORKS["resnet50"].make(0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 25_557_032


def test_networks_and_samples_are_the_same_for_the_same_seed():
    network = NETWORKS["tiny"]
    inputs = network.samples(2, 3)
    answers = [network.make(seed)(inputs).detach().numpy() for seed in (1, 1, 2)]
    np.testing.assert_array_equal(answers[0], answers[1])
    assert np.abs(answers[0] - answers[2]).max() > 0.01
    np.testing.assert_array_equal(inputs, network.samples(2, 3))


@pytest.mark.parametrize("wrong", [0.5, float("nan")])
def test_answers_that_no_rounding_makes_are_refused(wrong):
    import torch

    expected = torch.tensor([[1.0, 2.0], [4.0, 3.0]])
    rounded = expected.clone()
    rounded[0, 0] += 0.01
    assert compare(rounded, expected, "fp16") == (pytest.approx(0.0025), 1.0)
    broken = expected.clone()
    broken[0, 0] += wrong
    with pytest.raises(Refused, match="differ from the first way's"):
        compare(broken, expected, "fp16")


class Library:
    """NVML as a library that answers from a table; what is not there is not supported."""

    FOUND: ClassVar = {
        "nvmlDeviceGetIndex": 1,
        "nvmlDeviceGetTemperature": 61,
        "nvmlDeviceGetPowerUsage": 250_000,
        "nvmlDeviceGetCurrentClocksThrottleReasons": 0x1 | 0x4 | 0x40,
    }

    def __init__(self) -> None:
        self.uuid = None

    def __getattr__(self, name):
        def call(*arguments):
            if name == "nvmlSystemGetDriverVersion":
                arguments[0].value = b"580.1"
            elif name == "nvmlDeviceGetHandleByUUID":
                self.uuid = arguments[0]
            elif name in self.FOUND:
                arguments[-1]._obj.value = self.FOUND[name]
            elif name == "nvmlDeviceGetClockInfo":
                arguments[-1]._obj.value = {1: 1980, 2: 2619}[arguments[1]]
            return 0

        setattr(self, name, call)
        return call


def test_the_gpu_is_found_by_its_uuid_and_says_what_holds_it_down(monkeypatch):
    library = Library()
    monkeypatch.setattr("edge_runtime.energy.nvml.ctypes.CDLL", lambda path: library)
    gpu = nvml.find("1-2-3")
    assert (library.uuid, gpu.index, gpu.driver) == (b"GPU-1-2-3", 1, "580.1")
    assert gpu.conditions() == {
        "temperature": 61,
        "frequency": 1.98e9,
        "memory_frequency": 2.619e9,
        "power": 250.0,
        "held_down_by": ["power cap", "heat (hardware)"],
    }


def test_without_nvml_there_is_no_gpu_to_ask(monkeypatch):
    def missing(path):
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr("edge_runtime.energy.nvml.ctypes.CDLL", missing)
    assert nvml.find("") is None


def test_the_command_line_describes_every_option(capsys):
    with pytest.raises(SystemExit) as caught:
        _main("--help")
    assert caught.value.code == 0
    assert "--pack FILE" in capsys.readouterr().out


def _main(*arguments: str) -> None:
    sys_argv, sys.argv = sys.argv, [str(SUITE), *arguments]
    try:
        runpy.run_path(str(SUITE), run_name="__main__")
    finally:
        sys.argv = sys_argv
