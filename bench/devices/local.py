"""This machine: the program that runs on every device, in a fresh process here.

The process that measures is not the one that shows, for that one has torch and much else in memory and threads of its
own. The plan's files are linked into a folder of their own, or copied where that cannot be done, so that what runs
finds them as it would on a far device. It ends when this process does, however that ends: it holds the other end of
its standard input (``--attached``).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from compress.bench.devices.base import EVENTS_FILE, PLAN_FILE, OnEvent
from compress.errors import DeviceError
from edge_runtime.probes.plan import Plan, to_json

POLL_SECONDS = 0.2
"""Between two looks at what was written: each takes processor time from what is being timed, if only a little."""
CLOSING_SECONDS = 30.0
"""That a measurement which is interrupted may take to end by itself."""
TOLD = 1000
"""Characters of a program's last words that become part of a message."""


class Local:
    """The machine that this runs on."""

    def __init__(self, name: str = "this-machine") -> None:
        self.name = name

    def run(self, plan: Plan, files: Mapping[str, Path], on_event: OnEvent, *, folder: Path) -> None:
        """See ``base.Device``. Ctrl-C ends the measurement, which closes its file, and passes on."""
        folder.mkdir(parents=True, exist_ok=True)
        events = (folder / EVENTS_FILE).absolute()
        with tempfile.TemporaryDirectory(prefix="bench-", dir=folder) as work, contextlib.ExitStack() as stack:
            place(files, Path(work))
            (Path(work) / PLAN_FILE).write_text(to_json(plan))
            words = stack.enter_context(tempfile.TemporaryFile())
            command = [sys.executable, "-m", "edge_runtime", "bench", PLAN_FILE, "-o", str(events)]
            child = stack.enter_context(
                subprocess.Popen(
                    [*command, "--resume", "--attached"],
                    stdin=subprocess.PIPE,
                    stdout=words,
                    stderr=words,
                    cwd=work,
                    env=_environment(),
                    start_new_session=True,  # Ctrl-C is handed on once, by us
                )
            )
            stack.callback(_end, child)
            try:
                self._follow(child, events, on_event)
            except BaseException:
                child.send_signal(signal.SIGTERM)  # in the background of a shell script SIGINT is ignored
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(CLOSING_SECONDS)
                raise
            self._judge(child.returncode, words, events)

    def _follow(self, child: subprocess.Popen, events: Path, on_event: OnEvent) -> None:
        """Hand on events until the process is over and all are read."""
        follower = Follower(events, on_event)
        while child.poll() is None:
            follower.read()
            time.sleep(POLL_SECONDS)
        follower.read()

    def _judge(self, status: int, words: IO[bytes], events: Path) -> None:
        if status == 0:
            return
        words.seek(0)
        last = words.read().decode(errors="replace").strip()[-TOLD:]
        kept = f"what was measured is in {events.name}; run it again to go on from there" if events.exists() else ""
        if status < 0:
            crash = signal.Signals(-status).name
            last = f"ended by {crash}{', most likely for want of memory' if crash == 'SIGKILL' else ''} {last[-200:]}"
        raise DeviceError("; ".join(filter(None, [f"{self.name}: the measurement failed: {last.strip()}", kept])))


class Follower:
    """Reads a file of events that another process is writing, a whole line at a time."""

    def __init__(self, path: Path, on_event: OnEvent) -> None:
        self._path, self._on_event = path, on_event
        self._at = 0

    def read(self) -> None:
        """Hand on what is new. A line that is no event is passed over: it was cut off, and will be taken away."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                new = file.read()
        except FileNotFoundError:
            return
        whole = new[: new.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                self._on_event(event)


def place(files: Mapping[str, Path], folder: Path) -> None:
    """Put files where a plan in ``folder`` looks for them. Raises DeviceError for one that is missing.

    Hard links, not symbolic ones: an engine that follows those looks for a model's weights beside the original.
    """
    for name, source in files.items():
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source.resolve(), to)
        except FileNotFoundError:
            raise DeviceError(f"{source}: there is no such file") from None
        except OSError:
            try:
                shutil.copyfile(source, to)
            except OSError as error:
                raise DeviceError(f"{source} cannot be copied to {folder}: {error.strerror or error}") from None


def _end(child: subprocess.Popen) -> None:
    """Whatever is left of the process and its own children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _environment() -> dict[str, str]:
    """This process's; what it imports from relative places is found from another folder too, and nothing from there."""
    places = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    found = os.pathsep.join(map(os.path.abspath, places))
    return os.environ | {"PYTHONSAFEPATH": "1"} | ({"PYTHONPATH": found} if found else {})
