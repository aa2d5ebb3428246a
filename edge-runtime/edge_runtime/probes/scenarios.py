"""What is timed: the ways of asking a model that MLPerf Inference distinguishes, and under its names.

- **SingleStream** (``single-stream``): the next query of one sample is sent as soon as the last is answered. Its figure
  is latency.
- **MultiStream** (``multi-stream``): the next query of N samples (8, if nothing else is asked) is sent as soon as the
  last is answered; a query's latency ends when all its samples are done. A model that takes N samples at once gets
  them in one call, and one whose batch is fixed in several, one after the other.
- **Offline** (``offline``): all samples are there from the start, and the figure is throughput. As many streams run at
  once as the processor's cores hold, each with its calls of ``batch`` samples. What is timed as one call is a *burst*:
  every stream makes the same number of calls, and the burst ends with the last of them.

``batch`` is none of MLPerf's: one call at a time, of ``batch`` samples. Reddi et al. (2020), *MLPerf Inference
Benchmark*, section III-D; the inference rules of MLCommons, "Scenarios" (in which MultiStream has been so since v2.0).
Their least numbers of queries and least times are not kept: here a precision decides (``stopping``).

One session answers all streams where its engine may be called from several threads at once and its calls have one
thread; otherwise every stream has a session of its own.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from edge_runtime.errors import EdgeRuntimeError, InputError
from edge_runtime.probes.inputs import Inputs, fixed_batch
from edge_runtime.probes.plan import Cell
from edge_runtime.sessions.base import OneAtATime, Session

BURST_SECONDS = 0.03
"""How long a burst lasts at least: starting and joining the streams takes a ten thousandth of a second."""
MOST_CALLS = 100_000
"""Calls of one stream in a burst."""

Call = Callable[[], object]
Make = Callable[[Session, int], Inputs]
"""Inputs for calls of that many samples."""


@dataclass
class Query:
    """``call`` answers ``samples``, in the way that ``words`` say; ``close`` lets go of all it holds."""

    call: Call
    samples: int
    words: str
    close: Callable[[], None]


def prepare(
    cell: Cell, open_: Callable[[], Session], make: Make, *, cores: int, burst: int | None = None
) -> tuple[Query, int]:
    """Open a model for a cell; and how many calls each stream makes in a burst, to be given as ``burst`` when it is
    opened anew: it must not change during a measurement.

    Raises InputError when the model does not take as many samples, or what opening and calling raise.
    """
    with ExitStack() as stack:
        first = stack.enter_context(open_())
        if cell.scenario == "multi-stream":
            call, words = _query(first, cell.batch, make)
            samples, calls = cell.batch, 1
        elif cell.scenario == "offline":
            takes(first, cell.batch)
            streams = max(1, cores // cell.threads)
            shared = cell.threads == 1 and not isinstance(first, OneAtATime)
            others = [first if shared else stack.enter_context(open_()) for _ in range(streams - 1)]
            each = [caller(session, make(session, cell.batch)) for session in (first, *others)]
            calls = burst or _calls_in_a_burst(each[0])
            call = each[0] if streams == calls == 1 else _burst(each, calls, stack)
            samples = streams * calls * cell.batch
            sessions = "one session" if shared or streams == 1 else f"{streams} sessions"
            words = f"{streams} streams on {sessions}, bursts of {calls} calls each, {cell.batch} samples a call"
        else:
            takes(first, cell.batch)
            call, samples, calls = caller(first, make(first, cell.batch)), cell.batch, 1
            words = f"one call of {cell.batch} samples at a time"
        call()
        return Query(call, samples, words, stack.pop_all().close), calls


def takes(session: Session, batch: int) -> None:
    """Raises InputError if the model's batch is fixed at another size."""
    fixed = fixed_batch(session.inputs)
    if fixed is not None and fixed != batch:
        raise InputError(
            f"{session.path.name} takes {fixed} samples a call, and not {batch}: the first axis of its input is fixed; "
            f"ask for a batch of {fixed}, or export it with a dynamic batch"
        )


def caller(session: Session, inputs: Inputs) -> Call:
    """The barest call that the session has."""
    single = len(session.inputs) == len(session.outputs) == 1
    name = session.inputs[0].name if session.inputs else None
    run = session.predict if single else session.run
    arrays: list[np.ndarray | Mapping[str, np.ndarray]] = [one[name] if single else one for one in inputs.calls]
    if len(arrays) == 1:
        return partial(run, arrays[0])
    following = itertools.cycle(arrays).__next__
    return lambda: run(following())


def _query(session: Session, samples: int, make: Make) -> tuple[Call, str]:
    """A query of multi-stream."""
    fixed = fixed_batch(session.inputs)
    if fixed is None:
        call = caller(session, make(session, samples))
        try:
            call()
            return call, f"a query of {samples} samples in one call"
        except EdgeRuntimeError:
            # Its batch axis is free by name only: something inside is not.
            fixed = 1
    if samples % fixed:
        raise InputError(
            f"{session.path.name} takes {fixed} samples a call, and a query has {samples}; ask for a query of a "
            f"multiple of {fixed}"
        )
    one = caller(session, make(session, fixed))
    times = samples // fixed
    if times == 1:
        return one, f"a query of {samples} samples in one call"

    def all_of_them() -> None:
        for _ in range(times):
            one()

    return all_of_them, f"a query of {samples} samples in {times} calls, one after the other"


def _calls_in_a_burst(call: Call) -> int:
    call()
    times = []
    end = time.perf_counter() + BURST_SECONDS
    while not times or time.perf_counter() < end:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return min(MOST_CALLS, max(1, math.ceil(BURST_SECONDS / max(float(np.median(times)), 1e-7))))


def _burst(streams: list[Call], calls: int, stack: ExitStack) -> Call:
    """All streams at once: the first in this thread, the others in threads that stay."""

    def stream(call: Call) -> None:
        for _ in range(calls):
            call()

    first, *others = streams
    if not others:
        return partial(stream, first)
    pool = stack.enter_context(ThreadPoolExecutor(len(others), thread_name_prefix="stream"))

    def burst() -> None:
        running = [pool.submit(stream, call) for call in others]
        stream(first)
        for each in running:
            each.result()

    return burst
