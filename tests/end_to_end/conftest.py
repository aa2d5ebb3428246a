"""One small recipe over real parts: a trained convnet, torch-pruning, both runtimes, NNCF, a store on disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_recipe import RECIPE, write_data

import compress


@pytest.fixture(scope="session")
def project(small_data, tmp_path_factory) -> Path:
    """A folder with ``small.yaml`` and its data."""
    folder = tmp_path_factory.mktemp("project")
    write_data(folder / "data.npz", small_data)
    (folder / "small.yaml").write_text(RECIPE)
    return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Path:
    """A store that the tests of one process share."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="session")
def finished(project, store) -> compress.RunResult:
    """The recipe, run once."""
    return compress.run(project / "small.yaml", store=store, out=project / "out", threads=1)


@pytest.fixture
def stages_done(project, store) -> Callable[..., list[str]]:
    """Run the recipe with ``overrides`` on the shared store; the labels of the steps that were not taken from it."""

    def run(*overrides: str) -> list[str]:
        seen = []
        out = project / "other"
        compress.run(project / "small.yaml", overrides=overrides, store=store, out=out, emit=seen.append, threads=1)
        return [event.stage for event in seen if event.kind == "done"]

    return run


@pytest.fixture
def start(project) -> Callable[..., subprocess.Popen]:
    """``compress run --json`` of the recipe as a process of its own."""

    def begin(store: Path, out: Path) -> subprocess.Popen:
        command = [sys.executable, "-m", "compress", "run", project / "small.yaml", "--json", "--threads", "1"]
        return subprocess.Popen(
            [*command, "--store", store, "--out", out],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            # Whoever starts the tests in the background of a shell has SIGINT ignored, and children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    return begin
