"""A value from a manifest together with the place where it stands, so that a refusal can name it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn, TypeVar

from edge_runtime import limits
from edge_runtime.errors import ManifestError

T = TypeVar("T")

SEGMENT = re.compile(r"[a-z0-9_][a-z0-9._-]*")
PATTERNS = {
    "name": (re.compile(r"[a-z0-9][a-z0-9._-]{0,99}"), "lower-case letters, digits, dots and dashes, at most 100"),
    "word": (re.compile(r"[a-z0-9][a-z0-9_-]{0,39}"), "lower-case letters, digits, _ and -, at most 40"),
    "version": (re.compile(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){0,3}"), "up to four numbers with dots"),
    "sha256": (re.compile(r"[0-9a-f]{64}"), "64 lower-case hexadecimal digits"),
}


def fail(where: str, problem: str) -> NoReturn:
    raise ManifestError(f"{where}: {problem}; make the bundle again with `compress bundle`")


def is_path(text: str) -> bool:
    """Whether this names a file below a folder, and nothing else, on every system."""
    parts = text.split("/")
    return (
        len(text) <= limits.PATH_LENGTH
        and len(parts) <= limits.PATH_DEPTH
        and all(SEGMENT.fullmatch(part) for part in parts)
    )


def _printable(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            Checked(key, where).text()
            _printable(item, f"{where}: {key}")
    elif isinstance(value, list):
        for item in value:
            _printable(item, where)
    elif isinstance(value, str) and value:
        Checked(value, where).text()


@dataclass(frozen=True)
class Checked:
    """``value`` as JSON gave it. Every method returns it as what it must be, or raises ManifestError."""

    value: Any
    where: str

    def keys(self, *names: str) -> bool:
        """Must be an object with these keys and no others. True, so that it can stand in a condition."""
        value = self._of(dict, "an object")
        if unknown := sorted(set(value) - set(names)):
            fail(self.where, f"has the unknown key {unknown[0]!r:.80}")
        if missing := sorted(set(names) - set(value)):
            fail(self.where, f"lacks the key {missing[0]!r}")
        return True

    def __getitem__(self, key: str) -> Checked:
        """A member of an object whose ``keys`` have been checked."""
        return Checked(self.value[key], f"{self.where}: {key}")

    def member(self, key: str) -> Checked:
        """A member that must be there."""
        if key not in self._of(dict, "an object"):
            fail(self.where, f"lacks the key {key!r}")
        return self[key]

    def object(self) -> dict[str, Any]:
        """Free content that is shown to people: every text in it, and every key, can be printed anywhere."""
        value = self._of(dict, "an object")
        _printable(value, self.where)
        return value

    def list(self, least: int, most: int) -> list[Checked]:
        value = self._of(list, "a list")
        if not least <= len(value) <= most:
            fail(self.where, f"has {len(value)} entries, where {least} to {most} are allowed")
        return [Checked(item, f"{self.where}[{index}]") for index, item in enumerate(value)]

    def text(self) -> str:
        value = self._of(str, "a text")
        if not 1 <= len(value) <= limits.TEXT_LENGTH or not value.isprintable():
            fail(self.where, f"must be 1 to {limits.TEXT_LENGTH} printable characters")
        return value

    def matching(self, kind: str) -> str:
        pattern, words = PATTERNS[kind]
        value = self._of(str, "a text")
        if not pattern.fullmatch(value):
            fail(self.where, f"is {value!r:.80}, and must be {words}")
        return value

    def one_of(self, *choices: str) -> str:
        value = self._of(str, "a text")
        if value not in choices:
            fail(self.where, f"is {value!r:.80}, and must be one of {', '.join(choices)}")
        return value

    def path(self, known: frozenset[str] | None = None) -> str:
        """The path of a file in the bundle; one of ``known`` where given."""
        value = self._of(str, "a path")
        if not is_path(value):
            fail(self.where, f"{value!r:.80} is not a path of at most {limits.PATH_DEPTH} parts of a-z, 0-9, . _ and -")
        if known is not None and value not in known:
            fail(self.where, f"{value!r:.80} is not among its files")
        return value

    def whole(self, least: int, most: int) -> int:
        if type(self.value) is not int or not least <= self.value <= most:
            fail(self.where, f"is {self.value!r:.80}, and must be a whole number from {least} to {most}")
        return self.value

    def number(self, least: float, most: float) -> float:
        if type(self.value) not in (int, float) or not least <= self.value <= most:
            fail(self.where, f"is {self.value!r:.80}, and must be a number from {least:g} to {most:g}")
        return self.value

    def moment(self) -> str:
        """A moment of RFC 3339 in UTC and whole seconds: 2030-01-31T12:00:00Z."""
        value = self._of(str, "a text")
        try:
            if datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").strftime("%Y-%m-%dT%H:%M:%SZ") == value:
                return value
        except ValueError:
            pass
        fail(self.where, f"is {value!r:.80}, and must be a moment such as 2030-01-31T12:00:00Z")

    def optional(self, read: Callable[[Checked], T]) -> T | None:
        return None if self.value is None else read(self)

    def _of(self, kind: type[T], words: str) -> T:
        if not isinstance(self.value, kind):
            fail(self.where, f"is {self.value!r:.80}, and must be {words}")
        return self.value
