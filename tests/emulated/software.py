"""A device's disk with edge-runtime installed on it: from wheels that are brought there, by its own Python and pip."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import appliance

from compress.bench.devices import wheels
from compress.bench.devices.survey import Survey

EXTRAS = ("onnxruntime", "bundle", "image", "serve")
SAME = ("numpy", "onnxruntime", "pillow")
"""What makes the answers is there in the versions of here, so that a difference is the processor's."""
DEVICE = Survey("aarch64", "/usr/bin/python3", (3, 11, 2), (2, 36), "Debian GNU/Linux 12 (bookworm)", "")
ENVIRONMENT = "/opt/edge-runtime"
INSTALL = f"""set -e
mount -o ro /dev/vdb /mnt
python3 -m venv --without-pip {ENVIRONMENT}
{ENVIRONMENT}/bin/python $(echo /usr/share/python-wheels/pip-*.whl)/pip --disable-pip-version-check install --quiet \
    --no-index --find-links /mnt "edge-runtime[{",".join(EXTRAS)}]"
ln -s {ENVIRONMENT}/bin/edge-runtime /usr/local/bin/
umount /mnt
sync
"""


def installed(where: Path) -> Path:
    """The disk, made in some minutes unless there is one with the same wheels in ``where``. Not to be changed."""
    brought = _brought(where)
    key = hashlib.sha256((where / "host.pub").read_bytes())  # of every image another
    for wheel in brought:
        key.update(wheel.name.encode() + hashlib.sha256(wheel.read_bytes()).digest())
    disk = where / f"software-{key.hexdigest()[:16]}.qcow2"
    if not disk.is_file():
        for old in where.glob("software-*"):  # of other versions
            old.unlink()
        draft = appliance.overlay(where / "disk.img", where / "software-draft.qcow2")
        with tempfile.TemporaryDirectory() as temporary:
            stick, tree = Path(temporary) / "stick.img", Path(temporary) / "stick"
            tree.mkdir()
            for wheel in brought:
                shutil.copy(wheel, tree)
            appliance.as_disk(tree, stick, "200M")
            with appliance.booted(where, draft, stick) as login:
                login.run(INSTALL, seconds=500)
        draft.rename(disk)
    return disk


def _brought(where: Path) -> Sequence[Path]:
    """edge-runtime's wheel of this moment, and those that it needs, downloaded once."""
    own = wheels.own()
    wanted = [f"{name}=={metadata.version(name)}" for name in SAME]
    needed = sorted(metadata.requires("edge-runtime") or ())
    folder = where / f"wheels-{hashlib.sha256(repr((wanted, needed, EXTRAS)).encode()).hexdigest()[:16]}"
    if not folder.is_dir():
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--only-binary=:all:",
            "--python-version",
            "3.11",
        ]
        command += ["--implementation", "cp", "--abi", "cp311", "--abi", "abi3", "--abi", "none"]
        command += [word for platform in DEVICE.platforms for word in ("--platform", platform)]
        with tempfile.TemporaryDirectory(dir=where) as temporary:
            command += ["--dest", temporary, f"{own}[{','.join(EXTRAS)}]", *wanted]
            subprocess.run(command, check=True, timeout=500)
            shutil.copytree(temporary, folder, ignore=shutil.ignore_patterns("edge_runtime-*"))
    return [own, *sorted(folder.glob("*.whl"))]
