"""The files of an arm64 Debian, from its packages, with nothing emulated and without root.

1. apt, with a configuration of its own that knows no other architecture, downloads the packages and the kernel.
2. ``dpkg-deb -x`` unpacks them. None of their scripts run: ``settle`` does what a small system needs of them.
3. cpio packs a tree, owned by root, into the archive that the kernel unpacks into memory and starts from.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

TOOLS = ("apt-get", "dpkg-deb", "cpio", "mke2fs", "ssh-keygen", "qemu-system-aarch64")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITE, KERNEL, MIRROR = "bookworm", "linux-image-cloud-arm64", "http://deb.debian.org/debian"
PACKAGES = (
    "base-files", "base-passwd", "bash", "busybox-static", "coreutils", "dash", "iproute2", "libc-bin", "libgomp1",
    "libpython3-stdlib", "libstdc++6", "mount", "openssh-server", "procps", "python3-minimal", "util-linux",
)  # fmt: skip
MODULES = ("virtio_pci", "virtio_blk", "virtio_net")
"""Drivers that this kernel does not have built in."""
UNUSED = ("boot", "usr/share/doc", "usr/share/man", "usr/share/locale", "lib/modules", "usr/lib/modules")
USER = "edge"


def missing_tools(tools: Iterable[str] = TOOLS) -> list[str]:
    """What would have to be installed first."""
    found = [tool for tool in tools if not shutil.which(tool, path=_path())]
    return found if KEYRING.is_file() else [*found, "debian-archive-keyring"]


def unpacked(where: Path, packages: Sequence[str] = PACKAGES) -> tuple[Path, Path]:
    """``where/root`` and ``where/kernel``: their files and a kernel's; the kernel is ``where/vmlinuz``."""
    root, kernel = where / "root", where / "kernel"
    for name in (root, kernel):
        shutil.rmtree(name, ignore_errors=True)
    for archive in _download(where, packages):
        is_kernel = archive.name.startswith("linux-image")
        run("dpkg-deb", "-x", archive, kernel if is_kernel else root)
    shutil.copy(next(kernel.glob("boot/vmlinuz-*")), where / "vmlinuz")
    return root, kernel


def _download(where: Path, packages: Sequence[str]) -> list[Path]:
    """Every package with what it depends on, as an empty arm64 Debian would fetch it."""
    apt = where / "apt"
    for name in ("state/lists/partial", "cache/archives/partial", "etc"):
        (apt / name).mkdir(parents=True, exist_ok=True)
    (apt / "state/status").touch()
    (apt / "etc/sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {SUITE} main\n")
    settings = {
        "Dir::State": apt / "state", "Dir::State::status": apt / "state/status", "Dir::Cache": apt / "cache",
        "Dir::Etc": apt / "etc", "Dir::Log": apt, "Dir::Etc::sourceparts": "-", "Dir::Etc::parts": "-",
        "APT::Architecture": "arm64", "APT::Install-Recommends": "false", "APT::Sandbox::User": "",
        "Acquire::Languages": "none", "Debug::NoLocking": "true",
    }  # fmt: skip
    lines = [f'{key} "{value}";' for key, value in settings.items()]
    (apt / "apt.conf").write_text("\n".join([*lines, 'APT::Architectures { "arm64"; };']) + "\n")
    environment = os.environ | {"APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C"}
    run("apt-get", "-q", "update", env=environment)
    shown = subprocess.run(
        ["apt-cache", "depends", KERNEL], env=environment, capture_output=True, text=True, check=True
    ).stdout
    image = re.search(r"Depends: (linux-image-\S+)", shown)[1]
    run("apt-get", "-q", "-y", "--download-only", "install", *packages, env=environment)
    archives = apt / "cache/archives"
    run("apt-get", "-q", "download", image, env=environment, cwd=archives)  # without the tools that install a kernel
    return sorted(archives.glob("*.deb"))


def settle(where: Path, root: Path) -> None:
    """What the packages' scripts would have done, and an ssh server with keys of its own."""
    for name in UNUSED:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("passwd", "group"):
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    with (root / "etc/passwd").open("a") as out:
        out.write(f"sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n{USER}:x:1000:1000::/home/{USER}:/bin/bash\n")
    with (root / "etc/group").open("a") as out:
        out.write(f"{USER}:x:1000:\n")
    (root / "etc/shadow").write_text(f"{USER}:*:20000:0:99999:7:::\n")
    for name in ("key", "host"):
        for old in (where / name, where / f"{name}.pub"):
            old.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", where / name)
    shutil.copy(where / "host", root / "etc/ssh/ssh_host_ed25519_key")
    configuration = "HostKey /etc/ssh/ssh_host_ed25519_key\nPasswordAuthentication no\nSubsystem sftp internal-sftp\n"
    (root / "etc/ssh/sshd_config").write_text(configuration)
    for name in ("proc", "sys", "dev", "tmp", "run", "home"):
        (root / name).mkdir(exist_ok=True)


def start_by(root: Path, kernel: Path, init: str) -> None:
    """Put ``/init`` there and the drivers that it loads."""
    (root / "init").write_text(init)
    (root / "init").chmod(0o755)
    _drivers(kernel, root)


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


def pack(root: Path, out: Path) -> None:
    names = b"\0".join(str(path.relative_to(root)).encode() for path in sorted(root.rglob("*")))
    with out.open("wb") as target:
        command = ["cpio", "--quiet", "--null", "-o", "-H", "newc", "-R", "0:0"]
        subprocess.run(command, cwd=root, input=names, stdout=target, check=True)


def run(*command: str | Path, **options: object) -> None:
    """Raises RuntimeError with what the command said when it fails."""
    environment = options.pop("env", os.environ) | {"PATH": _path()}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment, **options)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-1500:]}")


def _path() -> str:
    """Debian keeps mke2fs where only root looks."""
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
