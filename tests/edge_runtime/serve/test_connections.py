"""What a connection may bring besides a request's body, and what becomes of clients that do not read their answers."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from bundles import make_bundle
from serving import INFER, Server, connect, expected, infer_binary, logits, running, wait_until

pytestmark = pytest.mark.integration

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
MIB = 2**20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests here that do not stop it."""
    folder = tmp_path_factory.mktemp("connections")
    (folder / "home").mkdir()
    with running("--bundle", make_bundle(folder), home=folder / "home", caps={"SEND_SECONDS": 1.5}) as found:
        yield found


def resident(server: Server) -> int:
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def errors(server: Server, code: str) -> int:
    page = server.call("GET", "/metrics").body.decode()
    found = re.search(rf'^edge_runtime_errors_total{{code="{code}"}} (\d+)', page, re.MULTILINE)
    return int(found[1]) if found else 0


def heard(channel: socket.socket) -> bytes:
    """All that comes until the server closes."""
    said = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := channel.recv(65536):
            said += piece
    return said


@pytest.mark.parametrize(
    ("start", "filler"),
    [
        (b"GET /", b"x"),
        (LIVE + b"X: ", b"x"),
        (LIVE, b"a: b\r\n"),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", b"a: b\r\n"),
        (CHUNKED + b"0\r\na: ", b"x"),
        (CHUNKED + b"5;", b"x"),
        (CHUNKED + b"5;a=", b"x"),
    ],
    ids=["address", "header", "headers", "trailers", "trailer", "chunk-extension", "its-value"],
)
@pytest.mark.parametrize("piece", [600, 60_000])
def test_what_has_no_end_is_cut_off_and_costs_no_memory(server, start, filler, piece):
    before, refused = resident(server), errors(server, "headers-too-large")
    sent, most = 0, 16 * MIB if piece > 10_000 else 2 * MIB
    with connect(server) as channel:
        channel.sendall(start)
        with pytest.raises(OSError):
            while sent < most:
                channel.sendall(filler * (piece // len(filler)))
                sent += piece
                if piece < 10_000:
                    time.sleep(0.001)
    assert errors(server, "headers-too-large") == refused + 1
    assert resident(server) - before < 4 * MIB


@pytest.mark.parametrize(
    "headers",
    [
        b"X: " + b"x" * 17_000,
        b"X: " + b"x" * 30_000,
        b"\r\n".join([b"X: " + b"x" * 500] * 50),
        b"\r\n".join([b"X: y"] * 300),
    ],
)
@pytest.mark.parametrize("pieces", [1, 2])
def test_headers_that_are_too_long_are_431_however_they_come(server, headers, pieces):
    whole = LIVE + headers + b"\r\n\r\n"
    with connect(server) as channel:
        for part in (whole,) if pieces == 1 else (whole[:400], whole[400:]):
            channel.sendall(part)
            time.sleep(0.1 if pieces > 1 else 0)
        said = heard(channel)
    assert said.startswith(b"HTTP/1.1 431 ") and b'"code":"headers-too-large"' in said


@pytest.mark.parametrize("cut", [0, 3, 9_000])
def test_headers_just_below_the_bound_are_read(server, cut):
    whole = LIVE + b"Connection: close\r\nX: " + b"x" * 16_200 + b"\r\n\r\n"
    with connect(server) as channel:
        channel.sendall(whole[:cut])
        time.sleep(0.1 if cut else 0)
        channel.sendall(whole[cut:])
        assert heard(channel).startswith(b"HTTP/1.1 200 ")


def chunked(body: bytes, size: int) -> bytes:
    parts = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n"


@pytest.mark.parametrize("size", [1, 7, 4096, 10**6])
def test_chunks_of_any_size_and_short_trailers_are_read(server, size):
    """Some of these bodies come with more framing than headers may be long; and a trailer is no header."""
    inputs, outputs = expected()
    inputs = np.tile(inputs, (1 if size == 1 else 32, 1, 1, 1))
    content, headers = infer_binary(inputs)
    head = f"POST {INFER} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    trailers = b"Request-Timeout: 0\r\nHost: elsewhere\r\nContent-Encoding: gzip\r\n\r\n"
    with connect(server) as channel:
        channel.sendall(head.encode() + b"\r\n" + chunked(content, size) + trailers)
        said = heard(channel)
    assert said.startswith(b"HTTP/1.1 200 "), said[:300]
    values = np.frombuffer(said[-len(inputs) * 40 :], "<f4").reshape(-1, 10)
    np.testing.assert_allclose(values[:8], outputs, rtol=1e-4)


def test_a_large_body_in_one_segment_is_no_long_header(server):
    inputs, outputs = expected()
    content, headers = infer_binary(np.tile(inputs, (32, 1, 1, 1)))
    np.testing.assert_allclose(logits(server.call("POST", INFER, content, headers))[-8:], outputs, rtol=1e-4)


def test_requests_in_a_row_are_answered_up_to_a_bound_and_then_the_connection_ends(server):
    with connect(server) as channel:
        channel.sendall((LIVE + b"\r\n") * 20 + LIVE + b"Connection: close\r\n\r\n")
        assert heard(channel).count(b"HTTP/1.1 200 ") == 21
    with connect(server) as channel:
        channel.sendall((LIVE + b"\r\n") * 300)
        said = heard(channel)
    assert 32 <= said.count(b"HTTP/1.1 ") == said.count(b"HTTP/1.1 200 ") <= 40
    assert said.count(b"connection: close") == 1 and said.endswith(b'{"live":true}')


@pytest.mark.parametrize(
    "garbage",
    [
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        CHUNKED + b"x\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_is_400_counted_and_not_logged(server, garbage):
    refused, logged = errors(server, "request-invalid"), len(server.log)
    with connect(server) as channel:
        channel.sendall(garbage)
        said = heard(channel)
    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"content-type: application/json" in head
    assert json.loads(body)["code"] == "request-invalid"
    assert errors(server, "request-invalid") == refused + 1
    assert len(server.log) == logged


def test_a_good_request_before_a_bad_one_gets_its_own_answer_and_no_other(server):
    with connect(server) as channel:
        channel.sendall(LIVE + b"\r\n" + b"\0\0\0\r\n\r\n")
        said = heard(channel)
    assert said.startswith(b"HTTP/1.1 200 ") and said.count(b"HTTP/1.1 ") == 1 and b"connection: close" in said


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c"])
def test_a_wish_for_another_protocol_is_passed_over_in_silence(server, protocol):
    logged = len(server.log)
    with connect(server) as channel:
        channel.sendall(LIVE + b"Connection: Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n")
        assert heard(channel).startswith(b"HTTP/1.1 200 ")
    assert len(server.log) == logged


ANSWERS = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10
"""Some 240 kB of answers."""


def unread(server: Server) -> socket.socket:
    """A connection whose client asks until nothing more is taken from it, and does not read."""
    channel = socket.socket()
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    channel.connect(("127.0.0.1", server.port))
    channel.settimeout(0.3)
    with contextlib.suppress(OSError):
        for _ in range(40):  # the kernel itself holds some megabytes
            channel.sendall(ANSWERS)
            time.sleep(0.03)
    return channel


def test_a_client_that_does_not_read_is_closed(server):
    before, memory = errors(server, "answer-not-read"), resident(server)
    channels = [unread(server) for _ in range(3)]
    wait_until(lambda: errors(server, "answer-not-read") == before + 3)
    assert resident(server) - memory < 8 * MIB
    assert [entry for entry in server.log if entry["level"] != "info"] == []
    for channel in channels:
        channel.close()


def test_a_client_that_reads_late_gets_all_of_it(server):
    with connect(server) as channel:
        channel.sendall(ANSWERS + LIVE + b"Connection: close\r\n\r\n")
        time.sleep(0.7)
        said = heard(channel)
    assert said.count(b"HTTP/1.1 200 ") == 11


def test_stopping_does_not_wait_for_those_who_do_not_read(tmp_path):
    (tmp_path / "home").mkdir()
    caps = {"SEND_SECONDS": 60, "DRAIN_SECONDS": 1.5}
    with running("--bundle", make_bundle(tmp_path), home=tmp_path / "home", caps=caps) as server:
        channels: list[socket.socket] = []
        threads = [threading.Thread(target=lambda: channels.append(unread(server))) for _ in range(3)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(20) == 0
        assert time.monotonic() - started < 8
        assert [entry for entry in server.log if entry["level"] != "info"] == []
        for channel in channels:
            channel.close()
