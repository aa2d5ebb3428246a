"""What was asked of `compress bench`: the plan, its files, and the targets; kept beside the results to go on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compress.digest import file_digest
from compress.errors import BenchmarkError
from compress.files import replace_file
from edge_runtime.errors import ProbeError
from edge_runtime.probes.plan import Plan, as_dict, parse

FILE = "request.json"
SCHEMA = "compress.bench-request/1"


@dataclass(frozen=True)
class Request:
    """``files``: by place in the plan's folder. ``targets``: (name, address), both None for this machine.

    ``watts``: also model the energy from so many. ``digests``: of the files as they were when it was asked.
    """

    plan: Plan
    files: dict[str, Path]
    targets: list[tuple[str | None, str | None]]
    command: list[str]
    watts: float | None = None
    digests: Mapping[str, str] = field(default_factory=dict)


def save(request: Request, folder: Path) -> None:
    """Write it into the folder of its results."""
    plain = {
        "schema": SCHEMA,
        "plan": as_dict(request.plan),
        "files": {place: str(path.absolute()) for place, path in request.files.items()},
        "targets": request.targets,
        "command": request.command,
        "watts": request.watts,
        "digests": {place: file_digest(path) for place, path in request.files.items() if path.is_file()},
    }
    with replace_file(folder / FILE) as temporary:
        temporary.write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")


def load(folder: Path) -> Request:
    """What was asked when ``folder`` was made. Raises BenchmarkError for a folder that is no benchmark's."""
    path = folder / FILE
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["schema"] != SCHEMA:
            raise BenchmarkError(f"{path}: its schema is {plain['schema']!r}, and this program reads {SCHEMA!r}")
        return Request(
            parse(json.dumps(plain["plan"])),
            {place: Path(file) for place, file in plain["files"].items()},
            [(name, connect) for name, connect in plain["targets"]],
            list(plain["command"]),
            plain["watts"],
            dict(plain.get("digests", {})),
        )
    except FileNotFoundError as error:
        raise BenchmarkError(f"{folder} is not the folder of a benchmark: it has no {FILE}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ProbeError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}; start the benchmark anew") from error


def changed(request: Request) -> list[Path]:
    """The files that are others now than when it was asked; those that are gone are not among them."""
    return [
        path
        for place, path in request.files.items()
        if place in request.digests and path.is_file() and file_digest(path) != request.digests[place]
    ]
