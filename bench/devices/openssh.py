"""A connection to a device: the system's own ``ssh``, one login, and as many commands over it as are wanted.

1. ``open`` starts a master (``ssh -M -N``) as a child of this process and waits for its socket, which appears once the
   device has let us in. Until then nothing runs there.
2. ``run`` and ``start`` are further ``ssh`` processes that hand their pipes to the master: no new login.
3. ``close`` ends the master. When it ends by itself, the connection is lost.

``~/.ssh/config``, agents, jump hosts and known hosts are those of the user's own ssh, and its strictness too: nothing
here accepts an unknown host key. What would ask a question at the terminal is refused instead (``BatchMode``). Why not
a library: docs/decisions.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from compress.errors import DeviceError, HostKeyError, LoginError, LostError, UnreachableError
from compress.targets.address import Address
from edge_runtime.cli import printable

OPTIONS = {
    "BatchMode": "yes",
    "ControlPersist": "no",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "LogLevel": "ERROR",
}
FAILED = 255
"""ssh's exit status when it is the connection that failed, not the command."""
KILLED = 128
"""A shell's exit status above this is of a command that a signal ended: also a connection's end may look so."""
SOCKET_PATH_BYTES = 80
"""A socket's path may have 104 bytes on some systems, and ssh appends some of its own."""


class Connection:
    """``options``: more arguments of ssh, such as ``("-F", "my-config")``. ``limit``: seconds to wait for an answer."""

    def __init__(self, address: Address, options: Sequence[str] = (), *, limit: float = 15.0) -> None:
        self.address = address
        self._options, self._limit = tuple(options), limit
        self._folder: Path | None = None
        self._master: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Log in. Raises DeviceError, by kind, saying what to do."""
        self.close()
        if not shutil.which("ssh"):
            raise DeviceError("there is no ssh command here; install OpenSSH's client (Debian: openssh-client)")
        folder = Path(tempfile.mkdtemp(prefix="compress-ssh-"))
        if len(str(folder)) > SOCKET_PATH_BYTES:
            folder.rmdir()
            folder = Path(tempfile.mkdtemp(prefix="compress-ssh-", dir="/tmp"))
        self._folder = folder
        said = folder / "said"
        with said.open("wb") as errors:
            self._master = _ssh([*self._common(), "-M", "-N", *self.address.arguments], stderr=errors)
        end = time.monotonic() + self._limit
        try:
            while not self._socket.exists():
                if self._master.poll() is not None:
                    raise explain(self.address, said.read_text("utf-8", "replace"))
                if time.monotonic() > end:
                    raise _unreachable(self.address, f"no answer within {self._limit:.0f} s")
                time.sleep(0.02)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the connection, if there is one."""
        if self._master:
            self._master.terminate()
            try:
                self._master.wait(5)
            except subprocess.TimeoutExpired:
                self._master.kill()
                self._master.wait()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._master = self._folder = None

    @property
    def is_open(self) -> bool:
        return self._master is not None and self._master.poll() is None

    def run(self, command: str, *, data: bytes | Iterable[bytes] = b"") -> bytes:
        """What ``command`` prints there; ``data`` is its input, in pieces where it is long.

        Raises LostError when the connection breaks, DeviceError when the command fails.
        """
        with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as output:
            # Both go to files: nobody reads them while the input is written, and a full pipe would stop the command.
            process = self.start(command, stdout=output, stderr=errors)
            try:
                with suppress(BrokenPipeError):  # it ended early; its status tells why
                    _feed(process.stdin, [data] if isinstance(data, bytes) else data)
                process.wait()
            finally:
                stop(process)
            errors.seek(0)
            output.seek(0)
            self.check(process.returncode, errors.read())
            return output.read()

    def start(self, command: str, *, stdout: int | IO[bytes], stderr: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """``command`` there, running. It ends with its input. Raises LostError when there is no connection."""
        if not self.is_open:
            raise LostError(f"the connection to {self.address} broke")
        arguments = [*self._common(), *self.address.arguments, command]
        return _ssh(arguments, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr)

    def check(self, status: int, errors: bytes) -> None:
        """Raises LostError or DeviceError for the exit status of a command that failed."""
        words = _last_line(errors.decode("utf-8", "replace"))
        if status == FAILED or status < 0 or status > KILLED:
            raise LostError(f"the connection to {self.address} broke{f' ({words})' if words else ''}")
        if status:
            raise DeviceError(f"{self.address}: a command failed with status {status}: {words or 'it said nothing'}")

    @property
    def _socket(self) -> Path:
        assert self._folder
        return self._folder / "socket"

    def _common(self) -> list[str]:
        named = [word for key, value in OPTIONS.items() for word in ("-o", f"{key}={value}")]
        return [*self._options, *named, "-o", f"ConnectTimeout={self._limit:.0f}", "-S", str(self._socket)]


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a local ssh process, if it has not ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def explain(address: Address, said: str) -> DeviceError:
    """The error for what ssh said when it could not log in."""
    by_hand = f"ssh {' '.join(address.arguments)}"
    known_as = f"[{address.host}]:{address.port}" if address.port not in (None, 22) else address.host
    if "HOST IDENTIFICATION HAS CHANGED" in said:
        return HostKeyError(
            f"{address}: the host key is not the one this device had before. If it was installed anew, forget the old "
            f"one with ssh-keygen -R '{known_as}' and log in once by hand; otherwise another machine answers there"
        )
    if "Host key verification failed" in said or "host key is known" in said:
        return HostKeyError(
            f"{address}: its host key is not known here. Log in once by hand ({by_hand}) and compare the fingerprint "
            "with the device's own: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
        )
    if "Permission denied" in said or "Too many authentication failures" in said:
        return LoginError(
            f"{address}: {_last_line(said)}. Keys are used, never passwords: copy yours there with "
            f"ssh-copy-id {' '.join(address.arguments)}, and unlock it with ssh-add if it has a passphrase"
        )
    return _unreachable(address, _last_line(said) or "ssh ended without a word")


def _unreachable(address: Address, why: str) -> UnreachableError:
    advice = f"is it on, and in this network? Try: ssh {' '.join(address.arguments)}"
    return UnreachableError(f"{address} cannot be reached: {why}; {advice}")


def _ssh(arguments: Sequence[str], **streams: int | IO[bytes]) -> subprocess.Popen[bytes]:
    # A session of its own: Ctrl-C at the terminal is for this program, which then still needs the connection.
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL} | streams
    return subprocess.Popen(["ssh", *arguments], start_new_session=True, **streams)


def _feed(pipe: IO[bytes] | None, data: Iterable[bytes]) -> None:
    assert pipe
    try:
        for piece in data:
            pipe.write(piece)
            pipe.flush()
    finally:
        pipe.close()


def _last_line(text: str) -> str:
    return printable(next((line.strip() for line in reversed(text.splitlines()) if line.strip()), ""))
