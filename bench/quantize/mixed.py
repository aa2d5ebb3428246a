"""Mixed precision on EfficientNet-Lite0: closer to float than all int8, and faster and smaller than all float.

    python -m compress.bench.quantize.mixed [FOLDER]

Network and pictures are those of ``imagenet.py``. Twenty photographs are too few to judge by their labels, so the float
network's own answers are the labels: `max_drop` then bounds the share of pictures that it would name otherwise.

1. The search of `quantize: {to: mixed, max_drop: 1%}` looks at 1,000 validation pictures, cut with a seed of their own.
2. All int8, mixed and float are compared on 2,000 test pictures that the search has not seen. The difference in
   agreement is paired (Tango's interval), times are of files that run in turns.

Takes a quarter of an hour for each runtime: every layer is tried and timed.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch

from compress.bench import stats
from compress.bench.quantize.imagenet import PACKAGES, classes, dataset, megabytes, network, pictures
from compress.bench.quantize.packages import fetch, folder, tell
from compress.bench.words import points, points_bracket
from compress.data.dataset import Dataset, Split
from compress.quantize import quantize
from compress.quantize.job import Job
from compress.quantize.layers.words import times
from compress.recipe import Quantize
from compress.targets import openvino as openvino_export
from compress.targets.onnx import export
from compress.targets.scheme import scheme
from compress.targets.target import this_machine
from edge_runtime import open_session
from edge_runtime.probes.latency import interleave

TEST, VALIDATION, CALIBRATION = 2000, 1000, 256
MAX_DROP = 0.01

Lines = list[tuple[bool | None, str]]


def measure(cache: Path) -> Lines:
    """The lines: whether mixed beats both (None: a remark), and the words."""
    torch.set_num_threads(1)
    packages = fetch(PACKAGES, cache)
    test, calibration, validation = (
        pictures(packages, count, seed) for seed, count in enumerate((TEST, CALIBRATION, VALIDATION))
    )
    with tempfile.TemporaryDirectory() as work:
        float_file = Path(work) / "float.onnx"
        export(network(packages), test.inputs[:1], float_file)
        openvino_export.export(float_file, float_file.with_suffix(".xml"))
        with open_session(float_file) as session:
            validation, test = (Split(split.inputs, classes(session, split.inputs)) for split in (validation, test))
        data = dataset(calibration, validation, test)
        lines, winners = [], []
        for runtime, suffix in (("onnxruntime", ".onnx"), ("openvino", ".xml")):
            more, beats_both = _runtime(runtime, float_file.with_suffix(suffix), float_file, data)
            lines += more
            winners += [runtime] if beats_both else []
    where = ", ".join(winners) or "none"
    return [
        *lines,
        (bool(winners), f"runtimes on which mixed surely beats all int8 and all float: {where} (one at least)"),
    ]


def _runtime(runtime: str, source: Path, onnx: Path, data: Dataset) -> tuple[Lines, bool]:
    files = {"float": source}
    lines: Lines = []
    for name, settings in (
        ("int8", Quantize(samples=CALIBRATION)),
        ("mixed", Quantize(to="mixed", max_drop=MAX_DROP, samples=CALIBRATION)),
    ):
        files[name] = source.parent / runtime / name / source.name
        files[name].parent.mkdir(parents=True)
        job = Job(runtime, onnx, source, files[name], scheme(this_machine(), runtime), settings, data)
        lines += [(None, f"{runtime}, {name}: {line}") for line in quantize(job)]
    right = {}
    for name, file in files.items():
        with open_session(file) as session:
            right[name] = classes(session, data.test.inputs) == data.test.labels
    won = stats.paired_difference(right["mixed"], right["int8"])
    blocks = _times(files, data.test.inputs[:1])
    faster = stats.ratio_interval(blocks["float"], blocks["mixed"])
    rest = stats.ratio_interval(blocks["mixed"], blocks["int8"])
    shares = ", ".join(f"{name} {share.mean():.2%}" for name, share in right.items())
    sizes = ", ".join(f"{name} {megabytes(file)}" for name, file in files.items())
    lines += [
        (None, f"{runtime}: the same of 1000 classes as float in ONNX Runtime for {shares} of {TEST} test pictures"),
        (
            None,
            f"{runtime}: mixed keeps {points(won.value)} more of float's answers than all int8 "
            f"{points_bracket(won.low, won.high)}",
        ),
        (
            None,
            f"{runtime}: mixed is {times(faster)} as fast as float, and all int8 {times(rest)} as fast as mixed",
        ),
        (None, f"{runtime}: {sizes}"),
    ]
    return lines, won.low > 0 and faster.low > 1


def _times(files: dict[str, Path], sample: np.ndarray) -> dict[str, np.ndarray]:
    """Block medians by name."""
    with ExitStack() as stack:
        sessions = {name: stack.enter_context(open_session(file)) for name, file in files.items()}
        runs = {name: (lambda session=session: session.predict(sample)) for name, session in sessions.items()}
        samples = interleave(runs, rounds=40, seconds=30)
    return {name: samples.block_medians(name) for name in files}


if __name__ == "__main__":
    sys.exit(tell(measure(folder(__doc__))))
