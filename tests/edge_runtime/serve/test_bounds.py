"""What is left of a server that many, slow or greedy clients ask: bounds, each with its own answer, and a calm end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import KEY, make_bundle, onnx_file
from onnx import TensorProto, helper
from serving import (
    INFER,
    Reply,
    Server,
    application,
    ask,
    call,
    connect,
    expected,
    infer_binary,
    infer_json,
    logits,
    running,
    unpacked,
    wait_until,
)

from edge_runtime import limits

HEAD = b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def until_closed(channel: socket.socket) -> tuple[bytes, float]:
    """All that still comes, and how many seconds it took."""
    started, said = time.monotonic(), b""
    while piece := channel.recv(65536):
        said += piece
    return said, time.monotonic() - started


@pytest.mark.integration
@pytest.mark.parametrize("begun", [b"", b"POST /pre", HEAD, HEAD + b"\r\n" + b"x" * 999])
def test_a_client_that_does_not_finish_its_request_is_told_408(home, tmp_path, begun):
    with running("--bundle", make_bundle(tmp_path), home=home, caps={"RECEIVE_SECONDS": 1}) as server:
        with connect(server) as slow:
            slow.sendall(begun)
            said, seconds = until_closed(slow)
        assert said.startswith(b"HTTP/1.1 408 ") and b'"code":"request-too-slow"' in said
        assert 0.9 < seconds < 4
        assert server.call("GET", "/v2").status == 200


@pytest.mark.integration
def test_trickling_does_not_help_and_others_are_served_meanwhile(home, tmp_path):
    body = infer_json(expected()[0][:1])
    with running("--bundle", make_bundle(tmp_path), home=home, caps={"RECEIVE_SECONDS": 1}) as server:
        slow = [connect(server) for _ in range(50)]
        for channel in slow:
            channel.sendall(HEAD + b"\r\n")
        started, answered = time.monotonic(), 0
        while time.monotonic() - started < 2.5:
            for channel in slow:
                try:
                    channel.send(b"x")
                except OSError:
                    continue
            asked = time.monotonic()
            assert server.call("POST", INFER, body).status == 200
            assert time.monotonic() - asked < 0.5
            answered += 1
            time.sleep(0.05)
        assert answered > 10
        for channel in slow:
            channel.settimeout(1)
            # What was sent after the end is answered with a reset, which may overtake the answer.
            with contextlib.suppress(ConnectionResetError):
                assert channel.recv(1000).startswith(b"HTTP/1.1 408 ")
            channel.close()


@pytest.mark.integration
def test_connections_beyond_the_cap_are_refused_until_one_ends(home, tmp_path):
    with running("--bundle", make_bundle(tmp_path), home=home, caps={"CONNECTIONS": 4}) as server:
        open_ones = [connect(server) for _ in range(4)]
        time.sleep(0.2)
        with connect(server) as fifth:
            said, _ = until_closed(fifth)
        assert said.startswith(b"HTTP/1.1 503 ") and b'"code":"connections-full"' in said
        open_ones.pop().close()
        wait_until(lambda: server.call("GET", "/v2/health/live").status == 200)
        for channel in open_ones:
            channel.close()


def post(app: Any, length: int, gate: asyncio.Event, rest: bytes) -> Any:
    """A request whose body comes up to ``length`` bytes of zeros, and then, once the gate is open, ``rest``."""
    sent: list[dict[str, Any]] = []
    stage = iter((bytes(length), rest))

    async def receive() -> dict[str, Any]:
        piece = next(stage)
        if piece is rest:
            await gate.wait()
        return {"type": "http.request", "body": piece, "more_body": piece is not rest}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def run() -> Reply:
        scope = {"type": "http", "method": "POST", "path": INFER, "headers": [], "query_string": b""}
        await app(scope, receive, send)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], headers, sent[1]["body"])

    return asyncio.create_task(run())


def test_all_bodies_together_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "BODIES_BYTES", 0)  # so the bound is four bodies of the largest size
    contents = unpacked(tmp_path)

    async def scenario() -> None:
        async with application(contents, max_body=2000) as app:
            gate = asyncio.Event()
            waiting = [post(app, 1999, gate, b"x") for _ in range(4)]
            await asyncio.sleep(0.01)
            refused = await call(app, "POST", INFER, bytes(1000))
            assert (refused.status, refused.code) == (429, "queue-full")
            assert int(refused.headers["retry-after"]) >= 1
            # Not even their own bodies may grow beyond it.
            gate.set()
            assert {(await one).status for one in waiting} == {400}  # zeros are no request
            assert app._budget.held == 0
            assert (await call(app, "POST", INFER, *infer_binary(expected()[0][:1]))).status == 200

    asyncio.run(scenario())


def test_a_client_that_goes_away_gives_its_share_back(tmp_path):
    contents = unpacked(tmp_path)

    async def scenario() -> None:
        async with application(contents) as app:
            messages = iter(
                [{"type": "http.request", "body": bytes(1000), "more_body": True}, {"type": "http.disconnect"}]
            )

            async def receive() -> dict[str, Any]:
                return next(messages)

            async def send(message: dict[str, Any]) -> None:
                raise AssertionError("nobody is there to answer")

            await app({"type": "http", "method": "POST", "path": INFER, "headers": []}, receive, send)
            assert app._budget.held == 0 and app.service.waiting == 0

    asyncio.run(scenario())


def root_model() -> bytes:
    """uint8 (batch, 1, 28, 28) -> logits (batch, 10): the root of a first pixel less 10, NaN where that is dark."""
    weights = {"starts": np.array([0], np.int64), "ends": np.array([10], np.int64), "axes": np.array([1], np.int64),
               "ten": np.array(10, np.float32)}  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["input"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("Slice", ["flat", "starts", "ends", "axes"], ["first"]),
        helper.make_node("Sub", ["first", "ten"], ["less"]),
        helper.make_node("Sqrt", ["less"], ["logits"]),
    ]
    return onnx_file("root", nodes, weights)


def test_an_answer_that_is_not_finite_is_an_error_where_it_cannot_be_said(tmp_path):
    from edge_runtime.bundle.archive import unpack

    (tmp_path / "unpacked").mkdir()
    contents = unpack(make_bundle(tmp_path, model=root_model()), tmp_path / "unpacked", [KEY.public])
    dark, bright = (np.full((1, 1, 28, 28), value, np.uint8) for value in (0, 110))
    headers = {"Content-Type": "application/json"}

    def predict(pixels: np.ndarray) -> Reply:
        return ask("POST", "/predict", json.dumps({"data": pixels[0].tolist()}).encode(), headers, contents=contents)

    answer = predict(dark)
    assert (answer.status, answer.code) == (500, "output-invalid")
    assert "not finite" in answer.json["error"]
    assert predict(bright).status == 200
    answer = ask("POST", INFER, infer_json(dark), contents=contents)
    assert (answer.status, answer.code) == (500, "output-not-finite")
    assert "binary" in answer.json["error"]
    assert np.isnan(logits(ask("POST", INFER, *infer_binary(dark), contents=contents))).all()
    assert (logits(ask("POST", INFER, infer_json(bright), contents=contents)) == 10).all()
    # In company: the bright one of two is right, and the dark one is NaN.
    both = logits(ask("POST", INFER, *infer_binary(np.concatenate([dark, bright])), contents=contents))
    assert np.isnan(both[0]).all() and (both[1] == 10).all()


@pytest.mark.integration
def test_whatever_is_under_way_at_the_end_is_answered(home, tmp_path):
    """Twenty clients wait for a second's work when the server is told to stop."""
    pixels, outputs = expected()
    samples = 2048
    body, headers = infer_binary(np.tile(pixels, (samples // len(pixels), 1, 1, 1)))
    answers: list[Any] = []
    more_room = {"caps": {"REQUEST_SAMPLES": samples}, "home": home}
    slowly = ("--batch", "1", "--parallel", "1", "--queue", str(20 * samples))
    with running("--bundle", make_bundle(tmp_path), *slowly, **more_room) as server:
        with connect(server) as idle:  # an open connection without a request does not keep it

            def client() -> None:
                try:
                    answers.append(logits(server.call("POST", INFER, body, headers)))
                except Exception as problem:
                    answers.append(problem)

            clients = [threading.Thread(target=client) for _ in range(20)]
            for one in clients:
                one.start()
            while queued(server) < 8 * samples:
                assert len(answers) < 10, "they were answered before they could wait"
            assert not answers or isinstance(answers[0], np.ndarray)
            server.process.send_signal(signal.SIGTERM)
            for one in clients:
                one.join()
            idle.settimeout(20)
            assert idle.recv(100) == b""
        assert server.process.wait(20) == 0
        with pytest.raises(OSError):
            connect(server)
    assert len(answers) == 20
    for answer in answers:
        np.testing.assert_allclose(answer[:8], outputs, rtol=1e-4)
        np.testing.assert_allclose(answer[-8:], outputs, rtol=1e-4)


def queued(server: Server) -> float:
    page = server.call("GET", "/metrics").body.decode()
    return float(page.partition("\nedge_runtime_queue_samples ")[2].partition("\n")[0])
