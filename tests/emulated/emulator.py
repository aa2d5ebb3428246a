"""QEMU plays an arm64 computer: a processor, two gigabytes, disks, and a network with its ssh port."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

MEMORY = "2048M"
LIMIT_SECONDS = 180.0


@contextmanager
def running(
    where: Path, initrd: str, disks: Sequence[Path], *, user: str, port: int | None = None, cache: str = "unsafe"
) -> Iterator[tuple[int, Path]]:
    """A running machine: the port of its ssh server on loopback, and an ssh configuration that calls it ``edge``.

    ``where``: the folder of kernel, ``initrd`` and keys. ``disks``: raw or .qcow2, changed in place, in the order of
    their names there (vda, vdb). ``cache``: "unsafe" takes nothing to the disks before it must; with "writeback" what
    the machine has flushed is on the disk, and what it has not may be lost. Leaving pulls the plug (SIGKILL).
    Raises RuntimeError, with the end of its console, when it does not start within LIMIT_SECONDS.
    """
    port = port or _free_port()
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a76", "-smp", "2", "-m", MEMORY]
    command += ["-accel", "tcg,thread=multi", "-nographic", "-no-reboot", "-kernel", where / "vmlinuz"]
    command += ["-initrd", where / initrd, "-append", "console=ttyAMA0 quiet systemd.getty_auto=no"]
    for number, disk in enumerate(disks):
        kind = "qcow2" if disk.suffix == ".qcow2" else "raw"
        command += ["-drive", f"if=none,id=disk{number},file={disk},format={kind},cache={cache}"]
        command += ["-device", f"virtio-blk-pci,drive=disk{number}"]
    command += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net"]
    console = where / f"console-{os.getpid()}-{port}.txt"
    with console.open("wb") as out:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        _await(machine, console)
        yield port, _configuration(where, port, user)
    finally:
        machine.kill()
        machine.wait()
        for made in (console, where / f"known-{port}", where / f"ssh-{port}"):
            made.unlink(missing_ok=True)


def _await(machine: subprocess.Popen, console: Path) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while b"EDGE-READY" not in console.read_bytes():
        if machine.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"it did not start: {console.read_text(errors='replace')[-1500:]}")
        time.sleep(0.2)


def _configuration(where: Path, port: int, user: str) -> Path:
    known, configuration = where / f"known-{port}", where / f"ssh-{port}"
    known.write_text(f"[127.0.0.1]:{port} {(where / 'host.pub').read_text()}")
    configuration.write_text(
        f"Host edge\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\n  IdentityFile {where / 'key'}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
    )
    return configuration


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
