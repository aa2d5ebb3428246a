"""A whole arm64 computer made of software: Debian under QEMU, with an ssh server and nothing of ours.

    python tests/emulated/arm64.py build     # once, about a minute, 300 MB
    python tests/emulated/arm64.py boot      # until Ctrl-C; prints how to reach it

It stands for a small board that has just been set up. What runs there is real aarch64 code; how fast, means nothing.

1. apt, with a configuration of its own that knows no other architecture, downloads the packages and the kernel.
2. ``dpkg-deb -x`` unpacks them. None of their scripts run, so nothing is emulated yet and nothing needs root.
3. cpio packs all of it, owned by root, into the archive that the kernel unpacks into memory and starts from.
4. The home folder is a small ext4 disk, the one thing that outlives a loss of power.

The folder is ``$COMPRESS_ARM64``, or in the user's cache. Needs Debian's (or Ubuntu's) apt, dpkg, cpio, e2fsprogs,
openssh-client and qemu-system-arm.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOOLS = ("apt-get", "dpkg-deb", "cpio", "mke2fs", "ssh-keygen", "qemu-system-aarch64")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITE, KERNEL = "bookworm", "linux-image-cloud-arm64"
PACKAGES = (
    "base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "iproute2", "libc-bin", "libgomp1",
    "libpython3-stdlib", "libstdc++6", "mount", "openssh-server", "procps", "python3-minimal", "util-linux",
)  # fmt: skip
MODULES = ("virtio_pci", "virtio_blk", "virtio_net")
"""Drivers that this kernel does not have built in."""
UNUSED = ("boot", "usr/share/doc", "usr/share/man", "usr/share/locale", "lib/modules", "usr/lib/modules")
USER, MEMORY, DISK = "edge", "2048M", "600M"
LIMIT_SECONDS = 180.0

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


def missing_tools() -> list[str]:
    """What would have to be installed first."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    return found if KEYRING.is_file() else [*found, "debian-archive-keyring"]


def folder() -> Path:
    return Path(os.environ.get("COMPRESS_ARM64") or Path.home() / ".cache" / "compress" / "arm64")


def build(where: Path, mirror: str = "http://deb.debian.org/debian") -> None:
    """Make kernel, system, empty home and keys in ``where``, unless they are there already."""
    if all((where / name).is_file() for name in ("vmlinuz", "system.cpio", "home.img", "key")):
        return
    where.mkdir(parents=True, exist_ok=True)
    archives = _download(where, mirror)
    root, kernel = where / "root", where / "kernel"
    for name in (root, kernel):
        shutil.rmtree(name, ignore_errors=True)
    for archive in archives:
        is_kernel = archive.name.startswith("linux-image")
        _run("dpkg-deb", "-x", archive, kernel if is_kernel else root)
    shutil.copy(next(kernel.glob("boot/vmlinuz-*")), where / "vmlinuz")
    _keys(where, root)
    _settle(root)
    _drivers(kernel, root)
    _pack(root, where / "system.cpio")
    home = where / "home"
    shutil.rmtree(home, ignore_errors=True)
    authorized = home / USER / ".ssh" / "authorized_keys"
    authorized.parent.mkdir(parents=True, mode=0o700)
    shutil.copy(where / "key.pub", authorized)
    (where / "home.img").unlink(missing_ok=True)
    _run("mke2fs", "-q", "-t", "ext4", "-d", home, "-E", "root_owner=0:0", where / "home.img", DISK)
    for name in (root, kernel, home):
        shutil.rmtree(name)


@contextmanager
def booted(where: Path, home: Path | None = None, port: int | None = None) -> Iterator[tuple[int, Path]]:
    """A running machine: the port of its ssh server on loopback, and an ssh configuration that calls it ``edge``.

    ``home``: its disk, changed in place; otherwise a fresh copy. ``port``: otherwise any. Leaving pulls the plug.
    """
    if home is None:
        home = where / f"home-{os.getpid()}.img"
        shutil.copy(where / "home.img", home)
    if port is None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    command = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a76", "-smp", "2", "-m", MEMORY]
    command += ["-accel", "tcg,thread=multi", "-nographic", "-no-reboot", "-kernel", where / "vmlinuz"]
    command += ["-initrd", where / "system.cpio", "-append", "console=ttyAMA0 quiet"]
    command += [
        "-drive",
        f"if=none,id=home,file={home},format=raw,cache=unsafe",
        "-device",
        "virtio-blk-pci,drive=home",
    ]
    command += ["-netdev", f"user,id=net,hostfwd=tcp:127.0.0.1:{port}-:22", "-device", "virtio-net-pci,netdev=net"]
    console = where / f"console-{os.getpid()}.txt"
    with console.open("wb") as out:
        machine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    try:
        _await(machine, console)
        yield port, _configuration(where, port)
    finally:
        machine.kill()
        machine.wait()
        for made in (console, where / f"known-{port}", where / f"ssh-{port}"):
            made.unlink(missing_ok=True)
        if home.name == f"home-{os.getpid()}.img":
            home.unlink()


def _await(machine: subprocess.Popen, console: Path) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while b"EDGE-READY" not in console.read_bytes():
        if machine.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"it did not start: {console.read_text(errors='replace')[-1500:]}")
        time.sleep(0.2)


def _configuration(where: Path, port: int) -> Path:
    known, configuration = where / f"known-{port}", where / f"ssh-{port}"
    known.write_text(f"[127.0.0.1]:{port} {(where / 'host.pub').read_text()}")
    configuration.write_text(
        f"Host edge\n  HostName 127.0.0.1\n  Port {port}\n  User {USER}\n  IdentityFile {where / 'key'}\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
    )
    return configuration


def _download(where: Path, mirror: str) -> list[Path]:
    """Every package with what it depends on, as an empty arm64 Debian would fetch it."""
    apt = where / "apt"
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "state/status").touch()
    (apt / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {SUITE} main\n")
    settings = {
        "Dir::State": apt / "state", "Dir::State::status": apt / "state/status", "Dir::Cache": apt / "cache",
        "Dir::Etc": apt / "etc", "Dir::Log": apt, "Dir::Etc::sourceparts": "-", "Dir::Etc::parts": "-",
        "APT::Architecture": "arm64", "APT::Install-Recommends": "false", "APT::Sandbox::User": "",
        "Acquire::Languages": "none", "Debug::NoLocking": "true",
    }  # fmt: skip
    lines = [f'{key} "{value}";' for key, value in settings.items()]
    (apt / "apt.conf").write_text("\n".join([*lines, 'APT::Architectures { "arm64"; };']) + "\n")
    environment = os.environ | {"APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C"}
    _run("apt-get", "-q", "update", env=environment)
    shown = subprocess.run(
        ["apt-cache", "depends", KERNEL], env=environment, capture_output=True, text=True, check=True
    ).stdout
    image = re.search(r"Depends: (linux-image-\S+)", shown)[1]
    _run("apt-get", "-q", "-y", "--download-only", "install", *PACKAGES, env=environment)
    archives = apt / "cache/archives"
    _run("apt-get", "-q", "download", image, env=environment, cwd=archives)  # without the tools that install a kernel
    return sorted(archives.glob("*.deb"))


def _keys(where: Path, root: Path) -> None:
    for name in ("key", "host"):
        for old in (where / name, where / f"{name}.pub"):
            old.unlink(missing_ok=True)
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", where / name)
    shutil.copy(where / "host", root / "etc/ssh/ssh_host_ed25519_key")


def _settle(root: Path) -> None:
    """What the packages' scripts would have done."""
    for name in UNUSED:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    with (root / "etc/passwd").open("a") as out:
        out.write(f"sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n{USER}:x:1000:1000::/home/{USER}:/bin/bash\n")
    with (root / "etc/group").open("a") as out:
        out.write(f"{USER}:x:1000:\n")
    (root / "etc/shadow").write_text(f"{USER}:*:20000:0:99999:7:::\n")
    configuration = "HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    (root / "etc/ssh/sshd_config").write_text(configuration)
    for name in ("proc", "sys", "dev", "tmp", "run", "home"):
        (root / name).mkdir(exist_ok=True)
    (root / "init").write_text(INIT)
    (root / "init").chmod(0o755)


def _drivers(kernel: Path, root: Path) -> None:
    """Copy the modules, and list them so that each comes after those it needs (its own ``depends=`` names them)."""
    modules = {path.stem: path for path in kernel.rglob("*.ko")}
    order: list[str] = []

    def add(name: str) -> None:
        found = re.search(rb"\0depends=([^\0]*)\0", modules[name].read_bytes())
        for needed in found[1].decode().split(",") if found and found[1] else ():
            add(needed)
        if name not in order:
            order.append(name)

    for name in MODULES:
        add(name)
    drivers = root / "drivers"
    drivers.mkdir()
    for name in order:
        shutil.copy(modules[name], drivers)
    (drivers / "order").write_text("".join(f"{name}.ko\n" for name in order))


def _pack(root: Path, out: Path) -> None:
    names = b"\0".join(str(path.relative_to(root)).encode() for path in sorted(root.rglob("*")))
    with out.open("wb") as target:
        command = ["cpio", "--quiet", "--null", "-o", "-H", "newc", "-R", "0:0"]
        subprocess.run(command, cwd=root, input=names, stdout=target, check=True)


def _run(*command: str | Path, **options: object) -> None:
    path = {"PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"}
    environment = options.pop("env", os.environ) | path
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-1500:]}")


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
