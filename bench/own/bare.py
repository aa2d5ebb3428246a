"""The quickstart's stages as the plain library calls of a script that a person would write: the pipeline's yardstick.

``python bench/own/bare.py EPOCHS`` prints the seconds of each stage as JSON. It loads the same teacher and data, prunes
to the same MACs, distils for the same number of steps, exports and quantizes for both runtimes; it caches, checks and
measures nothing.
"""

from __future__ import annotations

import copy
import json
import logging
import sys
import time
import warnings
from pathlib import Path

import nncf
import numpy as np
import onnx
import openvino
import torch
import torch_pruning
from onnxruntime import quantization
from safetensors.torch import load_file
from torch.nn import functional as F

from compress.models.normalize import Normalized
from compress.models.resnet import resnet

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
MACS, LR, BATCH, TEMPERATURE, WEIGHT, SAMPLES = 0.3, 0.05, 128, 4.0, 0.9, 500


def main(epochs: int, out: Path) -> dict[str, float]:
    seconds: dict[str, float] = {}
    data = np.load(RECIPES / "data" / "fashion-mnist-slice.npz")
    images = torch.from_numpy(np.ascontiguousarray(data["x_train"].reshape(-1, 1, 28, 28)))
    labels = torch.from_numpy(data["y_train"].astype(np.int64))
    calibration = np.ascontiguousarray(data["x_calibration"].reshape(-1, 1, 28, 28)[:SAMPLES])
    network = resnet(classes=10, channels=1, stem=16, widths=(16, 64, 128), blocks=(1, 2, 2))
    teacher = Normalized(network, [0.2860], [0.3530]).eval()
    teacher.load_state_dict(load_file(RECIPES / "data" / "fashion-mnist-teacher.safetensors"))

    started = time.perf_counter()
    student = _prune(teacher, images[:2])
    seconds["prune"] = time.perf_counter() - started

    started = time.perf_counter()
    _distill(student, teacher, images, labels, epochs)
    seconds["distill"] = time.perf_counter() - started

    started = time.perf_counter()
    files = [_export(model, images[:2], out / name) for model, name in ((teacher, "teacher"), (student, "student"))]
    seconds["export"] = time.perf_counter() - started

    started = time.perf_counter()
    _quantize(files[1], calibration, out)
    seconds["quantize"] = time.perf_counter() - started
    return seconds


def _prune(teacher: torch.nn.Module, example: torch.Tensor) -> torch.nn.Module:
    full, _ = torch_pruning.utils.count_ops_and_params(teacher, example[:1])
    low, high, best = 0.0, 1.0, None
    while high - low > 0.005:
        middle = (low + high) / 2
        model = copy.deepcopy(teacher)
        torch_pruning.pruner.BasePruner(
            model,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            global_pruning=True,
            pruning_ratio=middle,
            max_pruning_ratio=0.8,
            ignored_layers=[model.model.head],
            round_to=8,
        ).step()
        if torch_pruning.utils.count_ops_and_params(model, example[:1])[0] <= MACS * full:
            high, best = middle, model
        else:
            low = middle
    return best


def _distill(
    student: torch.nn.Module, teacher: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, epochs: int
) -> None:
    student.to(memory_format=torch.channels_last)
    with torch.no_grad():
        answers = torch.cat([teacher(batch) for batch in images.split(256)])
    optimizer = torch.optim.SGD(student.parameters(), lr=LR, momentum=0.9, nesterov=True, weight_decay=5e-4)
    steps = epochs * -(-len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=steps)
    for _ in range(epochs):
        student.train()
        for index in torch.randperm(len(images)).split(BATCH):
            logits = student(images[index])
            soft = F.log_softmax(answers[index] / TEMPERATURE, 1)
            apart = F.kl_div(F.log_softmax(logits / TEMPERATURE, 1), soft, reduction="batchmean", log_target=True)
            loss = WEIGHT * TEMPERATURE**2 * apart + (1 - WEIGHT) * F.cross_entropy(logits, labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    student.eval()


def _export(model: torch.nn.Module, example: torch.Tensor, path: Path) -> Path:
    file = path.with_suffix(".onnx")
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        model, (example,), dynamo=True, input_names=["input"], output_names=["logits"], dynamic_shapes={"x": {0: batch}}
    )
    program.save(file)
    openvino.save_model(openvino.convert_model(file), path.with_suffix(".xml"), compress_to_fp16=False)
    return file


def _quantize(file: Path, calibration: np.ndarray, out: Path) -> None:
    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter(np.array_split(calibration, len(calibration) // 50))

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self._batches, None)
            return None if batch is None else {onnx.load(file).graph.input[0].name: batch}

    prepared = out / "prepared.onnx"
    quantization.quant_pre_process(file, prepared)
    quantization.quantize_static(
        prepared,
        out / "int8.onnx",
        Reader(),
        per_channel=True,
        reduce_range=True,
        quant_format=quantization.QuantFormat.QDQ,
    )
    model = openvino.Core().read_model(file.with_suffix(".xml"))
    dataset = nncf.Dataset([calibration[i : i + 1] for i in range(len(calibration))])
    openvino.save_model(nncf.quantize(model, dataset, subset_size=len(calibration)), out / "int8.xml")


if __name__ == "__main__":
    import tempfile

    warnings.simplefilter("ignore")  # a bare script's reader sees them; here only the seconds are wanted
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(main(int(sys.argv[1]), Path(folder))))
