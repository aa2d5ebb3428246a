"""The socket to serve on: of an address, or a file."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from edge_runtime.errors import ListenError

BACKLOG = 2048


def at_address(host: str, port: int) -> socket.socket:
    """Raises ListenError when the address cannot be had."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        raise ListenError(
            f"{host}:{port}: cannot listen there: {_words(error)}; choose another with --host and --port"
        ) from error


def at_file(path: Path) -> socket.socket:
    """A socket file that its owner and its group may use. Raises ListenError when it cannot be made."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        _make_way(path)
        listener.bind(str(path))
        return listener
    except OSError as error:
        listener.close()
        raise ListenError(f"{path}: cannot listen there: {_words(error)}; choose another with --unix") from error
    except ListenError:
        listener.close()
        raise
    finally:
        os.umask(before)


def _make_way(path: Path) -> None:
    """Remove the socket of a server that did not end by itself. Raises ListenError for any other file."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ListenError(f"{path}: is there already, and no socket; remove it, or choose another with --unix")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass
    raise ListenError(f"{path}: another server listens there; stop it, or choose another with --unix")


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
