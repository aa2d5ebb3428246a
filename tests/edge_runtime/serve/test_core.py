"""Requests that share inferences, deadlines, a full queue, and the change from one version to another under load."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_runtime.errors import (
    BusyError,
    DeadlineError,
    InputError,
    ModelFileError,
    ModelUnfitError,
    NotReadyError,
    SessionError,
)
from edge_runtime.serve import batcher
from edge_runtime.serve.core import Service, Settings
from edge_runtime.serve.fitness import examine
from edge_runtime.serve.protocol import InferRequest
from edge_runtime.sessions.base import TensorSpec


class Session:
    """x float32 (n, 2) -> x + ``step``. While ``gate`` is closed, inferences wait. ``batches``: their samples."""

    runtime, version = "stand-in", "1"
    inputs = (TensorSpec("x", "float32", ("n", 2)),)
    outputs = (TensorSpec("y", "float32", ("n", 2)),)

    def __init__(self, step: float = 1.0, fixed: bool = False) -> None:
        self.step = step
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        if fixed:
            self.inputs, self.outputs = ((TensorSpec(name, "float32", (1, 2)),) for name in ("x", "y"))

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.batches.append(len(inputs["x"]))
        assert self.gate.wait(10)
        if (inputs["x"] == 666).any():
            raise InputError("unlucky")
        if (inputs["x"] == 667).any():
            raise SessionError("broken")
        return {"y": inputs["x"] + np.float32(self.step)}


class Model:
    def __init__(self, session: Session, sequence: int = 1) -> None:
        self.session = session
        manifest = SimpleNamespace(name="adder", sequence=sequence)
        self.contents = SimpleNamespace(manifest=manifest, id=f"id-{sequence}")
        self.closed = threading.Event()

    def prepare(self, item: Any) -> np.ndarray:
        return np.full((1, 2), item, np.float32)

    def interpret(self, outputs: np.ndarray) -> list[float]:
        return [float(row[0]) for row in outputs]

    def close(self) -> None:
        self.closed.set()


async def ready(
    model: Model | None = None, observers: tuple[Any, ...] = (), **settings: Any
) -> tuple[Service, Session]:
    model = model or Model(Session())
    service = Service(Settings(**settings), observers=observers)
    await service.switch(lambda: model)
    model.session.batches.clear()
    return service, model.session


def asking(value: float = 0.0, samples: int = 1, timeout: float | None = None) -> InferRequest:
    return InferRequest(None, {"x": np.full((samples, 2), value, np.float32)}, samples, [("y", False)], timeout)


async def infer(service: Service, request: InferRequest) -> np.ndarray:
    with service.using() as runner:
        return (await service.infer(runner, request, time.monotonic()))["y"]


def test_an_idle_server_runs_a_request_at_once_and_alone():
    async def scenario() -> None:
        service, session = await ready(batch=8)
        for value in range(3):
            assert (await infer(service, asking(value))).tolist() == [[value + 1] * 2]
        assert session.batches == [1, 1, 1]
        await service.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("open_axes", [("n", 2), ("n", "length")])
def test_only_a_model_of_one_size_is_run_where_other_requests_wait(open_axes):
    """A small input's time says nothing of a large one's."""
    on_loop: list[bool] = []

    class Sized(Session):
        inputs = (TensorSpec("x", "float32", open_axes),)
        outputs = (TensorSpec("y", "float32", open_axes),)

        def run(self, inputs):
            on_loop.append(threading.current_thread() is threading.main_thread())
            return super().run(inputs)

    async def scenario() -> None:
        service, _ = await ready(Model(Sized()))
        for value in range(5):
            await infer(service, asking(value))
        await service.close()

    asyncio.run(scenario())
    assert any(on_loop) == (open_axes == ("n", 2))


@pytest.mark.parametrize("cores", [1, 2])
def test_on_one_core_quick_requests_that_come_together_are_not_handed_to_a_thread(monkeypatch, cores):
    monkeypatch.setattr(batcher.os, "sched_getaffinity", lambda pid: set(range(cores)))
    on_loop: list[bool] = []

    class Seen(Session):
        def run(self, inputs):
            on_loop.append(threading.current_thread() is threading.main_thread())
            return super().run(inputs)

    async def scenario() -> None:
        service, session = await ready(Model(Seen()), batch=4)
        await infer(service, asking(0))  # from now on it is known to be quick
        on_loop.clear()
        session.batches.clear()
        answers = await asyncio.gather(*(infer(service, asking(value)) for value in range(6)))
        assert [answer.tolist() for answer in answers] == [[[value + 1] * 2] for value in range(6)]
        assert sum(session.batches) == 6 and max(session.batches) <= 4
        await service.close()

    asyncio.run(scenario())
    assert all(on_loop) == (cores == 1)


def test_requests_that_wait_share_an_inference_and_get_their_own_answers():
    async def scenario() -> None:
        service, session = await ready(batch=8)
        session.gate.clear()
        requests = [asyncio.create_task(infer(service, asking(0)))]
        while not session.batches:
            await asyncio.sleep(0.01)
        requests += [asyncio.create_task(infer(service, asking(value, 1 + value % 3))) for value in range(1, 7)]
        await asyncio.sleep(0.05)
        assert service.waiting == sum(1 + value % 3 for value in range(7))
        session.gate.set()
        for value, answer in enumerate(await asyncio.gather(*requests)):
            assert answer.tolist() == [[value + 1] * 2] * (1 + value % 3)
        assert session.batches[0] == 1 and max(session.batches[1:]) > 3 and max(session.batches) <= 8
        assert service.waiting == 0
        await service.close()

    asyncio.run(scenario())


def test_a_model_of_one_sample_runs_one_at_a_time():
    async def scenario() -> None:
        service, session = await ready(Model(Session(fixed=True)), batch=8)
        answers = await asyncio.gather(*(infer(service, asking(value)) for value in range(5)))
        assert [answer[0, 0] for answer in answers] == [1, 2, 3, 4, 5]
        assert session.batches == [1] * 5
        await service.close()

    asyncio.run(scenario())


def test_a_large_request_is_run_in_slices():
    async def scenario() -> None:
        service, session = await ready(batch=4)
        assert (await infer(service, asking(1, samples=10))).shape == (10, 2)
        assert session.batches == [4, 4, 2]
        await service.close()

    asyncio.run(scenario())


def test_one_bad_request_does_not_fail_its_neighbours():
    async def scenario() -> None:
        service, session = await ready(batch=8)
        session.gate.clear()
        requests = [asyncio.create_task(infer(service, asking(value))) for value in (0, 1, 666, 2, 667)]
        await asyncio.sleep(0.05)
        session.gate.set()
        answers = await asyncio.gather(*requests, return_exceptions=True)
        assert [answer[0, 0] for answer in (answers[0], answers[1], answers[3])] == [1, 2, 3]
        assert isinstance(answers[2], InputError) and isinstance(answers[4], SessionError)
        tally = service.tally("id-1")
        assert (tally.good, tally.failed) == (3, 0)  # the InputError is the client's doing; the other, see test_witness
        assert service.waiting == 0
        await service.close()

    asyncio.run(scenario())


def test_deadlines_are_checked_before_the_inference():
    async def scenario() -> None:
        service, session = await ready(batch=1)
        session.gate.clear()
        first = asyncio.create_task(infer(service, asking(0)))
        late = asyncio.create_task(infer(service, asking(0, timeout=0.02)))
        await asyncio.sleep(0.1)
        session.gate.set()
        assert (await first).shape == (1, 2)
        with pytest.raises(DeadlineError):
            await late
        assert session.batches == [1]
        await service.close()

    asyncio.run(scenario())


def test_the_queue_is_bounded_in_samples():
    async def scenario() -> None:
        service, session = await ready(batch=4, queue=3)
        session.gate.clear()
        waiting = [asyncio.create_task(infer(service, asking(value))) for value in range(3)]
        await asyncio.sleep(0.02)
        with pytest.raises(BusyError) as refusal:
            await infer(service, asking())
        assert refusal.value.retry_after >= 1
        session.gate.set()
        await asyncio.gather(*waiting)
        assert (await infer(service, asking())).shape == (1, 2)
        await service.close()

    asyncio.run(scenario())


def test_predict_prepares_runs_and_reads():
    async def scenario() -> None:
        service, _ = await ready()
        with service.using() as runner:
            assert await service.predict(runner, 4, time.monotonic()) == 5.0
        await service.close()

    asyncio.run(scenario())


def test_a_switch_loses_nothing_and_never_goes_back():
    async def scenario() -> None:
        first, second = Model(Session(1), 1), Model(Session(2), 2)
        service, _ = await ready(first, threads=2, batch=4)
        stop = False

        async def client() -> list[tuple[str, float]]:
            seen = []
            while not stop:
                with service.using() as runner:
                    answer = await service.infer(runner, asking(10), time.monotonic())
                    seen.append((runner.version, float(answer["y"][0, 0])))
            return seen

        clients = [asyncio.create_task(client()) for _ in range(8)]
        await asyncio.sleep(0.1)
        assert await service.switch(lambda: second) == "2"
        assert first.closed.is_set() and not second.closed.is_set()
        await asyncio.sleep(0.1)
        stop = True
        for seen in await asyncio.gather(*clients):
            versions = [version for version, _ in seen]
            assert versions == sorted(versions) and set(versions) == {"1", "2"}
            assert all(answer == 10 + int(version) for version, answer in seen)
        await service.close()
        assert second.closed.is_set()

    asyncio.run(scenario())


def test_the_former_version_closes_after_its_last_request():
    async def scenario() -> None:
        first = Model(Session(1), 1)
        service, session = await ready(first)
        session.gate.clear()
        old = asyncio.create_task(infer(service, asking()))
        await asyncio.sleep(0.02)
        switching = asyncio.create_task(service.switch(lambda: Model(Session(2), 2)))
        while service.version == "1":
            await asyncio.sleep(0.01)
        assert (await infer(service, asking()))[0, 0] == 2  # the new one answers while the old one is still busy
        assert not first.closed.is_set() and not switching.done()
        session.gate.set()
        assert (await old)[0, 0] == 1
        await switching
        assert first.closed.is_set()
        await service.close()

    asyncio.run(scenario())


def test_a_version_that_does_not_open_or_run_leaves_the_former_one():
    class Broken(Session):
        def run(self, inputs: Any) -> Any:
            raise SessionError("no")

    def missing() -> Model:
        raise ModelFileError("gone")

    def out_of_threads() -> Model:
        raise RuntimeError("can't start new thread")

    async def scenario() -> None:
        service, _ = await ready()
        broken = Model(Broken(), 2)
        cases = [(missing, ModelFileError), (lambda: broken, SessionError), (out_of_threads, ModelUnfitError)]
        for opener, kind in cases:
            with pytest.raises(kind):
                await service.switch(opener)
            assert service.version == "1" and (await infer(service, asking()))[0, 0] == 1
        assert broken.closed.is_set()
        assert service.metrics.switches.value("failed") == 3
        await service.close()

    asyncio.run(scenario())


def test_nothing_is_answered_before_a_model_is_there():
    async def scenario() -> None:
        service = Service(Settings())
        assert not service.ready
        with pytest.raises(NotReadyError), service.using():
            pass
        await service.close()

    asyncio.run(scenario())


def test_observers_see_every_inference_with_its_version():
    seen = []
    told = []
    observer = SimpleNamespace(
        serve=lambda contents, version: told.append((contents.id, version)),
        observe=lambda *facts: seen.append(facts),
        close=lambda: told.append("closed"),
    )

    async def scenario() -> None:
        service, _ = await ready(observers=(observer,))
        await infer(service, asking(3, samples=2))
        await service.close()

    asyncio.run(scenario())
    [(inputs, outputs, seconds, version)] = seen
    assert inputs.tolist() == [[3, 3]] * 2 and outputs.tolist() == [[4, 4]] * 2
    assert seconds > 0 and version == "1"
    assert told == [("id-1", "1"), "closed"]


def test_batching_is_left_out_when_a_sample_is_answered_otherwise_in_company():
    class Scaling(Session):
        """Like dynamic quantization: its steps are as fine as the whole batch allows."""

        def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            step = np.abs(inputs["x"]).max() / 127
            return {"y": (np.round(inputs["x"] / step) * step).astype(np.float32)}

    class Reducing(Session):
        def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {"y": inputs["x"].mean(axis=0, keepdims=True)}

    assert examine(Model(Session()), 8)[1] == 8
    assert examine(Model(Scaling()), 8)[1] == 1
    assert examine(Model(Reducing()), 8)[1] == 1
