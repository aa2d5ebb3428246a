"""Olive's latency metric, with its defaults, in Olive's own environment: ``olive_metric.py`` runs there."""

from __future__ import annotations

from pathlib import Path

from compress.bench.own.environments import cache, environment
from compress.bench.peers.base import Peer, last_figure, output

OLIVE = ("olive-ai==0.13.0", "onnxruntime", "requests")


def python(folder: Path) -> Path:
    """The Python of Olive's environment below ``folder``."""
    return environment(folder / OLIVE[0], OLIVE)


def measure(path: Path) -> float:
    """Seconds of its median."""
    script = Path(__file__).with_name("olive_metric.py")
    return last_figure(output([python(cache()), "-P", script, path], OLIVE_DISABLE_TELEMETRY="1"), "p50") / 1e3


PEER = Peer(
    name="Olive's latency metric",
    reads=".onnx",
    tells="median",
    run="its defaults: 10 runs to warm up, 20 that are timed; one thread",
    untold="no interval; 20 calls, so its p99 is its slowest; fixed warm-up; one opening of the model",
    measure=measure,
)
