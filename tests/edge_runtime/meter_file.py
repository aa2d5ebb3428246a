"""A meter's file that grows while a test runs: 3 W, and 5 W more while somebody calls."""

from __future__ import annotations

import threading
import time
from pathlib import Path

IDLE, LOAD = 3.0, 8.0


class MeterFile:
    """``with MeterFile(path) as meter``: a line each 10 ms, of the watts that ``call`` leads to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._called = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def call(self) -> None:
        """Work for a millisecond."""
        self._called = time.monotonic()
        time.sleep(0.001)

    def _write(self) -> None:
        with self.path.open("a", buffering=1) as file:
            while not self._stop.wait(0.01):
                busy = time.monotonic() - self._called < 0.05
                file.write(f"{time.monotonic():.4f},{LOAD if busy else IDLE}\n")

    def __enter__(self) -> MeterFile:
        self.path.touch()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
