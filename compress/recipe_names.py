"""What the texts of a recipe stand for: built-in names, the user's own code, paths. Imports none of what it names."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from compress.suggest import did_you_mean

SOURCES = {
    "fashion-mnist": "compress.data.fashion_mnist:load",
    "huggingface": "compress.data.huggingface:load",
    "image-folder": "compress.data.image_folder:load",
    "npz": "compress.data.npz:load",
}
ARCHITECTURES = {
    "convnet": "compress.models.convnet:convnet",
    "dscnn": "compress.models.dscnn:dscnn",
    "resnet": "compress.models.resnet:resnet",
}
CHECKPOINTS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
# What a source is given from the fields of `data:` itself; its other keywords are its options.
COMMON = ("path", "validation", "calibration", "seed")


@cache
def keywords(place: str) -> tuple[str, ...]:
    """The keywords of a built-in ``module:function``, read from its source."""
    module, _, function = place.partition(":")
    root = Path(__file__).parent.parent
    tree = ast.parse(root.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8"))
    found = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return tuple(argument.arg for argument in found.args.kwonlyargs)


def unknown_options(source: str, options: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(key, message) of each option that the built-in ``source`` does not take."""
    known = [name for name in keywords(SOURCES[source]) if name not in COMMON]
    return _unknown(f"{source} has no option", options, known)


def unknown_arguments(architecture: str, arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(key, message) of each argument that the built-in ``architecture`` does not take."""
    return _unknown(f"{architecture} has no argument", arguments, keywords(ARCHITECTURES[architecture]))


def _unknown(complaint: str, given: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    for key in given:
        if key not in known:
            yield key, f"{complaint} '{key}'; {did_you_mean(key, known) if known else 'it takes none'}"


def located(path: str, folder: Path) -> Path:
    """A path written in the recipe (`~` allowed) as one that can be opened; ``folder`` is the recipe's."""
    return folder / os.path.expanduser(path)


def own_code(name: str, folder: Path) -> ModuleSpec | None:
    """The top-level package of ``package.module:callable``, found as on import but not run; None where there is none.

    It may be installed, or lie in the working folder or the recipe's ``folder``.
    """
    top = name.partition(":")[0].partition(".")[0]
    if spec := PathFinder.find_spec(top, [*sys.path, str(Path.cwd()), str(folder.resolve())]):
        return spec
    found = (finder.find_spec(top, None) for finder in sys.meta_path)  # built in, or installed as editable
    return next(filter(None, found), None)
