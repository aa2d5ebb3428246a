"""What a model takes of a device's flash: a file system gives whole blocks to every file and every folder.

Told from the manifest, before anything is installed; ``taken`` asks the file system itself, as ``du`` does. While a
bundle is installed, its file and the versions before it (current, previous, last known good) lie there as well.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePosixPath

from edge_runtime.bundle.manifest import Manifest, canonical
from edge_runtime.bundle.signature import SIGNATURE_BYTES

BLOCK = 4096
"""Bytes: the block of ext4, f2fs, xfs and btrfs as they are made on devices."""
UNIT = 512
"""Bytes of st_blocks, whatever the file system's own block is (inode(7))."""


def blocks(sizes: Iterable[int], block: int = BLOCK) -> int:
    """Bytes that files of these ``sizes`` take."""
    return sum(-(-size // block) * block for size in sizes)


def installed(manifest: Manifest, block: int = BLOCK) -> int:
    """Bytes of the bundle as it is installed: all its files with the manifest and its signature, and a block for each
    folder. An engine that is built on the device (TensorRT) is not in it, nor are edge-runtime and its packages."""
    folders = {parent for file in manifest.files for parent in PurePosixPath(file.path).parents}
    sizes = [len(canonical(manifest)), SIGNATURE_BYTES, *(file.size for file in manifest.files)]
    return blocks(sizes, block) + len(folders) * block


def taken(folder: str | os.PathLike[str]) -> int:
    """Bytes that a folder takes on its file system now, with all that is in it. Raises OSError."""
    total = os.lstat(folder).st_blocks
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                total += taken(entry.path) // UNIT
            else:
                total += entry.stat(follow_symlinks=False).st_blocks
    return total * UNIT
