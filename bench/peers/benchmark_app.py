"""OpenVINO's ``benchmark_app``, which comes with its wheel, in the settings that its page gives for latency by hand.

https://docs.openvino.ai/2026/get-started/learn-openvino/openvino-samples/benchmark-tool.html
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from compress.bench.peers.base import Peer, PeerError, output, positive

SECONDS = 10
OPTIONS = "-d CPU -hint none -nstreams 1 -nireq 1 -api sync -nthreads 1 -infer_precision f32"
REPORT = "benchmark_report.json"
"""It names its report so."""


def measure(path: Path, seconds: int = SECONDS) -> float:
    """Seconds of its median."""
    start = "import sys; from openvino.tools.benchmark.main import main; sys.exit(main())"
    with tempfile.TemporaryDirectory() as folder:
        report = ["-report_type", "no_counters", "-json_stats", "-report_folder", folder]
        output([sys.executable, "-c", start, "-m", path, "-t", str(seconds), *OPTIONS.split(), *report])
        try:
            return read((Path(folder) / REPORT).read_text("utf-8"))
        except FileNotFoundError:
            raise PeerError(f"benchmark_app wrote no {REPORT}") from None


def read(report: str) -> float:
    """The median in a report's text, in seconds. Raises PeerError when there is none."""
    try:
        milliseconds = json.loads(report)["execution_results"]["latency (ms)"]
    except (ValueError, KeyError, TypeError):
        raise PeerError(f"there is no median latency in its report: {report[:300]!r}") from None
    return positive(milliseconds, "the median latency") / 1e3


PEER = Peer(
    name="benchmark_app",
    reads=".xml",
    tells="median",
    run=f"-t {SECONDS} {OPTIONS}",
    untold="no interval, no percentile but one; warms up with one run; hundredths of a millisecond; "
    "times the request alone, without handing over arrays",
    measure=measure,
)
