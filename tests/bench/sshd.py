"""A real ssh server on loopback, with keys of its own, and what pretends to be edge-runtime there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from edge_runtime.machine import detect

SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
MISSING = "needs an ssh server and client (Debian: openssh-server, openssh-client)"
INSTALLED = bool(SSHD and shutil.which("ssh"))


class Server:
    """``options`` is what makes the ssh client here know it, under the name ``device``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache" / "edge-runtime-bench"
        for name in ("host", "key"):
            make_key(folder / name)
        shutil.copy(folder / "key.pub", folder / "authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # A login that talks before it does what it is asked to, as some do.
        noisy = 'echo Welcome; echo; eval "$SSH_ORIGINAL_COMMAND"'
        settings = f"""
            Port {self.port}
            ListenAddress 127.0.0.1
            HostKey {folder / "host"}
            AuthorizedKeysFile {folder / "authorized_keys"}
            PidFile none
            UsePAM no
            StrictModes no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin yes
            SetEnv XDG_CACHE_HOME={folder / "cache"} HOME={folder}
            ForceCommand {noisy}
        """
        (folder / "sshd_config").write_text(settings)
        self.know((folder / "host.pub").read_text())
        client = f"Host device\n HostName 127.0.0.1\n Port {self.port}\n IdentityFile {folder / 'key'}\n"
        client += (
            f" IdentitiesOnly yes\n UserKnownHostsFile {folder / 'known_hosts'}\n GlobalKnownHostsFile /dev/null\n"
        )
        (folder / "ssh_config").write_text(client)
        self.options = ("-F", str(folder / "ssh_config"))
        self.process: subprocess.Popen | None = None

    def know(self, host_key: str) -> None:
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}" if host_key else "")

    def start(self) -> None:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        with (self.folder / "sshd.log").open("ab") as log:
            command = [SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if not probe.connect_ex(("127.0.0.1", self.port)):
                    return
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError((self.folder / "sshd.log").read_text())
            time.sleep(0.02)

    def drop(self) -> None:
        """Break every connection there is, as a cable that is pulled does in the end."""
        kill(_children(self.process.pid))

    def stop(self) -> None:
        if self.process:
            self.drop()
            self.process.terminate()
            self.process.wait()
            self.process = None

    def work(self) -> list[Path]:
        """The measurements that have a folder there."""
        return sorted((self.cache / "work").glob("*"))

    def pids(self) -> list[int]:
        """Processes that were started there and run, the ones that watch over others first."""
        marker = str(self.cache).encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                text = path.read_bytes()
                state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if b"XDG_CACHE_HOME=" + str(self.cache.parent).encode() in text and state != "Z":
                command = (path.parent / "cmdline").read_bytes()
                if marker in command or b"edge_runtime" in command:
                    found.append((b"supervise" not in command, int(path.parent.name)))
        return [pid for _, pid in sorted(found)]

    def lose_power(self) -> None:
        """What ran there is gone, and the next boot is another one. ``started.json`` has the boot's name."""
        kill(self.pids())
        for work in self.work():
            started = json.loads((work / "started.json").read_text())
            (work / "started.json").write_text(json.dumps(started | {"boot": "the one before"}))
        self.drop()


def kill(pids: list[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    """The server's processes for connections, and theirs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        if int(rest.split()[1]) == parent and name.endswith("(sshd"):
            found += [int(path.parent.name), *_children(int(path.parent.name))]
    return found


@contextmanager
def server(folder: Path) -> Iterator[Server]:
    folder.mkdir(parents=True, exist_ok=True)
    found = Server(folder)
    found.start()
    try:
        yield found
    finally:
        found.stop()
        kill(found.pids())


def make_key(path: Path) -> None:
    for old in (path, path.with_name(f"{path.name}.pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)


PROGRAM = '''
"""Counts. `TICKS` events, one every `PAUSE` seconds; each is a finished step."""
import json, os, signal, sys, time
from pathlib import Path

out = Path(sys.argv[sys.argv.index("-o") + 1])
if (how := os.environ.get("FAILS")) == "exit":
    sys.exit("no such model")

def tell(event, **facts):
    with out.open("a") as file:
        file.write(json.dumps({"event": event, **facts}) + "\\n")

def interrupted(*_):
    tell("end", complete=False, why="it was interrupted")
    sys.exit(130)

signal.signal(signal.SIGTERM, interrupted)
done = [json.loads(line) for line in out.read_text().splitlines()] if "--resume" in sys.argv else []
done = [event["number"] for event in done if event["event"] == "tick"]
plan = json.loads(Path("plan.json").read_text())
model = Path(plan["models"][0]["path"]).stat().st_size
tell("begin", machine=json.loads(Path(__file__).with_name("machine.json").read_text()), resumed=bool(done), model=model)
for number in range(int(os.environ["TICKS"])):
    if number in done:
        continue
    time.sleep(float(os.environ["PAUSE"]))
    tell("tick", number=number, text="x" * 200)
    if how == "killed" and number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
tell("end", complete=True, why="all of the plan is done")
'''


def counting_wheel(folder: Path) -> Path:
    """A wheel that takes edge-runtime's place."""
    path = folder / "edge_runtime-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("edge_runtime/__init__.py", "")
        archive.writestr("edge_runtime/machine.json", json.dumps(asdict(detect())))
        archive.writestr("edge_runtime-0.0.1.data/purelib/edge_runtime/__main__.py", PROGRAM)
    return path
