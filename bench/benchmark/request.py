"""What was asked of `compress bench`: the plan, its files, and the targets; kept beside the results to go on with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from compress.errors import BenchmarkError
from compress.files import replace_file
from edge_runtime.errors import ProbeError
from edge_runtime.probes.plan import Plan, as_dict, parse

FILE = "request.json"
SCHEMA = "compress.bench-request/1"


@dataclass(frozen=True)
class Request:
    """``files``: by place in the plan's folder. ``targets``: (name, address), both None for this machine.

    ``watts``: also model the energy from so many.
    """

    plan: Plan
    files: dict[str, Path]
    targets: list[tuple[str | None, str | None]]
    command: list[str]
    watts: float | None = None


def save(request: Request, folder: Path) -> None:
    """Write it into the folder of its results."""
    plain = {
        "schema": SCHEMA,
        "plan": as_dict(request.plan),
        "files": {place: str(path.absolute()) for place, path in request.files.items()},
        "targets": request.targets,
        "command": request.command,
        "watts": request.watts,
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
        )
    except FileNotFoundError as error:
        raise BenchmarkError(f"{folder} is not the folder of a benchmark: it has no {FILE}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ProbeError) as error:
        raise BenchmarkError(f"{path} cannot be read: {error}; start the benchmark anew") from error
