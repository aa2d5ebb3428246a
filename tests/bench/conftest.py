"""The made-up run every renderer is tried on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from compress.bench.run.results import Results


@pytest.fixture(scope="session")
def results() -> Results:
    spec = importlib.util.spec_from_file_location("bench_example", Path(__file__).with_name("example.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build()
