"""Static int8 of EfficientNet-Lite0 with its ImageNet weights, for ONNX Runtime and OpenVINO.

    python -m compress.bench.quantize.efficientnet_lite [FOLDER]

1. Network and pictures are those of ``imagenet.py``: 1,000 test pictures; calibration pictures with another seed; none
   is in both.
2. Both int8 files are made by this project's static method, with the scheme of this machine.

What is told is *agreement* with the float network, not accuracy on ImageNet.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from compress.bench import stats
from compress.bench.quantize.imagenet import NONE, PACKAGES, classes, dataset, megabytes, network, pictures, whole
from compress.bench.quantize.packages import fetch, folder, tell
from compress.data.dataset import Dataset
from compress.quantize import quantize
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.job import Job
from compress.recipe import Quantize
from compress.targets import openvino as openvino_export
from compress.targets.onnx import export
from compress.targets.scheme import scheme
from compress.targets.target import this_machine
from edge_runtime import open_session
from edge_runtime.probes.latency import interleave

TEST, CALIBRATION = 1000, 256
LEAST_AGREEMENT = 0.97

Lines = list[tuple[bool | None, str]]


def measure(cache: Path) -> Lines:
    """The lines: whether a target is met (None: a remark), and the words."""
    torch.set_num_threads(1)
    packages = fetch(PACKAGES, cache)
    test, calibration = pictures(packages, TEST, seed=0), pictures(packages, CALIBRATION, seed=1)
    data = dataset(calibration, NONE, test)
    with tempfile.TemporaryDirectory() as work:
        float_file = Path(work) / "float.onnx"
        export(network(packages), data.test.inputs[:1], float_file)
        openvino_export.export(float_file, float_file.with_suffix(".xml"))
        with open_session(float_file) as session:
            right = int((classes(session, whole(packages)) == data.test.labels[:20]).sum())
            expected = classes(session, data.test.inputs)
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
        found = classes(after, data.test.inputs)
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
            f"medians {times[1]:.2f} ms and {times[0]:.2f} ms; file {megabytes(out)}, float {megabytes(source)}",
        ),
    ]


if __name__ == "__main__":
    sys.exit(tell(measure(folder(__doc__))))
