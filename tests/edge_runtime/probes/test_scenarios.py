"""MLPerf's scenarios on real engines: what one timed call does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_runtime import InputError, Session, open_session
from edge_runtime.probes import inputs
from edge_runtime.probes.plan import Cell
from edge_runtime.probes.scenarios import Query, prepare

pytestmark = pytest.mark.integration


class Watched:
    """Opens a model, and notes the samples and the thread of every call of its sessions."""

    def __init__(self, path: Path, runtime: str | None = None) -> None:
        self.path, self.runtime = path, runtime
        self.calls: list[tuple[int, int]] = []
        self.sessions: list[Session] = []

    def open(self) -> Session:
        session = open_session(self.path, self.runtime)
        for name in ("run", "predict"):
            setattr(session, name, self._noting(getattr(session, name)))
        self.sessions.append(session)
        return session

    def _noting(self, call: Callable) -> Callable:
        def noting(given: object) -> object:
            array = next(iter(given.values())) if isinstance(given, dict) else given
            self.calls.append((len(array), threading.get_ident()))
            return call(given)

        return noting


def prepared(watched: Watched, scenario: str, batch: int, *, threads: int = 1, cores: int = 1) -> Iterator[Query]:
    query, _ = prepare(
        Cell(scenario, threads, batch),
        watched.open,
        lambda session, size: inputs.make(session.inputs, size, axes={}, seed=0),
        cores=cores,
    )
    watched.calls.clear()
    query.call()
    query.close()
    return query


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A model of float32 (batch, 3) whose batch is fixed."""
    folder = tmp_path_factory.mktemp("fixed")

    def save(batch: int) -> Path:
        tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 3]) for name in "xy"]
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "fixed", tensors[:1], tensors[1:])
        path = folder / f"fixed{batch}.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return path

    return save


@pytest.mark.parametrize("name", ["pixels.onnx", "pixels.xml"])
def test_a_single_stream_call_has_one_sample(models: Path, name: str):
    watched = Watched(models / name)
    query = prepared(watched, "single-stream", 1)
    assert ([size for size, _ in watched.calls], query.samples) == ([1], 1)


def test_a_batch_is_one_call(models: Path):
    watched = Watched(models / "pixels.onnx")
    query = prepared(watched, "batch", 16)
    assert ([size for size, _ in watched.calls], query.samples) == ([16], 16)


def test_a_multi_stream_query_is_one_call_where_the_model_takes_it(models: Path):
    watched = Watched(models / "pixels.xml")
    query = prepared(watched, "multi-stream", 8)
    assert ([size for size, _ in watched.calls], query.samples) == ([8], 8)
    assert query.words == "a query of 8 samples in one call"


def test_a_multi_stream_query_is_several_calls_where_the_batch_is_fixed(fixed: Callable[[int], Path]):
    watched = Watched(fixed(2))
    query = prepared(watched, "multi-stream", 8)
    assert ([size for size, _ in watched.calls], query.samples) == ([2] * 4, 8)
    assert "4 calls" in query.words


def test_a_batch_that_is_free_by_name_only_is_found_out(tmp_path: Path):
    """Its reshape was written for one sample."""
    shape = onnx.numpy_helper.from_array(np.array([1, 3]), "shape")
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])], "baked", tensors[:1], tensors[1:], [shape]
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "b.onnx")
    watched = Watched(tmp_path / "b.onnx")
    query = prepared(watched, "multi-stream", 4)
    assert ([size for size, _ in watched.calls], query.samples) == ([1] * 4, 4)


@pytest.mark.parametrize(
    ("scenario", "batch", "words"),
    [
        ("single-stream", 1, "takes 2 samples a call, and not 1: the first axis of its input is fixed"),
        ("batch", 4, "takes 2 samples a call, and not 4"),
        ("offline", 4, "takes 2 samples a call, and not 4"),
        ("multi-stream", 5, "takes 2 samples a call, and a query has 5"),
    ],
)
def test_a_batch_that_the_model_does_not_take_is_refused(fixed: Callable, scenario: str, batch: int, words: str):
    with pytest.raises(InputError, match=words):
        prepared(Watched(fixed(2)), scenario, batch)


@pytest.mark.parametrize(("name", "sessions"), [("pixels.onnx", 1), ("pixels.xml", 3)])
def test_offline_runs_as_many_streams_as_cores_hold(models: Path, name: str, sessions: int):
    watched = Watched(models / name)
    query = prepared(watched, "offline", 4, cores=3)
    threads = {thread for _, thread in watched.calls}
    assert len(watched.sessions) == sessions
    assert len(threads) == 3
    assert {size for size, _ in watched.calls} == {4}
    assert query.samples == 4 * len(watched.calls)
    counts = [sum(thread == one for _, thread in watched.calls) for one in threads]
    assert len(set(counts)) == 1


def test_a_stream_of_several_threads_takes_several_cores(models: Path):
    watched = Watched(models / "pixels.onnx")
    assert "2 streams on 2 sessions" in prepared(watched, "offline", 1, threads=2, cores=4).words


def test_a_burst_keeps_its_number_of_calls_when_a_model_is_opened_anew(models: Path):
    watched = Watched(models / "pixels.onnx")
    query, burst = prepare(
        Cell("offline", 1, 1),
        watched.open,
        lambda session, size: inputs.make(session.inputs, size, axes={}, seed=0),
        cores=2,
        burst=17,
    )
    query.close()
    assert (burst, query.samples) == (17, 34)


def test_real_rows_take_turns(models: Path, tmp_path: Path):
    np.savez(tmp_path / "rows.npz", input=np.arange(3 * 64, dtype=np.uint8).reshape(3, 1, 8, 8))
    seen = []

    class Noting(Watched):
        def _noting(self, call: Callable) -> Callable:
            return lambda given: (seen.append(int(given.flat[0])), call(given))

    query, _ = prepare(
        Cell("single-stream", 1, 1),
        Noting(models / "pixels.onnx").open,
        lambda session, size: inputs.make(session.inputs, size, axes={}, seed=0, file=tmp_path / "rows.npz"),
        cores=1,
    )
    for _ in range(4):
        query.call()
    query.close()
    assert seen == [0, 64, 128, 0, 64]
