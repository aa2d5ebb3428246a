"""Other tools' output is read strictly; those that need no environment of their own are really run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from compress.bench.peers import PEERS, benchmark_app, models, optimum_benchmark, ort_loop, torch_timer
from compress.bench.peers.base import PeerError, last_figure, output
from compress.models.counts import count_onnx
from edge_runtime import open_session

REPORT = {
    "cmd_options": {"-m": "a.xml", "-t": "1"},
    "execution_results": {
        "first inference time (ms)": "2.50",
        "total number of iterations": "438",
        "latency (ms)": "1.34",
        "avg latency": "2.21",
        "throughput": "437.56",
    },
}
"""What benchmark_app 2026.4.1 wrote, shortened."""


def test_benchmark_app_tells_its_median_in_milliseconds() -> None:
    assert benchmark_app.read(json.dumps(REPORT)) == pytest.approx(1.34e-3)


@pytest.mark.parametrize("value", ["0.00", "nan", "-1", "fast", None])
def test_a_median_that_is_no_time_is_refused(value: object) -> None:
    results = REPORT["execution_results"] | {"latency (ms)": value}
    with pytest.raises(PeerError, match=r"median latency is .* and should be a time"):
        benchmark_app.read(json.dumps(REPORT | {"execution_results": results}))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"execution_results": {"throughput": "1"}}'])
def test_a_report_without_a_median_is_refused(text: str) -> None:
    with pytest.raises(PeerError, match="no median latency"):
        benchmark_app.read(text)


def test_optimum_benchmark_tells_the_median_of_forward_in_seconds() -> None:
    report = {"load_model": {"latency": {"p50": 9.0}}, "forward": {"latency": {"unit": "s", "p50": 0.0012, "count": 9}}}
    assert optimum_benchmark.read(json.dumps(report)) == 0.0012
    report["forward"]["latency"]["unit"] = "ms"
    with pytest.raises(PeerError, match="'ms', and should be in seconds"):
        optimum_benchmark.read(json.dumps(report))
    with pytest.raises(PeerError, match="no latency of forward"):
        optimum_benchmark.read(json.dumps({"forward": {"latency": None}}))


def test_only_the_last_line_is_read() -> None:
    assert last_figure('warning\n{"p50": 3.0}\n{"p50": 0.5}\n', "p50") == 0.5
    for printed in ("", '{"p50": 1}\nbye', '{"mean": 1}', "7"):
        with pytest.raises(PeerError, match="no 'p50' in its last line"):
            last_figure(printed, "p50")


def test_a_tool_that_fails_is_quoted() -> None:
    with pytest.raises(PeerError, match=r"ended with 1: .*no such thing"):
        output([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_21_layers_are_21_twentieths_of_the_work(tmp_path: Path) -> None:
    less, more = (
        count_onnx(models.chain(tmp_path / f"{layers}.onnx", layers, models.USUAL)).macs for layers in (20, 21)
    )
    assert more / less == pytest.approx(1.05)


def test_every_tool_says_what_it_does_not_tell() -> None:
    assert len(PEERS) == 5
    for peer in PEERS.values():
        assert peer.untold and peer.run and peer.reads in (".onnx", ".xml")


@pytest.mark.integration
def test_the_torch_network_is_that_of_the_file(tmp_path: Path) -> None:
    import torch

    path = models.chain(tmp_path / "a.onnx", 5, models.SMALL)
    pixels = np.random.default_rng(1).standard_normal((1, models.CHANNELS, models.SMALL, models.SMALL), np.float32)
    with open_session(path) as session, torch.inference_mode():
        expected = torch_timer.network(path)(torch.from_numpy(pixels)).numpy()
        np.testing.assert_allclose(session.predict(pixels), expected, atol=1e-5)


@pytest.mark.integration
def test_tools_that_come_with_the_engines_measure_a_file(tmp_path: Path) -> None:
    path = models.chain(tmp_path / "a.onnx", 5, models.USUAL)
    found = {
        "loop": ort_loop.measure(path, 0.2),
        "app": benchmark_app.measure(models.as_ir(path), 1),
        "timer": torch_timer.measure(path),
    }
    assert all(1e-5 < seconds < 1 for seconds in found.values()), found
