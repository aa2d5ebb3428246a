"""What edge-runtime takes on a device: bytes installed on aarch64, without one at hand, and memory of a process here.

    python -m compress.bench.own.footprint                        # sizes; needs a package index
    python -m compress.bench.own.footprint --memory m.edge --key key.pub

Sizes: for every extra, pip resolves and downloads what a device would install (wheels only), the wheels are unpacked,
and their bytes are added up, package by package. pip also compiles every module on installation unless told
``--no-compile``: these bytes are told apart, and only when the Python asked for is the one that runs this. Sizes are
sums of file lengths, in MB of a million bytes; a file system's blocks add a few percent.

Memory: see ``resident``.
"""

from __future__ import annotations

import argparse
import compileall
import configparser
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from compress.bench.own import resident

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "edge-runtime"
LEFT_OUT = ("tensorrt",)
"""Extras that are not weighed: TensorRT comes with JetPack, and its package holds nothing but a download."""

GLIBC = ("2014", "_2_17", "_2_26", "_2_27", "_2_28", "_2_31", "_2_34", "_2_35")
"""Wheels that JetPack 6 takes (glibc 2.35), and so does Pi OS (2.36 and later)."""

BUDGET = (
    ("without an engine: verifies, installs, goes back", ("bundle",), 60e6),
    ("without an engine, with pictures and the server", ("bundle", "image", "serve"), 60e6),
    ("with ONNX Runtime, pictures and the server", ("bundle", "image", "serve", "onnxruntime"), 180e6),
)
"""What is looked at, its extras, and how many bytes it may take."""


@dataclass(frozen=True)
class Installed:
    """``files``: bytes of a wheel's content; ``compiled``: bytes that pip adds by compiling it, None where unknown."""

    name: str
    version: str
    files: int
    compiled: int | None

    @property
    def bytes(self) -> int:
        return self.files + (self.compiled or 0)


def requirements(*extras: str) -> list[str]:
    """What edge-runtime declares, with these extras; an extra may not name another."""
    setup = _setup()
    lines = setup["options"]["install_requires"].split("\n")
    for extra in extras:
        lines += setup["options.extras_require"][extra].split("\n")
    return [line for line in map(str.strip, lines) if line and not line.startswith("#")]


def extras() -> list[str]:
    """The extras that are weighed."""
    return [name for name in _setup()["options.extras_require"] if name not in LEFT_OUT]


def wheels(needed: list[str], folder: Path, python: str) -> list[Path]:
    """Download what pip would install on aarch64 for these requirements."""
    folder.mkdir()
    platforms = [word for glibc in reversed(GLIBC) for word in ("--platform", f"manylinux{glibc}_aarch64")]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += [*platforms, "--implementation", "cp", "--python-version", python, "--only-binary=:all:"]
    subprocess.run([*command, "--dest", str(folder), *needed], check=True, stdout=subprocess.DEVNULL)
    return sorted(folder.glob("*.whl"))


def weigh(wheel: Path, folder: Path, *, compile: bool) -> Installed:
    """Unpack a wheel into ``folder`` and count."""
    name, version, *_ = wheel.stem.split("-")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return _count(name, version, folder, compile=compile)


def ourselves(folder: Path, *, compile: bool) -> Installed:
    """edge_runtime itself, from its sources."""
    for source in (PACKAGE / "edge_runtime").rglob("*"):
        if source.is_file() and "__pycache__" not in source.parts:
            copy = folder / source.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.read_bytes())
    return _count("edge_runtime", "here", folder, compile=compile)


def measure(python: str) -> dict[str, list[Installed]]:
    """What each extra installs besides the core; the core is ``""``."""
    compile = python == f"{sys.version_info.major}.{sys.version_info.minor}"
    found: dict[str, list[Installed]] = {}
    weighed: dict[str, Installed] = {}
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for extra in ("", *extras()):
            for wheel in (closure := wheels(requirements(*filter(None, [extra])), root / f"wheels-{extra}", python)):
                if wheel.name not in weighed:
                    weighed[wheel.name] = weigh(wheel, root / wheel.stem, compile=compile)
            found[extra] = [weighed[wheel.name] for wheel in closure]
        found[""].append(ourselves(root / "ourselves", compile=compile))
    core = {item.name for item in found[""]}
    return {extra: [i for i in items if not extra or i.name not in core] for extra, items in found.items()}


def together(found: dict[str, list[Installed]], extras: tuple[str, ...]) -> list[Installed]:
    """The packages of the core and these extras, each once."""
    return list({item.name: item for extra in ("", *extras) for item in found[extra]}.values())


def table(found: dict[str, list[Installed]], python: str) -> list[str]:
    lines = [
        f"MB installed on aarch64, Python {python}; in brackets without compiled modules (pip install --no-compile)",
        "",
        "| | MB | packages |",
        "|---|---:|---|",
    ]
    for extra, items in found.items():
        packages = ", ".join(
            f"{item.name} {item.version} {_mb(item.bytes)}" for item in sorted(items, key=lambda item: -item.bytes)
        )
        lines.append(f"| {f'[{extra}]' if extra else 'edge-runtime'} | {_both(items)} | {packages} |")
    lines.append("")
    for words, extras, limit in BUDGET:
        items = together(found, extras)
        total, bare = sum(item.bytes for item in items), sum(item.files for item in items)
        met = "met" if total <= limit else "met only without compiled modules" if bare <= limit else "not met"
        lines.append(f"{words}: {_both(items)} MB of {_mb(limit)} MB: {met}")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", default="3.11", help="the device's Python (3.11)")
    parser.add_argument("--memory", type=Path, metavar="BUNDLE", help="weigh a process that answers with this bundle")
    parser.add_argument("--key", type=Path, help="the public key that signed it")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.memory:
        if not arguments.key:
            parser.error("--memory needs --key")
        steps = resident.steps(arguments.memory, arguments.key)
        server = resident.serving(arguments.memory, arguments.key)
        if arguments.json:
            print(json.dumps([*steps, server]))
            return
        met = "met" if server["VmHWM"] <= resident.LIMIT else "not met"
        print("\n".join([*resident.table(steps), "", *resident.table([server])]))
        print(f"\nserving, peak: {_mb(server['VmHWM'])} MB of {_mb(resident.LIMIT)} MB: {met}")
        return
    found = measure(arguments.python)
    if arguments.json:
        print(json.dumps({extra: [vars(item) for item in items] for extra, items in found.items()}, indent=1))
    else:
        print("\n".join(table(found, arguments.python)))


def _setup() -> configparser.ConfigParser:
    setup = configparser.ConfigParser()
    setup.read(PACKAGE / "setup.cfg")
    return setup


def _count(name: str, version: str, folder: Path, *, compile: bool) -> Installed:
    files = _bytes(folder)
    if not compile:
        return Installed(name, version, files, None)
    # Files of other Pythons, such as templates, do not compile; pip leaves these out too.
    compileall.compile_dir(folder, quiet=2, force=True)
    return Installed(name, version, files, _bytes(folder) - files)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _both(items: list[Installed]) -> str:
    total, bare = sum(item.bytes for item in items), sum(item.files for item in items)
    return _mb(total) if total == bare else f"{_mb(total)} ({_mb(bare)})"


def _mb(size: float) -> str:
    return f"{size / 1e6:.1f}"


if __name__ == "__main__":
    main()
