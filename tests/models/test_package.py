"""What an AOTInductor package says about itself, and on which machine it is refused; nothing here loads its code."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
import torch

from compress.models import package
from compress.models.package_session import AotInductorGraphSession, AotInductorSession
from edge_runtime import EngineMissingError, ModelFileError, SessionError, TensorSpec

SPECS = (TensorSpec("input", "uint8", ("batch", 1, 8, 8)), TensorSpec("logits", "float32", ("batch", 10)))
SAYS = {package.INPUTS: package.dump(SPECS[:1]), package.OUTPUTS: package.dump(SPECS[1:])}
METADATA = "model/data/aotinductor/model/c1.wrapper_metadata.json"


@pytest.fixture
def write(tmp_path):
    """Writes a package without code: `write(says)`."""

    def write(says: dict | str | None, name: str = METADATA, **more: str) -> Path:
        path = tmp_path / "model.pt2"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("model/archive_format", "pt2")
            if says is not None:
                archive.writestr(name, says if isinstance(says, str) else json.dumps(says | more))
        return path

    return write


def test_inputs_outputs_and_the_device_are_read(write):
    found = package.read(write(SAYS, AOTI_DEVICE_KEY="cuda", AOTI_COMPUTE_CAPABILITY="90", AOTI_MACHINE="x86_64"))
    assert (found.inputs, found.outputs) == (SPECS[:1], SPECS[1:])
    assert (found.device, found.capability, found.machine) == ("cuda", "90", "x86_64")


def test_a_file_that_is_no_package_is_named(tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"no archive")
    with pytest.raises(ModelFileError, match=r"model\.pt2: not a \.pt2 file that can be read: File is not a zip file"):
        AotInductorSession(path, 1)


@pytest.mark.parametrize("content", ["no JSON", "[1]", " " * (package.LARGEST + 1)])
def test_metadata_that_is_none_is_refused(write, content):
    with pytest.raises(ModelFileError, match=r"cannot be read|not a \.pt2 file"):
        package.read(write(content))


def test_an_exported_program_is_told_from_a_compiled_one(write):
    with pytest.raises(ModelFileError, match=r"holds no compiled model; if torch\.export\.save wrote it, compile it"):
        package.read(write({}, name="model/models/model.json"))


def test_a_package_that_does_not_say_its_inputs_comes_with_how_to_say_them(write):
    with pytest.raises(ModelFileError, match=r"does not say what its inputs are.*aot_inductor\.metadata"):
        package.read(write({"AOTI_DEVICE_KEY": "cpu"}))


@pytest.mark.parametrize(
    "inputs", ["no JSON", "[1]", '[{"name": "input"}]', '[{"name": 1, "dtype": "uint8", "shape": []}]']
)
def test_inputs_that_are_none_are_refused(write, inputs):
    with pytest.raises(ModelFileError, match="cannot be read"):
        package.read(write(SAYS | {package.INPUTS: inputs}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("kind", [AotInductorSession, AotInductorGraphSession])
def test_a_package_for_a_gpu_is_refused_where_there_is_none(write, kind):
    with pytest.raises(EngineMissingError, match=r"compiled for an NVIDIA GPU, and PyTorch .* finds none here"):
        kind(write(SAYS, AOTI_DEVICE_KEY="cuda"), 1)


def test_a_package_for_another_gpu_is_refused_before_its_code_is_loaded(write, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    with pytest.raises(ModelFileError, match=r"capability 8\.6, and this one has 9\.0: compile it here"):
        AotInductorSession(write(SAYS, AOTI_DEVICE_KEY="cuda", AOTI_COMPUTE_CAPABILITY="86"), 1)


def test_a_package_for_another_processor_is_refused(write):
    with pytest.raises(ModelFileError, match="was compiled for riscv64, and this machine is"):
        AotInductorSession(write(SAYS, AOTI_DEVICE_KEY="cpu", AOTI_MACHINE="riscv64"), 1)


def test_a_package_without_code_is_refused_by_pytorch(write):
    with pytest.raises(ModelFileError, match="cannot load this package"):
        AotInductorSession(write(SAYS, AOTI_DEVICE_KEY="cpu"), 1)


def test_unoptimised_it_cannot_run(write):
    with pytest.raises(SessionError, match="cannot run unoptimised"):
        AotInductorSession(write(SAYS), 1, optimize=False)
