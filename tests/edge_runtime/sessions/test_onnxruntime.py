"""What is particular to ONNX Runtime's session."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edge_runtime import machine, open_session
from edge_runtime.probes.latency import interleave

pytestmark = pytest.mark.integration
HERE = machine.detect()
CLIPS = HERE.arch == "x86_64" and not {"avx512_vnni", "avx_vnni", "amx_int8"} & set(HERE.features)
PIXELS = np.random.default_rng(1).integers(0, 256, (64, 1, 8, 8), np.uint8)


def test_the_engine_starts_no_more_threads_than_asked_for(models: Path):
    def started(threads: int) -> int:
        before = len(os.listdir("/proc/self/task"))
        with open_session(models / "pixels.onnx", threads=threads) as session:
            session.predict(PIXELS)
            return len(os.listdir("/proc/self/task")) - before

    assert [started(threads) for threads in (1, 2, 3)] == [0, 1, 2]


def test_without_optimisation_the_answers_of_a_float_model_stay(models: Path):
    with open_session(models / "pixels.onnx") as fast, open_session(models / "pixels.onnx", optimize=False) as plain:
        np.testing.assert_allclose(fast.predict(PIXELS), plain.predict(PIXELS), rtol=1e-5, atol=1e-2)


def test_without_optimisation_integer_arithmetic_is_simulated_in_float(saturating_model: Path):
    """Two products of 255 * 127 exceed 16 bits: an AVX2 kernel clips their sum, VNNI's and the simulation do not."""
    inputs = np.full((1, 64), 255, np.float32)
    with open_session(saturating_model, optimize=False) as plain:
        assert plain.predict(inputs).item() == pytest.approx(64 * 255 * 127, rel=1e-6)


@pytest.mark.skipif(not CLIPS, reason="this processor multiplies u8 by s8 without clipping")
def test_where_the_processor_clips_the_default_session_differs_from_the_simulation(saturating_model: Path):
    inputs = np.full((1, 64), 255, np.float32)
    with open_session(saturating_model) as fast:
        assert fast.predict(inputs).item() < 0.6 * 64 * 255 * 127


def test_a_session_adds_less_than_three_percent_to_the_engine(models: Path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    raw = onnxruntime.InferenceSession(models / "pixels.onnx", options, providers=["CPUExecutionProvider"])
    with open_session(models / "pixels.onnx") as session:
        runs = {
            "raw": lambda: raw.run(["logits"], {"input": PIXELS})[0],
            "session": lambda: session.predict(PIXELS),
        }
        assert _overhead(runs) <= 1.03


def _overhead(runs: dict) -> float:
    """The least of three: what other tenants of the machine add is not the session's."""
    samples = [interleave(runs, rounds=15, seconds=5, block_seconds=0.005, seed=seed) for seed in range(3)]
    return min(float(np.median(s.block_medians("session") / s.block_medians("raw"))) for s in samples)
