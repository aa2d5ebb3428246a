"""A whole arm64 computer made of software: Debian under QEMU, with an ssh server and nothing of ours.

    python tests/emulated/arm64.py build     # once, about a minute, 300 MB
    python tests/emulated/arm64.py boot      # until Ctrl-C; prints how to reach it

It stands for a small board that has just been set up. What runs there is real aarch64 code; how fast, means nothing.
The whole system is unpacked into memory; the home folder is a small ext4 disk, the one thing that outlives a loss of
power.

The folder is ``$COMPRESS_ARM64``, or in the user's cache. Needs Debian's (or Ubuntu's) apt, dpkg, cpio, e2fsprogs,
openssh-client and qemu-system-arm.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import emulator
from debian_root import USER, missing_tools, pack, run, settle, start_by, unpacked

__all__ = ["booted", "build", "folder", "missing_tools"]
DISK = "600M"

INIT = """#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
$B mkdir -p /dev/pts /dev/shm /run /home; $B mount -t devpts devpts /dev/pts; $B mount -t tmpfs tmpfs /dev/shm
$B chmod 1777 /dev/shm /tmp
while read module; do $B insmod /drivers/$module; done < /drivers/order
n=0; while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do $B usleep 100000; n=$((n+1)); done
$B mount -t ext4 /dev/vda /home
$B chown -R 1000:1000 /home/edge
$B hostname edge; ip link set lo up; ip link set eth0 up; ip address add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
$B mkdir -p /run/sshd
/usr/sbin/sshd -o UsePAM=no
echo "EDGE-READY $($B cat /proc/uptime)"
while :; do $B sleep 3600; done
"""


def folder() -> Path:
    return Path(os.environ.get("COMPRESS_ARM64") or Path.home() / ".cache" / "compress" / "arm64")


def build(where: Path) -> None:
    """Make kernel, system, empty home and keys in ``where``, unless they are there already."""
    if all((where / name).is_file() for name in ("vmlinuz", "system.cpio", "home.img", "key")):
        return
    where.mkdir(parents=True, exist_ok=True)
    root, kernel = unpacked(where)
    settle(where, root)
    start_by(root, kernel, INIT)
    pack(root, where / "system.cpio")
    home = where / "home"
    shutil.rmtree(home, ignore_errors=True)
    authorized = home / USER / ".ssh" / "authorized_keys"
    authorized.parent.mkdir(parents=True, mode=0o700)
    shutil.copy(where / "key.pub", authorized)
    (where / "home.img").unlink(missing_ok=True)
    run("mke2fs", "-q", "-t", "ext4", "-d", home, "-E", "root_owner=0:0", where / "home.img", DISK)
    for name in (root, kernel, home):
        shutil.rmtree(name)


@contextmanager
def booted(where: Path, home: Path | None = None, port: int | None = None) -> Iterator[tuple[int, Path]]:
    """A running machine: the port of its ssh server on loopback, and an ssh configuration that calls it ``edge``.

    ``home``: its disk, changed in place; otherwise a fresh copy. ``port``: otherwise any. Leaving pulls the plug.
    """
    disk = home or Path(shutil.copy(where / "home.img", where / f"home-{os.getpid()}.img"))
    try:
        with emulator.running(where, "system.cpio", [disk], user=USER, port=port) as reached:
            yield reached
    finally:
        if home is None:
            disk.unlink()


if __name__ == "__main__":
    if tools := missing_tools():
        sys.exit(f"first install {', '.join(tools)}")
    build(folder())
    if sys.argv[1:] == ["boot"]:
        with booted(folder()) as (number, settings):
            print(f"ssh -F {settings} edge     (port {number})")
            try:
                time.sleep(86400)
            except KeyboardInterrupt:
                print("gone")
