"""Bundles among the models of a benchmark: opened as a device opens them, and what they take of its flash.

A bundle's model is handed to a large native library, on this machine or on a device. So its signature and all its
hashes are checked first, by keys that were given or those that this machine trusts, and nothing leaves that check out.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from compress.bench.benchmark.results import Benchmark, Model
from edge_runtime import limits, machine
from edge_runtime.bundle import archive, contents, flash
from edge_runtime.bundle.contents import Contents
from edge_runtime.bundle.manifest import MANIFEST, SIGNATURE
from edge_runtime.bundle.signature import PublicKey
from edge_runtime.errors import BundleError, EdgeRuntimeError, UnknownKeyError
from edge_runtime.places import default_home
from edge_runtime.update import checks
from edge_runtime.update.home import Home

SUFFIX, FOLDER = ".edge", "bundles"


class Unpacked:
    """The bundles of one benchmark, kept in ``folder`` with its results: a benchmark that was cut off goes on from
    there. ``keys``: whose bundles are opened; none: those that this machine trusts. ``here``: they run on it."""

    def __init__(self, folder: Path, keys: Iterable[PublicKey] = (), *, here: bool = True) -> None:
        self._folder, self._keys, self._here = folder / FOLDER, list(keys), here
        self._count = 0

    def open(self, path: Path) -> Contents:
        """Verify a bundle and unpack it. Raises BundleError; TargetError or EngineMissingError where this machine
        cannot run it."""
        try:
            manifest, _ = archive.read_signed_manifest(path, self._trusted())
            if self._here:
                checks.check_target(manifest, machine.detect())
                checks.check_engine(manifest)
            place = self._folder / str(self._count)
            place.mkdir(parents=True)
            self._count += 1
            return archive.unpack(path, place, self._trusted())
        except UnknownKeyError as error:
            raise UnknownKeyError(f"{path}: {error}; or name its maker's with --key KEY.pub") from error
        except EdgeRuntimeError as error:
            words = str(error)
            error.args = (words if words.startswith(str(path)) else f"{path}: {words}",)  # in place: its class stays
            raise

    def remove(self) -> None:
        """What was unpacked, and the folder around it where nothing else is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        with suppress(OSError):
            self._folder.parent.rmdir()

    def _trusted(self) -> list[PublicKey]:
        return self._keys or Home(default_home()).trusted_keys()


def with_flash(benchmark: Benchmark, files: Mapping[str, Path]) -> Benchmark:
    """The benchmark with what each model takes of a device's flash: its bundle, or its files where it has none.

    ``files``: by place in the plan's folder. Of models whose files have gone it is not known.
    """
    return replace(benchmark, models=[_with_flash(model, files) for model in benchmark.models])


def _with_flash(model: Model, files: Mapping[str, Path]) -> Model:
    if (path := files.get(model.path)) and (found := _around(path)):
        manifest = found.manifest
        said = f"{manifest.name} {manifest.sequence} ({found.id[:12]})"
        return replace(model, flash=flash.installed(manifest), bundle=said)
    folder = model.path.rpartition("/")[0]
    own = [file for place, file in files.items() if place.startswith(f"{folder}/")]
    try:
        return replace(model, flash=flash.blocks(file.stat().st_size for file in own) if own else None)
    except OSError:
        return model


def _around(path: Path) -> Contents | None:
    """The unpacked bundle whose model is at ``path``; None for any other file."""
    for folder in path.parents[: limits.PATH_DEPTH]:
        if (folder / MANIFEST).is_file() and (folder / SIGNATURE).is_file():
            with suppress(BundleError):
                found = contents.load(folder)
                return found if folder / found.manifest.model == path else None
    return None
