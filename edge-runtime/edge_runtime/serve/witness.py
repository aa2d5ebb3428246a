"""Whose failure it is, the model's or its input's.

A client may send what no engine computes (an index past a table's end, numbers that overflow), as often as it likes. If
that counted against a version on trial, any client could end the trial, have the version marked bad, and by failing the
old one have the next one's failures excused. So a failure is a doubt first, and two are asked about it:

1. The model itself, with the first of the bundle's golden inputs: if that fails too, all doubts were right.
2. The version that would serve in its place, with some of the inputs in doubt: as many doubts were right as it answers.

This is done at most once a second, and then takes a small share of the time, however many failures there are.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from edge_runtime.errors import BundleError, InputError
from edge_runtime.serve.aside import aside
from edge_runtime.serve.batcher import Arrays, Runner
from edge_runtime.serve.fitness import probe
from edge_runtime.serve.sparing import Sparing

log = Sparing(logging.getLogger("edge_runtime.serve"))

SECONDS = 1.0
"""Time from one trial with the known input to the next, at least."""
SHARE = 0.05
"""Most of the time that may be spent on them."""

SAMPLES = 4
"""Inputs in doubt that are kept for the version before, drawn at random."""
SAMPLE_BYTES = 1024**2
"""An input that is larger is not kept."""

RUN, READ = "run", "read"
"""What failed: the inference (the engine refused, or the answer was not finite), or making classes of its answer."""


class Witness:
    """Of one version that serves. ``doubt`` and ``end`` are called on the event loop.

    ``known``: inputs of one inference, from `known_inputs`. ``failed``: told how many doubts were right. ``former``:
    opens the version before, or gives None; called in a thread.
    """

    def __init__(
        self, runner: Runner, known: Arrays, failed: Callable[[int], None], former: Callable[[], Any] = lambda: None
    ) -> None:
        self._runner = runner
        self._known = known
        self._failed = failed
        self._former = former
        self._doubts: Counter[str] = Counter()
        self._samples: dict[str, list[Arrays]] = {}
        self._random = random.Random()
        self._next = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._over = False

    def doubt(self, what: str, inputs: Arrays) -> None:
        """An inference of ``inputs`` failed, in ``what``."""
        if self._over:
            return
        self._doubts[what] += 1
        self._keep(self._samples.setdefault(what, []), inputs, self._doubts[what])
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._settle())

    def end(self) -> None:
        """The version is about to be closed: what is in doubt stays so."""
        self._over = True

    async def _settle(self) -> None:
        try:
            while self._doubts:
                await asyncio.sleep(max(0.0, self._next - time.monotonic()))
                if self._over:
                    return
                doubts, self._doubts = self._doubts, Counter()
                samples, self._samples = self._samples, {}
                self._runner.acquire()
                started = time.monotonic()
                try:
                    right = await aside(partial(self._right, doubts, samples))
                finally:
                    self._runner.release()
                    ended = time.monotonic()
                    self._next = ended + max(SECONDS, (ended - started) / SHARE)
                if right:
                    self._failed(right)
        finally:
            self._task = None

    def _keep(self, kept: list[Arrays], inputs: Arrays, number: int) -> None:
        """Of any number of inputs, each with the same chance (Vitter's reservoir, algorithm R)."""
        if sum(array.nbytes for array in inputs.values()) > SAMPLE_BYTES:
            return
        if len(kept) < SAMPLES:
            kept.append(inputs)
        elif (place := self._random.randrange(number)) < SAMPLES:
            kept[place] = inputs

    def _right(self, doubts: Mapping[str, int], samples: Mapping[str, list[Arrays]]) -> int:
        """How many of the doubts were right. Called in a thread."""
        failing = self._failing()
        right = sum(doubts[what] for what in doubts if what in failing)
        asked = {what: inputs for what, inputs in samples.items() if inputs and what not in failing}
        former = self._former() if asked else None
        if former is not None:
            try:
                for what, inputs in asked.items():
                    answered = sum(_answers(former, arrays, what) for arrays in inputs)
                    right += round(doubts[what] * answered / len(inputs))
            finally:
                former.close()
        return right

    def _failing(self) -> tuple[str, ...]:
        """What fails with the known input too. Called in a thread."""
        model = self._runner.model
        try:
            outputs = model.session.run(self._known)
            if not finite(outputs):
                raise ValueError("its answer is not finite")
        except InputError:  # the bundle's input is not the model's: it tells nothing
            return ()
        except Exception as error:
            log.error(f"the model fails at an input that it is known to answer: {error}", "model-fails")
            return RUN, READ
        first = model.session.outputs[0]
        if len(first.shape) != 2:  # no classes can be read of any of its answers, which is no fault
            return ()
        try:
            model.interpret(outputs[first.name])
        except Exception as error:
            log.error(f"no classes can be read of the model's answer to a known input: {error}", "model-fails")
            return (READ,)
        return ()


def _answers(model: Any, inputs: Arrays, what: str) -> bool:
    """Whether this model answers what another one failed at in ``what``."""
    try:
        outputs = model.session.run(inputs)
        if what == READ:
            model.interpret(outputs[model.session.outputs[0].name])
        return finite(outputs)
    except Exception:  # of whatever kind: it does no better
        return False


def known_inputs(model: Any) -> Arrays:
    """Inputs of one inference that the model answers: the first of its bundle's golden ones; where there are none,
    such as it was tried with before it served. Reads a file."""
    specs = model.session.inputs
    golden = getattr(model.contents.manifest, "golden", None)
    if golden and len(specs) == 1:
        with suppress(BundleError):
            rows = model.contents.array(golden["inputs"])
            if rows.ndim and len(rows):
                axis = specs[0].shape[0] if specs[0].shape else 1
                size = axis if isinstance(axis, int) else 1
                return {specs[0].name: rows[np.arange(size) % len(rows)]}  # a copy, of these rows only
    return {spec.name: probe(spec, 1.0, seed=2) for spec in specs}


def finite(arrays: Arrays) -> bool:
    return all(np.isfinite(array).all() for array in arrays.values())
