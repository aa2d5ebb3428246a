"""Whether a bundle may be installed here at all: what can be told from its manifest, before any of its files is read.

Each function raises the error that it names. Those in ``WAIVABLE`` are a person's to overrule, by the error's code.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Collection
from importlib import metadata
from pathlib import Path

import edge_runtime
from edge_runtime import limits
from edge_runtime.bundle.manifest import Manifest
from edge_runtime.errors import (
    BadVersionError,
    ClockError,
    DowngradeError,
    EngineMissingError,
    ExpiredError,
    NotNewerError,
    OtherModelError,
    SpaceError,
    TargetError,
    UpdateError,
)
from edge_runtime.machine import Machine
from edge_runtime.update import clock
from edge_runtime.update.state import State

WAIVABLE = {error.code for error in (BadVersionError, ClockError, ExpiredError, NotNewerError, OtherModelError)}

ENGINES = {
    "onnxruntime": ("onnxruntime", ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")),
    "openvino": ("openvino", ("openvino",)),
    "litert": ("ai_edge_litert", ("ai-edge-litert",)),
    "tensorrt": ("tensorrt", ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")),
}
"""A runtime of ours: the module it imports, and the packages that may bring it. Others have an entry point."""
GROUP = "edge_runtime.sessions"


def check_target(manifest: Manifest, machine: Machine) -> None:
    """TargetError for another architecture, CPU features that are missing, or an edge-runtime that is too old."""
    here = f"{machine.arch}-linux"
    if manifest.target not in ("any", here):
        raise TargetError(f"this bundle is made for {manifest.target}, and this machine is {here}; make one for {here}")
    if missing := [name for name in manifest.features if name not in machine.features]:
        raise TargetError(
            f"this bundle needs a processor with {', '.join(missing)}, which this one ({machine.cpu}) lacks; "
            "make a bundle for this machine"
        )
    if numbers(edge_runtime.__version__) < numbers(manifest.edge_runtime_minimum):
        raise TargetError(
            f"this bundle needs edge-runtime {manifest.edge_runtime_minimum}, and this is {edge_runtime.__version__}; "
            "update edge-runtime first"
        )


def check_engine(manifest: Manifest) -> None:
    """EngineMissingError, or TargetError for an engine that is too old, without importing it.

    An engine that came without a package's metadata says its version in the self-test.
    """
    name = manifest.runtime
    if name not in ENGINES:
        if not metadata.entry_points(group=GROUP, name=name):
            raise EngineMissingError(f"this bundle needs the runtime {name!r}, which is unknown here; install it first")
        return
    module, packages = ENGINES[name]
    if importlib.util.find_spec(module) is None:
        raise EngineMissingError(
            f"this bundle runs on {name}, which is not installed: python -m pip install {packages[0]}"
        )
    for package in packages:
        try:
            check_engine_version(manifest, metadata.version(package))
        except metadata.PackageNotFoundError:
            continue
        return


def check_engine_version(manifest: Manifest, version: str) -> None:
    """TargetError when this version is older than the bundle's least."""
    if numbers(version) < numbers(manifest.runtime_minimum):
        raise TargetError(
            f"this bundle needs {manifest.runtime} {manifest.runtime_minimum}, and {version} is installed; "
            f"update {manifest.runtime} first"
        )


def check_sequence(
    manifest: Manifest, id: str, state: State, current: Manifest | None, waived: Collection[str]
) -> None:
    """DowngradeError below the floor; BadVersionError; OtherModelError, NotNewerError next to what is current."""
    if manifest.sequence < (floor := state.floor_of(manifest.name)):
        raise DowngradeError(
            f"this bundle has sequence {manifest.sequence}, and {floor} is the least that may run here since a "
            "later bundle was committed; make one with a larger sequence"
        )
    if id in state.bad:
        _refuse(
            BadVersionError(f"this version has failed here before: {state.bad[id]}; install another, or add --retry"),
            waived,
        )
    if current is None:
        return
    if manifest.name != current.name:
        _refuse(
            OtherModelError(
                f"this bundle is {manifest.name!r}, and {current.name!r} is installed; use another --home, or add "
                "--other-model to replace it"
            ),
            waived,
        )
    elif manifest.sequence <= current.sequence:
        _refuse(
            NotNewerError(
                f"this bundle has sequence {manifest.sequence}, and the current version has {current.sequence}; make "
                "one with a larger sequence, or add --allow-downgrade"
            ),
            waived,
        )


def check_expiry(manifest: Manifest, now: float, waived: Collection[str]) -> None:
    """ExpiredError, or ClockError when the clock is too wrong to tell.

    An early clock is proven wrong by this software's own date, a late one by nothing. So a clock before that date is
    not believed to say that a bundle is still good; and what a late one refuses, a person may let in.
    """
    if manifest.expires is None:
        return
    expires = clock.moment(manifest.expires)
    if expires <= clock.RELEASED:
        _refuse(
            ExpiredError(
                f"this bundle expired at {manifest.expires}, before this edge-runtime was made; fetch a newer one"
            ),
            waived,
        )
    elif now < clock.RELEASED:
        _refuse(
            ClockError(
                f"this bundle expires at {manifest.expires}, and this device's clock says {clock.text(now)}, which is "
                "before this edge-runtime was made; set the clock, or add --ignore-expiry"
            ),
            waived,
        )
    elif now >= expires:
        _refuse(
            ExpiredError(
                f"this bundle expired at {manifest.expires}, and the clock says {clock.text(now)}; fetch a newer one, "
                "or if the clock is wrong, set it or add --ignore-expiry"
            ),
            waived,
        )


def check_space(manifest: Manifest, folder: Path) -> None:
    """SpaceError when the file system that ``folder`` is on has no room for the files, or no entries left for them."""
    disk = os.statvfs(folder)
    block = disk.f_frsize
    sizes = [limits.MANIFEST_BYTES, *(file.size for file in manifest.files)]
    needed = sum(-(-size // block) + 1 for size in sizes) * block + limits.SPARE_BYTES
    free = disk.f_bavail * block
    if free < needed:
        raise SpaceError(
            f"{folder}: {needed / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB free; {limits.SPARE_BYTES / 1e6:.1f} "
            "MB of them are a reserve, and versions that nothing needs are gone already: free some space on this file "
            "system"
        )
    entries = (limits.PATH_DEPTH + 1) * (len(sizes) + 1)
    if disk.f_files and disk.f_favail < entries:
        raise SpaceError(f"{folder}: {disk.f_favail} files can be made here, and {entries} may be needed; remove some")


def numbers(version: str) -> tuple[int, ...]:
    """The numbers in front of a version: (1, 22, 0, 0) of "1.22.0rc1"."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in found.group().split(".")[:4]] if found else []
    return tuple(parts + [0] * (4 - len(parts)))


def _refuse(error: UpdateError, waived: Collection[str]) -> None:
    if error.code not in waived:
        raise error
