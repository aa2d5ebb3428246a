"""Every change that an update makes on the disk, such that it is there for good once the function has returned.

A file's content is on the disk after the file is flushed (fsync), its name after its folder is: until then a power cut
may undo either, in any order (fsync(2), rename(2)). So a file is written beside, flushed, renamed, and its folder
flushed; a link is made anew beside and renamed over the old one, because it cannot be changed. Whoever reads sees the
old or the new one, never something between.

The few calls that touch the disk are the methods of ``Disk``. Tests put another one in place of ``disk``: one that
records what was done and in which order, or one that ends the process at a certain call.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FILE_MODE, READ_ONLY, FOLDER_MODE = 0o644, 0o444, 0o755


class Disk:
    """The system's calls. None of them makes anything durable but ``sync``."""

    def make_folder(self, path: Path) -> None:
        os.mkdir(path, FOLDER_MODE)

    def create(self, path: Path) -> None:
        """An empty file, which must be new."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))

    def append(self, path: Path, data: bytes) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(handle, "wb", buffering=0) as stream:
            rest = memoryview(data)
            while rest:
                rest = rest[stream.write(rest) :]

    def link(self, path: Path, target: str) -> None:
        os.symlink(target, path)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def unlink(self, path: Path) -> None:
        os.unlink(path)

    def remove_folder(self, path: Path) -> None:
        os.rmdir(path)

    def protect(self, path: Path) -> None:
        """Against writing by mistake; whoever owns the file can take it back."""
        os.chmod(path, READ_ONLY)

    def sync(self, path: Path) -> None:
        """A file's content, or the names in a folder."""
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


disk = Disk()


def write_file(path: Path, data: bytes) -> None:
    """Put ``data`` in the place of what ``path`` held. Raises OSError, and then it still holds that."""
    with _replacing(path) as draft:
        disk.create(draft)
        disk.append(draft, data)
        disk.sync(draft)


def new_file(path: Path, blocks: Iterable[bytes]) -> None:
    """A new file of these blocks, and the folders above it. Its content is durable; its name is after ``sync_folders``.

    This is what ``bundle.archive.unpack`` takes as ``store``.
    """
    make_folders(path.parent)
    disk.create(path)
    for block in blocks:
        disk.append(path, block)
    disk.sync(path)
    disk.protect(path)


def append_line(path: Path, line: bytes) -> None:
    """One more line at the end of a file, which is made if need be. A line cut short by a crash is ended first."""
    new = not path.exists()
    if new:
        disk.create(path)
    torn = not new and not _ends_a_line(path)
    disk.append(path, b"\n" * torn + line + b"\n")
    disk.sync(path)
    if new:
        disk.sync(path.parent)


def make_folders(path: Path) -> None:
    """The folder and those above it that are not there yet."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        disk.make_folder(folder)
        disk.sync(folder.parent)


def flip_link(path: Path, target: str | None) -> None:
    """Let the link ``path`` lead to ``target`` from now on; None: let there be none."""
    if target is None:
        if path.is_symlink():
            disk.unlink(path)
            disk.sync(path.parent)
        return
    with _replacing(path) as draft:
        disk.link(draft, target)


def move(source: Path, target: Path) -> None:
    """Rename a file or folder within one file system; ``target`` must be free, or a file."""
    disk.rename(source, target)
    disk.sync(target.parent)
    if source.parent != target.parent:
        disk.sync(source.parent)


def sync_folders(folder: Path) -> None:
    """Make durable every name in this folder and in those below it."""
    for base, _, _ in os.walk(folder, topdown=False):
        disk.sync(Path(base))


def remove(path: Path) -> None:
    """A file, a link, or a folder with all that is in it. Not durable by itself: what comes back is removed again."""
    if path.is_symlink() or not path.is_dir():
        disk.unlink(path)
        return
    for base, folders, names in os.walk(path, topdown=False):
        for name in names:
            disk.unlink(Path(base, name))
        for name in folders:
            below = Path(base, name)
            disk.unlink(below) if below.is_symlink() else disk.remove_folder(below)
    disk.remove_folder(path)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A draft beside ``path`` to be made, which then takes its place for good; gone again where the disk refuses."""
    draft = _draft(path)
    try:
        yield draft
        disk.rename(draft, path)
    except OSError:
        with suppress(OSError):
            _discard(draft)
        raise
    disk.sync(path.parent)


def _draft(path: Path) -> Path:
    """Beside ``path``: always the same name, so that what a crash has left there is found and replaced."""
    draft = path.with_name(f".{path.name}.new")
    _discard(draft)
    return draft


def _discard(path: Path) -> None:
    """Remove what may not be there."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    remove(path) if stat.S_ISDIR(mode) else disk.unlink(path)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        if stream.seek(0, os.SEEK_END) == 0:
            return True
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"
