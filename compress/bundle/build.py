"""Put a bundle together: the model, its golden answers, its drift reference, its bill of materials and its manifest."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import time
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import edge_runtime
from compress import data
from compress.bench.run import results as results_file
from compress.bench.run.results import Results, Variant
from compress.bundle import choose, golden, provenance, sbom
from compress.compare.logits import logits
from compress.data.dataset import Dataset, Split
from compress.digest import file_digest
from compress.errors import BundlingError
from compress.recipe import Recipe
from compress.targets.scheme import WIDE_SUMS
from compress.targets.target import THIS_MACHINE, Target, load_target, this_machine
from edge_runtime.bundle import archive
from edge_runtime.bundle.manifest import File, Manifest, Tensor
from edge_runtime.bundle.signature import PrivateKey
from edge_runtime.errors import BundleError, DriftReferenceError, SignatureError
from edge_runtime.machine import Machine
from edge_runtime.sessions.tensorrt import LARGEST
from edge_runtime.update import clock
from edge_runtime.watch.reference import summarize

MODEL, INPUTS, OUTPUTS = "model/model", "golden/inputs.npy", "golden/outputs.npy"
REFERENCE, SBOM = "reference.json", "sbom.cdx.json"
REQUIRED = {
    "onnxruntime": ("onnxruntime", "1.22"),
    "openvino": ("openvino", "2025.0"),
    "litert": ("ai-edge-litert", "2.3"),
    "tensorrt": ("tensorrt", "10.0"),
}
"""The package of each runtime and its least version: those of edge-runtime's extras."""
SLACK = 10
"""A device refuses a bundle whose slowest calls take this many times as long as here, ..."""
QUICK = 0.05
"""... unless they take less than this, in seconds: another process's turn on the processor takes as long."""


@dataclass(frozen=True)
class Bundled:
    """What was made. ``again``: the file at this place held the very same already, and keeps its sequence number."""

    path: Path
    id: str
    manifest: Manifest
    size: int
    again: bool
    warnings: tuple[str, ...]


def bundle(
    run: Path,
    out: Path,
    key: PrivateKey,
    *,
    variant: str | None = None,
    sequence: int | None = None,
    licence: str | None = None,
    expires: str | None = None,
    raise_floor: int | None = None,
) -> Bundled:
    """Write the bundle of a model of the run's folder ``run`` to ``out``, signed by ``key``.

    ``variant``: see :func:`choose.choose`. ``sequence``: by default one more than that of the bundle of this name and
    key at ``out``, or 1 where there is none; a bundle that would not differ otherwise is left as it is, so that the
    same command gives the same bytes. ``expires``, ``raise_floor``: as in the manifest. ``licence``: of the model.

    Raises BundlingError when the run's folder or data are not those of the run, or ``expires`` is past, ResultsError
    for a damaged results.json, ManifestError for what no device would accept.
    """
    if expires is not None and expires <= (now := clock.text(time.time())):
        raise BundlingError(
            f"no device installs a bundle that expires at {expires}, since it is {now} now; give a later --expires"
        )
    results = read(run)
    old = _present(out, results.name, key, sequence)
    chosen = choose.choose(results, variant)
    recipe = Recipe.model_validate(results.recipe).placed(Path(results.environment["folder"]))
    samples = _data(recipe, results)
    model = _model(run, chosen)
    facts = golden.golden(model, chosen.runtime, chosen.precision, samples.validation)
    warnings: list[str] = []
    contents: dict[str, Path | bytes] = {f"{MODEL}{path.suffix}": path for path in _files(model)}
    parts = [_listed(path, content) for path, content in contents.items()]
    package, minimum = REQUIRED[chosen.runtime]
    needed = {package: minimum, "edge-runtime": edge_runtime.__version__}
    contents[INPUTS], contents[OUTPUTS] = _npy(facts.inputs), _npy(facts.outputs)
    if summary := _reference(model, chosen.runtime, samples, warnings):
        contents[REFERENCE] = summary
    contents[SBOM] = sbom.bill(results, chosen, parts, needed, licence)
    target = _target(recipe, results, chosen)
    inputs, outputs = _tensors(model, chosen.runtime)
    manifest = Manifest(
        name=results.name,
        sequence=sequence or 1,
        target=f"{target.arch}-linux",
        features=_features(target, chosen),
        runtime=chosen.runtime,
        runtime_minimum=minimum,
        edge_runtime_minimum=edge_runtime.__version__,
        model=parts[0].path,
        inputs=inputs,
        outputs=outputs,
        preprocess=_preprocess(samples),
        labels=samples.classes,
        files=(*parts, *(_listed(path, contents[path]) for path in list(contents)[len(parts) :])),
        golden={
            "inputs": INPUTS,
            "outputs": OUTPUTS,
            "absolute": facts.absolute,
            "argmax": facts.argmax,
            **_limits(recipe, chosen),
        },
        reference=REFERENCE if summary else None,
        build=_build(chosen),
        sbom=SBOM,
        provenance=provenance.provenance(results, chosen, licence or "unknown", facts.reason),
        measured=provenance.measured(results, chosen),
        expires=expires,
        raise_floor=raise_floor,
    )
    again = old is not None and replace(manifest, sequence=sequence or old.sequence) == old
    if again:
        manifest = old
    elif old and sequence is None:
        manifest = replace(manifest, sequence=old.sequence + 1)
    if raise_floor is not None and raise_floor > manifest.sequence:
        raise BundlingError(
            f"a floor of {raise_floor} would refuse this bundle itself, whose sequence number is {manifest.sequence}; "
            "give a lower --raise-floor or a higher --sequence"
        )
    try:
        bundle_id = (again and _whole(out, key)) or archive.write(out, manifest, contents, key)
    except OSError as error:
        raise BundlingError(f"{out}: cannot be written: {error.strerror}; choose another place with -o") from error
    return Bundled(out, bundle_id, manifest, out.stat().st_size, again, tuple(warnings))


def read(run: Path) -> Results:
    """The results of a run's folder. Raises BundlingError or ResultsError."""
    try:
        return results_file.from_json((run / "results.json").read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BundlingError(
            f"{run}: has no results.json that can be read; give the folder of a finished run"
        ) from error


def _present(out: Path, name: str, key: PrivateKey, sequence: int | None) -> Manifest | None:
    """The bundle of this name and key that is at ``out``, if one is. What is no bundle of this name is not replaced."""
    if not os.path.lexists(out):
        return None
    try:
        old, _ = archive.read_signed_manifest(out, [key.public])
    except SignatureError as error:
        if sequence is None:
            raise BundlingError(
                f"{out}: is a bundle signed by another key; give --sequence to replace it ({error})"
            ) from error
        return None
    except BundleError as error:
        raise BundlingError(f"{out}: is there already, and no bundle; write to another file ({error})") from error
    if old.name != name:
        raise BundlingError(f"{out}: is a bundle of '{old.name}', not of '{name}'; write to another file")
    return old


def _whole(out: Path, key: PrivateKey) -> str | None:
    """The id of the bundle at ``out`` if each of its files is the one that was signed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return archive.unpack(out, Path(folder), [key.public], store=lambda _, blocks: deque(blocks, maxlen=0)).id
        except BundleError:
            return None


def _data(recipe: Recipe, results: Results) -> Dataset:
    samples = data.load(recipe.data, recipe.folder)
    if samples.fingerprint != results.data["fingerprint"]:
        raise BundlingError(
            f"the data of '{results.name}' in {recipe.folder} has changed since the run; run the recipe again"
        )
    return samples


def _model(run: Path, variant: Variant) -> Path:
    model = run / (variant.file or "")
    problem = None
    if not model.is_file():
        problem = "is missing"
    elif (size := sum(path.stat().st_size for path in _files(model))) != variant.size:
        problem = f"has {size} bytes, and {variant.size} were measured"
    if problem:
        raise BundlingError(f"{model}: {problem}; run the recipe again")
    return model


def _files(model: Path) -> list[Path]:
    weights = model.with_suffix(".bin")
    return [model, weights] if model.suffix == ".xml" and weights.is_file() else [model]


def _target(recipe: Recipe, results: Results, variant: Variant) -> Target:
    """What the variant was made for; this machine is the one that the run was made on."""
    if variant.target == THIS_MACHINE:
        machine = results.environment["machine"]
        return this_machine(Machine(**{k: tuple(v) if isinstance(v, list) else v for k, v in machine.items()}))
    targets = (load_target(recipe.target(choice)) for choice in recipe.targets)
    return next(target for target in targets if target.name == variant.target)


def _features(target: Target, variant: Variant) -> tuple[str, ...]:
    """What the model's answers depend on: 8-bit weights overflow on an x86 that adds in 16 bits."""
    if variant.precision == "fp32" or target.arch != "x86_64" or variant.runtime not in ("onnxruntime", "openvino"):
        return ()
    return tuple(feature for feature in WIDE_SUMS if feature in target.features)[:1]


def _tensors(model: Path, runtime: str) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    with golden.opened(model, runtime) as session:
        groups = [
            tuple(
                Tensor(spec.name, spec.dtype, tuple(axis if isinstance(axis, int) else None for axis in spec.shape))
                for spec in specs
            )
            for specs in (session.inputs, session.outputs)
        ]
    return groups[0], groups[1]


def _preprocess(samples: Dataset) -> dict[str, Any]:
    """Pixels are read as ``compress.data.pictures`` reads them; anything else comes as an array."""
    shape = samples.input_shape
    if samples.test.inputs.dtype == np.uint8 and len(shape) == 3 and shape[0] in (1, 3):
        return {"kind": "image", "size": list(shape[1:]), "channels": shape[0], "resize": "bilinear"}
    return {"kind": "tensor"}


def _limits(recipe: Recipe, variant: Variant) -> dict[str, Any]:
    """How slow and how large the model may be on the device: the budget, or far more than was measured."""
    p99 = recipe.budget.latency or (variant.latency and max(QUICK, SLACK * variant.latency.p99))
    memory = recipe.budget.memory or (variant.memory and 2 * variant.memory.peak)
    return {"p99": p99, "memory": None if memory is None else int(memory)}


def _build(variant: Variant) -> dict[str, Any] | None:
    if variant.runtime != "tensorrt":
        return None
    return {"builder": "tensorrt", "typed": "strongly", "batch": [1, 1, LARGEST]}


def _reference(model: Path, runtime: str, samples: Dataset, warnings: list[str]) -> bytes | None:
    """Statistics of samples that the network was not trained on; the test split stays out of it."""
    held: list[Split] = [samples.validation, samples.calibration]
    inputs = np.concatenate([split.inputs for split in held])
    with golden.opened(model, runtime) as session:
        outputs = logits(session, inputs)
    try:
        summary = summarize(inputs, outputs)
    except DriftReferenceError as error:
        warnings.append(f"the bundle has no drift reference: {error}")
        return None
    return json.dumps(summary, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def _listed(path: str, content: Path | bytes) -> File:
    if isinstance(content, Path):
        return File(path, file_digest(content), content.stat().st_size)
    return File(path, hashlib.sha256(content).hexdigest(), len(content))


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue()
