"""Carry out a recipe: walk the plan's steps, take from the store what is there, make what is not, and answer.

A step's artifact is found by the hash of all that can change it; so a second run does nothing twice, and a killed one
goes on where it was. The run's own folder gets only what people read: the tables, the report and the students' files.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from compress.answer import Answer
from compress.bench.run import report, results, table
from compress.bench.run.results import Results, StageRecord
from compress.data.dataset import SPLITS
from compress.errors import CompressError, StoreError
from compress.files import replace_file
from compress.models.spec import SPEC_FILE, WEIGHTS_FILE
from compress.plan import REFERENCES, Facts, Plan, Step, plan
from compress.progress import Emit, Event, ignore
from compress.recipe import Recipe
from compress.recipe_file import load_recipe
from compress.stages import EXECUTORS, Context, model_file
from compress.store import Artifact, Store, default_root
from edge_runtime.errors import EdgeRuntimeError


@dataclass(frozen=True)
class RunResult:
    """``out``: the run's folder. ``budget_met``: None when the recipe sets no limit, or none can be judged."""

    results: Results
    out: Path
    budget_met: bool | None


def run(
    recipe: Recipe | Path | str,
    *,
    overrides: Sequence[str] = (),
    store: Store | Path | str | None = None,
    out: Path | str | None = None,
    emit: Emit = ignore,
    threads: int | None = None,
    remeasure: bool = False,
) -> RunResult:
    """Run ``recipe`` (a file, or one already loaded) and write its folder ``out`` (default ``runs/<name>``).

    ``overrides``: texts such as ``"stages.0.prune.ratio=0.3"``. ``store``: where artifacts are kept. ``emit``: called
    with every progress event. ``threads``: of training and evaluation (default: all cores). ``remeasure``: time the
    variants again even if this machine has timed these very files before.

    Raises :class:`~compress.errors.CompressError` subclasses; a missed budget is not an error here, see ``budget_met``.
    """
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(Path(recipe), overrides)
    elif overrides:
        raise TypeError("overrides are for recipe files; change a Recipe with model_copy instead")
    folder = Path(out) if out else Path("runs") / recipe.name
    _check_writable(folder)
    if not isinstance(store, Store):
        store = Store(Path(store) if store else default_root(), emit)
    torch.set_num_threads(threads or torch.get_num_threads())
    context = Context(recipe, emit, torch.get_num_threads())
    for words in context.data.warnings:
        emit(Event("warning", message=words))
    steps = plan(recipe, _facts(context))
    artifacts, stages = _execute(steps, store, context, remeasure)
    answer = Answer(recipe, steps, context.data, artifacts).results(stages)
    try:
        answer = _write(answer, steps, artifacts, folder)
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}; run again with another --out") from error
    met = [line.met for line in answer.budget if line.met is not None]
    return RunResult(answer, folder, all(met) if met else None)


def facts(recipe: Recipe, emit: Emit = ignore) -> Facts:
    """What the keys need beyond the recipe: the data's fingerprint and this machine."""
    return _facts(Context(recipe, emit, 1))


def _facts(context: Context) -> Facts:
    data = context.data
    sizes = {name: len(getattr(data, name)) for name in SPLITS}
    return Facts(data.fingerprint, sizes)


def _execute(
    steps: Plan, store: Store, context: Context, remeasure: bool
) -> tuple[dict[str, Artifact], list[StageRecord]]:
    artifacts: dict[str, Artifact] = {}
    records = []
    for step in steps.steps:
        if not step.stored:
            continue
        started = time.perf_counter()
        inputs = {role: artifacts[label] for role, label in step.inputs.items()}
        again = remeasure and step.kind == "measure"
        artifact = None if again else store.get(step.key)
        cached = artifact is not None
        if artifact is None:
            context.emit(Event("start", step.label, message=step.words))
            with _told_where(step, bool(artifacts)):
                artifact = store.build(step.key, step.kind, _maker(step, inputs, context), anew=again)
        seconds = time.perf_counter() - started
        context.emit(Event("cached" if cached else "done", step.label, seconds=seconds))
        for words in artifact.meta.get("warnings", ()) if cached else ():
            context.emit(Event("warning", step.label, message=words))
        artifacts[step.label] = artifact
        records.append(
            StageRecord(
                step.label, step.kind, step.key, artifact.meta["seconds"], cached, step.settings, artifact.meta["story"]
            )
        )
    return artifacts, records


@contextmanager
def _told_where(step: Step, kept: bool) -> Iterator[None]:
    """Errors of ``step`` begin with what in the recipe asks for it; ``kept``: steps before it are in the store."""
    try:
        yield
    except (CompressError, EdgeRuntimeError) as error:
        words = str(error)
        if not words.startswith(f"{step.where}."):  # such as "teacher.huggingface: ..."
            words = f"{step.where}: {words}"
        ending = "\nwhat was made before is kept in the store: a corrected recipe goes on from there"
        error.args = (words + ending * kept, *error.args[1:])  # in place: the class says how a run ends
        raise


def _maker(step: Step, inputs: dict[str, Artifact], context: Context) -> Callable[[Path], dict]:
    def make(work: Path) -> dict:
        started = time.perf_counter()
        meta = EXECUTORS[step.kind](step, inputs, work, context)
        return {**meta, "seconds": time.perf_counter() - started}

    return make


def _check_writable(folder: Path) -> None:
    """Find out before the work, not after it, that the answer cannot be written. Leaves nothing behind."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        problem = "is not a folder" if not place.is_dir() else "cannot be written to"
        raise StoreError(f"cannot write the answer to {folder}: {place} {problem}; choose another with --out")


def _write(answer: Results, steps: Plan, artifacts: dict[str, Artifact], folder: Path) -> Results:
    """The models' files and the four forms of the answer; models of an earlier run into the same folder go."""
    folder.mkdir(parents=True, exist_ok=True)
    fresh, models = folder / ".models", folder / "models"
    shutil.rmtree(fresh, ignore_errors=True)
    for label, artifact in artifacts.items():
        if SPEC_FILE in artifact.files:
            _copy(artifact, fresh / "pytorch" / label, None)
    files = {}
    for row in steps.variants:
        if row.file is None:
            continue
        artifact = artifacts[row.file]
        place = Path(row.target) / row.runtime
        if row.runtime in REFERENCES:
            files[row.id] = Path("pytorch") / row.stage / WEIGHTS_FILE
        else:
            _copy(artifact, fresh / place, row.stage)
            files[row.id] = place / f"{row.stage}{model_file(artifact).suffix}"
    shutil.rmtree(models, ignore_errors=True)
    fresh.rename(models)
    names = {row: f"models/{file.as_posix()}" for row, file in files.items()}
    rows = [replace(row, file=names.get(row.id)) for row in answer.variants]
    answer = replace(answer, variants=rows)
    for name, text in {
        "results.json": results.to_json(answer),
        "table.md": table.markdown(answer),
        "table.csv": table.as_csv(answer),
        "report.html": report.render(answer),
    }.items():
        with replace_file(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return answer


def _copy(artifact: Artifact, folder: Path, stem: str | None) -> None:
    """Put an artifact's files into ``folder``, called ``stem`` with their own suffix, or as they are called."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in artifact.files:
        shutil.copyfile(artifact.file(name), folder / (f"{stem}{Path(name).suffix}" if stem else name))
