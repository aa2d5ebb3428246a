"""The folder where versions live, and who may change it.

versions/<id>/       unpacked bundles, each named by the SHA-256 of its manifest; never changed once they are here
staging/             what is being unpacked, and what is being removed; emptied before every install
current, previous, good    links to versions: what serves, what is gone back to, what was last committed
state.json           which is which, and how a trial is going (``state``); the links follow it
history.jsonl        what happened
keys/*.pub           whose bundles are installed
lock, install.lock   held for a short change of the state, and for a whole install
serve.lock           held by a server for its whole life
"""

from __future__ import annotations

import errno
import fcntl
import os
import pwd
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edge_runtime import limits
from edge_runtime.bundle import contents
from edge_runtime.bundle.contents import Contents
from edge_runtime.errors import (
    BundleError,
    HomeBusyError,
    HomeError,
    HomeServedError,
    KeyFileError,
    NothingInstalledError,
    UpdateError,
)
from edge_runtime.update import durable
from edge_runtime.update.state import ID

if TYPE_CHECKING:
    from edge_runtime.bundle.signature import PublicKey

LINKS = ("previous", "good", "current")
"""In the order in which they are set: the way back first."""

OTHERS_MAY_WRITE = 0o002
POLL_SECONDS = 0.02
ADVICE = {errno.ENOENT: "put this folder back, or install again", errno.ELOOP: "remove this link"}
"""When a lock's file cannot be opened."""
LOCK_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Home:
    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).absolute()
        self.versions = self.root / "versions"
        self.staging = self.root / "staging"
        self.keys = self.root / "keys"
        self.state = self.root / "state.json"

    def make(self) -> None:
        """Make the folders that are missing. Raises HomeError for what ``check`` refuses."""
        try:
            self.check()
            for folder in (self.versions, self.staging, self.keys):
                durable.make_folders(folder)
            self.check()
            devices = {folder.stat().st_dev for folder in (self.versions, self.staging)}
        except OSError as error:
            raise HomeError(
                f"{self.root}: cannot be made or used: {error.strerror}; choose another folder with --home, "
                "or become its owner"
            ) from error
        if len(devices) > 1:
            raise HomeError(
                f"{self.root}: staging and versions are on two file systems, between which nothing can be renamed; "
                "mount none of them by itself"
            )

    def check(self) -> None:
        """Raises HomeError unless the home, as far as it is there, is this user's own, and no folder of it a link.

        What another user, root included, makes here the owner could not change or remove; and what is removed behind a
        link is somebody else's. Where every user may write, every user may put versions in.
        """
        user = os.geteuid()
        with suppress(FileNotFoundError, NotADirectoryError):
            facts = self.root.lstat()
            if stat.S_ISLNK(facts.st_mode):
                raise HomeError(f"{self.root}: is a link to {os.path.realpath(self.root)}; name that folder itself")
            if facts.st_uid != user:
                owner = _user(facts.st_uid)
                raise HomeError(f"{self.root}: belongs to {owner}, and this is {_user(user)}; run it as {owner}")
            self._not_open(facts)
        for folder in (self.versions, self.staging, self.keys):
            with suppress(FileNotFoundError, NotADirectoryError):
                facts = folder.lstat()
                if not stat.S_ISDIR(facts.st_mode):
                    raise HomeError(f"{folder}: must be a folder, and is a link or something else; remove it")
                if facts.st_uid != user:
                    raise HomeError(
                        f"{folder}: belongs to {_user(facts.st_uid)}; give it back with "
                        f"`chown -R {_user(user)} {self.root}`"
                    )
                self._not_open(facts)

    def _not_open(self, facts: os.stat_result) -> None:
        if facts.st_mode & OTHERS_MAY_WRITE:
            raise HomeError(f"{self.root}: every user may write here; take that away with `chmod -R o-w {self.root}`")

    def expect(self) -> None:
        """Raises NothingInstalledError where there is no such folder."""
        if not self.root.is_dir():
            raise self.nothing()

    def nothing(self) -> NothingInstalledError:
        return NothingInstalledError(f"{self.root}: nothing is installed here; use `edge-runtime install`")

    def staged(self) -> list[Path]:
        """What lies in ``staging``; nothing where that is no folder, but a link to one. Raises OSError."""
        return list(self.staging.iterdir()) if stat.S_ISDIR(self.staging.lstat().st_mode) else []

    def current(self) -> Contents | None:
        """The version that the link ``current`` leads to, whose files are not read. Raises BundleError."""
        id = self.linked("current")
        return None if id is None else contents.load(self.versions / id)

    def linked(self, name: str) -> str | None:
        """The id of the version that a link leads to, or None when there is no such link."""
        try:
            folder, _, id = os.readlink(self.root / name).rpartition("/")
        except OSError:
            return None
        return id if folder == "versions" and ID.fullmatch(id) else None

    def link(self, name: str, id: str | None) -> None:
        durable.flip_link(self.root / name, None if id is None else f"versions/{id}")

    def intact(self, id: str | None) -> Contents | None:
        """The version, all of whose files have just been read and found to be what was signed; else None."""
        if id is None:
            return None
        with suppress(BundleError, OSError):
            found = contents.load(self.versions / id)
            if found.id == id:
                found.verify()
                return found
        return None

    def trusted_keys(self) -> list[PublicKey]:
        """Those in ``key_files`` that can be read. Raises HomeError for too many."""
        keys = [key for key in self.key_files().values() if not isinstance(key, KeyFileError)]
        if len(keys) > limits.TRUSTED_KEYS:
            raise HomeError(
                f"{self.keys}: {len(keys)} keys, where {limits.TRUSTED_KEYS} are allowed; remove some of them"
            )
        return keys

    def key_files(self) -> dict[Path, PublicKey | KeyFileError]:
        """By file: the key in it, or why there is none. One bad file must not keep the others from being used."""
        from edge_runtime.bundle.signature import load_public

        found: dict[Path, PublicKey | KeyFileError] = {}
        for file in sorted(self.keys.glob("*.pub")):
            try:
                found[file] = load_public(file)
            except KeyFileError as error:
                found[file] = error
        return found

    def locked(self) -> AbstractContextManager[None]:
        """While the state is changed; waits for others who are at it."""
        return self._lock("lock", limits.LOCK_SECONDS, "is changing the state here; try again")

    def installing(self) -> AbstractContextManager[None]:
        """While a version is staged or removed; does not wait."""
        return self._lock("install.lock", 0, "is installing or removing versions here; try again when it has ended")

    @contextmanager
    def serving(self) -> Iterator[None]:
        """While a server follows this home, from before its first version until its last report; waits for one that is
        stopping. With two, each start of one would count against what the other serves.

        A server that can write nothing here counts nothing, and needs no leave. Raises NothingInstalledError,
        HomeServedError, and HomeError for what ``check`` refuses.
        """
        self.expect()
        if not os.access(self.root, os.W_OK):
            yield
            return
        self.check()
        what = "serves what is installed here; stop it first, or serve another --home"
        with self._lock("serve.lock", limits.SERVING_SECONDS, what, HomeServedError):
            yield

    @contextmanager
    def _lock(self, name: str, seconds: float, what: str, busy: type[UpdateError] = HomeBusyError) -> Iterator[None]:
        handle = _open_lock(self.root / name)
        if handle is None:  # nobody can change anything here
            yield
            return
        try:
            give_up = time.monotonic() + seconds
            while not _try_lock(handle):
                if time.monotonic() >= give_up:
                    raise busy(f"{self.root}: another process {what}")
                time.sleep(POLL_SECONDS)
            yield
        finally:
            os.close(handle)


def _user(id: int) -> str:
    try:
        return pwd.getpwuid(id).pw_name
    except KeyError:
        return f"user {id}"


def _open_lock(path: Path) -> int | None:
    """The lock's file; None where it is missing on a file system that cannot be written."""
    try:
        return os.open(path, LOCK_FLAGS | os.O_CREAT, 0o644)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.ENOSPC, errno.EDQUOT):
            advice = ADVICE.get(error.errno, "become the owner of this folder")
            raise HomeError(f"{path}: cannot be opened: {error.strerror}; {advice}") from error
    try:
        return os.open(path, LOCK_FLAGS)
    except FileNotFoundError:
        return None


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
