"""Where an external meter's lines come from: a file that grows, a pipe, a serial line, or answers over HTTP.

``take`` returns the lines that have come since it was called last, and never waits for one, but for HTTP, where every
call is one request. What breaks off is opened again by the next call.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urlsplit

from edge_runtime.errors import MeterError, SensorError
from edge_runtime.limits import METER_ANSWER_BYTES, METER_LINE_BYTES

CHUNK = 64 * 1024
HTTP_SECONDS = 2.0
"""How long a request may take."""
SHELLY = "apower"
"""The field with the watts in the answer of a Shelly plug of the second generation or later:
https://shelly-api-docs.shelly.cloud/gen2/ComponentsAndServices/Switch"""


class Feed(ABC):
    """A source of lines. ``overlong``: lines passed over for their length."""

    overlong = 0

    @abstractmethod
    def take(self) -> list[str]:
        """Lines since the last call. Raises SensorError."""

    def close(self) -> None:
        """Let go; calling it twice does no harm."""
        return


class Stream(Feed):
    """A file, read from its present end on; a named pipe; or a serial line, set to ``baud`` and raw bytes."""

    def __init__(self, path: Path, baud: int = 9600) -> None:
        self._path, self._baud = path, baud
        self._file: int | None = None
        self._rest = b""
        self._skip = False
        self._regular = self._serial = False

    def take(self) -> list[str]:
        first = self._file is None
        try:
            if self._file is None:
                self._open()
            data = b"" if first and self._regular else self._read()
        except OSError as error:
            self.close()
            denied = isinstance(error, PermissionError)
            advice = "; serial lines are for the group dialout: sudo usermod -aG dialout $USER" if denied else ""
            raise SensorError(f"{self._path}: {error.strerror or error}{advice}") from None
        return self._split(data)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file, self._rest, self._skip = None, b"", False

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        self._regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        self._serial = os.isatty(self._file)
        if self._regular:
            end = os.lseek(self._file, 0, os.SEEK_END)
            self._skip = end > 0 and os.pread(self._file, 1, end - 1) != b"\n"
        elif self._serial:
            _raw(self._file, self._baud)
            self._skip = True

    def _read(self) -> bytes:
        if self._regular and os.lseek(self._file, 0, os.SEEK_CUR) > os.fstat(self._file).st_size:
            os.lseek(self._file, 0, os.SEEK_SET)  # it was cut off and begun anew
        data = b""
        while True:
            try:
                chunk = os.read(self._file, CHUNK)
            except BlockingIOError:
                return data
            if not chunk and self._serial:
                raise OSError(errno.EIO, "the line was hung up")
            data += chunk
            if len(chunk) < CHUNK:
                return data

    def _split(self, data: bytes) -> list[str]:
        *lines, rest = (self._rest + data).split(b"\n")
        if self._skip and lines:  # the line that was being written when this began
            lines, self._skip = lines[1:], False
        if len(rest) > METER_LINE_BYTES:
            self.overlong += not self._skip
            rest, self._skip = b"", True
        self._rest = rest
        short = [line for line in lines if len(line) <= METER_LINE_BYTES]
        self.overlong += len(lines) - len(short)
        return [line.decode("utf-8", "replace").strip("\r\0 ") for line in short]


class Http(Feed):
    """Answers to GET: JSON with the value at ``field``, such as "apower" or "meters.0.power", or text whose last line
    follows the line protocol. ``unit`` is the value's in JSON. Requests go past any proxy."""

    def __init__(self, url: str, field: str = SHELLY, unit: str = "W") -> None:
        from urllib.request import ProxyHandler, build_opener

        self._url, self._field, self._unit = url, field, unit
        self._opener = build_opener(ProxyHandler({}))

    def take(self) -> list[str]:
        from http.client import HTTPException

        try:
            with self._opener.open(self._url, timeout=HTTP_SECONDS) as answer:
                body = answer.read(METER_ANSWER_BYTES + 1)
        except (OSError, HTTPException) as error:
            code = getattr(error, "code", None)
            password = "; a meter that asks for a password is not supported" if code == 401 else ""
            raise SensorError(f"{self._url}: no answer: {getattr(error, 'reason', error)}{password}") from None
        if len(body) > METER_ANSWER_BYTES:
            raise SensorError(f"{self._url}: an answer of more than {METER_ANSWER_BYTES} bytes is none of a meter")
        text = body.decode("utf-8", "replace").strip()
        if text.startswith(("{", "[")):
            return [self._value(text)]
        return text.splitlines()[-1:]

    def _value(self, text: str) -> str:
        try:
            value: Any = json.loads(text)
            for part in self._field.split("."):
                value = value[int(part)] if isinstance(value, list) else value[part]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise SensorError(f"{self._url}: the answer is no JSON with a number at {self._field!r}") from None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise SensorError(f"{self._url}: {self._field!r} is {str(value)[:40]!r} and not a number")
        return f"{value!r} {self._unit}"


def open_feed(name: str) -> Feed:
    """A feed by its name: ``http://plug/rpc/Switch.GetStatus?id=0``, with ``#meters.0.power`` or
    ``#aenergy.total:Wh`` for another field and unit; ``/dev/ttyUSB0`` or ``/dev/ttyUSB0?baud=115200``; a file or pipe.

    Raises MeterError for a name that is none of these.
    """
    if urlsplit(name).scheme in ("http", "https"):
        url, fragment = urldefrag(name)
        field, _, unit = fragment.partition(":")
        if unit not in ("", "W", "mW", "J", "Wh", "kWh"):
            raise MeterError(f"{name}: the unit {unit!r} is none of W, mW, J, Wh, kWh")
        return Http(url, field or SHELLY, unit or "W")
    path, question, options = name.partition("?baud=")
    if question and not options.isdecimal():
        raise MeterError(f"{name}: baud must be a whole number, such as 115200")
    if "://" in path or not os.path.exists(path):
        raise MeterError(f"{name}: there is no such file or device, and it is no http:// or https:// address")
    if os.path.isdir(path):
        raise MeterError(f"{name} is a folder; a meter is a file, a pipe, a serial device or an http:// address")
    return Stream(Path(path), int(options or 9600))


def _raw(file: int, baud: int) -> None:
    """Set a serial line to its speed, and to bytes as they come."""
    import termios
    import tty

    speed = getattr(termios, f"B{baud}", None)
    if speed is None:
        raise SensorError(f"this system knows no serial line of {baud} baud")
    tty.setraw(file)
    settings = termios.tcgetattr(file)
    settings[4] = settings[5] = speed
    termios.tcsetattr(file, termios.TCSANOW, settings)
    termios.tcflush(file, termios.TCIFLUSH)
