"""Whose failure counts: the model's own do, those that a client brings about do not. And their place in the log."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable

import numpy as np
import onnx
import pytest
from bundles import KEY, make_bundle, npy
from onnx import TensorProto, helper, numpy_helper
from serving import Reply, application, call

from edge_runtime.bundle.archive import unpack
from edge_runtime.bundle.contents import Contents
from edge_runtime.bundle.manifest import Tensor
from edge_runtime.errors import SessionError
from edge_runtime.model import Model
from edge_runtime.serve import witness
from edge_runtime.serve.app import Application
from edge_runtime.serve.sparing import Sparing

GOLDEN = {"inputs": "golden/inputs.npy", "outputs": "golden/outputs.npy", "absolute": 1e-3, "argmax": 1.0}
GOLDEN |= {"p99": None, "memory": None}


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """The model is asked again at once, not a second later."""
    monkeypatch.setattr(witness, "SECONDS", 0.01)


def contents(folder, nodes, weights, given: Tensor, inputs: np.ndarray, *, labels=(), width: object = 10) -> Contents:
    """A bundle ``m`` of a model from ``given`` to logits (batch, ``width``), with these golden inputs."""
    kind = TensorProto.INT64 if given.dtype == "int64" else TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info(given.name, kind, ["batch", *given.shape[1:]])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    files = {"golden/inputs.npy": npy(inputs), "golden/outputs.npy": npy(np.zeros((len(inputs), 10), np.float32))}
    changes = {"preprocess": {"kind": "tensor"}, "golden": GOLDEN, "name": "m", "inputs": (given,), "labels": labels}
    changes["outputs"] = (Tensor("logits", "float32", (None, width if isinstance(width, int) else None)),)
    path = make_bundle(folder, model=model.SerializeToString(), files=files, **changes)
    (folder / "unpacked").mkdir()
    return unpack(path, folder / "unpacked", [KEY.public])


@pytest.fixture
def tokens(tmp_path) -> Contents:
    """Eight numbers of rows in a table of 100: what is beyond its end the engine refuses."""
    table = np.random.default_rng(0).normal(size=(100, 10)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["logits"], axes=[1], keepdims=0),
    ]
    return contents(tmp_path, nodes, {"table": table}, Tensor("x", "int64", (None, 8)), np.full((4, 8), 7))


@pytest.fixture
def logarithms(tmp_path) -> Contents:
    """Finite for what is above zero, as its golden inputs are."""
    nodes = [helper.make_node("Log", ["x"], ["log"]), helper.make_node("MatMul", ["log", "w"], ["logits"])]
    golden = np.full((4, 4), 0.5, np.float32)
    return contents(tmp_path, nodes, {"w": np.ones((4, 10), np.float32)}, Tensor("x", "float32", (None, 4)), golden)


def infer(values: list, kind: str = "INT64", *, binary: bool = False) -> bytes:
    tensor = {"name": "x", "shape": list(np.shape(values)), "datatype": kind, "data": values}
    return json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": binary}}).encode()


def told(bundle: Contents, use: Callable[[Application], Awaitable[None]]) -> tuple[int, int]:
    """What is counted of ``use``: good, failed."""

    async def scenario() -> tuple[int, int]:
        async with application(bundle) as app:
            await use(app)
            await settled(app)
            tally = app.service.tally(bundle.id)
            return tally.good, tally.failed

    return asyncio.run(scenario())


async def settled(app: Application) -> None:
    end = time.monotonic() + 20
    while app.service._witness._task is not None:
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def post(app: Application, path: str, body: bytes) -> Reply:
    return await call(app, "POST", path, body, {"Content-Type": "application/json"})


def test_what_a_client_makes_the_engine_refuse_is_not_the_models_failure(tokens, caplog, capfd):
    async def use(app: Application) -> None:
        for number in range(50):
            status = 500 if number % 2 else 200
            value = 999_999 if number % 2 else 5
            assert (await post(app, "/v2/models/m/infer", infer([[value] * 8]))).status == status
            assert (await post(app, "/predict", json.dumps([value] * 8).encode())).status == status

    with caplog.at_level(logging.ERROR):
        assert told(tokens, use) == (50, 0)
    assert len([record for record in caplog.records if record.levelno >= logging.ERROR]) == 1  # of fifty
    assert "Gather" not in capfd.readouterr().err  # the engine itself has written nothing


@pytest.mark.parametrize("binary", [True, False])
def test_what_a_client_makes_overflow_is_not_the_models_failure(logarithms, binary):
    async def use(app: Application) -> None:
        for _ in range(30):
            body = infer([[-1.0] * 4], "FP32", binary=binary)
            assert (await post(app, "/v2/models/m/infer", body)).status == (200 if binary else 500)
            assert (await post(app, "/predict", b"[-1, -1, -1, -1]")).status == 500
        assert (await post(app, "/predict", b"[1, 1, 1, 1]")).status == 200

    assert told(logarithms, use) == (1, 0)


@pytest.mark.parametrize("how", ["raises", "not finite", "raises strangely"])
def test_a_model_that_fails_at_what_it_is_known_to_answer_has_failed(tokens, how, monkeypatch):
    class Broken:
        def __init__(self, session):
            self._session, self.calls = session, 0

        def __getattr__(self, name):
            return getattr(self._session, name)

        def run(self, inputs):
            self.calls += 1
            if how == "not finite":
                return {"logits": np.full((len(inputs["x"]), 10), np.nan, np.float32)}
            raise SessionError("no") if how == "raises" else RuntimeError("no")

    async def use(app: Application) -> None:
        app.service.model.session = Broken(app.service.model.session)
        for _ in range(30):
            assert (await post(app, "/v2/models/m/infer", infer([[5] * 8]))).status == 500
            assert (await post(app, "/predict", b"[5, 5, 5, 5, 5, 5, 5, 5]")).status == 500

    assert told(tokens, use) == (0, 60)


def test_a_version_of_whose_answers_no_class_can_be_read_has_failed_where_it_is_asked_for_one(tmp_path):
    """Three labels, and ten classes that the model's file does not tell of."""
    nodes = [helper.make_node("Gather", ["table", "x"], ["rows"])]
    nodes += [helper.make_node("ReduceMean", ["rows"], ["means"], axes=[1], keepdims=0)]
    nodes += [helper.make_node("Compress", ["means", "all"], ["logits"], axis=1)]
    weights = {"table": np.ones((100, 10), np.float32), "all": np.ones(10, bool)}
    shape, golden = Tensor("x", "int64", (None, 8)), np.full((4, 8), 7)
    bundle = contents(tmp_path, nodes, weights, shape, golden, labels=("a", "b", "c"), width="classes")

    async def use(app: Application) -> None:
        for _ in range(20):
            assert (await post(app, "/predict", b"[5, 5, 5, 5, 5, 5, 5, 5]")).code == "output-invalid"
            assert (await post(app, "/v2/models/m/infer", infer([[5] * 8]))).status == 200
            assert (await post(app, "/v2/models/m/infer", infer([[999] * 8]))).status == 500  # a client's

    assert told(bundle, use) == (20, 20)


def test_a_model_that_is_no_classifier_has_not_failed_when_a_client_asks_it_for_a_class(tmp_path):
    nodes = [helper.make_node("Gather", ["table", "x"], ["rows"])]
    nodes += [helper.make_node("ReduceMean", ["rows"], ["logits"], axes=[1, 2], keepdims=0)]
    graph_input = Tensor("x", "int64", (None, 8))
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["batch", 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch"])],
        [numpy_helper.from_array(np.ones((100, 10), np.float32), "table")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    path = make_bundle(
        tmp_path,
        model=model.SerializeToString(),
        files={"golden/inputs.npy": npy(np.full((4, 8), 7)), "golden/outputs.npy": npy(np.ones(4, np.float32))},
        name="m",
        inputs=(graph_input,),
        outputs=(Tensor("logits", "float32", (None,)),),
        preprocess={"kind": "tensor"},
        labels=(),
        golden=GOLDEN,
    )
    (tmp_path / "unpacked").mkdir()
    bundle = unpack(path, tmp_path / "unpacked", [KEY.public])

    async def use(app: Application) -> None:
        for _ in range(30):
            assert (await post(app, "/predict", b"[5, 5, 5, 5, 5, 5, 5, 5]")).code == "output-invalid"

    assert told(bundle, use) == (0, 0)


def test_an_answer_to_what_is_no_number_is_good_once_it_is_made(logarithms):
    async def use(app: Application) -> None:
        tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}
        for binary, status in ((True, 200), (False, 500)):
            head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": binary}}).encode()
            headers = {"Inference-Header-Content-Length": str(len(head))}
            body = head + np.full(4, np.nan, np.float32).tobytes()
            assert (await call(app, "POST", "/v2/models/m/infer", body, headers)).status == status

    assert told(logarithms, use) == (1, 0)


def test_failing_requests_cost_no_inference_each(tokens, monkeypatch):
    monkeypatch.setattr(witness, "SECONDS", 60.0)

    async def use(app: Application) -> None:
        session, calls = app.service.model.session, []

        class Counting:
            def __getattr__(self, name):
                return getattr(session, name)

            def run(self, inputs):
                calls.append(int(inputs["x"][0, 0]))
                return session.run(inputs)

        app.service.model.session = Counting()
        for _ in range(100):
            await post(app, "/v2/models/m/infer", infer([[999] * 8]))
        await asyncio.sleep(0.1)
        assert calls.count(7) == 1 and calls.count(999) == 100
        app.service._witness._task.cancel()

    told(tokens, use)


def test_known_inputs_fill_a_fixed_batch_and_are_made_up_where_there_are_none(tokens):
    with Model(tokens) as model:
        assert witness.known_inputs(model)["x"].tolist() == [[7] * 8]
        (tokens.folder / "golden/inputs.npy").unlink()
        assert witness.known_inputs(model)["x"].shape == (1, 8)


def test_the_log_tells_each_code_once_in_a_while_and_how_many_it_left_out(caplog, monkeypatch):
    from edge_runtime.serve import sparing

    log = Sparing(logging.getLogger("test"))
    with caplog.at_level(logging.ERROR):
        for _ in range(100):
            log.error("x" * 5000, "session-failed")
            log.error("another", "serve-failed")
        monkeypatch.setattr(sparing, "SECONDS", 0.0)
        log.error("again", "session-failed")
    assert [(record.code, record.left_out) for record in caplog.records] == [
        ("session-failed", 0),
        ("serve-failed", 0),
        ("session-failed", 99),
    ]
    assert len(caplog.records[0].getMessage()) == 1000


@pytest.mark.parametrize(("value", "right"), [(60, 20), (999_999, 0)])
def test_the_version_before_tells_a_worse_model_from_a_bad_question(tmp_path, tokens, value, right):
    """The new table ends at 50: what the old one answers up to 100 is the new one's failure, and nothing beyond."""
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["logits"], axes=[1], keepdims=0),
    ]
    (tmp_path / "new").mkdir()
    worse = contents(
        tmp_path / "new", nodes, {"table": np.ones((50, 10), np.float32)}, Tensor("x", "int64", (None, 8)),
        np.full((4, 8), 7),
    )  # fmt: skip
    opened = []

    def former() -> Model:
        opened.append(Model(tokens))
        return opened[-1]

    async def scenario() -> None:
        async with application(tokens) as app:
            await app.service.switch(lambda: Model(worse), former)
            for _ in range(20):
                assert (await post(app, "/v2/models/m/infer", infer([[value] * 8]))).status == 500
            await settled(app)
            tally = app.service.tally(worse.id)
            assert (tally.good, tally.failed) == (0, right)
        assert opened and all(model.session._closed for model in opened)

    asyncio.run(scenario())
