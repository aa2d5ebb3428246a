from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from compress.errors import TargetError
from compress.targets.target import Target, list_targets, load_target, this_machine
from edge_runtime.machine import Machine, detect

PI = Machine(
    arch="aarch64",
    cpu="Cortex-A72",
    cores=4,
    features=("asimd",),
    memory=4 << 30,
    os="Debian GNU/Linux 12 (bookworm)",
    kernel="6.6",
    python="3.11.2",
    sensors=(),
    model="Raspberry Pi 4 Model B Rev 1.4",
    gpu=(),
)
PC = replace(PI, arch="x86_64", cpu="Xeon", features=("avx2",), model=None)
MINE = """
name: my-board
title: My board
arch: aarch64
features: [asimd]
runtimes: [onnxruntime]
precisions: [fp32, int8]
clock: 1.5e+9
source: [its data sheet]
"""


@pytest.fixture
def board(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "board.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_this_machine_is_listed_first_then_the_shipped_targets_by_name():
    names = [target.name for target in list_targets()]
    assert names[0] == "this-machine"
    assert names[1:] == sorted(names[1:])
    assert {"x86-avx2", "x86-vnni", "raspberry-pi-4", "raspberry-pi-5", "jetson-orin-nano"} < set(names)
    assert {"nvidia-gpu", "intel-igpu"} < set(names)


@pytest.mark.parametrize("target", list_targets(), ids=lambda target: target.name)
def test_shipped_targets_load_by_name_and_use_only_their_own_runtimes_on_the_gpu(target):
    assert load_target(target.name) == target
    assert set(target.on_gpu) <= set(target.runtimes)


def test_every_field_is_described():
    assert [name for name, field in Target.model_fields.items() if not field.description and name != "name"] == []


def test_this_machine_is_what_was_detected_and_measurable_on_itself():
    found, machine = load_target("this-machine"), detect()
    assert (found.arch, found.features, found.cores) == (machine.arch, machine.features, machine.cores)
    assert found.runtimes == ("onnxruntime", "openvino", "litert", "aotinductor")
    assert found.measurable_here(machine)[0]


def test_this_machine_is_called_by_its_board_where_there_is_one():
    assert this_machine(PI).title == "Raspberry Pi 4 Model B Rev 1.4"
    assert this_machine(PC).title == "Xeon"


def test_unknown_name_suggests_the_nearest_one_and_lists_all():
    with pytest.raises(TargetError, match=r"unknown target 'raspberry-pi4'; did you mean 'raspberry-pi-4'\?") as caught:
        load_target("raspberry-pi4")
    assert "jetson-orin-nano" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_persons_own_yaml_file_is_a_target(board):
    target = load_target(board(MINE))
    assert (target.name, target.clock, target.features) == ("my-board", 1.5e9, ("asimd",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("clock: 1.5", "clok: 1.5"), "unknown key 'clok'; did you mean 'clock'"),
        (("[asimd]", "[asimdd]"), "unknown instruction set 'asimdd'; did you mean 'asimd'"),
        (("[onnxruntime]", "[tflite]"), "runtimes.0: Input should be 'onnxruntime'"),
        (("[onnxruntime]", "[]"), "runtimes: Tuple should have at least 1 item"),
        (("source: [its data sheet]", "source: []"), "source: Tuple should have at least 1 item"),
        (("arch: aarch64", "arch: [aarch64"), "not YAML"),
        ((MINE, "- a list"), "a target is a mapping"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_path(board, change, message):
    path = board(MINE.replace(*change))
    with pytest.raises(TargetError, match=message) as caught:
        load_target(path)
    assert str(caught.value).startswith(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(TargetError, match="no such file; shipped targets are this-machine"):
        load_target(str(tmp_path / "nothing.yaml"))


@pytest.mark.parametrize(
    ("name", "machine", "reason"),
    [
        ("raspberry-pi-4", PI, None),
        ("raspberry-pi-5", PI, "this machine is Raspberry Pi 4 Model B Rev 1.4, not Raspberry Pi 5"),
        ("raspberry-pi-4", replace(PI, model=None), "this machine is Cortex-A72, not Raspberry Pi 4"),
        ("x86-avx2", PC, None),
        ("x86-avx2", PI, "its architecture is x86_64, this machine's is aarch64"),
        ("x86-avx2", replace(PC, features=()), "this machine lacks avx2"),
        ("x86-avx2", replace(PC, features=("avx2", "avx512_vnni")), "this machine has avx512_vnni, which"),
        ("x86-vnni", replace(PC, features=("avx2", "avx_vnni")), None),
        ("x86-vnni", PC, "this machine lacks avx_vnni"),
        ("nvidia-gpu", PC, "this machine has no NVIDIA GPU"),
        ("nvidia-gpu", replace(PI, gpu=("NVIDIA H100",)), "its architecture is x86_64"),
        ("intel-igpu", PC, "a model runs on its GPU"),
        ("jetson-orin-nano", replace(PI, features=("asimd", "dotprod", "fp16"), model="NVIDIA Jetson Orin Nano"), None),
    ],
)
def test_a_target_is_measured_only_on_hardware_that_stands_for_it(name, machine, reason):
    measurable, words = load_target(name).measurable_here(machine)
    assert measurable == (reason is None)
    assert words.startswith(reason or (machine.model or machine.cpu))


def test_a_gpu_is_what_makes_a_machine_stand_for_it():
    machine = replace(PC, gpu=("NVIDIA H100",))
    assert load_target("nvidia-gpu").measurable_here(machine) == (True, "NVIDIA H100 is such a machine")


def test_a_gpus_engine_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("compress.targets.target.find_spec", lambda name: None if name == "tensorrt" else object())
    monkeypatch.setattr("compress.targets.target.version", lambda package: "1.0")
    target = load_target("nvidia-gpu")
    assert target.missing_here("tensorrt") == "tensorrt is not installed here: python -m pip install tensorrt"
    assert target.missing_here("aotinductor") is None
    assert target.missing_here("onnxruntime-cuda") is None
    assert load_target("raspberry-pi-4").missing_here("tensorrt") is None  # not on its GPU


@pytest.mark.parametrize(
    ("runtime", "installed", "words"),
    [
        ("onnxruntime-cuda", {"onnxruntime": "1.0"}, "has no CUDA provider: python -m pip uninstall onnxruntime"),
        ("aotinductor", {"torch": "2.13.0+cpu"}, "built for the processor only"),
        ("pytorch-cuda", {"torch": "2.13.0+cpu"}, "built for the processor only"),
    ],
)
def test_an_engine_built_for_the_processor_is_not_taken_for_the_gpus(monkeypatch, runtime, installed, words):
    monkeypatch.setattr("compress.targets.target.find_spec", lambda name: object())
    monkeypatch.setattr("compress.targets.target.version", installed.get)
    assert words in load_target("nvidia-gpu").missing_here(runtime)


def test_targets_and_schemes_need_no_torch():
    code = "import sys, compress.targets.scheme; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
