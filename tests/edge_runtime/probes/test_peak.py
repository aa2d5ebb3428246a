from __future__ import annotations

import json
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_runtime import open_session
from edge_runtime.errors import ProbeError
from edge_runtime.probes import peak
from edge_runtime.probes.caches import Cache, caches
from edge_runtime.sessions import product_onnx


@pytest.fixture(scope="module")
def peaks() -> dict:
    return peak.measure(1, seconds=0.4)


def test_rates_are_those_of_a_computer(peaks):
    assert 1e8 < peaks["float32"] < 1e13
    assert 1e8 < peaks["read"] < 1e13
    assert 1e8 < peaks["copy"] < 1e13
    assert 1e8 < peaks["triad"] < 1e13
    assert peaks["float32"] == max(peaks["float32_by"].values())


def test_every_runtime_has_an_int8_rate_or_a_reason(peaks):
    assert {name for name, rate in peaks["int8"].items() if rate} >= {"onnxruntime", "openvino"}
    assert {name for name, rate in peaks["int8"].items() if not rate} == set(peaks["reasons"])


def test_it_can_be_sent_as_json_and_states_how(peaks):
    assert json.loads(json.dumps(peaks)) == peaks
    assert peaks["threads"] == 1
    assert peaks["method"]["array_bytes"] >= 4 * (peaks["method"]["last_level_cache"] or 0)


def test_caches_are_read_within_their_reach(peaks):
    for found in peaks["resident"]:
        assert found["level"] > 1
        assert found["read"] > 1e8


def test_blas_gets_as_many_threads_as_asked(monkeypatch):
    asked = []

    def run(command, *, env, **rest):
        asked.append((command[-2:], [env[name] for name in peak.BLAS_THREADS]))
        return subprocess.CompletedProcess(command, 0, '{"threads": 3}\n', "")

    monkeypatch.setattr(peak.subprocess, "run", run)
    assert peak.measure(3, seconds=1.5) == {"threads": 3}
    assert asked == [(["3", "1.5"], ["3"] * len(peak.BLAS_THREADS))]


def test_a_process_that_fails_is_quoted(monkeypatch):
    monkeypatch.setattr(
        peak.subprocess, "run", lambda command, **rest: subprocess.CompletedProcess(command, 1, "", "no memory left\n")
    )
    with pytest.raises(ProbeError, match="no memory left"):
        peak.measure(1)


def test_a_process_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(peak, "LIMIT", 0.01)
    with pytest.raises(ProbeError, match=r"longer than 0\.01 s"):
        peak.measure(1)


@pytest.mark.parametrize(("threads", "seconds"), [(0, 1.0), (1, 0.0)])
def test_nothing_to_measure_is_refused(threads, seconds):
    with pytest.raises(ProbeError, match="at least one thread"):
        peak.measure(threads, seconds=seconds)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_the_product_is_a_valid_file_of_one_convolution(tmp_path, precision):
    from compress.models.counts import count_onnx

    path, macs = product_onnx.write(tmp_path / "product.onnx", precision)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    assert count_onnx(path).macs == macs


def test_the_float_product_is_computed_right(tmp_path):
    path, _ = product_onnx.write(tmp_path / "product.onnx", "float32")
    weights = onnx.numpy_helper.to_array(onnx.load(path).graph.initializer[0])
    array = np.random.default_rng(1).standard_normal((1, 512, 16, 16), np.float32)
    with open_session(path) as session:
        answer = session.predict(array)
    assert np.allclose(answer, np.einsum("oi,nihw->nohw", weights[:, :, 0, 0], array), atol=1e-3)


def test_the_int8_product_runs_on_integers(tmp_path):
    path, _ = product_onnx.write(tmp_path / "product.onnx", "int8")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert "QLinearConv" in kinds
    assert not kinds & {"Conv", "DequantizeLinear"}


def sysfs(cpu: int, index: int, level: int, kind: str, size: str, shared: str) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}"
    values = {"level": str(level), "type": kind, "size": size, "shared_cpu_list": shared}
    return {f"{folder}/{name}": f"{value}\n" for name, value in values.items()}


def test_caches_of_four_cores_that_share_two(record):
    files = {}
    for cpu in range(4):
        pair = "0-1" if cpu < 2 else "2,3"
        files |= sysfs(cpu, 0, 1, "Data", "32K", str(cpu)) | sysfs(cpu, 1, 1, "Instruction", "64K", str(cpu))
        files |= sysfs(cpu, 2, 2, "Unified", "1024K", pair) | sysfs(cpu, 3, 3, "Unified", "8M", "0-3")
    found = caches(record(files))
    assert found == [Cache(1, 32768, 4, 1), Cache(2, 1024**2, 2, 2), Cache(3, 8 * 1024**2, 1, 4)]
    assert [cache.within_reach(3) for cache in found] == [3 * 32768, 2 * 1024**2, 8 * 1024**2]


def test_a_machine_that_tells_no_caches_has_none(record):
    assert caches(record({"sys/devices/system/cpu/cpu0/cache/index0/level": "1\n"})) == []
    assert caches(record(sysfs(0, 0, 1, "Data", "", "0"))) == []
