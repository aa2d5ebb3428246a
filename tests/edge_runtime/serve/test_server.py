"""The server as a process: what it refuses to start as, systemd, slow and many clients, updates under load, its end."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, make_bundle, tiny_model
from serving import (
    INFER,
    TOKEN,
    connect,
    expected,
    infer_binary,
    infer_json,
    logits,
    refused,
    running,
    secret,
    wait_until,
)

from edge_runtime.cli import main
from edge_runtime.update.home import Home
from edge_runtime.update.recovery import read

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "keys").mkdir(parents=True)
    (tmp_path / "home" / "keys" / "tests.pub").write_text(KEY.public.line())  # whose bundles may be installed
    return tmp_path / "home"


def install(home: Path, sequence: int, seed: int = 0) -> None:
    assert (
        main(["--home", str(home), "install", str(make_bundle(home.parent, sequence=sequence, model=tiny_model(seed)))])
        == 0
    )


def test_it_does_not_listen_where_others_can_come_without_a_token(home, tmp_path):
    assert "error[listen-refused]" in refused("--host", "0.0.0.0", home=home)
    assert "error[listen-refused]" in refused("--host", "::", home=home)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_refused(home, tmp_path, mode):
    said = refused("--token-file", secret(tmp_path / "token", mode=mode), home=home)
    assert "error[token-file-invalid]" in said and "chmod 600" in said
    assert TOKEN not in said


@pytest.mark.parametrize("text", ["", "short", "two words of some length", "é" * 20, "x" * 10_000])
def test_a_token_that_is_none_is_refused(home, tmp_path, text):
    assert "error[token-file-invalid]" in refused("--token-file", secret(tmp_path / "token", text), home=home)


def test_a_port_that_is_taken_is_named(home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "error[listen-refused]" in refused("--port", str(other.getsockname()[1]), home=home)


def test_without_anything_installed_it_ends_with_an_error(home):
    assert "nothing-installed" in refused(home=home)


def test_it_serves_a_bundle_and_ends_with_0(home, tmp_path):
    inputs, outputs = expected()
    with running("--bundle", make_bundle(tmp_path), home=home) as server:
        np.testing.assert_allclose(logits(server.call("POST", INFER, *infer_binary(inputs))), outputs, rtol=1e-4)
        assert server.stop() == 0
        assert [entry["message"] for entry in server.log] == ["listening", "stopped"]
        assert all({"time", "level", "logger"} <= set(entry) for entry in server.log)


def test_a_token_guards_the_server_and_never_shows_in_its_log(home, tmp_path):
    bundle, token = make_bundle(tmp_path), secret(tmp_path / "token")
    with running("--bundle", bundle, "--token-file", token, "--log-level", "debug", home=home) as server:
        assert server.call("GET", "/v2").status == 401
        assert server.call("GET", "/v2", None, {"Authorization": f"Bearer {TOKEN}"}).status == 200
        server.stop()
        assert TOKEN not in json.dumps(server.log)


def test_requests_that_are_being_answered_are_answered_before_the_end(home, tmp_path):
    content, headers = infer_binary(expected()[0])
    with running("--bundle", make_bundle(tmp_path), home=home) as server:
        with connect(server) as connection:
            lines = [f"POST {INFER} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + content[:50])
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(content[50:])
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        assert server.process.wait(20) == 0


def test_a_home_has_one_server_and_the_next_waits_for_its_end(home):
    install(home, 1)
    with running(home=home) as server, running(home=home, ready=False) as next_one:
        time.sleep(1)
        assert next_one.call("GET", "/v2/health/ready").status == 503
        assert server.stop() == 0
        wait_until(lambda: next_one.call("GET", "/v2/health/ready").status == 200)
        assert attempts_left(home) == 2  # of 3: the first one's was given back
        with running(home=home, ready=False, caps={"SERVING_SECONDS": 0.1}) as other:
            assert other.process.wait(20) == 1
            assert [entry.get("code") for entry in other.log][-2:] == ["home-served", None]
        assert next_one.call("GET", "/v2/health/ready").status == 200


SLOW = """
import time
from edge_runtime.model import Model
init = Model.__init__
Model.__init__ = lambda *arguments: (time.sleep(60), init(*arguments))[1]
"""


@pytest.mark.parametrize("former", [False, True])
def test_a_stop_while_a_model_loads_is_soon_and_costs_a_trial_nothing(home, former):
    if former:
        install(home, 1)
        with running(home=home):
            assert Home(home).current() is not None
    install(home, 2, seed=1)
    for _ in range(4):  # more often than there are attempts
        with running(home=home, ready=False, first=SLOW) as server:
            wait_until(lambda: attempts_left(home) == 2)
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 10
            assert server.log[-1]["message"] == "stopped"
        assert attempts_left(home) == 3
    with running(home=home) as server:
        assert server.call("GET", "/v2/models/digits").json["versions"] == ["2"]


def attempts_left(home: Path) -> int:
    return read(Home(home)).trial.attempts_left


def test_systemd_is_told_of_readiness_life_and_the_end(home, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(path))
        channel.settimeout(20)
        environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "200000"}
        with running("--bundle", make_bundle(tmp_path), home=home, **environment) as server:
            heard = [channel.recv(1000).decode() for _ in range(6)]
            server.stop()
            channel.setblocking(False)
            while True:
                try:
                    heard.append(channel.recv(1000).decode())
                except BlockingIOError:
                    break
    assert any(text.startswith("READY=1\nSTATUS=Serving version 1") for text in heard)
    assert heard.count("WATCHDOG=1") >= 3
    assert heard.count("STOPPING=1") == 1


def test_a_socket_file(home, tmp_path):
    path = tmp_path / "edge.sock"
    for _ in range(2):  # the second time over the file that the killed first one left
        with running("--bundle", make_bundle(tmp_path), "--unix", path, home=home, ready=False):
            assert path.stat().st_mode & 0o007 == 0
            with socket.socket(socket.AF_UNIX) as channel:
                channel.connect(str(path))
                channel.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert channel.recv(1000).startswith(b"HTTP/1.1 200")


def test_an_installed_version_and_its_successor_under_load(home):
    """Zero errors, every answer right for the version it names, and no client ever goes back to the old one."""
    install(home, 1, seed=0)
    truth = {"1": expected(0)[1], "2": expected(1)[1]}
    # The inputs are the same for all seeds.
    inputs = expected(0)[0]
    stop, seen, problems = threading.Event(), [], []

    def hammer(number: int) -> None:
        versions: list[str] = []
        seen.append(versions)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        body, headers = infer_binary(inputs[number : number + 1])
        try:
            while not stop.is_set():
                connection.request("POST", INFER, body, headers)
                answer = connection.getresponse()
                content = answer.read()
                if answer.status != 200:
                    raise AssertionError(content)
                length = int(answer.getheader("inference-header-content-length"))
                version = json.loads(content[:length])["model_version"]
                got = np.frombuffer(content, "<f4", offset=length)
                np.testing.assert_allclose(got, truth[version][number], rtol=1e-4)
                versions.append(version)
        except Exception as problem:
            problems.append(repr(problem))
        finally:
            connection.close()

    admin = secret(home.parent / "admin")
    with running("--admin-token-file", admin, home=home) as server:
        clients = [threading.Thread(target=hammer, args=(number,)) for number in range(4)]
        for client in clients:
            client.start()
        time.sleep(0.5)
        install(home, 2, seed=1)
        answer = server.call("POST", "/admin/reload", b"", {"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status, answer.json) == (200, {"version": "2"})
        time.sleep(0.5)
        stop.set()
        for client in clients:
            client.join()
        assert server.stop() == 0
    assert problems == []
    for versions in seen:
        assert versions == sorted(versions)
        assert set(versions) == {"1", "2"}


def test_sighup_loads_what_is_installed_now(home):
    install(home, 1)
    with running(home=home) as server:
        install(home, 2, seed=1)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.call("GET", "/v2/models/digits").json["versions"] == ["2"])


def test_a_version_that_cannot_be_served_is_left_for_the_one_before(home):
    install(home, 1)
    with running(home=home) as server:
        server.stop()
    install(home, 2, seed=1)
    # Its self-test went well; now its file is damaged, as a dying disk would do.
    model = home.resolve() / "current" / "model" / "model.onnx"
    os.chmod(model.parent, 0o755)
    os.chmod(model, 0o644)
    model.write_bytes(model.read_bytes()[:-100])
    with running(home=home) as server:
        assert server.call("GET", "/v2/models/digits").json["versions"] == ["1"]


def test_json_and_garbage_side_by_side_leave_no_trace_in_memory(home, tmp_path):
    good = infer_json(expected()[0])
    with running("--bundle", make_bundle(tmp_path), home=home) as server:

        def resident() -> int:
            return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096

        def burst() -> None:
            for _ in range(150):
                assert server.call("POST", INFER, good).status == 200
                assert server.call("POST", INFER, good[:-5]).status == 400

        burst()
        before = resident()
        burst()
        burst()
        assert resident() - before < 8e6
