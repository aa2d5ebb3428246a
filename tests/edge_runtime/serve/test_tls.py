"""TLS: what the server starts with, and clients that open connections and do not shake hands."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import time
from pathlib import Path

import pytest
from bundles import make_bundle
from serving import Server, connect, refused, running, wait_until

pytestmark = pytest.mark.integration

ASK = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """certificate.pem, key.pem, and beside them what can be taken for one."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("key", "other"):
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", folder / f"{name}.pem", "-out", folder / f"{name}-certificate.pem"),
        )
    (folder / "key-certificate.pem").rename(folder / "certificate.pem")
    openssl("pkey", "-in", folder / "key.pem", "-aes256", "-passout", "pass:abcd", "-out", folder / "encrypted.pem")
    (folder / "open.pem").write_bytes((folder / "key.pem").read_bytes())
    (folder / "garbage.pem").write_text("garbage\n")
    for path in folder.iterdir():
        path.chmod(0o644 if path.name == "open.pem" else 0o600)
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def tls(files: Path, certificate: str = "certificate.pem", key: str = "key.pem") -> tuple[str | Path, ...]:
    return ("--tls-certificate", files / certificate, "--tls-key", files / key)


def answer(server: Server, files: Path) -> bytes:
    context = ssl.create_default_context(cafile=str(files / "certificate.pem"))
    with context.wrap_socket(connect(server), server_hostname="localhost") as channel:
        assert channel.version() in ("TLSv1.2", "TLSv1.3")
        channel.sendall(ASK)
        return channel.recv(1000)


def answer_or_nothing(server: Server, files: Path) -> bytes:
    try:
        return answer(server, files)
    except OSError:
        return b""


def test_requests_are_answered_over_tls(home, tmp_path, files):
    with running("--bundle", make_bundle(tmp_path), *tls(files), home=home, ready=False) as server:
        assert answer(server, files).startswith(b"HTTP/1.1 200")
        with connect(server) as plain:
            plain.sendall(ASK)
            with contextlib.suppress(ConnectionResetError):
                assert b"HTTP" not in plain.recv(1000)
        assert server.stop() == 0
        assert [entry["level"] for entry in server.log] == ["info", "info"]


@pytest.mark.parametrize(
    ("certificate", "key", "words"),
    [
        ("missing.pem", "key.pem", ("missing.pem", "No such file")),
        ("certificate.pem", "missing.pem", ("missing.pem", "No such file")),
        ("garbage.pem", "key.pem", ("garbage.pem", "no certificate")),
        ("certificate.pem", "garbage.pem", ("garbage.pem", "no private key")),
        ("certificate.pem", "other.pem", ("other.pem", "not the key of")),
        ("certificate.pem", "encrypted.pem", ("encrypted.pem", "is encrypted")),
        ("certificate.pem", "open.pem", ("open.pem", "chmod 600")),
    ],
)
def test_a_file_that_cannot_be_used_is_named_before_anything_listens(home, files, certificate, key, words):
    said = refused(*tls(files, certificate, key), home=home)
    assert all(word in said for word in words) and said.startswith("error[") and said.count("\n") == 1
    assert "listening" not in said and "Traceback" not in said


@pytest.mark.parametrize("option", ["--tls-certificate", "--tls-key"])
def test_a_certificate_and_its_key_go_together(home, files, option):
    assert "error[listen-refused]" in refused(option, files / "key.pem", home=home)


def test_those_who_do_not_shake_hands_are_counted_and_sent_away(home, tmp_path, files):
    caps = {"CONNECTIONS": 4, "HANDSHAKE_SECONDS": 1.5}
    with running("--bundle", make_bundle(tmp_path), *tls(files), home=home, ready=False, caps=caps) as server:
        opened = time.monotonic()
        silent = [connect(server) for _ in range(4)]
        with connect(server) as fifth:
            assert closed(fifth)
        assert time.monotonic() - opened < 1.4, "too slow to tell one from the other"
        assert all(map(closed, silent))
        wait_until(lambda: b"HTTP/1.1 200" in answer_or_nothing(server, files))


def closed(channel: socket.socket) -> bool:
    try:
        return channel.recv(1) == b""
    except ConnectionResetError:
        return True
    finally:
        channel.close()
