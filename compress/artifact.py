"""An artifact: a folder of files a stage left, with a manifest of what belongs there."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compress.digest import canonical, file_digest
from compress.errors import StoreError
from compress.files import replace_file

SCHEMA = "compress.artifact/1"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class FileRecord:
    """``size`` in bytes."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Artifact:
    """What a stage left. ``path``: its folder, read only by agreement. ``files``: by name relative to it."""

    key: str
    kind: str
    path: Path
    meta: dict[str, Any]
    files: dict[str, FileRecord]
    created: str

    @property
    def size(self) -> int:
        return sum(record.size for record in self.files.values())

    def file(self, name: str) -> Path:
        """The path of one of its files. Raises :class:`StoreError` where there is none of that name."""
        if name not in self.files:
            held = ", ".join(self.files)
            raise StoreError(f"artifact {self.key[:12]} ({self.kind}) has no file '{name}', only {held}")
        return self.path / name

    def damage(self, *, hashes: bool) -> str | None:
        """What is wrong with the files, in words; sizes are compared always, SHA-256 digests if asked for."""
        for name, record in self.files.items():
            file = self.path / name
            if not file.is_file():
                return f"{name} is missing"
            if (size := file.stat().st_size) != record.size:
                return f"{name} has {size} bytes instead of {record.size}"
            if hashes and file_digest(file) != record.sha256:
                return f"{name} was changed"
        return None


def write_manifest(artifact: Artifact) -> None:
    """Describe the artifact inside its own folder, durably."""
    files = {name: asdict(record) for name, record in artifact.files.items()}
    manifest = {"schema": SCHEMA, "key": artifact.key, "kind": artifact.kind, "created": artifact.created}
    with replace_file(artifact.path / MANIFEST) as temporary:
        temporary.write_text(canonical(manifest | {"meta": artifact.meta, "files": files}, indent=1), "utf-8")


def read_manifest(folder: Path) -> tuple[Artifact | None, str | None]:
    """(artifact, None); (None, None) when there is no folder; (None, what is wrong) when it cannot be understood."""
    try:
        raw = json.loads((folder / MANIFEST).read_text("utf-8"))
        if raw["schema"] != SCHEMA or raw["key"] != folder.name:
            return None, f"{MANIFEST} is of another artifact or another version"
        files = {name: FileRecord(**record) for name, record in raw["files"].items()}
        return Artifact(raw["key"], raw["kind"], folder, raw["meta"], files, raw["created"]), None
    except (FileNotFoundError, NotADirectoryError):
        return None, f"{MANIFEST} is missing" if folder.exists() else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, f"{MANIFEST} cannot be read"
