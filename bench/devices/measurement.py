"""One plan on one device: from the login to the last event, over as many connections as it takes (``ssh``)."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from compress.bench.devices.base import EVENTS_FILE, PLAN_FILE, OnEvent
from compress.bench.devices.ending import judge, mismatch
from compress.bench.devices.far import Far
from compress.bench.devices.openssh import Connection
from compress.bench.devices.parcels import Kept, Parcel
from compress.bench.devices.survey import Survey
from compress.bench.words import size as in_bytes
from compress.digest import digest
from compress.errors import DeviceError, LostError, MismatchError, SpaceError, UnreachableError
from compress.targets.address import Address
from compress.targets.target import Target
from edge_runtime.probes.plan import Plan, to_json

SPARE_BYTES = 64 * 1024**2
"""What must stay free there: compiled Python, events, and the engines' own scratch files."""
STALE_SECONDS = 86400.0
"""What an earlier program of ours left running there is collected within a day; then it is thrown away."""
RESTARTS = 3
STOP_SECONDS = 20.0
LONGEST_PAUSE = 30.0
PIECE_BYTES = 128 * 1024

Keep = Literal["nothing", "packages", "all"]
Wheels = Callable[[Survey, Plan], list[Path]]


@dataclass(frozen=True)
class Settings:
    """What ``Ssh`` was made with. ``stopping`` is set to end a measurement from outside."""

    name: str
    address: Address
    target: Target | None
    options: tuple[str, ...]
    python: str | None
    folder: str | None
    environment: Mapping[str, str]
    keep: Keep
    patience: float
    wheels: Wheels
    say: Callable[[str], object]
    stopping: threading.Event


class Measurement:
    """One plan on one device."""

    def __init__(
        self, device: Settings, plan: Plan, files: Mapping[str, Path], on_event: OnEvent, folder: Path
    ) -> None:
        self.device, self.plan, self.on_event = device, plan, on_event
        self.files = {PLAN_FILE: Parcel.of("the plan", to_json(plan).encode())}
        self.files |= {path: Parcel.of(Path(path).name, source) for path, source in files.items()}
        self.key = digest({path: parcel.digest for path, parcel in self.files.items()})[:16]
        self.kept = Kept(folder / EVENTS_FILE)
        self.connection = Connection(device.address, device.options)
        self.far: Far | None = None
        self.started = False
        self.restarts = 0
        self.broken, self.heard = False, time.monotonic()

    def run(self) -> None:
        for line in self.kept.read().splitlines():
            self._tell(line)
        try:
            self.connection.open()
            try:
                while not self._done():
                    pass
            except LostError:  # it goes on there
                raise
            except BaseException:
                self._abandon()
                raise
            self._leave()
        finally:
            self.connection.close()

    def _done(self) -> bool:
        """Whether all events are here; False after a connection was lost, and another one made."""
        try:
            self._attend()
        except LostError as error:
            self._reconnect(error)
            return False
        return True

    def _attend(self) -> None:
        """Everything from a new connection to the last event."""
        device = self.device
        far = self.far = Far.meet(self.connection, device.python, device.folder)
        if device.target and device.target.arch != far.survey.arch:
            raise MismatchError(
                f"{device.address} is {far.survey.arch} ({far.survey.words()}), and the target {device.target.name} is "
                f"{device.target.arch}; is it the right address? A 64-bit target needs a 64-bit system"
            )
        while True:
            state = far.call("state", self.key, self.kept.size)
            work = state["work"]
            if work["is"] in ("running", "ended", "gone"):
                if not self._is_ours(state):
                    self._remove("all")
                    continue
                self._follow()
                work = far.call("status", self.key)
                if work["is"] in ("ended", "gone"):
                    return judge(work, str(device.address))
                continue
            if work["is"] == "rebooted":
                self._count_restart()
            elif work["left"] and not self.kept.size:
                self._remove("all")
            self._start(state)

    def _is_ours(self, state: dict) -> bool:
        """Whether the file there continues ours. A program of ours that died may have left it."""
        same = state["prefix"] == self.kept.digest() or not self.kept.size
        return same and (self.started or state["work"]["age"] < STALE_SECONDS)

    def _start(self, state: dict) -> None:
        far, device = self.far, self.device
        assert far
        if not self.started:
            device.say(f"{device.name}: {far.survey.words()}, {in_bytes(state['free'])} free; getting its packages")
        parcels = [Parcel.of(path.name, path) for path in device.wheels(far.survey, self.plan)]
        earlier = None
        if self.kept.size and state["prefix"] != self.kept.digest():
            earlier = Parcel.of("earlier events", self.kept.read())
        self._send(state, parcels, [*self.files.values(), *([earlier] if earlier else [])])
        job = {
            "files": {path: parcel.digest for path, parcel in self.files.items()},
            "packages": [parcel.digest for parcel in parcels],
            "command": [far.survey.python, "-m", "edge_runtime", "bench"],
            "environment": device.environment,
            "events": earlier and earlier.digest,
        }
        far.call("start", self.key, data=json.dumps(job).encode())
        self.started = True

    def _send(self, state: dict, packages: list[Parcel], files: list[Parcel]) -> None:
        missing = [parcel for parcel in packages if parcel.digest not in state["packages"]]
        missing += [parcel for parcel in files if parcel.digest not in state["files"]]
        # A wheel is removed once it is unpacked, so one of them lies there at a time.
        need = sum(parcel.unpacked for parcel in missing) + max((parcel.size for parcel in missing), default=0)
        need += SPARE_BYTES
        if need > state["free"]:
            raise SpaceError(
                f"{self.device.address}: {in_bytes(state['free'])} are free in {self.far.survey.folder}, and "
                f"{in_bytes(need)} are needed; free some space there, or choose another folder"
            )
        if missing:
            kinds = ["package" if parcel in packages else "file" for parcel in missing]
            there = [state["incoming"].get(parcel.digest, 0) for parcel in missing]
            offsets = [size if size < parcel.size else 0 for size, parcel in zip(there, missing, strict=True)]
            self.far.call("receive", data=self._pieces(kinds, missing, offsets))

    def _pieces(self, kinds: list[str], parcels: list[Parcel], offsets: list[int]) -> Iterator[bytes]:
        """What ``agent.receive`` reads; how far it has come is told after each piece."""
        listed = zip(kinds, parcels, offsets, strict=True)
        yield json.dumps([(kind, parcel.digest, parcel.size, offset) for kind, parcel, offset in listed]).encode()
        yield b"\n"
        for parcel, offset in zip(parcels, offsets, strict=True):
            done, what = offset, f"sending {parcel.name}"
            with parcel.open() as source:
                source.seek(offset)
                while piece := source.read(PIECE_BYTES):
                    yield piece
                    self._stop_if_asked()
                    self._hear()
                    done += len(piece)
                    self.on_event({"event": "progress", "what": what, "done": done, "of": parcel.size})

    def _follow(self) -> None:
        """Keep the events that come, line by line, until the measurement there has ended."""
        self.kept.forget_rest()
        for piece in self.far.follow(self.key, self.kept.size):
            self._stop_if_asked()
            self._hear()
            for line in self.kept.add(piece):
                self._tell(line)

    def _tell(self, line: bytes) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise DeviceError(f"{self.device.address}: what came is no event: {line[:200]!r}")
        target = self.device.target
        if event.get("event") == "begin" and target and (why := mismatch(target, event)):
            self.device.say(f"{self.device.name}: these are not figures of {target.title}: {why}")
        self.on_event(event)

    def _count_restart(self) -> None:
        self.restarts += 1
        if self.restarts > RESTARTS:
            raise DeviceError(
                f"{self.device.address} was started again {self.restarts} times during the measurement; look at its "
                "power supply and its temperature. What came before is kept"
            )
        self.device.say(f"{self.device.name} was started again; going on after what is done")

    def _reconnect(self, error: LostError) -> None:
        if self.broken and time.monotonic() - self.heard > self.device.patience:
            raise LostError(f"{error}, again and again, for {self.device.patience:.0f} s") from error
        self.broken = True
        self.device.say(f"{error}; trying again")
        end, pause = time.monotonic() + self.device.patience, 0.5
        why: Exception = error
        while True:
            if self.device.stopping.wait(pause):
                raise KeyboardInterrupt
            try:
                return self.connection.open()
            except UnreachableError as still:
                why = still
            if time.monotonic() > end:
                break
            pause = min(2 * pause, LONGEST_PAUSE)
        raise LostError(
            f"{self.device.address} was out of reach for {self.device.patience:.0f} s ({why}). What came is kept in "
            f"{self.kept.path}. What was started there goes on by itself: go on from there within a day to collect it"
        )

    def _abandon(self) -> None:
        """After Ctrl-C or an error: end it there, and fetch what it still said."""
        self.device.stopping.clear()
        with contextlib.suppress(Exception):  # there is an error already, and it is the one to tell
            if self.far:
                self.far.call("stop", self.key, STOP_SECONDS)
                self._follow()
        self._leave()

    def _leave(self) -> None:
        """Clean up there. That it fails is told, and is no reason to lose results."""
        if not self.far:
            return
        try:
            self._remove(self.device.keep)
        except DeviceError as error:
            self.device.say(f"{self.device.name}: {self.far.survey.folder} could not be cleaned up: {error}")

    def _remove(self, keep: Keep) -> None:
        digests = json.dumps([file.digest for file in self.files.values()]).encode()
        self.far.call("clean", self.key, keep, STOP_SECONDS, data=digests)

    def _hear(self) -> None:
        self.broken, self.heard = False, time.monotonic()

    def _stop_if_asked(self) -> None:
        if self.device.stopping.is_set():
            raise KeyboardInterrupt
