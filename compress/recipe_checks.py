"""Mistakes that no single field shows: settings that contradict each other, and things that are not there.

``contradictions`` looks at the recipe alone and runs whenever one is made; ``absences`` looks at the disk and at the
known targets, and runs when a recipe is loaded from its file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from compress.errors import CompressError, QuantizationError
from compress.quantize import method
from compress.recipe import CALLABLE, ON_REQUEST, RUNTIMES, Quantize, Recipe, Teacher
from compress.recipe_names import ARCHITECTURES, CHECKPOINTS, SOURCES, own_code, unknown_arguments, unknown_options
from compress.suggest import did_you_mean
from edge_runtime.errors import MeterError

WRITTEN_FROM_PYTORCH = ("litert", "aotinductor", "aotinductor-graph")
FLOAT_ONLY = {
    "aotinductor": ". A package computes in floats: its steps are fp16 and bf16",
    "aotinductor-graph": ". A package computes in floats: its steps are fp16 and bf16",
    "onnxruntime-cuda": ". The CUDA provider has no int8 kernels to gain by: its step is fp16",
}
"""What to say of runtimes for which there is no int8."""
TEACHERS = ("checkpoint", "huggingface", "onnx", "train")
# What data.path is, for the sources that do not take both.
PATHS = {
    "fashion-mnist": ("folder", Path.is_dir),
    "image-folder": ("folder", Path.is_dir),
    "npz": ("file", Path.is_file),
}


class Problem(NamedTuple):
    """``where``: keys and indices from the recipe's root to the culprit."""

    where: tuple[str | int, ...]
    message: str


def refuse(problems: Iterable[Problem]) -> None:
    """Raise the problems, if any, as a pydantic error, each at its own place."""
    errors = []
    for where, message in problems:
        kind = PydanticCustomError("contradiction", "{message}", {"message": message})
        errors.append(InitErrorDetails(type=kind, loc=where, input=None))
    if errors:
        raise ValidationError.from_exception_data("Recipe", errors)


def contradictions(recipe: Recipe) -> Iterator[Problem]:
    yield from _teacher(recipe.teacher)
    yield from _data(recipe)
    yield from _stages(recipe)
    yield from _targets(recipe)
    for index, stage in enumerate(recipe.stages):
        if stage.distill:
            yield from _architecture(stage.distill.architecture, stage.distill.arguments, ("stages", index, "distill"))


def absences(recipe: Recipe) -> Iterator[Problem]:
    """Files, code and targets the recipe names and this machine does not have."""
    teacher, data = recipe.teacher, recipe.data
    for key in ("checkpoint", "onnx"):
        path = getattr(teacher, key)
        if path and not recipe.resolve(path).is_file():
            yield Problem(("teacher", key), f"no such file: {recipe.resolve(path)} (paths are relative to the recipe)")
    yield from _quantized_teacher(recipe)
    if (
        teacher.huggingface
        and re.match(r"[.~/]|.*/.*/", teacher.huggingface)
        and not recipe.resolve(teacher.huggingface).is_dir()
    ):
        yield Problem(("teacher", "huggingface"), f"no such folder: {recipe.resolve(teacher.huggingface)}")
    if data.path:
        path = recipe.resolve(data.path)
        kind, there = PATHS.get(data.source, ("file or folder", Path.exists))
        if not there(path):
            found = f"{data.source} needs a {kind}, and this is none" if path.exists() else f"no such {kind}"
            yield Problem(("data", "path"), f"{found}: {path} (relative to the recipe)")
    yield from _meters(recipe)
    yield from _missing_code(recipe)
    yield from _unknown_targets(recipe)


def _teacher(teacher: Teacher) -> Iterator[Problem]:
    given = _sources(teacher)
    if len(given) != 1:
        yield Problem(("teacher",), f"give exactly one of {', '.join(TEACHERS)}; given: {', '.join(given) or 'none'}")
        return
    if given[0] in ("checkpoint", "train") and not teacher.architecture:
        yield Problem(("teacher", given[0]), "needs teacher.architecture: it says which network the weights belong to")
    if given[0] in ("huggingface", "onnx") and teacher.architecture:
        yield Problem(("teacher", "architecture"), f"{given[0]} brings its own architecture: remove this key")
    if teacher.checkpoint and not teacher.checkpoint.endswith(CHECKPOINTS):
        yield Problem(("teacher", "checkpoint"), f"unknown kind of file: expected one of {', '.join(CHECKPOINTS)}")
    if teacher.onnx and not teacher.onnx.endswith(".onnx"):
        yield Problem(("teacher", "onnx"), "expected a file that ends in .onnx")
    yield from _architecture(teacher.architecture, teacher.arguments, ("teacher",))


def _meters(recipe: Recipe) -> Iterator[Problem]:
    if recipe.measure.meters:
        from compress import energy

        try:
            energy.meters(recipe.measure, recipe)
        except MeterError as error:
            yield Problem(("measure", "meters"), str(error))


def _quantized_teacher(recipe: Recipe) -> Iterator[Problem]:
    """An ONNX teacher that cannot run, or that no quantization can start from: found now, it is named by its own
    file."""
    path = recipe.resolve(recipe.teacher.onnx) if recipe.teacher.onnx else None
    if path and path.is_file() and any(stage.quantize for stage in recipe.stages):
        from compress.quantize.graph.float_only import read_onnx
        from compress.targets.onnx_domains import foreign

        try:
            read_onnx(path)
            if why := foreign(path):
                yield Problem(("teacher", "onnx"), f"{path.name}: {why}")
        except QuantizationError as error:
            yield Problem(("teacher", "onnx"), str(error))


def _sources(teacher: Teacher) -> list[str]:
    return [key for key in TEACHERS if getattr(teacher, key) is not None]


def _architecture(name: str | None, arguments: dict, where: tuple[str | int, ...]) -> Iterator[Problem]:
    if arguments and not name:
        yield Problem((*where, "arguments"), "belong to an architecture, and none is given")
    if name in ARCHITECTURES:
        for key, message in unknown_arguments(name, arguments):
            yield Problem((*where, "arguments", key), message)
    elif name and not re.fullmatch(CALLABLE, name):
        message = f"unknown architecture '{name}'; {did_you_mean(name, ARCHITECTURES)}, or package.module:callable"
        yield Problem((*where, "architecture"), message)


def _data(recipe: Recipe) -> Iterator[Problem]:
    source, path = recipe.data.source, recipe.data.path
    if source not in SOURCES and not re.fullmatch(CALLABLE, source):
        allowed = did_you_mean(source, SOURCES)
        yield Problem(("data", "source"), f"unknown source '{source}'; {allowed}, or package.module:callable")
    if source in SOURCES:
        for key, message in unknown_options(source, recipe.data.options):
            yield Problem(("data", "options", key), message)
    if source in ("image-folder", "npz") and path is None:
        yield Problem(("data", "source"), f"{source} needs data.path")


def _stages(recipe: Recipe) -> Iterator[Problem]:
    changed = False
    quantized = [index for index, stage in enumerate(recipe.stages) if stage.quantize]
    for index, stage in enumerate(recipe.stages):
        where = ("stages", index, stage.kind)
        if _sources(recipe.teacher) == ["onnx"] and stage.kind != "quantize":
            yield Problem(where, "an ONNX teacher can only be quantized: for this, give a checkpoint and architecture")
        if stage.quantize:
            if any(not later.quantize for later in recipe.stages[index:]):
                yield Problem(where, "quantize comes last: an int8 model cannot be pruned or trained further")
            yield from _quantize(recipe, stage.quantize, where)
            if any(recipe.stages[other].quantize == stage.quantize for other in quantized if other < index):
                yield Problem(where, "is listed twice: alternatives differ in something")
        if stage.prune:
            if (stage.prune.ratio is None) == (stage.prune.macs is None):
                yield Problem(where, "give exactly one of ratio (channels to remove) and macs (share of work to leave)")
            changed = True
        if stage.distill:
            if stage.distill.architecture is None and not changed:
                yield Problem(where, "would distil the teacher into itself: prune first, or give an architecture")
            changed = True


def _quantize(recipe: Recipe, settings: Quantize, where: tuple[str | int, ...]) -> Iterator[Problem]:
    """Settings that this way of quantizing has no use for; an answer that ignores them would not be what was asked."""
    asked, plain = method(settings), Quantize()
    given = {key for key in Quantize.model_fields if getattr(settings, key) != getattr(plain, key)}
    if _sources(recipe.teacher) == ["onnx"] and asked.trains:
        yield Problem(where, f"method {settings.method} trains, which an ONNX teacher cannot: use method static")
    if settings.to != "int8" and "method" in given:
        yield Problem((*where, "method"), f"belongs to `to: int8`; {settings.to} has one way only: remove this key")
    for key, usable, what in (
        ("calibration", asked.integer and not (settings.method == "dynamic" or _training(settings)), "sets ranges"),
        ("samples", settings.to != "bf16" and settings.method != "dynamic", "counts calibration samples"),
        ("equalize", asked.module in ("static", "mixed"), "belongs to static int8"),
        ("smooth", asked.module in ("static", "nncf", "mixed"), "belongs to static int8"),
        ("bias_correction", asked.module in ("static", "nncf", "mixed"), "belongs to static int8"),
        ("rounding", asked.module == "static", "belongs to static int8"),
        ("training", asked.trains, "belongs to methods qat and fx"),
        ("temperature", asked.trains, "belongs to methods qat and fx"),
        ("weight", asked.trains, "belongs to methods qat and fx"),
        ("max_drop", asked.integer, "belongs to int8 and mixed"),
        ("scheme", asked.integer, "belongs to int8 and mixed"),
        ("group", settings.to == "int4-weights", "belongs to int4-weights"),
    ):
        if key in given and not usable:
            way = settings.to if settings.to != "int8" else f"method {settings.method}"
            yield Problem((*where, key), f"{what}; {way} has no use for it: remove this key")


def _training(settings: Quantize) -> bool:
    """Ranges are then found while training."""
    return settings.method == "qat" or (settings.method == "fx" and settings.training is not None)


def _targets(recipe: Recipe) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, target in enumerate(recipe.targets):
        if target.name in seen:
            yield Problem(("targets", index), f"'{target.name}' is listed twice")
        seen.add(target.name)
        if target.runtimes and len(set(target.runtimes)) != len(target.runtimes):
            yield Problem(("targets", index, "runtimes"), "lists a runtime twice")


def _missing_code(recipe: Recipe) -> Iterator[Problem]:
    """``package.module:callable`` whose package does not exist; the code itself is not run."""
    named = [(("data", "source"), recipe.data.source), (("teacher", "architecture"), recipe.teacher.architecture)]
    for index, stage in enumerate(recipe.stages):
        if stage.distill:
            named.append((("stages", index, "distill", "architecture"), stage.distill.architecture))
    for where, name in named:
        if name and ":" in name and own_code(name, recipe.folder) is None:
            module = name.partition(":")[0].partition(".")[0]
            places = f"{Path.cwd()} nor in {recipe.folder.resolve()}"
            yield Problem(where, f"no module '{module}' is installed, nor in {places}")


def _unknown_targets(recipe: Recipe) -> Iterator[Problem]:
    from compress.targets.target import load_target

    seen: set[str] = set()
    for index, choice in enumerate(recipe.targets):
        try:
            target = load_target(recipe.target(choice))
        except CompressError as error:
            yield Problem(("targets", index), str(error))
            continue
        if target.name in seen:
            yield Problem(("targets", index), f"another target is called '{target.name}' too")
        seen.add(target.name)
        built = [runtime for runtime in target.runtimes if runtime in RUNTIMES]
        for position, runtime in enumerate(choice.runtimes or ()):
            if runtime not in built:
                message = f"'{choice.name}' has no runtime '{runtime}' that can be built for"
                yield Problem(("targets", index, "runtimes", position), f"{message}; {did_you_mean(runtime, built)}")
        for position, stage in enumerate(recipe.stages):
            if stage.quantize:
                asked = choice.runtimes or [runtime for runtime in built if runtime not in ON_REQUEST]
                yield from _unsupported(stage.quantize, asked, choice.name, position)
                if _sources(recipe.teacher) == ["onnx"]:
                    yield from _not_written_anew(stage.quantize, asked, position)
        for runtime in WRITTEN_FROM_PYTORCH:
            if runtime in (choice.runtimes or ()) and _sources(recipe.teacher) == ["onnx"]:
                message = f"{runtime} is written from PyTorch: an ONNX teacher has none"
                yield Problem(("targets", index, "runtimes"), message)
        if not built:
            yield Problem(("targets", index), f"none of the runtimes of '{choice.name}' can be built for yet")


def _unsupported(settings: Quantize, runtimes: Iterable[str], target: str, position: int) -> Iterator[Problem]:
    allowed = method(settings).runtimes
    for runtime in runtimes:
        if runtime in RUNTIMES and runtime not in allowed:
            way = settings.to if settings.to != "int8" else f"method {settings.method}"
            message = f"{way} cannot be written for {runtime} (target '{target}'); it can for {', '.join(allowed)}"
            message += FLOAT_ONLY.get(runtime, "")
            yield Problem(("stages", position, "quantize"), message)


def _not_written_anew(settings: Quantize, runtimes: Iterable[str], position: int) -> Iterator[Problem]:
    """Of an ONNX teacher; packages are refused altogether."""
    for runtime in runtimes:
        if runtime in method(settings).rewrites and runtime not in WRITTEN_FROM_PYTORCH:
            message = f"{settings.to} for {runtime} is written from PyTorch: an ONNX teacher has none"
            yield Problem(("stages", position, "quantize"), message)
