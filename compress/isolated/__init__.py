"""Tools that cannot share an environment with this package, each in one of its own that this package makes.

LiteRT's converter pins versions that contradict ours, and TensorRT is heavy and NVIDIA's. Such a tool lives in a
virtual environment of the user's data folder, made by `compress doctor --install NAME` and by nothing else:

1. ``NAME.txt`` beside this file lists every package of it, pinned; pip resolves nothing.
2. The environment is built in a temporary folder, its tool is imported once, and a rename puts it in place: an
   interrupted installation leaves no environment.
3. Its folder is called by a digest of the list, the Python and the PyTorch it was made for. When one of them changes,
   the old environment is not found any more, rather than wrong.

Work goes there and back as files: the scripts beside this file run in the environments, and import nothing of this
package. PyTorch is not installed twice (1 to 5 GB): an environment that needs it looks for what it lacks in ours, which
also makes both read the same exported programs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from compress.digest import digest
from compress.errors import ToolError
from compress.suggest import did_you_mean

LISTS = Path(__file__).parent


@dataclass(frozen=True)
class Environment:
    """``purpose``: in words. ``module``: imports only when the installation is good. ``torch``: whether it is needed.
    ``size``: bytes on the disk, about."""

    purpose: str
    module: str
    torch: bool
    size: float


ENVIRONMENTS = {
    "litert": Environment("conversion of PyTorch networks to .tflite", "litert_torch", True, 1.2e9),
    "tensorrt": Environment("checks of ONNX files for TensorRT, without a GPU", "tensorrt_rtx", False, 0.35e9),
}


def folder(name: str) -> Path:
    """Where the environment ``name`` is, once it is installed. Raises :class:`ToolError` for an unknown name."""
    if name not in ENVIRONMENTS:
        raise ToolError(f"there is no tool environment '{name}'; {did_you_mean(name, ENVIRONMENTS)}")
    made_for = {"packages": _list(name).read_text("utf-8"), "python": sys.version, "interpreter": sys.base_prefix}
    if ENVIRONMENTS[name].torch:
        made_for |= {"torch": _torch(), "torch is in": sysconfig.get_path("purelib")}
    return _root() / f"{name}-{digest(made_for)[:12]}"


def installed(name: str) -> bool:
    return folder(name).is_dir()


def require(name: str) -> Path:
    """Its folder. Raises :class:`ToolError` with the command that installs it when it is not there."""
    if not installed(name):
        environment = ENVIRONMENTS[name]
        raise ToolError(
            f"{environment.purpose} needs a tool environment of about {environment.size / 1e9:.1f} GB that is not "
            f"there: compress doctor --install {name}"
        )
    return folder(name)


def install(name: str, say: Callable[[str], None] = print) -> Path:
    """Make the environment ``name`` unless it is there, and return its folder.

    Takes minutes; pip is configured as for any other use of it (``PIP_INDEX_URL``, pip.conf). Other versions of the
    environment are removed. Raises :class:`ToolError`.
    """
    target, environment = folder(name), ENVIRONMENTS[name]
    if target.is_dir():
        return target
    try:
        _root().mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(_root()).free
        if free < 1.5 * environment.size:
            raise ToolError(
                f"{_root()}: {free / 1e9:.1f} GB are free; making '{name}' takes {1.5 * environment.size / 1e9:.1f} GB"
            )
        say(f"making {target} (about {environment.size / 1e9:.1f} GB): {environment.purpose}")
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=_root()) as temporary:
            draft = Path(temporary) / "environment"
            _build(draft, name)
            with suppress(FileExistsError):  # another process was quicker
                draft.rename(target)
    except OSError as error:
        raise ToolError(f"{_root()}: the environment '{name}' cannot be made: {error}") from error
    for other in _root().glob(f"{name}-*"):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)
    return target


def run(name: str, script: str, *arguments: str | os.PathLike[str], timeout: float = 1800) -> str:
    """Run ``script``, a file beside this one, in the environment ``name``; return what it printed.

    A script says in its last line why it failed. Raises :class:`ToolError` with that line, when the environment is
    missing, or after ``timeout`` seconds.
    """
    environment = require(name)
    # -I: neither PYTHONPATH nor the script's folder, where a package of the user may be called like one of the tool's.
    command = [_python(environment), "-I", LISTS / script, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{script} in {environment} did not end within {timeout:.0f} s") from error
    if done.returncode:
        raise ToolError(_last_line(done.stderr) or f"{script} in {environment} ended with {done.returncode}")
    return done.stdout


def _build(draft: Path, name: str) -> None:
    python = _python(draft)
    _call([sys.executable, "-m", "venv", draft], f"Python cannot make a virtual environment for '{name}'")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    _call([*pip, "-r", _list(name)], f"pip cannot install '{name}'")
    if ENVIRONMENTS[name].torch:
        # Read at the start of every interpreter there; what the environment has itself comes first.
        site = next(draft.glob("lib*/python*/site-packages"))
        (site / "torch-of-compress.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
    module = ENVIRONMENTS[name].module
    _call([python, "-I", "-c", f"import {module}"], f"'{name}' was installed, but {module} cannot be imported")


def _call(command: Sequence[str | os.PathLike[str]], failure: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"{failure}: {_last_line(done.stderr) or _last_line(done.stdout)}")


def _last_line(text: str) -> str:
    """The line that tells: pip's first error, else the last line there is."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else "")


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _list(name: str) -> Path:
    return LISTS / f"{name}.txt"


def _torch() -> str | None:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return None


def _root() -> Path:
    """``$COMPRESS_ENVIRONMENTS``, or in the user's data folder."""
    if root := os.environ.get("COMPRESS_ENVIRONMENTS"):
        return Path(root)
    from platformdirs import user_data_path

    return user_data_path("compress") / "environments"
