"""A JSON file that is there whole or not at all, with a checksum: power may go while it is written, and cards rot."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from edge_runtime.bundle.files import opened
from edge_runtime.limits import WATCH_STATE_BYTES
from edge_runtime.update import durable

SCHEMA = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Raises OSError, and then what was there still is. The folder is made, for its owner only."""
    if not path.parent.is_dir():
        durable.make_folders(path.parent)
        path.parent.chmod(0o700)
    body = json.dumps(state, allow_nan=False, separators=(",", ":"))
    digest = hashlib.sha256(body.encode()).hexdigest()
    durable.write_file(path, f'{{"schema":{SCHEMA},"sha256":"{digest}","state":{body}}}\n'.encode())


def load(path: Path) -> tuple[dict[str, Any] | None, str]:
    """What was saved, or None and why not: "" when there is no file. Never raises for what is in the file."""
    try:
        with opened(path) as (stream, _):
            data = stream.read(WATCH_STATE_BYTES + 1)
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    if len(data) > WATCH_STATE_BYTES:
        return None, f"is longer than {WATCH_STATE_BYTES} bytes"
    try:
        whole = json.loads(data)
        body = json.dumps(whole["state"], separators=(",", ":"))
        if whole["schema"] != SCHEMA:
            return None, f"has schema {whole['schema']!r} where {SCHEMA} is read"
        if hashlib.sha256(body.encode()).hexdigest() != whole["sha256"]:
            return None, "is damaged (its checksum is wrong)"
        return dict(whole["state"]), ""
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return None, f"is damaged ({type(error).__name__})"
