"""Static int8 against its peers on the same float models: bare ONNX Runtime, Olive, bare NNCF, each with its defaults.

    python -m compress.bench.quantize.peers [FOLDER]

1. Models: the quickstart's teacher and its distilled student. Calibration, 500 samples, is the same for all.
2. Olive is installed into an environment of its own below FOLDER and called there; the seconds are those of its call.
3. Every call is repeated ``TURNS`` times, one peer after the other in turns; the median of its seconds counts.
4. Accuracy is that of the 10,000 test samples, paired with ours; int8 layers are counted in the runtime's own graph.

Met: ours is not less accurate beyond noise, has at least as many int8 layers, and takes at most 1.2x the bare call.
"""

from __future__ import annotations

import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np
import torch

import compress
from compress.bench import stats, words
from compress.bench.peers import olive_latency
from compress.bench.quantize.packages import folder, tell
from compress.compare.logits import logits
from compress.data.dataset import Dataset
from compress.quantize import quantize
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.job import Job
from compress.quantize.layers import keep
from compress.recipe import Quantize
from compress.recipe_file import load_recipe
from compress.targets.scheme import scheme
from compress.targets.target import this_machine
from edge_runtime import open_session

ROOT = Path(__file__).resolve().parent.parent.parent
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
TURNS = 3
MOST_TIME = 1.2

Lines = list[tuple[bool | None, str]]


@dataclass
class Contender:
    """``make(source, out)`` writes the int8 file and returns its own seconds, or None for those of the call."""

    name: str
    make: Callable[[Path, Path], float | None]
    seconds: list[float] = field(default_factory=list)


def measure(cache: Path) -> Lines:
    """The lines: whether a target is met (None: a remark), and the words."""
    torch.set_num_threads(1)
    data = compress.data.load(load_recipe(QUICKSTART).data, QUICKSTART.parent)
    lines: Lines = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        samples = work / "calibration.npy"
        np.save(samples, data.calibration.inputs)
        models = compress.run(QUICKSTART, out=work / "run", overrides=["targets=[this-machine]"]).out / "models"
        for stage in ("teacher", "distill"):
            for runtime, suffix, peers in (
                ("onnxruntime", ".onnx", [Contender("ONNX Runtime", _bare(data)), _olive(cache, samples)]),
                ("openvino", ".xml", [Contender("NNCF", _nncf(data))]),
            ):
                source = models / "this-machine" / runtime / f"{stage}{suffix}"
                onnx = models / "this-machine" / "onnxruntime" / f"{stage}.onnx"
                ours = Contender("compress", _ours(runtime, onnx, data))
                lines += _contest(stage, runtime, source, [ours, *peers], work / stage / runtime, data)
    return lines


def _contest(stage: str, runtime: str, source: Path, all_: list[Contender], work: Path, data: Dataset) -> Iterator:
    files = {c.name: work / c.name.replace(" ", "-").lower() / source.name for c in all_}
    for file in files.values():
        file.parent.mkdir(parents=True)
    for _ in range(TURNS):
        for contender in all_:
            started = time.perf_counter()
            own = contender.make(source, files[contender.name])
            contender.seconds.append(own or time.perf_counter() - started)
    right = {}
    for name, file in files.items():
        with open_session(file, runtime) as session:
            right[name] = logits(session, data.test.inputs).argmax(1) == data.test.labels
    kernels = {name: sum(int8_coverage(file).int8.values()) for name, file in files.items()}
    seconds = {c.name: statistics.median(c.seconds) for c in all_}
    for name in files:
        yield (
            None,
            f"{stage}, {runtime}, {name}: {right[name].mean():.2%}, {kernels[name]} int8 layers, "
            f"{seconds[name]:.2f} s, {words.size(keep.size(files[name]))}",
        )
    mine = all_[0].name
    for peer in (c.name for c in all_[1:]):
        drop = stats.paired_difference(right[peer], right[mine])
        yield drop.low <= 0, f"{stage}, {runtime}, against {peer}: ours {words.lost(drop)} (not less beyond noise)"
        yield kernels[mine] >= kernels[peer], f"{stage}, {runtime}: {kernels[mine]} int8 layers, {peer} {kernels[peer]}"
    bare = all_[1].name
    ratio = seconds[mine] / seconds[bare]
    yield ratio <= MOST_TIME, f"{stage}, {runtime}: {ratio:.2f}x the seconds of {bare} (at most {MOST_TIME}x)"


def _ours(runtime: str, onnx: Path, data: Dataset) -> Callable[[Path, Path], None]:
    settings = Quantize(samples=len(data.calibration))

    def make(source: Path, out: Path) -> None:
        quantize(Job(runtime, onnx, source, out, scheme(this_machine(), runtime), settings, data))

    return make


def _bare(data: Dataset) -> Callable[[Path, Path], None]:
    """As in ONNX Runtime's own examples: pre-processing, then `quantize_static` with its defaults."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._samples = iter(data.calibration.inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            sample = next(self._samples, None)
            return None if sample is None else {"input": sample[None]}

    def make(source: Path, out: Path) -> None:
        prepared = out.with_name("prepared.onnx")
        with redirect_stdout(StringIO()):
            quant_pre_process(source, prepared, skip_symbolic_shape=True)
            quantize_static(prepared, out, Reader())

    return make


def _nncf(data: Dataset) -> Callable[[Path, Path], None]:
    import nncf
    import openvino

    nncf.set_log_level(logging.ERROR)

    def make(source: Path, out: Path) -> None:
        samples = nncf.Dataset([sample[None] for sample in data.calibration.inputs])
        with redirect_stdout(StringIO()):
            model = nncf.quantize(openvino.Core().read_model(source), samples, subset_size=len(data.calibration))
        openvino.save_model(model, out, compress_to_fp16=False)

    return make


def _olive(cache: Path, samples: Path) -> Contender:
    python = olive_latency.python(cache)

    def make(source: Path, out: Path) -> float:
        script = Path(__file__).with_name("olive_peer.py")
        done = subprocess.run(
            [str(python), str(script), str(source), str(samples), str(out)], capture_output=True, text=True, check=True
        )
        return float(done.stdout.splitlines()[-1])

    return Contender("Olive", make)


if __name__ == "__main__":
    sys.exit(tell(measure(folder(__doc__))))
