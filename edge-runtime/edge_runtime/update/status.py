"""What a home holds and how it stands, as plain values that become JSON. Reads only, and needs no lock: the state is
replaced as a whole."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from edge_runtime.bundle import contents, flash
from edge_runtime.errors import EdgeRuntimeError, HomeError, KeyFileError
from edge_runtime.update.home import LINKS, Home
from edge_runtime.update.recovery import read


def status(home: Home) -> dict[str, Any]:
    """``current``, ``previous`` and ``good`` (id, name, sequence, ``flash``: bytes on this disk; or None), ``trial``,
    ``served``, ``floor`` (of the current version's name), ``floors`` (of each name), ``bad`` (id: reason),
    ``versions``, ``keys``, ``free`` (bytes) and ``problems`` in words, for each with what to do.

    Files are not hashed; a server does so at every start. Raises NothingInstalledError where there is no such folder.
    """
    home.expect()
    found = read(home)
    problems = []
    try:
        home.check()
    except HomeError as error:
        problems.append(str(error))
    roles = {}
    for role in ("current", "previous", "good"):
        id = getattr(found, role)
        roles[role] = None if id is None else _version(home, id, problems)
    if any(home.linked(name) != getattr(found, name) for name in LINKS):
        problems.append("a change was interrupted; the next start of a server finishes it")
    if found.current is None:
        problems.append("nothing is installed; use `edge-runtime install`")
    files = home.key_files().values()
    problems += [str(error) for error in files if isinstance(error, KeyFileError)]
    try:
        keys = [str(key) for key in home.trusted_keys()]
    except EdgeRuntimeError as error:
        keys, problems = [], [*problems, str(error)]
    if not keys:
        problems.append("no key is trusted, so nothing can be installed; use `edge-runtime trust`")
    disk = os.statvfs(home.root)
    names = sorted(path.name for path in home.versions.iterdir()) if home.versions.is_dir() else []
    return {
        "home": str(home.root),
        **roles,
        "trial": asdict(found.trial) if found.trial else None,
        "served": asdict(found.served),
        "floor": found.floor_of((roles["current"] or {}).get("name") or ""),
        "floors": dict(found.floors),
        "bad": dict(found.bad),
        "versions": names,
        "keys": keys,
        "free": disk.f_bavail * disk.f_frsize,
        "problems": list(dict.fromkeys(problems)),  # one version may have several roles
    }


def _version(home: Home, id: str, problems: list[str]) -> dict[str, Any]:
    try:
        manifest = contents.load(home.versions / id).manifest
    except EdgeRuntimeError as error:
        problems.append(str(error))
        return {"id": id, "name": None, "sequence": None, "expires": None, "flash": None}
    try:
        size = flash.taken(home.versions / id)
    except OSError as error:  # it may be removed meanwhile
        problems.append(f"{home.versions / id}: cannot be read: {error.strerror}")
        size = None
    return {
        "id": id,
        "name": manifest.name,
        "sequence": manifest.sequence,
        "expires": manifest.expires,
        "flash": size,
    }
