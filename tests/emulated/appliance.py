"""An arm64 Debian with systemd on a disk of its own: a device that models are installed on.

Built like the board of ``arm64.py``, in a folder beside it (about 900 MB), and as bare: of Python it has
Debian's ``python3-venv``. A tiny first system in memory loads the drivers, mounts the disk and hands over to systemd.
What has come to the disk outlives a loss of power. The login is root's.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import emulator
from debian_root import PACKAGES, TOOLS, missing_tools, pack, run, settle, start_by, unpacked

TOOLS = (*TOOLS, "qemu-img", "unshare")
SYSTEM = (*PACKAGES, "login", "passwd", "python3-venv", "systemd", "systemd-sysv")
DISK = "2G"
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
while read module; do $B insmod /drivers/$module; done < /drivers/order
n=0; while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do $B usleep 100000; n=$((n+1)); done
$B mount -t ext4 /dev/vda /disk
$B ifconfig lo 127.0.0.1 up; $B ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; $B route add default gw 10.0.2.2
$B umount /proc; $B umount /sys; $B umount /dev
exec $B switch_root /disk /sbin/init
"""
READY = """[Unit]
After=ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo EDGE-READY > /dev/console'
[Install]
WantedBy=multi-user.target
"""


def lacking() -> list[str]:
    """What would have to be installed first."""
    return missing_tools(TOOLS)


def build(where: Path) -> None:
    """Make kernel, first system, disk and keys in ``where``, unless they are there already."""
    if all((where / name).is_file() for name in ("vmlinuz", "start.cpio", "disk.img", "key")):
        return
    where.mkdir(parents=True, exist_ok=True)
    root, kernel = unpacked(where, SYSTEM)
    settle(where, root)
    _systemd(where, root)
    start = where / "start"
    shutil.rmtree(start, ignore_errors=True)
    for name in ("bin", "proc", "sys", "dev", "disk"):
        (start / name).mkdir(parents=True)
    shutil.copy(root / "bin/busybox", start / "bin")
    start_by(start, kernel, INIT)
    pack(start, where / "start.cpio")
    as_disk(root, where / "disk.img", DISK)
    for name in (root, kernel, start):
        shutil.rmtree(name)


def _systemd(where: Path, root: Path) -> None:
    """Which units start, who may log in, and a machine that is not at its first start any more."""
    etc = root / "etc"
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (etc / "hostname").write_text("edge\n")
    (etc / "hosts").write_text("127.0.0.1 localhost edge\n")
    for name in ("mnt", "usr/local/bin"):
        (root / name).mkdir(parents=True, exist_ok=True)
    units = etc / "systemd/system"
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    (units / "edge-ready.service").write_text(READY)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    (wanted / "ssh.service").symlink_to("/lib/systemd/system/ssh.service")
    (wanted / "edge-ready.service").symlink_to("/etc/systemd/system/edge-ready.service")
    authorized = root / "root/.ssh/authorized_keys"
    authorized.parent.mkdir(parents=True, mode=0o700)
    shutil.copy(where / "key.pub", authorized)
    with (etc / "shadow").open("a") as out:
        out.write("root:*:20000:0:99999:7:::\n")
    (etc / "shadow").chmod(0o600)


def as_disk(tree: Path, image: Path, size: str) -> None:
    """An ext4 file system with the files of ``tree``, all of them root's."""
    image.unlink(missing_ok=True)
    # In a name space of its own whoever runs this is root, as owner of the files too.
    run("unshare", "--map-root-user", "mke2fs", "-q", "-t", "ext4", "-d", tree, "-E", "root_owner=0:0", image, size)


def overlay(base: Path, path: Path) -> Path:
    """A disk that begins as ``base`` and keeps only what is changed. ``base`` must not change any more."""
    kind = "qcow2" if base.suffix == ".qcow2" else "raw"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", kind, path)
    return path


@contextmanager
def booted(where: Path, *disks: Path) -> Iterator[Login]:
    """That machine, with ``disks`` changed in place; the first is its system's. Leaving pulls the plug."""
    with emulator.running(where, "start.cpio", disks, user="root", cache="writeback") as (_, options):
        yield Login(options)


class Login:
    """root's shell on a machine, over the system's ssh."""

    def __init__(self, options: Path) -> None:
        self.ssh = ["ssh", "-F", str(options), "edge"]

    def command(
        self, script: str, data: bytes | None = None, seconds: float = 300.0
    ) -> subprocess.CompletedProcess[str]:
        """Feed ``data`` to a shell script there. 255: ssh itself failed."""
        done = subprocess.run([*self.ssh, script], input=data or b"", capture_output=True, timeout=seconds, check=False)
        return subprocess.CompletedProcess(
            script, done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
        )

    def run(self, script: str, data: bytes | None = None, seconds: float = 300.0) -> str:
        """What a script that must succeed prints."""
        done = self.command(script, data, seconds)
        assert done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def begin(self, script: str) -> subprocess.Popen[bytes]:
        """Start a script there, and do not wait for it."""
        return subprocess.Popen(
            [*self.ssh, script], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @contextmanager
    def forwarded(self, here: int, there: int) -> Iterator[None]:
        """``localhost:here`` is its ``localhost:there``."""
        tunnel = subprocess.Popen(
            [*self.ssh[:-1], "-N", "-L", f"127.0.0.1:{here}:127.0.0.1:{there}", "edge"],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            tunnel.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                tunnel.wait(10)
