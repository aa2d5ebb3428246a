"""Events of a made-up benchmark that look like a device's: three models, two scenarios, swept; written by hand from the
contract between the device and the workstation, not by the program that measures."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from edge_runtime.probes.plan import Plan, PlanModel, as_dict

MODELS = ("fp32", "int8", "pruned")
SPEED = {"fp32": 1.0, "int8": 1.0 / 1.6, "pruned": 1.0 / 1.59}
TYPICAL = 2e-3
ROUNDS, CALLS = 40, 20
MACHINE = {
    "arch": "aarch64", "cpu": "Cortex-A76", "cores": 4, "features": ["asimd", "dotprod", "fp16"], "memory": 8 * 10**9,
    "os": "Debian GNU/Linux 12 (bookworm)", "kernel": "6.6.31", "python": "3.11.2", "sensors": ["pi5-pmic"],
    "model": "Raspberry Pi 5 Model B Rev 1.0", "gpu": [],
}  # fmt: skip
CALM = {
    "governor": "performance", "frequency": 2.4e9, "temperature": 51.0, "throttled": False, "throttle_count": None,
    "load_average": [0.4, 0.3, 0.2], "others": 0.02,
}  # fmt: skip


def plan(**changed: Any) -> Plan:
    models = tuple(PlanModel(name, f"models/{name}/{name}.onnx") for name in MODELS)
    return Plan(
        **{
            "models": models, "scenarios": ("single-stream", "batch"), "threads": (1, 4), "batches": (1, 8),
            "energy": True, "sustain": 60.0, "cold": 3,
        } | changed
    )  # fmt: skip


def encoded(seconds: np.ndarray) -> str:
    return base64.b64encode(np.asarray(seconds, "<f4").tobytes()).decode()


def begin(wanted: Plan, **changed: Any) -> dict[str, Any]:
    return {
        "event": "begin", "at": 0.0, "schema": "edge-runtime.bench/1", "version": "0.1.0",
        "created": "2026-11-23T10:00:00+00:00", "machine": MACHINE, "plan": as_dict(wanted), "emulated": False,
        "resumed": False,
    } | changed  # fmt: skip


def cell_rounds(
    cell: Any, models: tuple[str, ...] = MODELS, *, seed: int = 0, rounds: int = ROUNDS, speed: dict[str, float] = SPEED
) -> list[dict[str, Any]]:
    """Rounds with drift that hits all models alike, and a slow call here and there."""
    rng = np.random.default_rng([seed, cell.threads, cell.batch])
    found = []
    for index in range(rounds):
        level = 1 + 0.05 * np.sin(index / 6)
        for model in rng.permutation(models):
            typical = TYPICAL * speed[model] * cell.batch**0.9 / cell.threads**0.8 * level
            seconds = typical * (1 + rng.gamma(1.2, 0.02, size=CALLS))
            seconds[rng.random(CALLS) < 0.004] *= 3
            found.append(
                {
                    "event": "round", "at": 1.0 + index, "cell": cell.name, "round": index, "placement": index // 5,
                    "model": str(model), "samples": cell.batch, "seconds": encoded(seconds),
                }
            )  # fmt: skip
    return found


def cell_end(cell: Any, models: tuple[str, ...] = MODELS, **changed: Any) -> dict[str, Any]:
    warm_up = {model: {"blocks": 9, "seconds": 0.4, "stationary": True} for model in models}
    return {
        "event": "cell", "at": 60.0, "cell": cell.name, "scenario": cell.scenario, "threads": cell.threads,
        "batch": cell.batch, "models": list(models),
        "method": {"rounds": ROUNDS, "placements": 8, "warm_up": warm_up, "ended_by": "precision", "seconds": 11.2},
        "conditions": {"before": CALM, "after": CALM | {"temperature": 58.0}},
    } | changed  # fmt: skip


def others(wanted: Plan) -> list[dict[str, Any]]:
    """All that is no timing."""
    found: list[dict[str, Any]] = []
    for index, model in enumerate(MODELS):
        quick = SPEED[model]
        samples = [
            {
                "interpreter": 0.09 + 0.002 * i, "engine": 0.21, "load": 0.05 * quick, "first": 0.011 * quick,
                "second": 0.0023 * quick,
            }
            for i in range(3)
        ]  # fmt: skip
        size = round(4.1e6 * quick)
        found += [
            {"event": "cold", "at": 70.0, "model": model, "threads": 1, "samples": samples},
            {
                "event": "memory", "at": 80.0, "model": model, "threads": 1, "batch": 1, "interpreter": 31_000_000,
                "engine": 61_000_000, "loaded": 61_500_000 + size, "first": 63_000_000 + 2 * size,
                "peak": 64_000_000 + 2 * size, "gpu": None,
            },
            {
                "event": "energy", "at": 120.0, "model": model, "threads": 1, "batch": 1,
                "energies": [energy(0.011 * quick)], "method": {"windows": 5},
            },
        ]  # fmt: skip
        hot = 30 + 5 * index
        for second in range(60):
            slow = 1.3 if second >= hot else 1.0
            state = CALM | {"temperature": 50.0 + second / 2, "throttled": second >= hot, "frequency": 2.4e9 / slow}
            found.append(
                {
                    "event": "sustain", "at": 200.0 + second, "model": model, "threads": 1, "batch": 1,
                    "second": float(second), "p50": TYPICAL * quick * slow, "p99": 1.2 * TYPICAL * quick * slow,
                    "n": 400, "conditions": state,
                }
            )  # fmt: skip
        found.append(
            {
                "event": "sustain", "at": 261.0, "model": model, "threads": 1, "batch": 1, "done": True,
                "throttled_at": float(hot), "why": "the firmware says so",
            }
        )  # fmt: skip
    return found


def energy(joules: float) -> dict[str, Any]:
    def spread(value: float) -> dict[str, float]:
        return {"median": value, "low": 0.98 * value, "high": 1.03 * value, "n": 5}

    return {
        "sensor": "pi5-pmic", "source": "vcgencmd pmic_read_adc: all rails but 5 V", "measured": True,
        "resolution": {"step": 1e-3, "interval": 0.1, "span": 0.0}, "gross": spread(joules), "net": spread(joules / 2),
        "power": spread(5.5), "idle": spread(2.7), "rails": {"VDD_CORE": joules / 2}, "windows": 5, "windows_asked": 5,
        "seconds": 10.0, "readings": 98, "not_measured": None, "warnings": [],
    }  # fmt: skip


def models(names: tuple[str, ...] = MODELS) -> list[dict[str, Any]]:
    tensor = {"name": "input", "dtype": "float32", "shape": ["batch", 3, 32, 32]}
    return [
        {
            "event": "model", "at": 0.5, "model": name, "runtime": "onnxruntime", "version": "1.32.0",
            "size": round(4.1e6 * SPEED[name]), "inputs": [tensor],
            "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", 10]}], "source": "random (seed 0)",
            "assumed": {},
        }
        for name in names
    ]  # fmt: skip


def stream(wanted: Plan | None = None, **options: Any) -> list[dict[str, Any]]:
    """A whole benchmark."""
    wanted = wanted or plan()
    events = [begin(wanted), *models()]
    for cell in wanted.cells:
        events += [*cell_rounds(cell, **options), cell_end(cell)]
    return [*events, *others(wanted), {"event": "end", "at": 300.0, "complete": True, "why": "all is measured"}]
