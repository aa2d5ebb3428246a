"""The server and its home: reloads that change nothing, reports that fail, versions that fail strangely."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import make_bundle, tiny_model
from updates import installed, make_home, state_of

from edge_runtime.errors import HomeBusyError
from edge_runtime.model import Model
from edge_runtime.serve import installed as module
from edge_runtime.serve.core import Service, Settings
from edge_runtime.serve.installed import Installed
from edge_runtime.update import trial
from edge_runtime.update.home import Home
from edge_runtime.update.state import Policy

PATIENT = Policy(attempts=3, good=100, window=600.0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home")


def bundle(home: Home, sequence: int, **changes: Any) -> Path:
    return make_bundle(home.root.parent, sequence=sequence, model=tiny_model(sequence), **changes)


def serve(home: Home, use: Callable[[Installed, Service], Any], opener: Callable[[Any], Any] = Model) -> None:
    async def scenario() -> None:
        service = Service(Settings())
        try:
            await use(Installed(home.root, service, opener), service)
        finally:
            await service.close()

    asyncio.run(scenario())


async def until(what: Callable[[], bool]) -> None:
    for _ in range(1000):
        if what():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not happen in time")


def test_reloading_what_serves_costs_a_version_on_trial_nothing(home):
    installed(home, bundle(home, 1), commit=True)
    second = installed(home, bundle(home, 2), policy=PATIENT)

    async def use(home_of: Installed, service: Service) -> None:
        await home_of.load()
        service._accounts[second].tally.good = 42
        await home_of.report()
        for _ in range(6):
            assert await home_of.load() == "2"
        assert (state_of(home).trial.attempts_left, state_of(home).trial.good) == (2, 42)

    serve(home, use)
    assert state_of(home).current == second


def test_the_servers_own_memory_condemns_nothing(home):
    """Which holds its clients' pictures and the former model too: the self-test measures the model alone."""
    golden = {"inputs": "golden/inputs.npy", "outputs": "golden/outputs.npy", "absolute": 1, "argmax": 1}
    first = installed(home, bundle(home, 1, golden=golden | {"p99": None, "memory": 10**12}), commit=True)
    trial.report(home, version=first, good=100)
    second = installed(home, bundle(home, 2, golden=golden | {"p99": None, "memory": 2_000_000}))

    async def use(home_of: Installed, service: Service) -> None:
        await home_of.load()
        service._accounts[second].tally.good = 100
        await home_of.report()

    serve(home, use)
    assert (state_of(home).good, state_of(home).trial) == (second, None)


@pytest.mark.parametrize("error", [HomeBusyError("busy"), OSError(28, "full"), RuntimeError("no more threads")])
def test_a_report_that_fails_is_told_again(home, error, monkeypatch):
    first = installed(home, bundle(home, 1), policy=PATIENT)

    async def use(home_of: Installed, service: Service) -> None:
        await home_of.load()
        tally = service._accounts[first].tally
        tally.good, tally.failed = 30, 1
        with monkeypatch.context() as patch:

            def refuse(*_: Any, **__: Any) -> str:
                raise error

            patch.setattr(trial, "report", refuse)
            with pytest.raises(type(error)):
                await home_of.report()
        service._accounts[first].tally.good += 5
        await home_of.report()
        assert (state_of(home).trial.good, state_of(home).trial.failed) == (35, 1)

    serve(home, use)


def test_a_version_that_fails_strangely_is_left_and_the_home_is_followed_on(home, monkeypatch):
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.02)
    first = installed(home, bundle(home, 1), commit=True)
    opened = []

    def opener(contents: Any) -> Model:
        opened.append(contents.manifest.sequence)
        if contents.manifest.sequence == 2:
            raise RuntimeError("can't start new thread")
        return Model(contents)

    async def use(home_of: Installed, service: Service) -> None:
        await home_of.load()
        watching = asyncio.create_task(home_of.watch())
        second = await asyncio.to_thread(installed, home, bundle(home, 2), policy=PATIENT)
        await until(lambda: second in state_of(home).bad)
        assert (state_of(home).current, service.version) == (first, "1")
        await asyncio.to_thread(installed, home, bundle(home, 3))
        await until(lambda: service.version == "3")
        assert not watching.done()
        watching.cancel()

    serve(home, use, opener)
    assert opened == [1, 2, 2, 2, 3]


def test_nothing_unexpected_ends_the_watch(home, monkeypatch):
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.02)
    installed(home, bundle(home, 1), commit=True)

    async def use(home_of: Installed, service: Service) -> None:
        await home_of.load()
        failed = []

        def current(*_: Any) -> None:
            failed.append(1)
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr(Home, "current", current)
            watching = asyncio.create_task(home_of.watch())
            await until(lambda: len(failed) > 2)
        await asyncio.to_thread(installed, home, bundle(home, 2))
        await until(lambda: service.version == "2")
        watching.cancel()

    serve(home, use)
