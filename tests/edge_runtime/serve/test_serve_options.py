"""What is wrong with an option is said in one sentence, before anything is opened."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from bundles import make_bundle
from serving import refused, running

from edge_runtime.cli import main


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--port", "99999", "from 0 to 65535"),
        ("--port", "-1", "from 0 to 65535"),
        ("--port", "http", "whole number"),
        ("--parallel", "100000", "from 1 to 64"),
        ("--threads", "100000", "from 1 to 256"),
        ("--batch", "0", "at least 1"),
        ("--queue", "x", "at least 1"),
        ("--timeout", "31", "to 30"),
        ("--timeout", "nan", "to 30"),
        ("--spacing", "-1", "from 0 to 86400"),
        ("--spacing", "often", "from 0 to 86400"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_can(option, value, words, capsys):
    assert main(["serve", f"{option}={value}"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert f"argument {option}: must be a " in said and words in said


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.mark.integration
@pytest.mark.parametrize("host", ["a" * 70, "no.such.host.invalid", "1.2.3.4.5"])
def test_an_address_that_is_none_is_refused(host, home, tmp_path):
    (tmp_path / "token").write_text("x" * 40)
    (tmp_path / "token").chmod(0o600)
    said = refused("--host", host, "--token-file", tmp_path / "token", home=home)
    assert "error[listen-refused]" in said and host in said and "Traceback" not in said


@pytest.mark.integration
def test_a_socket_file_is_not_put_where_something_else_is(home, tmp_path):
    other = tmp_path / "precious"
    other.write_text("data")
    said = refused("--unix", other, home=home)
    assert "error[listen-refused]" in said and "--unix" in said and "--port" not in said
    assert other.read_text() == "data"
    assert "error[listen-refused]" in refused("--unix", tmp_path / ("x" * 120), home=home)


@pytest.mark.integration
def test_a_socket_file_of_a_server_that_lives_is_left_to_it(home, tmp_path):
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(tmp_path / "edge.sock"))
        living.listen()
        assert "another server" in refused("--unix", tmp_path / "edge.sock", home=home)
    assert (tmp_path / "edge.sock").exists()


@pytest.mark.integration
def test_a_server_answers_to_the_address_that_it_was_told_to_listen_on(home, tmp_path):
    with (
        running("--bundle", make_bundle(tmp_path), "--host", "127.0.0.2", home=home, ready=False) as server,
        socket.create_connection(("127.0.0.2", server.port), timeout=10) as channel,
    ):
        channel.sendall(b"GET /v2 HTTP/1.1\r\nHost: 127.0.0.2:%d\r\n\r\n" % server.port)
        assert channel.recv(1000).startswith(b"HTTP/1.1 200")
