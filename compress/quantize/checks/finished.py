"""A quantized file just written, examined: what of it runs in int8, and whether its sums overflow, in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from compress.quantize.checks import emulate, saturation
from compress.quantize.checks.coverage import int8_coverage
from compress.quantize.job import Job
from edge_runtime import SessionError

Facts = dict[str, Any]


def examine(job: Job) -> tuple[Facts, list[str]]:
    """Of ``job.out``: ``coverage``, ``prediction`` and ``saturation`` as plain data, each where it applies, and lines
    for the report; what to look out for is also said.

    Raises :class:`compress.errors.QuantizationError` for a file that its runtime does not load.
    """
    scheme, settings = job.scheme, job.settings
    if job.runtime == "aotinductor":
        return {}, []  # native code, which computes in floats and was compared with PyTorch when it was compiled
    coverage = int8_coverage(job.out, scheme, kept=job.kept)
    if settings.to == "int8" and not coverage.complete:
        job.say(coverage.warning)
    if scheme is None:
        return {}, [f"weights are stored as {coverage.weight_words}"]
    facts: Facts = {"coverage": asdict(coverage)}
    story = [scheme.words, *coverage.lines]
    if settings.method != "dynamic" and coverage.int8:
        for name, check in (("prediction", _predict), ("saturation", _detect)):
            try:
                found = check(job)
            except SessionError as error:  # the file itself is as good as before
                story.append(f"could not be checked for saturation: {str(error).strip().splitlines()[0]}")
                continue
            if found is not None:
                facts[name] = asdict(found)
                story.append(found.words)
    return facts, story


def _predict(job: Job) -> emulate.Prediction | None:
    """Where the scheme was forced on a target whose sums are narrow."""
    if not (job.scheme.saturates and job.runtime == "onnxruntime"):
        return None
    validation = job.data.validation
    prediction = emulate.predict(job.out, validation.inputs, validation.labels, job.scheme.accumulate)
    job.say(prediction.words)
    return prediction


def _detect(job: Job) -> saturation.Saturation | None:
    """Where it runs here: files with s8 activations are for ARM and GPUs, whose kernels this machine does not have."""
    if job.runtime not in ("onnxruntime", "openvino") or job.scheme.activations != "u8":
        return None
    saturated = saturation.detect(job.out, job.calibration)
    if saturated.saturates:
        job.say(saturated.words)
    return saturated
