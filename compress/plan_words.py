"""What a step does and how much work it is, in words, for `compress run --plan` and the progress display."""

from __future__ import annotations

from compress import energy
from compress.bench.words import counted
from compress.progress import duration
from compress.quantize import method
from compress.recipe import Distill, Measure, Prune, Quantize, QuantTraining, Teacher, Training

Samples = dict[str, int] | None
ENGINES = {"onnx": "ONNX", "openvino": "OpenVINO", "litert": "LiteRT", "aotinductor": "AOTInductor"}
ENGINES |= {"aotinductor-cuda": "AOTInductor on the GPU"}
"""What people call the formats."""


def teacher(settings: Teacher, samples: Samples) -> tuple[str, str]:
    """(what it does, how much work it is); the same for the functions below."""
    if settings.train:
        return f"train {settings.architecture}", training(settings.train, samples)
    if settings.checkpoint:
        return f"load {settings.architecture} with the weights of {settings.checkpoint}", ""
    if settings.onnx:
        return f"take the ONNX file {settings.onnx}", ""
    return f"load {settings.huggingface} with transformers", ""


def prune(settings: Prune, samples: Samples) -> tuple[str, str]:
    goal = f"remove {settings.ratio:.0%} of the channels" if settings.ratio else f"keep {settings.macs:.0%} of the MACs"
    rounds = f" in {settings.iterations} rounds" if settings.iterations > 1 else ""
    if settings.finetune is None:
        return f"{goal} by {settings.importance}{rounds}", ""
    times = f"{settings.iterations} x " if settings.iterations > 1 else ""
    words = f"{goal} by {settings.importance}{rounds}, then fine-tune"
    return words, times + training(settings.finetune, samples)


def distill(settings: Distill, samples: Samples, current: str) -> tuple[str, str]:
    student = settings.architecture or f"the network of '{current}'"
    words = f"train {student} on the teacher's answers (temperature {settings.temperature:g})"
    return words, training(settings.training, samples)


def export(name: str, to: str) -> tuple[str, str]:
    return f"write '{name}' for {ENGINES[to]}", ""


def quantize(settings: Quantize, runtime: str, scheme: str | None, samples: Samples) -> tuple[str, str]:
    held = settings.samples if samples is None else min(settings.samples, samples["calibration"])
    words = f"{precision(settings)} for {runtime}"
    if scheme is None:
        return words, ""
    asked = method(settings)
    if settings.method == "qat" or (asked.trains and settings.training):
        return f"{words} ({scheme})", training(settings.training or QuantTraining(), samples)
    if settings.method == "dynamic":
        return f"{words} ({scheme})", ""
    return f"{words} ({scheme}), ranges by {settings.calibration}", f"{held:,} samples"


def precision(settings: Quantize) -> str:
    """What the answer's table calls the numbers of a quantized model; all that compute in int8 begin with it.

    Alternatives that differ in how they got there have different names.
    """
    names = {"mixed": "int8 mixed", "int8-weights": "8-bit weights", "int4-weights": "4-bit weights"}
    parts = [names.get(settings.to, settings.to)]
    parts += [settings.method] * (settings.method != "static")
    parts += [settings.calibration] * (settings.calibration != "minmax")
    parts += ["equalized"] * settings.equalize + ["smoothed"] * (settings.smooth is not None)
    parts += ["uncorrected"] * (not settings.bias_correction) + ["rounding learned"] * (settings.rounding == "learned")
    parts += ["scheme forced"] * (settings.scheme is not None)
    return ", ".join([" ".join(parts[:2]), *parts[2:]])


def evaluate(runtime: str, samples: Samples) -> tuple[str, str]:
    return f"answers on the test split, by {runtime}", f"{samples['test']:,} samples" if samples else ""


def measure(models: int, settings: Measure) -> tuple[str, str]:
    what, work = f"latency of {models} models, interleaved; peak memory of each", f"up to {settings.seconds:g} s"
    if settings.measures_energy:
        what += "; energy, where there is a sensor"
        work += f", and energy {duration(energy.seconds(models))}"
    return what, work


def training(settings: Training, samples: Samples) -> str:
    epochs = counted(settings.epochs, "epoch")
    return f"{epochs} x {samples['train']:,} samples" if samples else epochs
