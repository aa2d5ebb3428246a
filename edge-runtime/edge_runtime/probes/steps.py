"""The steps of a plan (``program``): what is asked of each probe, and which events come of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_runtime.probes import cold, events, fresh, inputs, latency, scenarios, sustained
from edge_runtime.probes.conditions import Conditions
from edge_runtime.probes.plan import Cell, PlanModel
from edge_runtime.sessions.base import Session
from edge_runtime.sessions.registry import open_session

if TYPE_CHECKING:
    from edge_runtime.probes.program import Program

ROUNDS = 1_000_000_000
"""Time or precision ends a cell, not a count."""


def opens(program: Program, model: PlanModel) -> bool:
    """Open and run a model in a process of its own; whether that went well. It has warmed the page cache, too."""
    step, memory = f"model/{model.name}", f"memory/{model.name}"
    described = program.is_done(step)
    weighed = program.is_done(memory) or not program.plan.memory
    if not described or not weighed:
        found: fresh.Fresh | None = None
        program.tell("start", what=memory if described else step)
        with program.refusing(model, "memory" if described else "open"):
            found = fresh.run(_job(program, model))
        if found is None:
            return described
        if not described:
            _describe(program, model, found)
            program.tell("done", what=step)
            if not weighed:
                program.tell("start", what=memory)
        if not weighed:
            threads = program.plan.threads[0]
            program.tell("memory", model=model.name, threads=threads, batch=found.batch, **found.memory)
            program.tell("done", what=memory)
    for folder in model.folders:  # as in the model's own process
        place = str(program.folder / folder)
        if place not in sys.path:
            sys.path.append(place)
    return True


def _describe(program: Program, model: PlanModel, found: fresh.Fresh) -> None:
    program.tell(
        "model",
        model=model.name,
        runtime=found.runtime,
        version=found.version,
        size=size(program.folder / model.path, model.beside),
        inputs=found.inputs,
        outputs=found.outputs,
        source=found.source,
        assumed=found.assumed,
    )


def size(path: Path, beside: Sequence[str] | None) -> int:
    """Bytes of a model's file and of those ``beside`` it, named from its folder. Without names, of those that usually
    belong to it: an IR's weights, a network's description, external data where exporters of ONNX put it."""
    usual = {
        ".xml": [path.with_suffix(".bin")],
        ".safetensors": [path.with_name("model.json")],
        ".onnx": [path.with_name(f"{path.name}.data"), path.with_name(f"{path.name}_data"), path.with_suffix(".data")],
    }
    files = usual.get(path.suffix, []) if beside is None else [path.parent / name for name in beside]
    return path.stat().st_size + sum(file.stat().st_size for file in files if file.is_file())


def cold_start(program: Program, model: PlanModel) -> None:
    step, times = f"cold/{model.name}", program.plan.cold
    if not times or program.is_done(step):
        return
    with program.step(step), program.refusing(model, "cold"):
        job = _job(program, model)
        samples = cold.measure(
            job, times, on_start=lambda index: program.progress(f"cold start of {model.name}", index, times)
        )
        program.tell("cold", model=model.name, threads=job.threads, samples=samples, cache=cold.CACHE)


def time_cell(program: Program, cell: Cell) -> None:
    if program.is_done(cell.name) or not program.models:
        return
    plan = program.plan
    with program.step(cell.name), ExitStack() as stack:
        queries: dict[str, scenarios.Query] = {}
        bursts: dict[str, int] = {}
        stack.callback(lambda: _close(queries))

        def prepare(model: PlanModel) -> scenarios.Query:
            query, bursts[model.name] = scenarios.prepare(
                cell,
                lambda: _open(program, model, cell.threads),
                lambda session, batch: _inputs(program, model, session, batch),
                cores=program.cores,
                burst=bursts.get(model.name),
            )
            return query

        models, samples, words = {}, {}, {}
        for model in program.models:
            with program.refusing(model, cell.name):
                query = prepare(model)
                models[model.name], samples[model.name], words[model.name] = model, query.samples, query.words
                query.close()
        if not models:
            return
        state = Conditions()
        rounds = 0

        def reopen(order: list[str]) -> dict[str, Callable[[], object]]:
            # New ones before the old ones go, so that they lie elsewhere.
            new = {name: prepare(models[name]) for name in order}
            _close(queries)
            queries.update(new)
            return {name: query.call for name, query in new.items()}

        def on_samples(placement: int, found: latency.Samples) -> None:
            nonlocal rounds
            for name, seconds in found.items():
                program.tell(
                    "round",
                    cell=cell.name,
                    round=rounds,
                    placement=placement,
                    model=name,
                    samples=samples[name],
                    seconds=events.encode(seconds),
                )
            rounds += 1
            state.tick()
            program.progress(cell.name, min(time.monotonic() - begun, plan.seconds), plan.seconds)

        begun = time.monotonic()
        with program.refusing(None, cell.name):
            taken = latency.interleave(
                tuple(models),
                rounds=ROUNDS,
                seconds=plan.seconds,
                seed=plan.seed,
                reopen=reopen,
                precision=plan.precision,
                on_samples=on_samples,
            )
            method = {key: value for key, value in taken.method.items() if key != "rounds_asked"}
            program.tell(
                "cell",
                cell=cell.name,
                scenario=cell.scenario,
                threads=cell.threads,
                batch=cell.batch,
                models=list(models),
                method=method | {"calls": words},
                conditions=state.report(),
            )


def peaks(program: Program) -> None:
    if program.is_done("peaks"):
        return
    with program.step("peaks"), program.refusing(None, "peaks"):
        from edge_runtime.probes import peak

        program.progress("peak rates of this machine", 0, 1)
        program.tell("peaks", **peak.measure(program.plan.threads[0]))


def profile(program: Program, model: PlanModel) -> None:
    step = f"profile/{model.name}"
    if program.is_done(step):
        return
    with program.step(step), program.refusing(model, "profile"):
        from edge_runtime.probes import profile as layers

        program.progress(f"layers of {model.name}", 0, 1)
        threads = program.plan.threads[0]
        with _open(program, model, threads) as session:
            fed = _inputs(program, model, session, inputs.fixed_batch(session.inputs) or 1).calls[0]
            runtime = session.runtime
        program.tell("profile", model=model.name, **layers.profile(program.folder / model.path, runtime, threads, fed))


def energy(program: Program) -> None:
    plan = program.plan
    if program.is_done("energy") or not program.models:
        return
    from edge_runtime.energy.find import find
    from edge_runtime.energy.meter import open_meter
    from edge_runtime.probes import energy as probe

    with program.step("energy"), program.refusing(None, "energy"), ExitStack() as stack:
        found = find()
        sensors = [*found.sensors, *map(open_meter, plan.meters)]
        if not sensors:
            for model in program.models:
                program.tell("energy", model=model.name, none=found.why_none())
            return
        threads = plan.threads[0]
        runs, batches = {}, {}
        for model in program.models:
            with program.refusing(model, "energy"):
                session = stack.enter_context(_open(program, model, threads))
                batches[model.name] = inputs.fixed_batch(session.inputs) or 1
                call = scenarios.caller(session, _inputs(program, model, session, batches[model.name]))
                call()
                runs[model.name] = call
        for batch in sorted(set(batches.values())):
            some = {name: call for name, call in runs.items() if batches[name] == batch}
            if some:
                _energy(program, probe, some, sensors, batch)


def _energy(program: Program, probe: Any, runs: dict[str, Any], sensors: list[Any], batch: int) -> None:
    plan = program.plan
    steps = 1 + plan.windows * len(runs)
    told = iter(range(steps))
    taken = probe.measure(
        runs,
        sensors,
        batch=batch,
        windows=plan.windows,
        window_seconds=plan.window_seconds,
        idle_seconds=plan.idle_seconds,
        seed=plan.seed,
        on_step=lambda words: program.progress(f"energy: {words}", next(told, steps), steps),
    )
    for name in runs:
        program.tell(
            "energy",
            model=name,
            threads=plan.threads[0],
            batch=batch,
            energies=[asdict(one) for one in taken.energies[name]],
            method=taken.method,
            calls=[events.encode(window) for window in taken.calls[name]],
        )


def sustain(program: Program, model: PlanModel) -> None:
    step, seconds = f"sustain/{model.name}", program.plan.sustain or 0.0
    if program.is_done(step):
        return
    with program.step(step), program.refusing(model, "sustain"):
        threads = program.plan.threads[0]
        with _open(program, model, threads) as session:
            batch = inputs.fixed_batch(session.inputs) or 1
            call = scenarios.caller(session, _inputs(program, model, session, batch))
            state = Conditions()

            def on_window(window: sustained.Window) -> None:
                program.tell("sustain", model=model.name, threads=threads, batch=batch, **asdict(window))
                program.progress(f"{model.name} on end", min(window.second, seconds), seconds)

            throttled_at, why = sustained.run(call, seconds, state.look, on_window)
            program.tell("sustain", model=model.name, done=True, throttled_at=throttled_at, why=why)


def _job(program: Program, model: PlanModel) -> fresh.Job:
    plan = program.plan
    return fresh.Job(
        path=str(program.folder / model.path),
        runtime=model.runtime,
        threads=plan.threads[0],
        axes=plan.axes,
        seed=plan.seed,
        inputs=str(program.folder / model.inputs) if model.inputs else None,
        folders=tuple(str(program.folder / folder) for folder in model.folders),
    )


def _open(program: Program, model: PlanModel, threads: int) -> Session:
    return open_session(program.folder / model.path, model.runtime, threads)


def _inputs(program: Program, model: PlanModel, session: Session, batch: int) -> inputs.Inputs:
    file = program.folder / model.inputs if model.inputs else None
    return inputs.make(session.inputs, batch, axes=program.plan.axes, seed=program.plan.seed, file=file)


def _close(queries: dict[str, scenarios.Query]) -> None:
    for query in queries.values():
        query.close()
    queries.clear()
