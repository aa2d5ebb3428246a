"""The artifact store: what a stage made, under the hash of everything that could have made it different.

::

    objects/<key>/      finished: the stage's files and manifest.json; whole, or not there
    work/<key>/         being made; its resume/ subfolder survives a kill, the rest is made anew
    locks/<key>.lock    held while an artifact is made, so that two runs at once make it once
    aside/              damaged artifacts and what gc is deleting

Making an artifact: lock; look again; clear the work folder; let the stage write; hash; fsync; rename into place. The
rename is the only moment at which the artifact comes into being, so a kill at any time leaves it absent or whole.
"""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from compress.artifact import MANIFEST, Artifact, FileRecord, read_manifest, write_manifest
from compress.digest import canonical, digest, file_digest
from compress.errors import StoreError
from compress.files import fsync
from compress.progress import Emit, Event, ignore

RESUME = "resume"
FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EEXIST}


class Store:
    """A folder of artifacts, made when first written to. ``emit`` hears about damage and about waiting."""

    def __init__(self, root: Path, emit: Emit = ignore) -> None:
        self.root = Path(root)
        self._absolute = self.root.absolute()
        self._objects, self._work = self.root / "objects", self.root / "work"
        self._locks, self._aside = self.root / "locks", self.root / "aside"
        self._emit = emit

    @staticmethod
    def key(
        kind: str, version: int, settings: Mapping[str, Any], inputs: Mapping[str, str], libraries: Mapping[str, str]
    ) -> str:
        """SHA-256 (64 hex digits) of the canonical JSON of all that decides an artifact's content.

        ``version``: of the stage's own code. ``inputs``: the keys of the artifacts read, by role. The order in which
        mappings were filled does not matter; everything else does. Raises :class:`StoreError` for what is not JSON.
        """
        return digest([kind, version, settings, inputs, libraries])

    def get(self, key: str, *, verify: bool = False) -> Artifact | None:
        """The finished artifact, or None. A damaged one is set aside, with a warning, and counts as missing.

        ``verify``: compare the SHA-256 of every file too, not only sizes.
        """
        artifact, damage = self._look(key, verify)
        if damage:
            with self._faults(), self._lock(key):
                artifact, damage = self._look(key, verify)  # another run may have replaced it meanwhile
                if damage:
                    self._set_aside(key, damage)
        return artifact

    def build(self, key: str, kind: str, make: Callable[[Path], Mapping[str, Any]], *, anew: bool = False) -> Artifact:
        """The artifact under ``key``: the finished one, or what ``make(work)`` now writes into the folder ``work``.

        ``anew``: make it again, in place of the finished one, which stays until the new one is. ``make`` returns the
        artifact's meta (JSON). What it keeps in ``work / "resume"`` is there again when a killed run is repeated, and
        is not part of the artifact. Raises :class:`StoreError` when the store cannot be written.
        """
        with self._faults(), self._lock(key):
            if (artifact := self._take(key)) is not None and not anew:
                return artifact
            work = self._fresh_work(key)
            meta = make(work)
            return self._seal(key, kind, meta, work)

    def artifacts(self) -> Iterator[Artifact]:
        """All finished artifacts whose manifest can be read, oldest first."""
        found = [read_manifest(path)[0] for path in _children(self._objects)]
        yield from sorted((a for a in found if a is not None), key=lambda artifact: artifact.created)

    def size(self) -> int:
        """Bytes of everything under the root."""
        return _size(self.root)

    def gc(self, unused: float) -> int:
        """Delete artifacts and unfinished work not used for ``unused`` seconds, and all that was set aside.

        What another run is making just now is left alone. Returns the bytes freed.
        """
        before, limit = self.size(), time.time() - unused
        with self._faults():
            for folder in [*_children(self._objects), *_children(self._work)]:
                try:
                    with FileLock(self._locks / f"{folder.name}.lock", timeout=0):
                        if _last_used(folder) <= limit:
                            self._remove(folder)
                except Timeout:  # another run is making it, or is deleting it
                    continue
            for folder in _children(self._aside):
                shutil.rmtree(folder)
        return before - self.size()

    def _take(self, key: str) -> Artifact | None:
        artifact, damage = self._look(key, verify=False)
        if damage:
            self._set_aside(key, damage)
        return artifact

    def _look(self, key: str, verify: bool) -> tuple[Artifact | None, str | None]:
        """(artifact, None) when whole, (None, None) when absent, (None, what is wrong) when damaged."""
        artifact, damage = read_manifest(self._objects / key)
        if artifact is None:
            return None, damage
        if damage := artifact.damage(hashes=verify):
            return None, damage
        with suppress(OSError):  # a store that can only be read can still be used
            os.utime(artifact.path / MANIFEST)  # when it was last used, for gc
        return artifact, None

    def _fresh_work(self, key: str) -> Path:
        work = self._work / key
        (work / RESUME).mkdir(parents=True, exist_ok=True)
        for child in work.iterdir():
            if child.name == RESUME:
                continue
            shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        return work

    def _seal(self, key: str, kind: str, meta: Mapping[str, Any], work: Path) -> Artifact:
        files = {}
        for file in sorted(work.rglob("*")):
            name = file.relative_to(work).as_posix()
            if name.split("/")[0] == RESUME:
                continue
            if file.is_symlink() or not (file.is_file() or file.is_dir()):
                raise StoreError(f"{kind}: {name} is not a plain file: a stage must copy what it wants to keep")
            if file.is_file():
                files[name] = FileRecord(file.stat().st_size, file_digest(file))
            fsync(file)
        created = datetime.now(UTC).isoformat(timespec="microseconds")
        artifact = Artifact(key, kind, work, json.loads(canonical(meta)), files, created)
        write_manifest(artifact)
        self._objects.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work / RESUME, ignore_errors=True)  # last: until here a kill costs no training
        fsync(work)
        if (self._objects / key).exists():
            self._remove(self._objects / key)
        os.rename(work, self._objects / key)
        fsync(self._objects)
        return replace(artifact, path=self._objects / key)

    def _set_aside(self, key: str, damage: str) -> None:
        place = self._aside / f"{key}-{uuid.uuid4().hex[:8]}"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(self._objects / key, place)
        message = f"stored artifact {key[:12]} is damaged ({damage}): it counts as missing, and is kept in {place}"
        self._emit(Event("warning", message=message))

    def _remove(self, folder: Path) -> None:
        """Delete in two moves, so that a kill between them leaves no half artifact in place."""
        place = self._aside / f"{folder.name}-{uuid.uuid4().hex[:8]}"
        place.parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder, place)
        shutil.rmtree(place)

    @contextmanager
    def _lock(self, key: str) -> Iterator[None]:
        self._locks.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._locks / f"{key}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._emit(Event("line", message="another run is making the same artifact: waiting for it"))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """The disk's own faults as :class:`StoreError`; other errors are the stage's and pass through."""
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                advice = "free some space, for example with `compress store --gc 30`"
            elif (error.errno in REFUSED or self._cannot_be_made(error)) and self._holds(error.filename):
                advice = "check the folder and its permissions"
            else:
                raise
            message = f"cannot write to the store {self.root}: {error.strerror}"
            raise StoreError(f"{message}; {advice}, or choose another with --store") from error

    def _cannot_be_made(self, error: OSError) -> bool:
        """A missing file is a stage's own mistake, unless the store itself is what is missing."""
        return error.errno == errno.ENOENT and not self.root.is_dir()

    def _holds(self, path: str | None) -> bool:
        return path is not None and Path(path).absolute().is_relative_to(self._absolute)


def default_root() -> Path:
    """``$COMPRESS_STORE``, or the user's cache folder."""
    if root := os.environ.get("COMPRESS_STORE"):
        return Path(root)
    from platformdirs import user_cache_path

    return user_cache_path("compress")


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _last_used(folder: Path) -> float:
    """When an artifact was last used, or unfinished work last went on; infinity for a folder that has vanished."""
    manifest = folder / MANIFEST
    stamps = [manifest] if manifest.is_file() else [folder, *folder.rglob("*")] if folder.is_dir() else []
    return max((path.lstat().st_mtime for path in stamps), default=math.inf)


def _size(folder: Path) -> int:
    """Bytes of the files under a folder; those that vanish meanwhile count nothing."""
    total = 0
    for base, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except FileNotFoundError:
                continue
    return total
