"""The project's own performance lines, measured: ``make bench`` prints them as met or not met, with the figures.

1. ``compress --help`` and a cached run of the quickstart: wall time of fresh processes.
2. Pipeline overhead: the quickstart's stages inside ``compress run`` against ``bench/own/bare.py``, in turns.
3. A session's call against the engine's own, and a file against itself (A/A), by the interleaved protocol.
4. ``--full``: the full recipe's student (cached if it was run before; hours if not).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from compress.bench import stats
from compress.bench.run.results import Results, from_json
from edge_runtime import Session, open_session
from edge_runtime.probes.latency import interleave

ROOT = Path(__file__).resolve().parents[2]
COMPRESS = [sys.executable, "-m", "compress"]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
FULL = ROOT / "recipes" / "fashion-mnist.yaml"
EPOCHS = 2
TURNS = 3
TRIES = 20


def main(full: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        lines = [*_command_line(Path(folder)), *_overhead(Path(folder)), *_sessions(Path(folder))]
        if full:
            lines += _full(Path(folder))
    for met, words in lines:
        print(f"{'met    ' if met else 'NOT MET'}  {words}")
    return 0 if all(met for met, _ in lines) else 1


def _command_line(folder: Path) -> Iterator[tuple[bool, str]]:
    took = statistics.median(_seconds([*COMPRESS, "--help"]) for _ in range(5))
    yield took < 0.4, f"compress --help: {took:.2f} s (under 0.4 s), median of 5"
    run = [*COMPRESS, "run", str(QUICKSTART), "--quiet", "--out", str(folder / "quickstart")]
    first = _seconds(run)
    again = _seconds(run)
    yield again < 10, f"cached run of the quickstart: {again:.1f} s (under 10 s); the run before it took {first:.0f} s"


def _overhead(folder: Path) -> Iterator[tuple[bool, str]]:
    """Stages that both do, for the same number of epochs and without augmentation; the pipeline into an empty store."""
    training = "stages.1.distill.training"
    sets = [f"{training}.epochs={EPOCHS}", f"{training}.views=1", f"{training}.augment={{}}", f"{training}.ema=0"]
    bare, piped = [], []
    for turn in range(TURNS):
        out, store = folder / f"out-{turn}", folder / f"store-{turn}"
        options = [part for text in sets for part in ("--set", text)]
        target = ["--set", "targets=[this-machine]", "--set", "measure.rounds=6"]
        _check(
            [*COMPRESS, "run", str(QUICKSTART), "--quiet", "--store", str(store), "--out", str(out), *options, *target]
        )
        piped.append(_stage_seconds(from_json((out / "results.json").read_text())))
        done = _check([sys.executable, str(ROOT / "bench" / "bare.py"), str(EPOCHS)])
        bare.append(json.loads(done.stdout.splitlines()[-1]))
    for name in bare[0]:
        ours, theirs = (statistics.median(turn[name] for turn in turns) for turns in (piped, bare))
        print(f"  {name}: {ours:.1f} s in the pipeline, {theirs:.1f} s bare")
    ours, theirs = (statistics.median(sum(turn.values()) for turn in turns) for turns in (piped, bare))
    ratio = ours / theirs
    yield ratio <= 1.1, f"pipeline overhead: {ours:.1f} s against {theirs:.1f} s bare, {ratio:.2f}x (at most 1.1x)"


def _stage_seconds(results: Results) -> dict[str, float]:
    """Seconds of the stages that the bare script has too: it exports the teacher and the last network."""
    kinds = {"prune": "prune", "distill": "distill", "quantize": "quantize"}
    seconds = dict.fromkeys(("prune", "distill", "export", "quantize"), 0.0)
    for stage in results.stages:
        if stage.kind in kinds:
            seconds[kinds[stage.kind]] += stage.seconds
        elif stage.kind == "export" and not stage.label.startswith("prune"):
            seconds["export"] += stage.seconds
    return seconds


def _sessions(folder: Path) -> Iterator[tuple[bool, str]]:
    models = folder / "quickstart" / "models" / "this-machine"
    sample = np.zeros((1, 1, 28, 28), np.uint8)
    for runtime, suffix in (("onnxruntime", ".onnx"), ("openvino", ".xml")):
        path = models / runtime / f"distill{suffix}"
        with open_session(path, runtime) as session:
            raw = _raw(path, runtime, sample)
            samples = interleave({"session": lambda: session.predict(sample), "raw": raw}, rounds=60, seconds=30)
        cost = stats.ratio_interval(samples.block_medians("session"), samples.block_medians("raw"))
        yield (
            cost.value <= 1.03,
            f"{runtime} session: {cost.value:.3f}x [{cost.low:.3f}, {cost.high:.3f}] of the raw call",
        )
        same = sum(_same(path, runtime, sample, seed) for seed in range(TRIES))
        yield same >= 0.95 * TRIES, f"{runtime} A/A: the interval holds 1 in {same} of {TRIES} tries (19 of 20)"


def _same(path: Path, runtime: str, sample: np.ndarray, seed: int) -> bool:
    """Whether a file timed against itself, as a run times its variants, comes out as no difference."""
    opened: list[Session] = []

    def reopen(order: list[str]) -> dict[str, Callable[[], np.ndarray]]:
        fresh = {name: open_session(path, runtime) for name in order}
        for session in opened:
            session.close()
        opened[:] = fresh.values()
        return {name: (lambda session=session: session.predict(sample)) for name, session in fresh.items()}

    found = interleave(("one", "two"), rounds=40, seconds=10, seed=seed, reopen=reopen)
    ratio = stats.ratio_interval(found.block_medians("one"), found.block_medians("two"), found.placement)
    return ratio.low <= 1 <= ratio.high


def _raw(path: Path, runtime: str, sample: np.ndarray):
    """The engine's own call with the session's settings."""
    if runtime == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        engine = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda: engine.run(None, {"input": sample})
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY"}
    request = (
        openvino.Core()
        .compile_model(path, "CPU", settings | {"INFERENCE_PRECISION_HINT": "f32"})
        .create_infer_request()
    )
    return lambda: request.infer({"input": sample})["logits"]


def _full(folder: Path) -> Iterator[tuple[bool, str]]:
    _check([*COMPRESS, "run", str(FULL), "--quiet", "--out", str(folder / "full")], allowed=(0, 3))
    results = from_json((folder / "full" / "results.json").read_text())
    for row in results.variants:
        if row.precision != "int8" or row.runtime != "onnxruntime":
            continue
        speed = row.latency.ratio_to_teacher
        yield row.params <= 100_000, f"full recipe: {row.params:,} parameters (at most 100,000)"
        yield row.size <= 110_000, f"full recipe: {row.size / 1e3:.1f} kB int8 (at most 110 kB)"
        yield (
            row.accuracy.value >= 0.935,
            f"full recipe: {row.accuracy.value:.2%} int8 on the test set (at least 93.5 %)",
        )
        yield (
            speed.value >= 5,
            f"full recipe: {speed.value:.2f}x [{speed.low:.2f}, {speed.high:.2f}] the teacher (at least 5x)",
        )


def _seconds(command: list[str]) -> float:
    started = time.perf_counter()
    _check(command, allowed=(0, 3))
    return time.perf_counter() - started


def _check(command: list[str], allowed: tuple[int, ...] = (0, 3)) -> subprocess.CompletedProcess:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode not in allowed:
        sys.exit(f"{' '.join(command)} failed with {done.returncode}:\n{done.stderr}")
    return done


if __name__ == "__main__":
    sys.exit(main("--full" in sys.argv))
