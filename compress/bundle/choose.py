"""Which of a run's models a bundle is made of: the one named, or the recommended one."""

from __future__ import annotations

from compress.bench.run import recommend
from compress.bench.run.results import Results, Variant
from compress.errors import BundlingError

NOT_FOR_DEVICES = ("pytorch", "pytorch-cuda", "aotinductor", "aotinductor-graph", "onnxruntime-cuda")
"""Runtimes that need more than edge-runtime on a device, or, packages, were compiled for this very machine."""


def choose(results: Results, wanted: str | None) -> Variant:
    """The variant called ``wanted`` (``quantize/raspberry-pi-4/onnxruntime``), or the student of a target or of a
    target and runtime (``raspberry-pi-4``, ``raspberry-pi-4/onnxruntime``), or, when None, of the first target.

    Raises BundlingError that lists the run's variants.
    """
    variants = bundled(results)
    if not variants:
        raise BundlingError(
            f"the run '{results.name}' has no model for a device: edge-runtime has none of its runtimes; add a target"
        )
    if found := next((variant for variant in variants if variant.id == wanted), None):
        return found
    place = variants[0].target if wanted is None else wanted
    budget = results.recipe.get("budget") or {}
    students = [student for student in recommend.students(variants, budget) if place in _names(student)]
    if students:
        return recommend.best(students, budget)
    raise BundlingError(
        f"there is no variant {place!r}; name one of these, or a target for its recommended one (*):\n{listed(results)}"
    )


def listed(results: Results) -> str:
    """A line for each variant; a star marks those that are recommended."""
    variants = bundled(results)
    students = {student.id for student in recommend.students(variants, results.recipe.get("budget") or {})}
    width = max((len(variant.id) for variant in variants), default=0)
    return "\n".join(f"{'*' if v.id in students else ' '} {v.id:<{width}}  {_words(v)}" for v in variants)


def bundled(results: Results) -> list[Variant]:
    """The variants that a device can run."""
    return [variant for variant in results.variants if variant.runtime not in NOT_FOR_DEVICES]


def _names(variant: Variant) -> tuple[str, str]:
    return variant.target, f"{variant.target}/{variant.runtime}"


def _words(variant: Variant) -> str:
    words = [variant.precision, f"{(variant.size or 0) / 1e3:.0f} kB"]
    if variant.accuracy:
        words.append(f"{variant.accuracy.value:.2%}")
    if variant.latency:
        words.append(f"{variant.latency.p50 * 1e3:.3g} ms")
    return ", ".join([*words, *(["not measured"] if variant.not_measured else [])])
