"""Runs on the device, where it is sent as it is: keeps files, starts the measurement, and tells how it goes.

    python3 agent.py FOLDER COMMAND [ARGUMENT ...]

It needs a Python (3.10 or later) and its standard library. An answer is a marker line, which parts it from whatever
else a login prints, and then JSON, with ``error`` and ``message`` if it did not go well. In FOLDER are

    packages/SHA256/     a wheel, unpacked: one more entry of PYTHONPATH
    files/SHA256         a file of a plan
    incoming/SHA256      what has arrived of one
    work/KEY/            a measurement: plan.json, its files, events.jsonl, and
        started.json     what runs, since when, and the boot it belongs to
        ended.json       how it ended; written by ``supervise``, which outlives the connection
        log.txt          what it printed
    lock                 held while something is measured

Everything can be asked for twice: a connection may break after it was done and before it was told.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

MARKER = b"\x1eedge-runtime-bench\n"
PIECE = 1 << 17
FORGOTTEN_SECONDS = 30 * 86400.0
"""What nobody has used for so long is removed."""
LOOK_SECONDS = 0.5
"""Between two looks for new events: each wakes the processor that is being measured."""


class Refused(Exception):
    """``args`` are a code and words."""


def state(root: Path, key: str, known: str) -> dict:
    """What is here. ``prefix`` is the digest of the first ``known`` bytes of the events, if there are as many."""
    names = {kind: [] for kind in ("packages", "files")}
    for kind in names:
        with contextlib.suppress(FileNotFoundError):
            names[kind] = sorted(name for name in os.listdir(root / kind) if len(name) == 64)
    incoming = {path.name: path.stat().st_size for path in (root / "incoming").glob("*")}
    space = os.statvfs(root)
    prefix = _digest(root / "work" / key / "events.jsonl", int(known))
    free = space.f_bavail * space.f_frsize
    return {"free": free, "incoming": incoming, **names, "work": status(root, key), "prefix": prefix}


def receive(root: Path) -> dict:
    """Files, and wheels that become packages. Standard input begins with a line that lists them (``kind``, ``digest``,
    ``size``, ``offset``); then come their bytes, each from its offset on: what lies here before that stays."""
    for kind, digest, size, offset in json.loads(sys.stdin.buffer.readline()):
        arrived = root / "incoming" / digest
        arrived.parent.mkdir(exist_ok=True)
        with open(arrived, "ab") as out:
            out.truncate(offset)
            rest = size - offset
            while rest and (piece := sys.stdin.buffer.read(min(rest, PIECE))):
                out.write(piece)
                rest -= len(piece)
        if rest:  # the connection broke; the rest will come
            raise Refused("short", f"{size - rest} of {size} bytes arrived")
        if _digest(arrived) != digest:
            arrived.unlink()
            raise Refused("damaged", "a file arrived damaged, or was changed while it was sent; try again")
        target = root / f"{kind}s" / digest
        target.parent.mkdir(exist_ok=True)
        if kind == "package":
            _unpack(arrived, target)
            arrived.unlink()
        else:
            os.replace(arrived, target)
    return {}


def start(root: Path, key: str) -> dict:
    """Start what standard input describes: ``files`` (digest by path), ``packages``, ``python``, ``environment``,
    ``events`` (the digest of a file of earlier events to go on with, or None for those that are here)."""
    wanted = json.load(sys.stdin.buffer)
    work = root / "work" / key
    if status(root, key)["is"] in ("running", "ended"):
        return {}
    lock = _lock(root)
    for path, digest in wanted["files"].items():
        target = work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(root / "files" / digest, target)
    for digest in wanted["packages"]:
        os.utime(root / "packages" / digest)
    if wanted["events"]:
        shutil.copyfile(root / "files" / wanted["events"], work / "events.jsonl")
    _cut_unsound(work / "events.jsonl")
    for name in ("started.json", "ended.json"):
        (work / name).unlink(missing_ok=True)
    (work / "job.json").write_text(json.dumps(wanted))
    os.ftruncate(lock, 0)
    os.write(lock, key.encode())
    with open(work / "log.txt", "ab") as log:
        subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), str(root), "supervise", key],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, pass_fds=[lock],
        )  # fmt: skip
    for _ in range(200):
        if (work / "started.json").exists():
            return {}
        time.sleep(0.05)
    raise Refused("start", f"nothing started: {_log(work) or 'it said nothing'}")


def supervise(root: Path, key: str) -> None:
    """Run the measurement, and write down how it ended. The lock came with the open files."""
    work = root / "work" / key
    job = json.loads((work / "job.json").read_text())
    environment = {**os.environ, "PYTHONSAFEPATH": "1", **job["environment"]}
    found = [str(root / "packages" / digest) for digest in job["packages"]]
    environment["PYTHONPATH"] = os.pathsep.join([*found, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [*job["command"], "plan.json", "-o", "events.jsonl"]
    command += ["--resume"] if (work / "events.jsonl").exists() else []
    killed_before = _killed_for_memory()
    with open(work / "log.txt", "ab") as log:
        process = subprocess.Popen(
            command, cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    began = {"pid": process.pid, "ticks": _ticks(process.pid), "boot": _boot(), "at": time.time()}
    _write(work / "started.json", began)
    returned = process.wait()
    _write(work / "ended.json", {"status": returned, "memory": _killed_for_memory() > killed_before})


def status(root: Path, key: str) -> dict:
    """How the measurement is doing. ``is``: absent (``left``: there is a folder), running, ended (``status``,
    ``memory``), gone (without a word), or rebooted (the device was started again before it was done)."""
    work = root / "work" / key
    started, ended = _read(work / "started.json"), _read(work / "ended.json")
    if started is None:
        return {"is": "absent", "left": work.exists()}
    about = {"age": time.time() - started["at"], "log": _log(work)}
    if started["boot"] != _boot() and not (ended and ended["status"] == 0):  # shutting down may have ended it in time
        return {"is": "rebooted", **about}
    if ended is None and _ticks(started["pid"]) == started["ticks"]:
        return {"is": "running", **about}
    if ended is None:
        time.sleep(0.2)  # between its end and the note about it
        ended = _read(work / "ended.json")
    return {"is": "ended", **ended, **about} if ended else {"is": "gone", **about}


def follow(root: Path, key: str, offset: str) -> None:
    """The events from ``offset`` on, as they come, until what writes them has ended, or nobody listens."""
    path, out = root / "work" / key / "events.jsonl", sys.stdout.buffer
    while status(root, key)["is"] == "running" and not path.exists():
        if _hung_up(LOOK_SECONDS):
            return
    if not path.exists():
        return
    with open(path, "rb") as events:
        events.seek(int(offset))
        while True:
            over = status(root, key)["is"] != "running"  # before reading: what came in between is read
            while piece := events.read(PIECE):
                out.write(piece)
                out.flush()
            if over or _hung_up(LOOK_SECONDS):
                return


def stop(root: Path, key: str, seconds: str) -> dict:
    """End the measurement: it is asked to, and after ``seconds`` made to."""
    for number, patience in ((signal.SIGTERM, float(seconds)), (signal.SIGKILL, 5.0)):
        if status(root, key)["is"] != "running":
            break
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            os.killpg(json.loads((root / "work" / key / "started.json").read_text())["pid"], number)
        deadline = time.monotonic() + patience
        while status(root, key)["is"] == "running" and time.monotonic() < deadline:
            time.sleep(0.1)
    return status(root, key)


def clean(root: Path, key: str, keep: str, seconds: str) -> dict:
    """Stop and remove the measurement, and its files, whose digests are on standard input, unless ``keep`` is "all".
    With "nothing", remove everything that is here."""
    stop(root, key, seconds)
    shutil.rmtree(root / "work" / key, ignore_errors=True)
    if keep != "all":
        for digest in json.load(sys.stdin.buffer):
            (root / "files" / digest).unlink(missing_ok=True)
            (root / "incoming" / digest).unlink(missing_ok=True)
    for path in root.glob("*/*"):
        if time.time() - path.stat().st_mtime > FORGOTTEN_SECONDS:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    if keep == "nothing":
        _lock(root)
        shutil.rmtree(root, ignore_errors=True)
    return {}


COMMANDS = {
    "state": state, "receive": receive, "start": start, "supervise": supervise, "status": status,
    "follow": follow, "stop": stop, "clean": clean,
}  # fmt: skip


def _lock(root: Path) -> int:
    lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused("busy", f"measurement {os.read(lock, 100).decode()} runs there") from None
    return lock


def _hung_up(seconds: float) -> bool:
    """Wait, unless standard input ends: then the connection did."""
    return bool(select.select([0], [], [], seconds)[0]) and not os.read(0, 1)


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)


def _digest(path: Path, size: int | None = None) -> str | None:
    """SHA-256 of a file, or of its first ``size`` bytes; None when it has fewer, or is not there."""
    found, rest = hashlib.sha256(), sys.maxsize if size is None else size
    try:
        with open(path, "rb") as file:
            while rest and (piece := file.read(min(rest, PIECE))):
                found.update(piece)
                rest -= len(piece)
    except FileNotFoundError:
        return None
    return None if size is not None and rest else found.hexdigest()


def _read(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):  # a loss of power leaves empty files
        return None


def _write(path: Path, value: dict) -> None:
    draft = path.with_suffix(".draft")
    with open(draft, "w") as out:
        out.write(json.dumps(value))
        out.flush()
        os.fsync(out.fileno())
    os.replace(draft, path)


def _cut_unsound(events: Path) -> None:
    """A loss of power leaves half lines, or zeros: keep the lines before."""
    with contextlib.suppress(FileNotFoundError):
        data, sound = events.read_bytes(), 0
        for line in data.splitlines(keepends=True):
            try:
                json.loads(line)
            except ValueError:
                break
            sound += len(line) if line.endswith(b"\n") else 0
        os.truncate(events, sound)


def _unpack(wheel: Path, target: Path) -> None:
    """What installing a wheel comes to when nobody needs its scripts (PEP 427)."""
    if target.is_dir():
        return
    draft = target.with_name(f".{target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(draft)
    for data in draft.glob("*.data"):
        for part in ("purelib", "platlib"):
            if (data / part).is_dir():
                shutil.copytree(data / part, draft, dirs_exist_ok=True)
        shutil.rmtree(data)
    os.replace(draft, target)


def _log(work: Path) -> str:
    with contextlib.suppress(FileNotFoundError):
        return (work / "log.txt").read_bytes()[-2000:].decode("utf-8", "replace").strip()
    return ""


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _ticks(pid: int) -> int | None:
    """When a process was started, in ticks since boot; None when it is not there, or is dead and not buried."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    return None


def _killed_for_memory() -> int:
    """Processes that the kernel has killed for want of memory, since it started."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def main() -> None:
    os.umask(0o077)
    root, command, *arguments = sys.argv[1:]
    sys.stdout.buffer.write(MARKER)
    sys.stdout.flush()
    try:
        answer = COMMANDS[command](Path(root), *arguments)
    except Refused as error:
        answer = {"error": error.args[0], "message": error.args[1]}
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        answer = {"error": "space", "message": f"{error.filename or root}: {error.strerror}"}
    if answer is not None:
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
