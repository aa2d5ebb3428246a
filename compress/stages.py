"""What each kind of step does: inputs from the store in, files in the step's work folder out, and what to remember.

Every function here has the same shape, ``(step, inputs, work, context) -> meta``: ``inputs`` are the artifacts the step
builds on, by role; ``work`` is the new artifact's folder, in which ``work/resume`` survives a kill; ``meta`` is JSON,
and its ``story`` are the lines the report tells. The work itself is done by the packages; this is only the wiring.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compress import data, energy, models
from compress.compare.logits import logits
from compress.data.dataset import Dataset
from compress.distill.logits import distill
from compress.models.architectures import with_defaults
from compress.models.counts import count, count_onnx
from compress.models.sources import onnx_file
from compress.models.spec import WEIGHTS_FILE, ModelSpec, build, load, save
from compress.models.torch_session import TorchCudaSession, TorchSession
from compress.plan import REFERENCES, Step
from compress.progress import Emit, Event
from compress.prune.structured import prune
from compress.quantize import max_drop
from compress.quantize import quantize as run_method
from compress.quantize.checks.finished import examine
from compress.quantize.graph.to_openvino import to_openvino
from compress.quantize.job import Job
from compress.recipe import Distill, Measure, Prune, Quantize, Recipe
from compress.store import Artifact
from compress.targets import aotinductor as aotinductor_export
from compress.targets import litert as litert_export
from compress.targets import onnx as onnx_export
from compress.targets import openvino as openvino_export
from compress.targets.scheme import Scheme
from compress.training import Epoch, fit
from edge_runtime import Session, machine, open_session
from edge_runtime.probes import latency, memory

Inputs = dict[str, Artifact]
Meta = dict[str, Any]


@dataclass
class Context:
    """What every step may use. ``data`` is loaded when the first step asks for it."""

    recipe: Recipe
    emit: Emit
    threads: int

    @cached_property
    def data(self) -> Dataset:
        return data.load(self.recipe.data, self.recipe.folder)

    def progress(self, step: Step) -> dict[str, Callable]:
        """The two callbacks of the training loop, as events of ``step``."""

        def on_batch(done: int, total: int) -> None:
            self.emit(Event("progress", step.label, done, total))

        def on_epoch(epoch: Epoch) -> None:
            self.emit(Event("line", step.label, message=_tell(epoch)))

        return {"on_batch": on_batch, "on_epoch": on_epoch}


def teacher(step: Step, inputs: Inputs, work: Path, context: Context) -> Meta:
    """Load the teacher, and train it first when the recipe says so."""
    recipe = context.recipe
    if recipe.teacher.onnx:
        path = work / "model.onnx"
        onnx_file.adopt(recipe.resolve(recipe.teacher.onnx), path, recipe.teacher.normalize, context.data)
        counts = count_onnx(path)
        return {"params": counts.params, "macs": counts.macs, "story": [f"taken from {recipe.teacher.onnx}"]}
    torch.manual_seed(recipe.seed)
    model, spec = models.load_teacher(recipe.teacher, recipe.folder, context.data)
    history: list[Epoch] = []
    if recipe.teacher.train:
        settings = recipe.teacher.train
        train, validation = context.data.train, context.data.validation
        history = fit(model, train, validation, settings, resume=work / "resume", **context.progress(step))
    return _keep(model, spec, work, context, history, [])


def prune_step(step: Step, inputs: Inputs, work: Path, context: Context) -> Meta:
    """Remove channels, fine-tuning in between."""
    model, spec = load(inputs["model"].path, context.recipe.folder)
    result = prune(
        model,
        spec,
        context.data,
        step.options(Prune),
        resume=work / "resume",
        project=context.recipe.folder,
        seed=context.recipe.seed,
        **context.progress(step),
    )
    story = [f"{name}: {before} -> {after} outputs" for name, (before, after) in result.layers.items()]
    return _keep(result.model, spec, work, context, result.history, story)


def distill_step(step: Step, inputs: Inputs, work: Path, context: Context) -> Meta:
    """Train the current network, or the architecture the recipe names, on the teacher's answers."""
    settings = step.options(Distill)
    project = context.recipe.folder
    original, original_spec = load(inputs["teacher"].path, project)
    if settings.architecture:
        torch.manual_seed(context.recipe.seed)
        known = {"classes": len(context.data.classes), "channels": context.data.input_shape[0], "project": project}
        arguments = with_defaults(settings.architecture, settings.arguments, **known)
        spec = ModelSpec(settings.architecture, arguments, original_spec.normalize)
        student = build(spec, project)
    else:
        student, spec = load(inputs["model"].path, project)
    history = distill(
        student,
        original,
        context.data.train,
        context.data.validation,
        settings,
        resume=work / "resume",
        **context.progress(step),
    )
    story = [f"temperature {settings.temperature:g}, weight {settings.weight:g} on the teacher's answers"]
    return _keep(student, spec, work, context, history, story)


def export(step: Step, inputs: Inputs, work: Path, context: Context) -> Meta:
    """Write the model as a runtime's file; its counts stay those of the model."""
    source = inputs["model"]
    if step.settings["format"] == "openvino":
        openvino_export.export(source.file("model.onnx"), work / "model.xml")
    elif step.settings["format"] == "litert":
        model, _ = load(source.path, context.recipe.folder)
        litert_export.export(model, context.data.test.inputs[:1], work / "model.tflite")
    elif step.settings["format"] == "aotinductor":
        model, _ = load(source.path, context.recipe.folder)
        example, device = context.data.test.inputs[:1], step.settings["device"]
        aotinductor_export.export(model, example, work / "model.pt2", precision="fp32", device=device)
    elif (source.path / "model.onnx").is_file():  # an ONNX teacher is its own export
        (work / "model.onnx").write_bytes(source.file("model.onnx").read_bytes())
    else:
        model, _ = load(source.path, context.recipe.folder)
        onnx_export.export(model, context.data.test.inputs[:1], work / "model.onnx")
    return {"params": source.meta["params"], "macs": source.meta["macs"], "story": []}


def quantize(step: Step, inputs: Inputs, work: Path, context: Context) -> Meta:
    """Smaller numbers for one runtime, by the scheme of a target; what did not become int8, or saturates, is told."""
    settings, runtime = step.options(Quantize), step.settings["runtime"]
    scheme = Scheme.from_json(found) if (found := step.settings.get("arithmetic")) else None
    source = inputs["model"]

    def network(role: str) -> Callable[[], torch.nn.Module] | None:
        return (lambda: load(inputs[role].path, context.recipe.folder)[0]) if role in inputs else None

    warnings: list[str] = []

    def say(words: str) -> None:
        warnings.append(words)
        context.emit(Event("warning", step.label, message=words))

    job = Job(
        runtime=runtime,
        onnx=model_file(inputs["onnx"] if "onnx" in inputs else inputs["trained"]),
        model=model_file(source),
        out=work / model_file(source).name,
        scheme=scheme,
        settings=settings,
        data=context.data,
        network=network("network"),
        teacher=network("teacher"),
        resume=work / "resume",
        measurable=step.settings.get("measurable", True),
        device=step.settings.get("device", "cpu"),
        say=say,
        **context.progress(step),
    )
    if "trained" in inputs:
        to_openvino(job.onnx, job.out)
        story = ["the trained ONNX file, converted"]
    else:
        story = run_method(job)
    facts, told = examine(job)
    story += told
    meta: Meta = {key: source.meta[key] for key in ("params", "macs")} | facts
    if settings.max_drop is not None:
        control = max_drop.control(job)
        meta["max_drop"] = {"limit": settings.max_drop, "met": control.met, "high": control.high}
        story += control.story
    return {**meta, "warnings": warnings, "story": story}


def evaluate(step: Step, inputs: Inputs, work: Path, context: Context) -> Meta:
    """The logits of the whole test split, through the session that the device will use."""
    test = context.data.test
    with _open(inputs["model"], step.settings["runtime"], context.threads, context.recipe.folder) as session:
        on_batch = context.progress(step)["on_batch"]
        found = logits(session, test.inputs, on_batch).astype(np.float32)
    np.save(work / "logits.npy", found)
    return {"correct": int((found.argmax(1) == test.labels).sum()), "n": len(test), "story": []}


def measure(step: Step, inputs: Inputs, work: Path, context: Context) -> Meta:
    """Latency of all variants of one runtime, interleaved, and the memory of each in a fresh process."""
    settings = step.options(Measure)
    runtime, reference = step.settings["runtime"], step.settings.get("reference", "pytorch")
    test = context.data.test
    sample = np.ascontiguousarray(test.inputs[np.arange(settings.batch) % len(test)])
    sessions = _Sessions(inputs, runtime, reference, settings.threads, context.recipe.folder)
    before = asdict(machine.conditions())
    try:
        samples = latency.interleave(
            tuple(inputs),
            rounds=settings.rounds,
            seconds=settings.seconds,
            seed=context.recipe.seed,
            reopen=lambda order: sessions.reopen(order, sample),
            on_round=lambda done, total: context.emit(Event("progress", step.label, done, total)),
        )
        used = _energy(step, sessions, tuple(inputs), sample, context) if settings.measures_energy else {}
    finally:
        sessions.close()
        torch.set_num_threads(context.threads)
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    conditions = {"taken": taken, "before": before, "after": asdict(machine.conditions())}
    arrays = {"placement": samples.placement}
    for name, rounds in samples.calls.items():
        arrays[f"{name}:seconds"] = np.concatenate(rounds)
        arrays[f"{name}:round"] = np.repeat(np.arange(len(rounds)), [len(r) for r in rounds])
    np.savez_compressed(work / "calls.npz", **arrays)
    peaks = {}
    folders = (Path.cwd(), context.recipe.folder)
    for name, artifact in inputs.items():
        engine = reference if name == "torch" else runtime
        peak = memory.peak(
            model_file(artifact), engine, settings.threads, sample.shape, str(sample.dtype), folders=folders
        )
        peaks[name] = asdict(peak)
    return {"method": samples.method, "conditions": conditions, "memory": peaks, **used, "story": []}


def _energy(step: Step, sessions: _Sessions, names: tuple[str, ...], sample: np.ndarray, context: Context) -> Meta:
    """Right after latency, of the same sessions opened once more, so that the wait for rest begins with all loaded."""
    settings = step.options(Measure)

    def tell(done: int, total: int, words: str) -> None:
        context.emit(Event("progress", step.label, done, total, message=words))

    runs = sessions.reopen(list(names), sample)
    for call in runs.values():
        call()
    meters = energy.meters(settings, context.recipe)
    found = energy.measure(runs, meters, batch=settings.batch, seed=context.recipe.seed, tell=tell)
    return {"energy": found}


EXECUTORS: dict[str, Callable[[Step, Inputs, Path, Context], Meta]] = {
    "teacher": teacher,
    "prune": prune_step,
    "distill": distill_step,
    "export": export,
    "quantize": quantize,
    "evaluate": evaluate,
    "measure": measure,
}


class _Sessions:
    """The variants of one measurement. New ones are opened before the old ones go, so that they lie elsewhere."""

    def __init__(self, artifacts: Inputs, runtime: str, reference: str, threads: int, project: Path) -> None:
        self._artifacts, self._runtime, self._reference = artifacts, runtime, reference
        self._threads, self._project = threads, project
        self._sessions: list[Session] = []

    def reopen(self, order: list[str], sample: np.ndarray) -> dict[str, Callable[[], np.ndarray]]:
        fresh = {}
        for name in order:
            runtime = self._reference if name == "torch" else self._runtime
            fresh[name] = _open(self._artifacts[name], runtime, self._threads, self._project)
        self.close()
        self._sessions = list(fresh.values())
        return {name: (lambda session=session: session.predict(sample)) for name, session in fresh.items()}

    def close(self) -> None:
        for session in self._sessions:
            session.close()


def _open(artifact: Artifact, runtime: str, threads: int, project: Path) -> Session:
    if runtime in REFERENCES:
        kind = TorchSession if runtime == "pytorch" else TorchCudaSession
        return kind(model_file(artifact), threads, project=project)
    return open_session(model_file(artifact), runtime, threads)


def model_file(artifact: Artifact) -> Path:
    """The file a runtime opens."""
    names = ("model.onnx", "model.xml", "model.tflite", "model.pt2", WEIGHTS_FILE)
    return next(artifact.path / name for name in names if name in artifact.files)


def _keep(
    model: torch.nn.Module, spec: ModelSpec, work: Path, context: Context, history: list[Epoch], story: list[str]
) -> Meta:
    save(model, spec, work, context.recipe.folder)
    counts = count(model, torch.from_numpy(context.data.test.inputs[:1]))
    told = [_tell(epoch) for epoch in history]
    meta = {"params": counts.params, "macs": counts.macs, "history": [asdict(epoch) for epoch in history]}
    return {**meta, "story": story + told}


def _tell(epoch: Epoch) -> str:
    figures = f"loss {epoch.loss:.4f}, validation accuracy {epoch.accuracy:.2%}, {epoch.seconds:.1f} s"
    return f"epoch {epoch.number + 1}: {figures}"
