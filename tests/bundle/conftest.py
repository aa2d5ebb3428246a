"""A finished run's folder, made by hand: two small ONNX files, their data, and a results.json that tells of them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from bundles import KEY
from onnx import TensorProto, helper, numpy_helper
from small_recipe import write_data

from compress import data
from compress.bench.figures import Accuracy, Interval, Latency
from compress.bench.run.results import Memory, Results, StageRecord, Variant, to_json
from compress.data.dataset import Dataset
from compress.recipe import Recipe
from edge_runtime.machine import Machine

MACHINE = Machine(
    *("x86_64", "AMD EPYC", 2, ("avx2", "avx512_vnni", "avx_vnni"), 8 * 10**9),
    *("Debian GNU/Linux 12", "6.1", "3.11.7", (), None, ()),
)
RECIPE = {
    "version": 1,
    "name": "small",
    "teacher": {"architecture": "convnet", "checkpoint": "t.safetensors"},
    "data": {"source": "npz", "path": "data.npz"},
    "stages": [{"prune": {"ratio": 0.5}}, {"quantize": {"to": "int8"}}],
    "targets": [{"name": "this-machine"}, {"name": "raspberry-pi-4"}, {"name": "jetson-orin-nano"}],
}


def model(weights: np.ndarray) -> bytes:
    """uint8 (batch, 1, 12, 12) -> logits float32 (batch, 4)."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["pixels"], ["flat"]),
            helper.make_node("MatMul", ["flat", "dense"], ["logits"]),
        ],
        "small",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["batch", 1, 12, 12])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(weights.astype(np.float32), "dense")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def variant(stage: str, step: int, target: str, runtime: str, precision: str, **more) -> Variant:
    return Variant(
        f"{stage}/{target}/{runtime}", stage, step, None if step == 0 else more.pop("parent", None), target, runtime,
        precision, params=576, macs=576, **more,
    )  # fmt: skip


@pytest.fixture
def wide_data(small_data) -> Dataset:
    """The small data with a validation split that is long enough for a drift reference."""
    return replace(
        small_data, validation=small_data.train.take(slice(0, 240)), train=small_data.train.take(slice(240, None))
    )


@pytest.fixture
def run(tmp_path, wide_data) -> Path:
    """The run's folder; its recipe's folder is beside it."""
    project, folder = tmp_path / "project", tmp_path / "runs" / "small"
    project.mkdir()
    (project / "t.safetensors").write_bytes(b"weights")
    write_data(project / "data.npz", wide_data)
    weights = np.random.default_rng(0).normal(size=(144, 4)) / 100
    files = {"prune.onnx": model(weights), "quantize.onnx": model(np.round(weights, 2))}
    rows = [variant("teacher", 0, "this-machine", "pytorch", "fp32", file="models/pytorch/teacher/model.safetensors")]
    for target, runtime in (
        ("this-machine", "onnxruntime"),
        ("raspberry-pi-4", "onnxruntime"),
        ("jetson-orin-nano", "tensorrt"),
    ):
        place = folder / "models" / target / runtime
        place.mkdir(parents=True)
        here = target == "this-machine"
        for step, (name, content) in enumerate(files.items(), 1):
            (place / name).write_bytes(content)
            stage = name.removesuffix(".onnx")
            row = variant(
                *(stage, step, target, runtime, "int8" if stage == "quantize" else "fp32"),
                parent=None if step == 1 else f"prune/{target}/{runtime}",
                file=f"models/{target}/{runtime}/{name}",
                size=len(content),
                not_measured=None if here else "this machine is another",
            )
            rows.append(replace(row, **figures(step)) if here else row)
    recipe = Recipe.model_validate(RECIPE).placed(project)
    samples = data.load(recipe.data, project)
    results = Results(
        name="small",
        created="2026-11-23T15:50:04+00:00",
        recipe=RECIPE,
        environment={
            "machine": asdict(MACHINE),
            "python": "3.11.7",
            "versions": {"compress": "0.1.0", "torch": "2.13.0+cpu", "onnxruntime": "1.32.0"},
            "folder": str(project),
        },
        conditions={"measure/this-machine/onnxruntime": {"taken": "2026-11-23T15:49:47+00:00"}},
        data={
            "name": samples.name,
            "licence": samples.licence,
            "splits": {"test": len(samples.test)},
            "fingerprint": samples.fingerprint,
            "classes": list(samples.classes),
        },
        method={},
        stages=[
            StageRecord("teacher", "teacher", "aa" * 32, 1.0, True, {"architecture": "convnet", "sha256": "bb" * 32}),
            StageRecord("prune", "prune", "cc" * 32, 1.0, True),
            StageRecord("prune/onnx", "export", "dd" * 32, 1.0, True),
            StageRecord("quantize/onnxruntime/u8s7", "quantize", "ee" * 32, 1.0, True),
            StageRecord("evaluate/prune", "evaluate", "ff" * 32, 1.0, True),
        ],
        variants=rows,
    )
    (folder / "results.json").write_text(to_json(results))
    return folder


def figures(step: int) -> dict:
    """The int8 file is the faster one, and as right."""
    p50 = 1e-3 / step
    return {
        "latency": Latency(p50, p50 * 1.1, p50 * 1.5, p50, 1 / p50, 1000),
        "memory": Memory(30 * 10**6, 60 * 10**6, 70 * 10**6),
        "accuracy": Accuracy(230, 256, 230 / 256, Interval(230 / 256, 0.85, 0.93)),
    }


@pytest.fixture
def key():
    """The private key of the tests."""
    return KEY
