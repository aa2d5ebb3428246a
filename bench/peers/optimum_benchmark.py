"""Hugging Face's optimum-benchmark, in its own environment, on the same ONNX file.

It measures models of transformers. Its ONNX Runtime backend opens a folder with a ``config.json`` and a ``model.onnx``,
whatever lies in it, if the names of inputs and outputs are those of a task: the chains of ``models`` have those of an
image classifier. The configuration beside it only says so.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from compress.bench.own.environments import cache, environment
from compress.bench.peers.base import Peer, PeerError, output, positive

OPTIMUM = (
    "optimum-benchmark==0.6.0",
    "optimum==1.27.0",
    "transformers==4.53.3",
    "datasets==5.0.1",
    "torch==2.8.0",
    "onnx",
    "onnxruntime",
)
"""Its newest release needs an optimum before 2, which needs a transformers before 4.54 and a PyTorch before 2.9. Named
by version, for its extra `onnxruntime` sends pip through every release of optimum and transformers."""
FOLDER = "optimum-benchmark==0.6.0"
CONFIG = {"model_type": "resnet", "architectures": ["ResNetForImageClassification"], "num_labels": 2}


def measure(path: Path) -> float:
    """Seconds of its median, of the ``forward`` pass."""
    home = environment(cache() / FOLDER, OPTIMUM, engines=("onnx", "onnxruntime", "numpy"))
    with tempfile.TemporaryDirectory() as name:
        folder, report = Path(name) / "model", Path(name) / "report.json"
        folder.mkdir()
        shutil.copyfile(path, folder / "model.onnx")
        (folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
        script = Path(__file__).with_name("optimum_forward.py")
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        output([home, "-P", script, folder, report], **offline)
        try:
            return read(report.read_text("utf-8"))
        except FileNotFoundError:
            raise PeerError("optimum-benchmark wrote no report") from None


def read(report: str) -> float:
    """The median of ``forward`` in a report's text, in seconds. Raises PeerError when there is none."""
    try:
        latency = json.loads(report)["forward"]["latency"]
        value, unit = latency["p50"], latency["unit"]
    except (ValueError, KeyError, TypeError):
        raise PeerError(f"there is no latency of forward in its report: {report[:300]!r}") from None
    if unit != "s":
        raise PeerError(f"its latency is in {unit!r}, and should be in seconds")
    return positive(value, "the median of forward")


PEER = Peer(
    name="optimum-benchmark",
    reads=".onnx",
    tells="median",
    run="its defaults: 10 runs to warm up, then 10 s; ONNX Runtime backend, one thread",
    untold="no interval; fixed warm-up; one opening of the model; times its wrapper of tensors too; transformers only",
    measure=measure,
)
