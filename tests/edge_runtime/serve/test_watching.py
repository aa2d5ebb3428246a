"""What the server tells of those who watch it, and that they cannot harm it: drift found, errors, hangs."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundles import make_bundle, tiny_model
from serving import INFER, Server, application, call, expected, infer_binary, infer_json, running, unpacked, wait_until

from edge_runtime.serve import audience
from edge_runtime.serve.auth import Access, Token
from edge_runtime.serve.metrics import Sample
from edge_runtime.watch.observers import Observers
from edge_runtime.watch.reference import summarize

ADMIN = "administrators-token-012"
BEARER = {"Authorization": f"Bearer {ADMIN}"}
WINDOW = 500


def pictures(count: int, seed: int, brightness: float = 60) -> np.ndarray:
    """uint8 (count, 1, 28, 28): noise around a brightness."""
    values = np.random.default_rng(seed).normal(brightness, 20, (count, 1, 28, 28))
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Path:
    """A bundle with a drift reference."""
    import onnxruntime

    inputs = pictures(1000, 0)
    session = onnxruntime.InferenceSession(tiny_model(), providers=["CPUExecutionProvider"])
    reference = json.dumps(summarize(inputs, session.run(None, {"input": inputs})[0])).encode()
    name = "drift/reference.json"
    return make_bundle(tmp_path_factory.mktemp("watched"), files={name: reference}, reference=name)


def send(server: Server, inputs: np.ndarray) -> None:
    for start in range(0, len(inputs), 50):
        assert server.call("POST", INFER, *infer_binary(inputs[start : start + 50])).status == 200


def metric(server: Server, line: str) -> float | None:
    for told in server.call("GET", "/metrics").body.decode().splitlines():
        if told.startswith(f"{line} "):
            return float(told.rpartition(" ")[2])
    return None


@pytest.mark.integration
def test_changed_inputs_show_on_the_metrics_page_and_to_the_administrator(watched, tmp_path):
    home, admin = tmp_path / "home", tmp_path / "admin"
    home.mkdir()
    admin.write_text(ADMIN)
    admin.chmod(0o600)
    arguments = ("--bundle", watched, "--admin-token-file", admin, "--window", str(WINDOW))
    with running(*arguments, home=home) as server:
        judged, alarm = "edge_runtime_watch_judged_total", 'edge_runtime_drift_alarm{detector="inputs"}'
        send(server, pictures(2 * WINDOW, 1))
        wait_until(lambda: metric(server, judged) == 2 * WINDOW)
        assert metric(server, alarm) == 0
        assert metric(server, 'edge_runtime_drift_statistic{detector="inputs"}') < metric(
            server, 'edge_runtime_drift_threshold{detector="inputs"}'
        )
        assert metric(server, "edge_runtime_watch_dropped_total") == 0
        assert server.call("GET", "/admin/status", None, BEARER).json["alarms"] == []

        send(server, pictures(2 * WINDOW, 2, brightness=120))
        wait_until(lambda: metric(server, alarm) == 1)
        assert metric(server, "edge_runtime_observers_lost") == 0
        assert server.call("GET", "/admin/status").status == 401
        status = server.call("GET", "/admin/status", None, BEARER).json
        assert (status["ready"], status["model"]["version"]) == (True, "1")
        [found] = [one for one in status["alarms"] if one["detector"] == "inputs"]
        assert found["on"] and found["what"] == "inputs changed" and found["statistic"] > found["threshold"]
        assert found["windows"][0]["first"] == 2 * WINDOW + 1
        assert server.stop() == 0
        assert any("inputs changed" in entry["message"] for entry in server.log)
    # What has been seen outlives the process.
    with running(*arguments, home=home) as server:
        assert metric(server, alarm) == 1


def test_true_labels_that_come_later_raise_the_alarm_about_errors(watched, tmp_path):
    home, admin = tmp_path / "home", tmp_path / "admin"
    home.mkdir()
    admin.write_text(ADMIN)
    admin.chmod(0o600)
    draw = random.Random(1)

    def outcomes(errors: float) -> bytes:
        return json.dumps({"version": "1", "wrong": [draw.random() < errors for _ in range(600)]}).encode()

    with running("--bundle", watched, "--admin-token-file", admin, home=home) as server:
        for errors in (0.05, 0.5):
            answer = server.call("POST", "/admin/outcomes", outcomes(errors), BEARER)
            assert (answer.status, answer.json) == (200, {"version": "1", "samples": 600})
        assert server.call("POST", "/admin/outcomes", outcomes(0.5)).status == 401
        for body, status in (
            (b'{"version": "2", "wrong": [true]}', 404),
            (b'{"version": "1", "wrong": []}', 400),
            (b'{"version": "1", "wrong": [1]}', 400),
            (b'{"version": 1, "wrong": [true]}', 400),
            (b"[true]", 400),
        ):
            assert server.call("POST", "/admin/outcomes", body, BEARER).status == status
        alarms = server.call("GET", "/admin/status", None, BEARER).json["alarms"]
        assert [alarm["what"] for alarm in alarms] == ["error rate rose"]


class Bad:
    """An observer that fails in every way: ``how`` is "raise", or "hang" until ``over`` is set."""

    def __init__(self, how: str) -> None:
        self.how, self.over = how, threading.Event()

    def _fail(self, *_: Any) -> Any:
        if self.how == "hang":
            assert self.over.wait(30)
            return []
        raise MemoryError("no room to watch")

    serve = metrics = status = close = _fail

    def observe(self, *_: Any) -> None:
        if self.how == "raise":
            raise RuntimeError("nobody watches")


class Good(Bad):
    def __init__(self) -> None:
        self.seen = 0

    def observe(self, *_: Any) -> None:
        self.seen += 1

    def metrics(self) -> list[Sample]:
        return [Sample("seen", self.seen)]

    def status(self) -> dict[str, Any]:
        return {"notes": [f"{self.seen} seen"]}

    def serve(self, *_: Any) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("how", ["raise", "hang"])
def test_an_observer_that_dies_takes_nothing_with_it(tmp_path, monkeypatch, how):
    monkeypatch.setattr(audience, "PATIENCE", 0.1)
    monkeypatch.setattr(audience, "LONG_PATIENCE", 0.2)
    bad, good = Bad(how), Good()
    contents = unpacked(tmp_path)
    body = infer_json(expected()[0][:1])

    async def scenario() -> None:
        access = Access(None, Token(ADMIN.encode()))
        # The one that fails comes first, so a guard that stops at it would leave the other one without anything.
        async with application(contents, access, observers=(bad, good)) as app:
            asking = asyncio.create_task(call(app, "GET", "/metrics"))
            await asyncio.sleep(0)
            started = time.monotonic()
            assert (await call(app, "POST", INFER, body)).status == 200
            assert time.monotonic() - started < 0.1 or how == "raise"  # it has not waited for the page
            for _ in range(20):
                assert (await call(app, "POST", INFER, body)).status == 200
            assert good.seen == 21
            page = (await asking).body.decode()
            assert (await call(app, "GET", "/metrics")).status == 200
            status = await call(app, "GET", "/admin/status", b"", BEARER)
            assert status.status == 200 and status.json["model"]["version"] == "1"
            if how == "raise":
                assert "edge_runtime_observers_lost 1" in page and "\nseen " in page
                assert status.json["notes"] == ["21 seen"]
            else:
                assert "edge_runtime_observers_lost 2" in page  # the other one's turn has not come
            assert app.service.audience.failures
            started = time.monotonic()
        assert time.monotonic() - started < 5
        bad.over.set()

    asyncio.run(scenario())


def test_a_thread_that_dies_in_watching_only_shows_as_lost_observations(watched, tmp_path, monkeypatch):
    from bundles import KEY

    from edge_runtime.bundle.archive import unpack

    monkeypatch.setattr("edge_runtime.watch.monitor.Monitor._work", lambda *_: 1 / 0)
    (tmp_path / "unpacked").mkdir()
    contents = unpack(watched, tmp_path / "unpacked", [KEY.public])
    body = infer_json(expected()[0][:1])

    async def scenario() -> str:
        async with application(contents, observers=(Observers(tmp_path / "home"),)) as app:
            for _ in range(20):
                assert (await call(app, "POST", INFER, body)).status == 200
            await asyncio.sleep(0.6)
            return (await call(app, "GET", "/metrics")).body.decode()

    page = asyncio.run(scenario())
    assert "edge_runtime_watch_observations_total 20" in page and "edge_runtime_watch_judged_total 0" in page
    assert "edge_runtime_watch_failures_total 0" not in page and "edge_runtime_watch_failures_total" in page


def test_a_window_that_tells_nothing_is_refused_at_once(tmp_path, capsys):
    from edge_runtime.cli import main

    assert main(["--home", str(tmp_path), "serve", "--window", "50"]) == 1
    assert "error[watch-failed]" in capsys.readouterr().err
