from __future__ import annotations

from dataclasses import replace

import benchmark_example
import pytest

from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.results import Benchmark


@pytest.fixture(scope="session")
def events() -> list[dict]:
    return benchmark_example.stream()


@pytest.fixture(scope="session")
def benchmark(events) -> Benchmark:
    return analyse(events, target="raspberry-pi-5", command=["compress", "bench", "fp32.onnx"])


@pytest.fixture(scope="session")
def doubtful(benchmark) -> Benchmark:
    """Everything that can be said against it."""
    events = benchmark_example.stream(benchmark_example.plan(threads=(1,), batches=(1,), scenarios=("single-stream",)))
    cell = next(event for event in events if event["event"] == "cell")
    warm_up = cell["method"]["warm_up"] | {"int8": {"blocks": 9, "seconds": 0.4, "stationary": False}}
    cell["method"] |= {"ended_by": "seconds", "warm_up": warm_up}
    hot = {"governor": "powersave", "throttled": True, "under_voltage": True, "frequency": 1.5e9, "others": 0.4}
    cell["conditions"] = cell["conditions"] | {"after": cell["conditions"]["after"] | hot}
    found = analyse(events, target="raspberry-pi-5")
    return replace(found, complete=False, missing=["memory of int8"], why="it was interrupted")
