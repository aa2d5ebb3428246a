"""What a device is, before anything is sent there: one shell script, which needs nothing but ``sh``."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

from compress.errors import DeviceError, DevicePythonError
from edge_runtime.cli import printable
from edge_runtime.machine import ARCHITECTURES

OLDEST = (3, 10)
"""The oldest Python that edge-runtime runs on."""
PYTHONS = ("python3", "python3.13", "python3.12", "python3.11", "python3.10")
MARKER = "edge-runtime-survey"
FOLDER = '"${XDG_CACHE_HOME:-$HOME/.cache}/edge-runtime-bench"'

# Also old Pythons must be able to say that they are old. The modules are those of agent.py: Debian's python3-minimal
# lacks some.
_ASK = """
import sys
about = {"version": tuple(sys.version_info[:3]), "path": sys.executable, "whole": True}
try:
    import fcntl, hashlib, json, select, subprocess, zipfile, zlib
    import platform, struct
    about.update(name=platform.python_implementation(), libc=platform.libc_ver(), machine=platform.machine())
    about.update(bits=8 * struct.calcsize("P"))
except ImportError:
    about.update(whole=False)
print(repr(about))
sys.exit(0 if about["whole"] and sys.version_info >= (%d, %d) else 1)
"""


@dataclass(frozen=True)
class Survey:
    """``arch`` is that of its Python: a 64-bit processor may run a 32-bit system. ``libc``: glibc's version, or None
    for another C library. ``python``: the interpreter's path; ``folder``: where our things go; ``agent``: whether the
    agent is there already."""

    arch: str
    python: str
    version: tuple[int, int, int]
    libc: tuple[int, int] | None
    system: str
    folder: str
    agent: bool = False

    @property
    def platforms(self) -> tuple[str, ...]:
        """Platform tags of the wheels that run there, newest first (PEP 600)."""
        if self.libc is None:
            return ()
        oldest = 5 if self.arch in ("x86_64", "i686") else 17
        return tuple(f"manylinux_2_{minor}_{self.arch}" for minor in range(self.libc[1], oldest - 1, -1)) + tuple(
            f"{alias}_{self.arch}"
            for alias, minor in (("manylinux2014", 17), ("manylinux2010", 12), ("manylinux1", 5))
            if oldest <= minor <= self.libc[1]
        )

    def words(self) -> str:
        """One line for people."""
        libc = "another C library than glibc" if self.libc is None else f"glibc {self.libc[0]}.{self.libc[1]}"
        return f"{self.system}, {self.arch}, Python {'.'.join(map(str, self.version))}, {libc}"


def script(python: str | None, folder: str | None, agent: str) -> bytes:
    """What to feed to ``sh`` there. ``python``: the only interpreter to look at; ``agent``: its file in the folder."""
    candidates = " ".join(map(_quote, (python,) if python else PYTHONS))
    return f"""
echo {MARKER}
echo "system $( (. /etc/os-release && echo "$PRETTY_NAME") 2>/dev/null || uname -sr)"
folder={_quote(folder) if folder else FOLDER}
echo "folder $folder"
[ -f "$folder/{agent}" ] && echo agent
for python in {candidates}; do
  command -v "$python" >/dev/null 2>&1 && "$python" -c '{_ASK % OLDEST}' 2>/dev/null && break
done
exit 0
""".encode()


def read(said: bytes, device: str, candidates: Sequence[str] = PYTHONS) -> Survey:
    """The survey in what the script printed; ``device`` is its name for messages.

    Raises DevicePythonError when no interpreter will do, DeviceError when the script did not run.
    """
    lines = said.decode("utf-8", "replace").splitlines()
    if MARKER not in lines:
        raise DeviceError(f"{device}: there is no POSIX shell: 'sh' said {said[-200:]!r}")
    told = lines[lines.index(MARKER) + 1 :]
    named = dict(line.split(" ", 1) for line in told if line.startswith(("system ", "folder ")))
    try:
        pythons = [ast.literal_eval(line) for line in told if line.startswith("{")]
    except (ValueError, SyntaxError) as error:
        raise DeviceError(f"{device}: its Python says {told[-1][:200]!r}, which is not understood") from error
    good = [found for found in pythons if found["version"] >= OLDEST and found["whole"]]
    good = [found for found in good if found["name"] == "CPython"]
    if not good:
        raise DevicePythonError(f"{device}: {_no_python(pythons, candidates)}")
    found = good[0]
    arch = ARCHITECTURES.get(found["machine"], found["machine"])
    if found["bits"] == 32:
        arch = {"aarch64": "armv7l", "x86_64": "i686"}.get(arch, arch)
    glibc = re.match(r"(\d+)\.(\d+)", found["libc"][1]) if found["libc"][0] == "glibc" else None
    libc = (int(glibc[1]), int(glibc[2])) if glibc else None
    return Survey(
        arch, found["path"], found["version"], libc, printable(named["system"]), named["folder"], "agent" in told
    )


def _no_python(pythons: list[dict], candidates: Sequence[str]) -> str:
    wanted = f"edge-runtime needs CPython {'.'.join(map(str, OLDEST))} or later with its standard library"
    if not pythons:
        return f"there is no Python ({', '.join(candidates)} were looked for); {wanted} (Debian: apt install python3)"
    if all(found["version"] < OLDEST for found in pythons):
        versions = ", ".join(sorted({".".join(map(str, found["version"])) for found in pythons}))
        return f"its Python is {versions}; {wanted}. Install one, or name another that is there with its path"
    if others := sorted({found["name"] for found in pythons if found["whole"]} - {"CPython"}):
        return f"its Python is {', '.join(others)}; {wanted}"
    return f"its Python lacks a part of its standard library; {wanted} (Debian: apt install python3)"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
