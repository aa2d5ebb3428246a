"""Bundles that are made once, and homes that are new for every test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import make_bundle, tiny_model
from updates import Times, make_home

from edge_runtime.update import durable
from edge_runtime.update.home import Home


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Bundles of four models, by their sequence numbers 1 to 4."""
    folder = tmp_path_factory.mktemp("bundles")
    return {number: make_bundle(folder, sequence=number, model=tiny_model(number)) for number in (1, 2, 3, 4)}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """An empty home that trusts the tests' key."""
    return make_home(tmp_path / "home")


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[durable.Disk], durable.Disk]:
    """Put another disk in the place of the real one until the test ends."""

    def put(other: durable.Disk) -> durable.Disk:
        monkeypatch.setattr(durable, "disk", other)
        return other

    return put


@pytest.fixture
def copied(tmp_path: Path) -> Callable[[Home], Home]:
    """Make a copy of a home as it is now."""
    made = []

    def copy(home: Home) -> Home:
        target = tmp_path / f"copy-{len(made)}"
        shutil.copytree(home.root, target, symlinks=True)
        made.append(target)
        return Home(target)

    return copy
