"""The options of `compress bench` as what they mean; every obstacle names the option and says what to write."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from compress.bench.benchmark import results
from compress.bench.benchmark.bundles import Unpacked
from compress.bench.benchmark.models import given, known_axes, planned
from compress.bench.benchmark.request import Request, load
from compress.bench.benchmark.results import Benchmark
from compress.errors import BenchmarkError
from compress.quantities import FRACTION, SECONDS, parse
from compress.suggest import did_you_mean
from compress.targets.target import THIS_MACHINE
from edge_runtime.bundle.signature import load_public
from edge_runtime.errors import ProbeError
from edge_runtime.probes.plan import SCENARIOS, Plan

TIMES = SECONDS | {"m": 60.0, "h": 3600.0}


def request(words: Sequence[str], options: dict[str, Any], command: list[str], folder: Path) -> Request:
    """What is to be measured, where. ``folder``: of the results, which keeps unpacked bundles; what a wrong request has
    put there is removed. Raises BenchmarkError, BundleError, or click.BadParameter naming the option."""
    bundles = Unpacked(folder, map(load_public, options["keys"]), here=not _far(options))
    try:
        return _request(words, options, command, bundles)
    except BaseException:
        bundles.remove()
        raise


def _far(options: dict[str, Any]) -> bool:
    return bool(options["connect"] or set(options["targets"]) - {THIS_MACHINE})


def _request(words: Sequence[str], options: dict[str, Any], command: list[str], bundles: Unpacked) -> Request:
    targets = list(options["targets"])
    if options["connect"] and len(targets) > 1:
        raise click.UsageError("--connect says where one target is; write connect: into the targets' files for several")
    if len(set(targets)) < len(targets):
        raise click.BadParameter(f"{', '.join(targets)}: each target once", param_hint="--on")
    check_runtime(options["runtime"])
    scenarios = _scenarios(options["scenarios"])
    _check_sizes(scenarios, options)
    models = given(words, runtime=options["runtime"], targets=targets, far=_far(options), bundles=bundles)
    in_plan, files = planned(models, inputs_file(options["inputs"]))
    try:
        plan = Plan(
            models=in_plan,
            scenarios=scenarios,
            threads=_numbers(options["threads"], "--threads"),
            batches=_numbers(options["batches"], "--batch"),
            seconds=_time(options["seconds"], "--seconds"),
            precision=_share(options["precision"]),
            query=options["query"],
            axes=known_axes(models) | named_axes(options["axes"]),
            cold=options["cold"],
            memory=options["memory"],
            energy=options["energy"] or bool(options["meters"]),
            meters=tuple(options["meters"]),
            sustain=None if options["sustain"] is None else _time(options["sustain"], "--sustain"),
            peaks=options["roofline"],
            seed=options["seed"],
        )
    except ProbeError as error:
        raise BenchmarkError(str(error)) from error
    watts = options["watts"]
    if watts is not None and not 0 < watts < float("inf"):
        raise click.BadParameter(f"{watts}: watts above 0", param_hint="--model-energy")
    where = [(target, options["connect"]) for target in targets or [None]]
    return Request(plan, files, where, command, watts)


def new_folder(now: datetime | None = None) -> Path:
    """``bench-2026-11-23-10.00.00``; another one where that is there already."""
    stem = f"bench-{(now or datetime.now(UTC).astimezone()):%Y-%m-%d-%H.%M.%S}"
    names = (Path(stem if not count else f"{stem}-{count}") for count in range(1000))
    return next(path for path in names if not path.exists())


def recorded_target(events: Path) -> str:
    """How the target of a recording was called: as it was asked, or as the file's folder is."""
    try:
        return results.from_json((events.parent / results.FILE).read_text(encoding="utf-8")).target
    except (OSError, results.strict_json.ResultsError):
        return events.absolute().parent.name


def recorded(events: Path) -> Request | None:
    """What was asked when a recording was made, where that is kept beside it."""
    for folder in (events.parent, events.parent.parent):
        try:
            return load(folder)
        except BenchmarkError:
            continue
    return None


def one_line(benchmark: Benchmark) -> str:
    """The same JSON as in its file, on one line."""
    return json.dumps(json.loads(results.to_json(benchmark)), ensure_ascii=False)


def check_runtime(name: str | None) -> None:
    from edge_runtime.sessions.registry import additions, runtimes

    known = [*runtimes(), *additions()]
    if name is not None and name not in known:
        raise click.BadParameter(f"{name!r}: {did_you_mean(name, known)}", param_hint="--runtime")


def inputs_file(name: str | None) -> Path | None:
    """The file of inputs, if it can be one: arrays with as many rows each."""
    if name is None:
        return None
    import numpy as np

    path = Path(name)
    if not path.is_file():
        raise click.BadParameter(f"{path}: there is no such file", param_hint="--inputs")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            rows = {key: arrays[key].shape[:1] for key in arrays.files}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise click.BadParameter(f"{path} is no .npz file: {error}", param_hint="--inputs") from error
    if len(set(rows.values())) != 1 or () in rows.values():
        told = ", ".join(f"{key} {shape[0] if shape else 'none'}" for key, shape in rows.items()) or "no array"
        raise click.BadParameter(
            f"{path}: all arrays need as many rows, one a sample; got {told}", param_hint="--inputs"
        )
    return path


def _scenarios(words: Iterable[str]) -> tuple[str, ...]:
    names = [name.strip() for word in words for name in word.split(",")] or ["single-stream"]
    for name in names:
        if name not in SCENARIOS:
            raise click.BadParameter(f"{name!r}: {did_you_mean(name, SCENARIOS)}", param_hint="--scenario")
    return tuple(dict.fromkeys(names))


def _check_sizes(scenarios: tuple[str, ...], options: dict[str, Any]) -> None:
    """Sizes of calls that no scenario would use."""
    asked = click.get_current_context().get_parameter_source
    if _numbers(options["batches"], "--batch") != (1,) and not {"offline", "batch"} & set(scenarios):
        raise click.BadParameter(
            f"{options['batches']}: no call of {' and '.join(scenarios)} has so many samples; add --scenario batch, or "
            "offline",
            param_hint="--batch",
        )
    if asked("query") is ParameterSource.COMMANDLINE and "multi-stream" not in scenarios:
        raise click.BadParameter("only multi-stream has queries; add --scenario multi-stream", param_hint="--query")


def _numbers(text: str, option: str) -> tuple[int, ...]:
    try:
        found = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: write whole numbers such as 1,2,4", param_hint=option) from error
    if min(found) < 1:
        raise click.BadParameter(f"{text!r}: each at least 1", param_hint=option)
    return found


def named_axes(words: Iterable[str]) -> dict[str, int]:
    found = {}
    for word in words:
        name, equals, size = word.partition("=")
        if not (name and equals and size.isdecimal() and int(size)):
            raise click.BadParameter(f"{word!r}: write NAME=SIZE, such as sequence=128", param_hint="--axis")
        found[name] = int(size)
    return found


def _time(text: str, option: str) -> float:
    return _quantity(text, TIMES, "20 s", option)


def _share(text: str) -> float:
    return _quantity(text, FRACTION, "1%", "--precision")


def _quantity(text: str, units: dict[str, float], example: str, option: str) -> float:
    try:
        return parse(text, units, example)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", param_hint=option) from error
