"""From what a user names to what is measured: model files, and runs with all their variants.

A model is called by its file's name without the suffix, and where several are called so by as much of its path as tells
them apart; a run's variant by its stage, with the runtime where the run has several. ``name=path`` gives another name.
The first one is what the others are compared with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from compress.bench.benchmark.bundles import SUFFIX, Unpacked
from compress.bench.run.read import FILE as RUN_FILE
from compress.bench.run.read import read_run
from compress.bench.run.results import Results, Variant
from compress.errors import BenchmarkError
from compress.plan_keys import SAVED_SPEC, SAVED_WEIGHTS, beside
from compress.suggest import did_you_mean
from edge_runtime.probes.plan import PlanModel

RUNTIMES = {
    ".onnx": "onnxruntime", ".xml": "openvino", ".tflite": "litert", ".engine": "tensorrt", ".plan": "tensorrt",
    ".pt2": "aotinductor", ".safetensors": "pytorch",
}  # fmt: skip
"""Which runtime a file is for, where none is asked for."""
ALSO = {
    ".onnx": ("onnxruntime-cuda", "openvino", "tensorrt"),
    ".pt2": ("aotinductor-graph",),
    ".safetensors": ("pytorch-cuda",),
}
"""Runtimes that read a file beside its own."""
HERE_ONLY = ("pytorch", "pytorch-cuda", "aotinductor", "aotinductor-graph")
"""What of a run only a workstation with `compress` runs; packages were compiled for it, too."""


@dataclass(frozen=True)
class Given:
    """A model to measure. ``folders``: where a runtime may import the user's own code from."""

    name: str
    path: Path
    runtime: str
    folders: tuple[str, ...] = ()


def given(
    words: Sequence[str],
    *,
    runtime: str | None = None,
    targets: Sequence[str] = (),
    far: bool = False,
    bundles: Unpacked | None = None,
) -> list[Given]:
    """The models that ``words`` mean, each a path or ``name=path``.

    ``runtime``: for all of them instead of their own. ``targets``: of a run, which target's variants are meant; the
    run's first one where none is among them. ``far``: what only a workstation runs is left out of a run.
    ``bundles``: opens bundles; without it they are refused. Raises BenchmarkError saying what is wrong with which, and
    BundleError for a bundle that may not be opened.
    """
    found = _told_apart([model for word in words for model in _meant(word, runtime, targets, far, bundles)])
    counts = Counter(model.name for model in found)
    if twice := [name for name, count in counts.items() if count > 1]:
        paths = [str(model.path) for model in found if model.name == twice[0]]
        raise BenchmarkError(
            f"{counts[twice[0]]} models are called '{twice[0]}': {', '.join(paths)}; give each a name of its own, such "
            f"as {twice[0]}-2={paths[1]}"
        )
    return found


def _told_apart(models: list[Given]) -> list[Given]:
    """Files that would be called alike get as much of their paths as tells them apart; the same file is numbered."""
    counts = Counter(model.name for model in models)
    alike = [model for model in models if counts[model.name] > 1 and model.name == model.path.stem]
    parts = {id(model): model.path.absolute().parts for model in alike}
    deepest = max(map(len, parts.values()), default=0)
    chosen: dict[int, str] = {}
    for depth in range(1, deepest + 1):
        short = {key: "/".join(path[-depth:]) for key, path in parts.items() if key not in chosen}
        among = Counter(short.values())
        chosen |= {key: name for key, name in short.items() if among[name] == 1}
    seen: Counter[str] = Counter()
    renamed = []
    for model in models:
        if id(model) in parts and id(model) not in chosen:
            seen[model.name] += 1
            chosen[id(model)] = model.name if seen[model.name] == 1 else f"{model.name}-{seen[model.name]}"
        renamed.append(replace(model, name=chosen.get(id(model), model.name)))
    return renamed


def planned(models: Iterable[Given], inputs: Path | None = None) -> tuple[tuple[PlanModel, ...], dict[str, Path]]:
    """The models as a plan has them, and every file by its place in the plan's folder."""
    in_plan, files = [], {}
    fed = f"inputs/{inputs.name}" if inputs else None
    for number, model in enumerate(models):
        folder = f"models/{number}"
        companions = tuple(beside(model.path))
        for name in (model.path.name, *companions):
            files[f"{folder}/{name}"] = model.path.parent / name
        place = f"{folder}/{model.path.name}"
        in_plan.append(PlanModel(model.name, place, model.runtime, fed, model.folders, companions))
    return tuple(in_plan), files | ({fed: inputs} if fed and inputs else {})


def known_axes(models: Iterable[Given]) -> dict[str, int]:
    """Sizes that a saved PyTorch network leaves open and an ONNX file of the same network, measured with it, says."""
    models = list(models)
    written = next((model.path for model in models if model.path.suffix == ".onnx"), None)
    if written is None or not any(model.path.suffix == ".safetensors" for model in models):
        return {}
    import onnx
    from google.protobuf.message import DecodeError

    try:
        graph = onnx.load(written, load_external_data=False).graph
    except DecodeError:
        return {}  # which is told when it is opened
    sizes = {}
    for tensor in graph.input:
        for position, axis in enumerate(tensor.type.tensor_type.shape.dim):
            if position and axis.dim_value:
                sizes[f"{tensor.name}.{position}"] = axis.dim_value
    return sizes


def _meant(word: str, runtime: str | None, targets: Sequence[str], far: bool, bundles: Unpacked | None) -> list[Given]:
    name, path = _named(word)
    if not path.exists():
        raise BenchmarkError(f"{path}: there is no such file{_near(path)}")
    if path.is_dir() or path.name == RUN_FILE:
        if name:
            raise BenchmarkError(f"{word}: a run has several models, which have names; write only {path}")
        return _of_run(path, targets, far, runtime)
    if path.suffix == SUFFIX:
        return [_bundled(name or path.stem, path, runtime, bundles)]
    own = _runtime(path, runtime)
    if path.suffix == ".safetensors" and (path.name != SAVED_WEIGHTS or not beside(path)):
        raise BenchmarkError(
            f"{path}: weights alone are no network. Of PyTorch the {SAVED_WEIGHTS} of a run is measured, which has its "
            f"{SAVED_SPEC} beside it; export this one, to ONNX for example, and measure that"
        )
    return [Given(name or path.stem, path, own)]


def _bundled(name: str, path: Path, runtime: str | None, bundles: Unpacked | None) -> Given:
    """The model of a bundle, which says itself what runs it."""
    if bundles is None:
        raise BenchmarkError(f"{path}: is a bundle, which only `compress bench` opens; name a model's file")
    found = bundles.open(path)
    model = found.file(found.manifest.model)
    return Given(name, model, _runtime(model, runtime or found.manifest.runtime))


def _named(word: str) -> tuple[str | None, Path]:
    """``name=path``; a file whose own name has an equals sign is a path."""
    name, equals, rest = word.partition("=")
    if not equals or Path(word).exists():
        return None, Path(word)
    if not name or not rest:
        raise BenchmarkError(f"{word}: write name=path, such as fp32=model.onnx")
    return name, Path(rest)


def _near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f", and no folder {folder}"
    names = sorted(p.name for p in folder.iterdir() if p.suffix in RUNTIMES or (p / RUN_FILE).is_file())
    return f" in {folder}; {did_you_mean(path.name, names, 'there are', most=6)}" if names else f" in {folder}"


def _runtime(path: Path, runtime: str | None) -> str:
    own = RUNTIMES.get(path.suffix)
    if own is None:
        suffixes = ", ".join(f"{suffix} ({name})" for suffix, name in RUNTIMES.items())
        suffixes += f"; a bundle ({SUFFIX})"
        raise BenchmarkError(
            f"{path}: no runtime reads {path.suffix or 'a file without a suffix'}; there are {suffixes}; "
            f"and a run's folder or {RUN_FILE}"
        )
    read = (own, *ALSO.get(path.suffix, ()))
    if runtime and runtime not in read:
        raise BenchmarkError(f"{path}: {runtime} does not read {path.suffix} files; {' and '.join(read)} do")
    return runtime or own


def _of_run(place: Path, targets: Sequence[str], far: bool, runtime: str | None) -> list[Given]:
    run = read_run(place)
    folder = place if place.is_dir() else place.parent
    having = [v for v in run.variants if v.file and not (far and v.runtime in HERE_ONLY)]
    having = [v for v in having if runtime in (None, v.runtime)]
    among = list(dict.fromkeys(v.target for v in having))
    wanted = next((target for target in targets if target in among), among[0] if among else None)
    chosen = [v for v in having if v.target == wanted]
    if not chosen:
        asked = f" for {runtime}" if runtime else ""
        raise BenchmarkError(f"{place}: the run '{run.name}' has no model file{asked}; name the files themselves")
    several = len({v.runtime for v in chosen}) > 1
    return [_variant(run, v, folder, several) for v in chosen]


def _variant(run: Results, variant: Variant, folder: Path, several: bool) -> Given:
    path = folder / variant.file
    if not path.is_file():
        raise BenchmarkError(f"{path}: the run '{run.name}' says it has this file, and it is not there; run it again")
    own_code = (run.environment["folder"],) if path.suffix == ".safetensors" and run.environment.get("folder") else ()
    name = f"{variant.stage}/{variant.runtime}" if several else variant.stage
    return Given(name, path, variant.runtime, own_code)
