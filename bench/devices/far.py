"""The other end: what a device is asked to do, and what it answers. Its part is ``agent.py``, sent there at login."""

from __future__ import annotations

import hashlib
import json
import os
import select
import shlex
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from compress.bench.devices import survey as surveys
from compress.bench.devices.openssh import Connection, stop
from compress.errors import BusyError, DeviceError, LostError, SpaceError
from edge_runtime.cli import printable

AGENT = Path(__file__).with_name("agent.py")
MARKER = b"\x1eedge-runtime-bench\n"
PIECE_BYTES = 128 * 1024
LOOK_SECONDS = 0.2


class Far:
    """A device at the end of an open connection."""

    def __init__(self, connection: Connection, survey: surveys.Survey) -> None:
        self.survey, self._connection = survey, connection

    @classmethod
    def meet(cls, connection: Connection, python: str | None, folder: str | None) -> Far:
        """See what is there, and send the agent. ``folder``: where our things go, else the user's cache.

        Raises DeviceError by kind: no Python that will do, no place for the folder.
        """
        candidates = (python,) if python else surveys.PYTHONS
        said = connection.run("sh -s", data=surveys.script(python, folder, _agent_name()))
        survey = surveys.read(said, str(connection.address), candidates)
        if not survey.agent:
            _send_agent(connection, survey.folder)
        return cls(connection, survey)

    def call(self, *words: object, data: bytes | Iterable[bytes] = b"") -> dict[str, Any]:
        """The agent's answer. Raises LostError, SpaceError, BusyError, or DeviceError for all else."""
        said = self._connection.run(self._command(*words), data=data)
        where = self._connection.address
        try:
            answer = json.loads(said.partition(MARKER)[2])
        except ValueError as error:
            raise DeviceError(f"{where}: '{words[0]}' was answered with {said[-200:]!r}, which is no answer") from error
        if "error" not in answer:
            return answer
        what = printable(answer["message"])
        if answer["error"] == "space":
            raise SpaceError(f"{where}: no space is left ({what}); free some, or choose another folder there")
        if answer["error"] == "busy":
            raise BusyError(f"{where}: {what}, and two at a time would both be wrong. Wait for it, or end it there")
        raise DeviceError(f"{where}: {what}")

    def follow(self, key: str, offset: int) -> Iterator[bytes]:
        """The bytes of the events from ``offset`` on, as they come; empty ones when there are none for a while.

        Ends when what writes them has. Raises LostError when the connection breaks.
        """
        with tempfile.TemporaryFile() as errors:
            process = self._connection.start(
                self._command("follow", key, offset), stdout=subprocess.PIPE, stderr=errors
            )
            assert process.stdout and process.stdin
            begun, before = False, b""
            try:
                while True:
                    if not select.select([process.stdout], [], [], LOOK_SECONDS)[0]:
                        yield b""
                        continue
                    piece = os.read(process.stdout.fileno(), PIECE_BYTES)
                    if not piece:
                        break
                    if not begun:
                        before += piece
                        _, begun, piece = before.partition(MARKER)
                    yield piece
                process.wait()
            finally:
                process.stdin.close()
                stop(process)
                process.stdout.close()
            errors.seek(0)
            self._connection.check(process.returncode, errors.read())

    def _command(self, *words: object) -> str:
        place = f"{self.survey.folder}/{_agent_name()}"
        return shlex.join([self.survey.python, place, self.survey.folder, *map(str, words)])


def _send_agent(connection: Connection, folder: str) -> None:
    put = 'umask 077; mkdir -p "$1" && cat > "$1/$2.new" && mv "$1/$2.new" "$1/$2"'
    try:
        connection.run(shlex.join(["sh", "-c", put, "sh", folder, _agent_name()]), data=AGENT.read_bytes())
    except LostError:
        raise
    except DeviceError as error:
        kind = SpaceError if "No space left" in str(error) else DeviceError
        advice = f"Nothing can be kept in {folder}: free some space, or choose another folder"
        raise kind(f"{error}. {advice}") from error


@cache
def _agent_name() -> str:
    """Another name for another version: one that is running is not replaced."""
    return f"agent-{hashlib.sha256(AGENT.read_bytes()).hexdigest()[:12]}.py"
