"""Every disk that a power cut can leave behind.

`Recorder` stands in for `durable.disk` and notes each call; `crashes` then gives, for the moment after every call, the
contents that the disk may have. What was flushed is there. Of what was not, a file system may have written any part:
all of it (the process was killed, the system went on), none, each single effect without the others, the others without
each single one, half of the data of a file, and some random choices.

Effects are kept by inode, as file systems do: data belongs to a file, and is durable once that file is flushed; a name
belongs to a folder, and is durable once that folder is. A rename between two folders is one effect (journalling file
systems make it so) that is durable once both are flushed. `Image.write` makes the folder in which recovery is tried.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from edge_runtime.update.durable import Disk

ROOT = 0
Node = dict[str, int] | bytes | str
"""A folder's names and their inodes, a file's content, or where a link leads."""


@dataclass
class Image:
    """A file system: its inodes. Locks are left out, since no crash makes them matter."""

    nodes: dict[int, Node] = field(default_factory=lambda: {ROOT: {}})

    @classmethod
    def read(cls, root: Path) -> Image:
        image = cls()
        numbers = count(1)

        def add(path: Path, folder: dict[str, int]) -> None:
            for below in sorted(path.iterdir()):
                if below.name.endswith("lock"):
                    continue
                number = folder[below.name] = next(numbers)
                if below.is_symlink():
                    image.nodes[number] = os.readlink(below)
                elif below.is_dir():
                    image.nodes[number] = {}
                    add(below, image.nodes[number])
                else:
                    image.nodes[number] = below.read_bytes()

        add(root, image.nodes[ROOT])
        return image

    def find(self, parts: tuple[str, ...]) -> int:
        number = ROOT
        for part in parts:
            number = self.nodes[number][part]
        return number

    def write(self, root: Path) -> None:
        """Make this file system at ``root``."""

        def put(number: int, path: Path) -> None:
            node = self.nodes[number]
            if isinstance(node, dict):
                path.mkdir()
                for name, below in node.items():
                    put(below, path / name)
            elif isinstance(node, bytes):
                path.write_bytes(node)
            else:
                path.symlink_to(node)

        put(ROOT, root)

    def tree(self) -> dict[str, object]:
        """All paths, with what is there: for comparisons."""
        found: dict[str, object] = {}

        def walk(number: int, path: str) -> None:
            node = self.nodes[number]
            found[path] = None if isinstance(node, dict) else node
            for name, below in node.items() if isinstance(node, dict) else ():
                walk(below, f"{path}/{name}")

        walk(ROOT, "")
        return found


@dataclass
class Effect:
    """``entries``: (folder, name, inode or None: gone). ``data``: (file, bytes). ``waits``: inodes not yet flushed."""

    what: str
    entries: tuple[tuple[int, str, int | None], ...] = ()
    data: tuple[int, bytes] | None = None
    waits: frozenset[int] = frozenset()

    def apply(self, nodes: dict[int, Node], *, half: bool = False) -> None:
        if self.data:
            file, data = self.data
            nodes[file] = nodes[file] + (data[: len(data) // 2] if half else data)
        for folder, name, number in self.entries:
            if number is None:
                nodes[folder].pop(name, None)
            else:
                nodes[folder][name] = number


class Recorder(Disk):
    """Does what it is told, below ``root``, and notes it. Flushes nothing: the notes say what would have been."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.before = Image.read(root)
        self.now = deepcopy(self.before)
        self.births = Image()
        self.log: list[Effect | int] = []
        """Effects, and the inodes flushed, in order."""
        self._numbers = count(max(self.now.nodes) + 1)

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._born("folder", path, {})

    def create(self, path: Path) -> None:
        super().create(path)
        self._born("create", path, b"")

    def link(self, path: Path, target: str) -> None:
        super().link(path, target)
        self._born("link", path, target)

    def append(self, path: Path, data: bytes) -> None:
        super().append(path, data)
        number = self.now.find(self._parts(path))
        self._do(Effect(f"append {path}", data=(number, bytes(data)), waits=frozenset({number})))

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        number = self.now.find(self._parts(source))
        leaves, enters = self._place(source), self._place(target)
        entries = ((*leaves, None), (*enters, number))
        self._do(Effect(f"rename {source} {target}", entries, waits=frozenset({leaves[0], enters[0]})))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._gone(path)

    def remove_folder(self, path: Path) -> None:
        super().remove_folder(path)
        self._gone(path)

    def sync(self, path: Path) -> None:
        self.log.append(self.now.find(self._parts(path)))

    def _born(self, what: str, path: Path, node: Node) -> None:
        number = next(self._numbers)
        folder, name = self._place(path)
        self.now.nodes[number] = node
        self.births.nodes[number] = deepcopy(node)
        self._do(Effect(f"{what} {path}", ((folder, name, number),), waits=frozenset({folder})))

    def _gone(self, path: Path) -> None:
        folder, name = self._place(path)
        self._do(Effect(f"remove {path}", ((folder, name, None),), waits=frozenset({folder})))

    def _do(self, effect: Effect) -> None:
        effect.apply(self.now.nodes)
        self.log.append(effect)

    def _place(self, path: Path) -> tuple[int, str]:
        return self.now.find(self._parts(path.parent)), path.name

    def _parts(self, path: Path) -> tuple[str, ...]:
        return path.relative_to(self.root).parts


def crashes(
    recorder: Recorder, *, start: int = 0, seed: int = 0, random_choices: int = 4
) -> Iterator[tuple[str, Image]]:
    """What the disk may hold if the power fails at any moment of what was recorded, each once: a name, and the disk.

    ``start``: only from this call on.
    """
    draw = random.Random(seed)
    seen: set[tuple[frozenset[int], int | None]] = set()
    for end in range(start, len(recorder.log) + 1):
        durable, pending = _split(recorder.log[:end])
        choices = [frozenset(), frozenset(pending)]
        choices += [frozenset({one}) for one in pending]
        choices += [frozenset(pending) - {one} for one in pending]
        choices += [frozenset(one for one in pending if draw.random() < 0.5) for _ in range(random_choices)]
        for choice in choices:
            for half in (None, *(one for one in choice if recorder.log[one].data)):
                if (durable | choice, half) not in seen:
                    seen.add((durable | choice, half))
                    name = f"after {end} of {len(recorder.log)}, kept {sorted(choice)}, half {half}"
                    yield name, _image(recorder, durable | choice, half)


def _split(log: list[Effect | int]) -> tuple[frozenset[int], list[int]]:
    """Which effects are durable, and which may be lost."""
    waits = {place: set(effect.waits) for place, effect in enumerate(log) if isinstance(effect, Effect)}
    for place, flushed in enumerate(log):
        if not isinstance(flushed, Effect):
            for earlier, left in waits.items():
                if earlier < place:
                    left.discard(flushed)
    return frozenset(place for place, left in waits.items() if not left), [p for p, left in waits.items() if left]


def _image(recorder: Recorder, kept: frozenset[int], half: int | None) -> Image:
    image = deepcopy(recorder.before)
    image.nodes |= deepcopy({number: node for number, node in recorder.births.nodes.items() if number != ROOT})
    for place in sorted(kept):
        recorder.log[place].apply(image.nodes, half=place == half)
    return image


class Unflushed(Disk):
    """Flushes nothing: for what tests do thousands of times."""

    def sync(self, path: Path) -> None:
        pass


class Failing(Disk):
    """Works ``calls`` times; from then on, for ``times`` calls, every change fails with ``error``."""

    def __init__(self, error: int, calls: int, times: int = 10**9) -> None:
        self.error, self.left, self.times = error, calls, times
        self.failed = 0

    def __getattribute__(self, name: str) -> object:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found) or name in ("unlink", "remove_folder"):
            return found

        def call(path: Path, *rest: object) -> object:
            if self.left > 0:
                self.left -= 1
                return found(path, *rest)
            if self.failed < self.times:
                self.failed += 1
                raise OSError(self.error, os.strerror(self.error), str(path))
            return found(path, *rest)

        return call
