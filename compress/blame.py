"""The layers of a finished run, ranked: its float network from the store, its int8 file from there or made again."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from compress.bench.sensitivity.ranking import Ranking
from compress.errors import RecipeError, StoreError
from compress.models.spec import load
from compress.plan import FORMATS, Facts, Plan, Step, plan
from compress.progress import Emit, Event
from compress.quantize import METHODS
from compress.quantize.job import Job
from compress.quantize.layers import sensitivity
from compress.recipe import Quantize, Recipe
from compress.stages import Context, model_file
from compress.store import Artifact, Store
from compress.targets.scheme import Scheme, scheme
from compress.targets.target import load_target

STATIC = ("static", "nncf", "qat", "fx")
"""Methods whose files hold rounded activations, so that layers can be told apart."""


def rank_run(recipe: Recipe, store: Store, emit: Emit, *, samples: int, rounds: int, seed: int) -> list[Ranking]:
    """A ranking for every runtime of ``recipe`` that this machine can measure.

    Raises :class:`StoreError` where the run was not made, :class:`RecipeError` where no target can be measured here.
    """
    context = Context(recipe, emit, 1)
    steps = plan(recipe, Facts(context.data.fingerprint))
    targets = {}
    for row in steps.variants:
        if row.measure and row.runtime in METHODS["static"].runtimes:
            targets.setdefault(row.runtime, row.target)
    if not targets:
        reasons = "; ".join(sorted({row.not_measured for row in steps.variants if row.not_measured}))
        raise RecipeError(f"none of the recipe's targets can be measured on this machine: {reasons}")
    return [_rank(recipe, steps, store, context, *place, samples, rounds, seed) for place in targets.items()]


def _rank(
    recipe: Recipe,
    steps: Plan,
    store: Store,
    context: Context,
    runtime: str,
    target: str,
    samples: int,
    rounds: int,
    seed: int,
) -> Ranking:
    label = f"sensitivity/{runtime}"
    network = [step for step in steps.steps if step.kind == "export"][-1].label.split("/")[0]
    onnx = _made(store, steps.step(f"{network}/onnx"))
    model = _made(store, steps.step(f"{network}/{FORMATS[runtime]}"))
    step = _quantized_by(steps, runtime, target)
    settings = step.options(Quantize) if step else Quantize()
    chosen = Scheme.from_json(step.settings["arithmetic"]) if step else _scheme(recipe, runtime, target)
    is_int8 = step is not None and settings.to == "int8"
    origin = _origin(step, settings)
    quantized = model_file(_made(store, step)) if is_int8 else None
    known = {row.label for row in steps.steps}

    def build(role: str):
        return lambda: load(_made(store, steps.step(role)).path, recipe.folder)[0]

    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            runtime=runtime,
            onnx=model_file(onnx),
            model=model_file(model),
            out=Path(folder) / model_file(model).name,
            scheme=chosen,
            settings=settings,
            data=context.data,
            network=build(network) if network in known else None,
            teacher=build("teacher"),
            resume=Path(folder) / "resume",
            say=lambda words: context.emit(Event("warning", label, message=words)),
        )
        used, there = min(samples, len(context.data.validation)), len(context.data.validation)
        taken = f"{used}" if used == there else f"{used} of {there}"
        context.emit(Event("start", label, message=f"{taken} validation samples; {origin}"))
        ranking = sensitivity.rank(
            job,
            samples=samples,
            rounds=rounds,
            seed=seed,
            quantized=quantized,
            on_progress=lambda done, total: context.emit(Event("progress", label, done, total)),
        )
    return replace(ranking, method=ranking.method | {"int8": origin})


def _origin(step: Step | None, settings: Quantize) -> str:
    """Where the int8 file comes from whose layers are ranked, in words."""
    if step is None:
        return (
            f"the recipe has no int8 stage whose layers can be told apart (methods {', '.join(STATIC)}), so its int8 "
            "is made for this ranking: static, with default settings"
        )
    if settings.to != "int8":
        return f"its int8 is made for this ranking, of all layers, with the settings of '{step.label.split('/')[0]}'"
    return f"its int8 is the run's '{step.label.split('/')[0]}'"


def _quantized_by(steps: Plan, runtime: str, target: str) -> Step | None:
    """The first of the recipe's quantizations whose layers can be told apart."""
    for row in steps.variants:
        if (row.runtime, row.target) == (runtime, target):
            step = steps.step(row.file)
            asked = step.options(Quantize) if step.kind == "quantize" else None
            if asked and asked.to in ("int8", "mixed") and asked.method in STATIC:
                return step
    return None


def _scheme(recipe: Recipe, runtime: str, target: str) -> Scheme:
    choice = next(c for c in recipe.targets if load_target(recipe.target(c)).name == target)
    return scheme(load_target(recipe.target(choice)), runtime)


def _made(store: Store, step: Step) -> Artifact:
    artifact = store.get(step.key)
    if artifact is None:
        raise StoreError(f"{step.label} is not in the store {store.root}: make it with `compress run` first")
    return artifact
