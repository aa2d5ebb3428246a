"""The packages that a device needs, as wheels, brought together here: the device needs no network and no pip.

1. Which engines a plan needs follows from its models. An engine that only its maker installs (TensorRT, PyTorch for a
   board's GPU) is the device's own.
2. ``pip download`` fetches the engines' wheels for the *device's* platform and Python, in the versions that are
   installed here where there are such wheels, else in the newest. Once: they stay in the user's cache.
3. edge-runtime's own wheel is packed from the package that runs here, so that both ends are of one version.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path, PurePosixPath

import edge_runtime
from compress.bench.devices.survey import Survey
from compress.digest import digest
from compress.errors import WheelError
from edge_runtime.probes.plan import Plan

ENGINES = {".onnx": "onnxruntime", ".ort": "onnxruntime", ".xml": "openvino", ".tflite": "litert"}
"""The runtime of a model's file, when the plan does not name one. Others are the device's own."""
PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert"}
"""What an engine is called where packages are published. Its least version is the one in edge-runtime's extras."""
ALWAYS = "numpy"
MODE = 0o644 << 16
LIMIT_SECONDS = 1800.0


def engines(plan: Plan) -> tuple[str, ...]:
    """The engines that are to be brought along, sorted."""
    runtimes = {model.runtime or ENGINES.get(PurePosixPath(model.path).suffix) for model in plan.models}
    return tuple(sorted(runtime for runtime in runtimes if runtime in PACKAGES))


def wheels(survey: Survey, plan: Plan) -> list[Path]:
    """Every wheel that the plan needs on such a device, edge-runtime's first. Takes minutes when they are not cached.

    Raises WheelError, naming the package, when one cannot be had.
    """
    return [own(), *published(survey, engines(plan))]


def own(cache: Path | None = None) -> Path:
    """edge-runtime's wheel: the same bytes for the same package."""
    package = Path(edge_runtime.__file__).parent
    files = {
        f"edge_runtime/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    about = f"edge_runtime-{edge_runtime.__version__}.dist-info"
    found = metadata.distribution("edge-runtime")
    for name in ("METADATA", "entry_points.txt"):
        files[f"{about}/{name}"] = (found.read_text(name) or "").encode()
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: compress\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{about}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{about}/RECORD"]).encode()
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    folder = (cache or _cache()) / "own" / digest(sums)[:16]
    wheel = folder / f"edge_runtime-{edge_runtime.__version__}-py3-none-any.whl"
    if not wheel.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as draft:
            with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, data in files.items():
                    entry = zipfile.ZipInfo(name)  # dated 1980, always
                    entry.external_attr, entry.compress_type = MODE, zipfile.ZIP_DEFLATED
                    archive.writestr(entry, data)
            Path(draft.name).replace(wheel)
    return wheel


def published(survey: Survey, runtimes: Iterable[str], cache: Path | None = None) -> list[Path]:
    """The wheels of the engines and of what they need, for that platform and Python."""
    wanted = [ALWAYS, *(PACKAGES[runtime] for runtime in runtimes)]
    least = _least_versions()
    here = {name: _version(name) for name in wanted}
    asked = {
        "packages": wanted, "least": least, "here": here, "platforms": survey.platforms, "python": survey.version[:2]
    }  # fmt: skip
    folder = (cache or _cache()) / f"{survey.arch}-cp{survey.version[0]}{survey.version[1]}-{digest(asked)[:16]}"
    if not folder.is_dir():
        if not survey.platforms:
            raise WheelError(
                f"{survey.words()}: engines are published for Linux with glibc only. Use a system with glibc (Debian, "
                "Ubuntu, Raspberry Pi OS)"
            )
        try:
            _download(survey, [f"{name}{least.get(name, '')}" for name in wanted], here, folder)
        except OSError as error:
            raise WheelError(f"{folder.parent}: wheels cannot be kept here: {error.strerror or error}") from error
    return sorted(folder.glob("*.whl"))


def _download(survey: Survey, wanted: list[str], here: dict[str, str | None], folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".wheels-", dir=folder.parent) as temporary:
        draft = Path(temporary) / "wheels"
        same = [f"{name}=={version}" for name, version in here.items() if version]
        said = _pip(survey, wanted, same, draft)
        if said:  # the versions here need not be published for that Python
            shutil.rmtree(draft, ignore_errors=True)
            said = _pip(survey, wanted, [], draft)
        if said:
            raise WheelError(_explain(said, survey, wanted))
        try:
            draft.rename(folder)
        except OSError:  # another device of this kind was quicker
            if not folder.is_dir():
                raise


def _pip(survey: Survey, wanted: list[str], constraints: list[str], out: Path) -> str:
    """Empty when all went well, else what pip said."""
    version = f"{survey.version[0]}.{survey.version[1]}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--dest", str(out)]
    command += ["--only-binary=:all:", "--implementation", "cp", "--python-version", version]
    command += ["--abi", f"cp{version.replace('.', '')}", "--abi", "abi3", "--abi", "none"]
    command += [word for platform in survey.platforms for word in ("--platform", platform)]
    try:
        done = subprocess.run(
            [*command, *wanted, *constraints], capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"ERROR: pip did not end within {LIMIT_SECONDS:.0f} s"
    if not done.returncode:
        return ""
    return done.stderr.strip() or done.stdout.strip() or f"pip ended with {done.returncode}"


def _explain(said: str, survey: Survey, wanted: list[str]) -> str:
    told = next((line for line in said.splitlines() if line.startswith("ERROR:")), said.splitlines()[-1])
    python = f"Python {survey.version[0]}.{survey.version[1]} on {survey.arch}"
    advice = "is there a connection, and is pip's index reachable? `pip download` uses pip's own configuration"
    if missing := re.search(r"No matching distribution found for (\S+)", said):
        told = f"no wheel of {missing[1]} is published for {python}"
        glibc = survey.libc and f"with glibc {survey.libc[0]}.{survey.libc[1]} or older"
        advice = f"install a Python there for which it is (looked for: {glibc}), or leave its models out"
    return f"{', '.join(wanted)} cannot be had for {python}: {told.removeprefix('ERROR: ')}; {advice}"


def _least_versions() -> dict[str, str]:
    """``>=...`` by package, as edge-runtime's metadata asks for."""
    needed = metadata.requires("edge-runtime") or []
    found = (re.match(r"([\w-]+)\s*([<>=!~][^;]*)?", line) for line in needed)
    return {one[1]: re.sub(r"\s", "", one[2] or "") for one in found if one and one[1] in PACKAGES.values()}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("compress") / "wheels"
