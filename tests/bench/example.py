"""A made-up run that looks like a real one: four stages, three places, one of which cannot be measured here."""

from __future__ import annotations

import numpy as np

from compress.bench.run.budget import check_budget
from compress.bench.run.results import Coverage, Memory, Results, StageRecord, Variant
from compress.bench.run.verdict import judge, judge_students
from compress.bench.stats import accuracy, ratio_interval, summarize_latency

SAMPLES, CLASSES, ROUNDS = 10_000, 10, 40
BUDGET = {"accuracy_drop": 0.01, "latency": 0.0004, "size": 80_000, "memory": None, "speedup": 3}
MEASUREMENTS = ("measure/this-machine/onnxruntime", "measure/this-machine/openvino")
METHOD = {
    "protocol": "interleaved blocks, random order each round",
    "rounds": ROUNDS,
    "block_seconds": 0.02,
    "warmup": "1 block",
}
FEATURES = ("avx2", "avx512f")
PI = "this machine is x86_64 and raspberry-pi-4 is aarch64: run `compress measure` on the board"
# label, precision, parameters, MACs, bytes, median seconds, share of the parent's right answers lost, and won back
STEPS = (
    ("teacher", "fp32", 293_000, 25_800_000, 1_180_000, 1.62e-3, 0.0, 0.0),
    ("prune", "fp32", 71_400, 6_050_000, 292_000, 0.514e-3, 0.034, 0.12),
    ("distill", "fp32", 71_400, 6_050_000, 292_000, 0.516e-3, 0.012, 0.42),
    ("quantize", "int8", 71_400, 6_050_000, 78_300, 0.540e-3, 0.004, 0.04),
)


def build(seed: int = 0) -> Results:
    """The example; the same every time for a seed."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=SAMPLES)
    predictions = _predictions(rng, labels)
    variants = [
        *_place(rng, labels, predictions[:1], "this-machine", "pytorch", slower=1.9, memory=True),
        *_place(rng, labels, predictions, "this-machine", "onnxruntime", slower=1.0, memory=True),
        *_place(rng, labels, predictions, "this-machine", "openvino", slower=0.93, memory=True, int8=0.62),
        *_place(rng, labels, predictions, "raspberry-pi-4", "onnxruntime", slower=None, memory=False),
    ]
    stages = _stages()
    features = {"this-machine": FEATURES}
    return Results(
        name="quickstart",
        created="2026-11-23T11:20:00+00:00",
        recipe={
            "version": 1,
            "name": "quickstart",
            "stages": [{"prune": {"macs": 0.25}}, {"distill": {}}],
            "budget": BUDGET,
        },
        environment={
            "machine": {
                "arch": "x86_64",
                "cpu": "Example CPU @ 2.60GHz",
                "cores": 2,
                "features": list(FEATURES),
                "memory": 8_000_000_000,
            },
            "packages": {"torch": "2.13.0", "onnxruntime": "1.32.0", "openvino": "2026.4.1"},
        },
        conditions={label: _conditions(minute) for minute, label in enumerate(MEASUREMENTS)},
        data={"name": "fashion-mnist", "train": 55_000, "validation": 4000, "calibration": 1000, "test": SAMPLES},
        method={
            "latency": dict.fromkeys(MEASUREMENTS, METHOD),
            "accuracy": "test split touched once; the same samples for every variant",
            "memory": "fresh process, resident set, peak while running",
        },
        stages=stages,
        variants=variants,
        verdicts=[
            *judge(variants, budget=BUDGET, stages=stages, features=features),
            *judge_students(variants, budget=BUDGET),
        ],
        budget=check_budget(variants, BUDGET),
    )


def _conditions(minute: int) -> dict[str, object]:
    """Of a machine that shows no temperature and grows busier during the measurement."""
    fixed = {"governor": "performance", "frequency": 2.6e9, "temperature": None, "throttled": None}
    before, after = (fixed | {"load_average": [load, 0.3, 0.2]} for load in (0.4, 0.9))
    return {"before": before, "after": after, "taken": f"2026-11-23T11:{18 + minute}:00+00:00"}


def _predictions(rng: np.random.Generator, labels: np.ndarray) -> list[np.ndarray]:
    """Classes predicted by each step, every step spoiling and mending some of the last one's answers."""
    current = np.where(rng.random(SAMPLES) < 0.942, labels, (labels + 1) % CLASSES)
    made = []
    for _, _, _, _, _, _, lost, won in STEPS:
        right, chance = current == labels, rng.random(SAMPLES)
        current = np.where(right & (chance < lost), (labels + 3) % CLASSES, current)
        current = np.where(~right & (chance < won), labels, current)
        made.append(current)
    return made


def _place(rng, labels, predictions, target, runtime, *, slower, memory, int8=1.0) -> list[Variant]:
    drift = 1 + 0.05 * np.sin(np.arange(ROUNDS) / 6)
    calls, variants = [], []
    for step, ((label, precision, params, macs, size, typical, _, _), predicted) in enumerate(
        zip(STEPS, predictions, strict=False)
    ):
        identity = f"{target}/{runtime}/{step}-{label}"
        latency = None
        if slower is not None:
            typical *= slower * (int8 if precision == "int8" else 1.0)
            calls.append([typical * level * (1 + rng.gamma(1.2, 0.02, size=30)) for level in drift])
            blocks = [np.array([np.median(block) for block in of]) for of in calls]
            latency = summarize_latency(
                calls[-1],
                ratio_to_teacher=ratio_interval(blocks[0], blocks[-1]) if step else None,
                ratio_to_parent=ratio_interval(blocks[-2], blocks[-1]) if step else None,
            )
        teacher, parent = (predictions[0], predictions[step - 1]) if step else (None, None)
        on_device = None if slower is None else accuracy(predicted, labels, teacher=teacher, parent=parent)
        exact = precision == "fp32"
        variants.append(
            Variant(
                id=identity,
                stage=label,
                step=step,
                parent=variants[-1].id if step else None,
                target=target,
                runtime=runtime,
                precision=precision,
                file=f"artifacts/{label}.onnx",
                size=size,
                params=params,
                macs=macs,
                not_measured=PI if slower is None else None,
                latency=latency,
                accuracy=on_device,
                memory=Memory(31_000_000, 52_000_000 + 2 * size, 58_000_000 + 6 * size) if memory else None,
                agreement={"torch": 1.0 if exact else 0.9987, "max_abs_diff": 4.1e-6 if exact else 0.18}
                if memory
                else {},
                coverage=None
                if exact
                else Coverage(12, 13, 1, {"head": "its weight is float"}, {"int8": 68_000, "float32": 5_120}),
            )
        )
    return variants


def _stages() -> list[StageRecord]:
    story = {
        "teacher": ["loaded from teacher.safetensors: 293,000 parameters, 25.8 M multiply-adds"],
        "prune": [
            "removed 58 % of the channels in 11 of 13 layers",
            "fine-tuned for 4 epochs, best on validation: epoch 4",
        ],
        "distill": ["temperature 4, weight of the teacher 0.9, 12 epochs", "validation rose from 92.1 % to 93.6 %"],
        "quantize": [
            "u8 activations with 7-bit weights: this CPU saturates with 8",
            "calibrated on 512 samples, min-max",
        ],
    }
    seconds = {"teacher": 0.1, "prune": 212.0, "distill": 801.4, "quantize": 9.8}
    return [
        StageRecord(label, label, f"{index:02x}c0ffee", seconds[label], index == 0, {"seed": 0}, lines)
        for index, (label, lines) in enumerate(story.items())
    ]
