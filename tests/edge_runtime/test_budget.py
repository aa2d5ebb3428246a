"""What edge-runtime may cost a device: its requirements, its imports, and the time that importing it takes."""

from __future__ import annotations

import ast
import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "edge-runtime"
PACKAGE = ROOT / "edge_runtime"
MODULES = sorted(PACKAGE.rglob("*.py"))

REQUIREMENTS = {
    "": {"numpy"},
    "bundle": {"pynacl"},
    "image": {"pillow"},
    "serve": {"httptools", "multipart", "orjson", "uvicorn", "uvloop"},
    "text": {"tokenizers"},
    "onnxruntime": {"onnxruntime"},
    "openvino": {"openvino"},
    "litert": {"ai-edge-litert"},
    "tensorrt": {"tensorrt"},
}
"""Every package that edge-runtime may require, by extra. A new one is a decision: docs/decisions."""

ENGINES = {"onnxruntime", "openvino", "ai_edge_litert", "tensorrt"}
OPTIONAL = ENGINES | {"nacl", "PIL", "tokenizers"}
NEVER = {
    "compress",
    "torch",
    "scipy",
    "pandas",
    "sklearn",
    "transformers",
    "onnx",
    "pydantic",
    "click",
    "yaml",
    "pickle",
}


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def names(text: str) -> set[str]:
    """The packages that a list of requirements names."""
    lines = (line.strip() for line in text.splitlines())
    return {line.split()[0].split("[")[0].lower() for line in lines if line and not line.startswith("#")}


def test_nothing_is_required_beyond_the_budget():
    parser = setup()
    declared = {"": names(parser["options"]["install_requires"])}
    declared |= {extra: names(text) for extra, text in parser["options.extras_require"].items()}
    assert declared == REQUIREMENTS


def imported(path: Path) -> list[tuple[str, bool]]:
    """The top-level names of what a module imports, and whether it does so on being imported itself."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name.partition(".")[0], top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: relative import"
                found.append((child.module.partition(".")[0], top))
            elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            else:
                walk(child, top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    walk(ast.parse(path.read_text()), True)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_what_is_declared_and_extras_only_when_they_are_needed(path: Path):
    serving = REQUIREMENTS["serve"] if path.parent.name == "serve" else set()
    known = sys.stdlib_module_names | {"edge_runtime", "numpy"} | OPTIONAL | serving
    for name, top in imported(path):
        assert name not in NEVER, f"{path.name} imports {name}"
        assert name in known, f"{path.name} imports {name}, which nothing declares"
        assert not (top and name in OPTIONAL), f"{path.name} imports {name} when it is imported itself"


NEWER = {
    "datetime.UTC", "typing.Self", "typing.Never", "typing.assert_never", "typing.assert_type", "typing.LiteralString",
    "typing.NotRequired", "typing.Required", "typing.TypeVarTuple", "typing.Unpack", "typing.dataclass_transform",
    "typing.override", "typing.reveal_type", "enum.StrEnum", "enum.verify", "enum.ReprEnum", "asyncio.TaskGroup",
    "asyncio.Runner", "asyncio.timeout", "asyncio.timeout_at", "asyncio.Barrier", "contextlib.chdir",
    "hashlib.file_digest", "itertools.batched", "operator.call", "math.cbrt", "math.exp2", "math.sumprod",
    "inspect.getmembers_static", "collections.abc.Buffer", "warnings.deprecated", "os.process_cpu_count",
    "tomllib", "wsgiref.types", "ExceptionGroup", "BaseExceptionGroup", "sys.exception",
}  # fmt: skip
"""What the standard library has since Python 3.11 or later; edge-runtime starts at 3.10."""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_asks_for_nothing_newer_than_the_oldest_python(path: Path):
    tree = ast.parse(path.read_text(), feature_version=(3, 10))
    asked = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            asked |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            asked |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, (ast.Attribute, ast.Name)):
            asked.add(ast.unparse(node))
    assert asked.isdisjoint(NEWER), asked & NEWER


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def seconds(module: str) -> float:
    """Processor time of importing a module in a fresh process, the interpreter's own start left out."""
    code = f"import time; a = time.process_time(); import {module}; print(time.process_time() - a)"
    return min(float(python(code)) for _ in range(5))


@pytest.mark.parametrize(
    ("module", "limit"), [("edge_runtime", 0.05), ("edge_runtime.cli", 0.05), ("edge_runtime.model", 0.3)]
)
def test_importing_is_quick(module: str, limit: float):
    assert seconds(module) < limit


def loaded(code: str) -> set[str]:
    modules = json.loads(python(f"import sys, json\n{code}\nprint(json.dumps(list(sys.modules)))"))
    return {module.partition(".")[0] for module in modules}


def test_the_package_and_its_command_line_import_nothing_outside_the_standard_library():
    # A None in sys.modules, which keeps OpenVINO from importing it.
    allowed = set(sys.stdlib_module_names) | {"edge_runtime", "openvino_telemetry"} | loaded("")
    assert loaded("import edge_runtime, edge_runtime.cli") <= allowed


def test_opening_a_model_imports_the_engine_that_it_needs_and_no_other():
    code = "import edge_runtime\nedge_runtime.open_model, edge_runtime.Model"
    assert (OPTIONAL | NEVER - {"pickle"}).isdisjoint(loaded(code))


ROLLBACK = ("edge_runtime.cli.rollback", "edge_runtime.cli.status", "edge_runtime.update.rollback")


@pytest.mark.parametrize("module", ROLLBACK)
def test_going_back_needs_neither_numpy_nor_an_engine(module: str):
    """An engine or a numpy that no longer loads may be the very reason for going back."""
    assert ({"numpy"} | OPTIONAL).isdisjoint(loaded(f"import {module}"))
