"""What `import edge_runtime` gives, what it costs, and what installing it drags in."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest

import edge_runtime

HEAVY = {"numpy", "onnxruntime", "openvino", "torch", "scipy", "pandas", "onnx"}
SETUP = Path(__file__).parents[2] / "edge-runtime" / "setup.cfg"


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(SETUP.read_text())
    return parser


def test_importing_the_package_imports_nothing_heavy():
    loaded = json.loads(python("import edge_runtime, sys, json; print(json.dumps(list(sys.modules)))"))
    assert HEAVY.isdisjoint(loaded)


def test_importing_every_module_imports_no_engine_and_nothing_of_the_workstation():
    code = """
import importlib, json, pkgutil, sys
import edge_runtime
for module in pkgutil.walk_packages(edge_runtime.__path__, "edge_runtime."):
    importlib.import_module(module.name)
print(json.dumps(list(sys.modules)))
"""
    loaded = set(json.loads(python(code)))
    assert {"edge_runtime.sessions.openvino", "edge_runtime.probes.memory"} <= loaded
    assert (HEAVY - {"numpy"} | {"compress"}).isdisjoint(loaded)


def test_the_package_and_its_distribution_have_one_version():
    assert setup()["metadata"]["version"] == edge_runtime.__version__


def test_every_folder_of_the_package_is_distributed():
    """`find:` takes a folder for a package when it has an __init__.py."""
    assert setup()["options"]["packages"] == "find:"
    folders = {file.parent for file in SETUP.parent.glob("edge_runtime/**/*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("name", edge_runtime.__all__)
def test_every_public_name_is_there_and_listed(name):
    assert getattr(edge_runtime, name).__name__ == name
    assert name in dir(edge_runtime)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'open_sesion'"):
        edge_runtime.open_sesion  # noqa: B018


def test_one_except_catches_every_error_of_a_session():
    for name in ("EngineMissingError", "ModelFileError", "InputError"):
        assert issubclass(getattr(edge_runtime, name), edge_runtime.SessionError)
    for name in ("SessionError", "ProbeError"):
        assert issubclass(getattr(edge_runtime, name), edge_runtime.EdgeRuntimeError)
