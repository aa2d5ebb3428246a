"""One version of a model and the threads that run it; requests that wait at the same time share an inference.

    event loop                         threads
    submit(job) ──► queue ──► take one, and what else is there ──► run ──► back to the event loop, once a batch

A thread that is free takes a request the moment it comes: an idle server adds no wait. While all are busy, requests
gather, and the next free thread takes as many as the batch allows. Nothing waits for a batch to fill.

A request that is alone, of a model that is quick, is run on the event loop itself: handing it to a thread and back
takes as long as a small model does. Whatever came at the same time is known by then, as it is looked at after all that
the loop had to read. Where the process has one core, a thread could only run in the loop's place, so a few that came
together are run so too. A model that leaves other axes open than the batch never is: how long it took for small inputs
says nothing of a large one.
"""

from __future__ import annotations

import asyncio
import math
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from edge_runtime.errors import BusyError, DeadlineError, EdgeRuntimeError, RequestTooLargeError
from edge_runtime.serve.protocol import Signature

Arrays = dict[str, np.ndarray]
OnBatch = Callable[[Arrays, Arrays, float, int, str], None]
"""Called by a thread after every inference: inputs, outputs, seconds, samples, version."""

SMOOTHING = 0.1
"""Weight of the latest inference in the running mean of the time per sample."""

QUICK_SECONDS = 0.002
"""Inferences that are expected to take less may be run on the event loop, where other requests wait meanwhile."""

CLOSING_SECONDS = 60.0
"""How long a retired model's last inferences are waited for before it is left to them."""


class Job:
    """One request's inputs, and where its outputs go. ``deadline``: time.monotonic()'s seconds."""

    __slots__ = ("deadline", "future", "inputs", "key", "samples")

    def __init__(self, inputs: Arrays, samples: int, deadline: float, future: asyncio.Future[Arrays]) -> None:
        self.inputs = inputs
        self.samples = samples
        self.deadline = deadline
        self.future = future
        # Only arrays that differ in their batch axis alone can be one batch.
        self.key = tuple([array.shape[1:] for array in inputs.values()])


class Runner:
    """``model``: has ``session`` and ``close()``. ``most``: samples of one inference; 1 where batching is not sound.

    All methods but the threads' own are called on the event loop. A request holds the runner from when it chooses the
    version until its answer is made (``acquire``, ``release``), so a retired version closes after its last request.
    """

    def __init__(
        self, model: Any, signature: Signature, version: str, *, threads: int, most: int, room: int, on_batch: OnBatch
    ) -> None:
        self.model = model
        self.signature = signature
        self.version = version
        self.room = room
        self.waiting = 0
        self.seconds_per_sample = 0.0
        self.closed = asyncio.Event()
        self._fresh: list[Job] = []
        self._flying = 0
        self._holders = 0
        self._retired = False
        self._steady = all(
            isinstance(axis, int) for spec in signature.inputs for axis in spec.shape[1 if signature.batched else 0 :]
        )
        self._most = most
        self._lone_core = len(os.sched_getaffinity(0)) == 1
        self._on_batch = on_batch
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{version}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def acquire(self) -> None:
        self._holders += 1

    def release(self) -> None:
        self._holders -= 1
        if self._retired and not self._holders:
            self._close()

    def retire(self) -> None:
        """No new request will come; close once the last is answered."""
        self._retired = True
        if not self._holders:
            self._close()

    def reserve(self, samples: int) -> None:
        """Take room for samples until ``free``. Raises BusyError when there is not enough, RequestTooLargeError when
        there never is."""
        if samples > self.room:
            raise RequestTooLargeError(
                f"{samples} samples at once, and the queue holds {self.room}; send fewer at a time, or serve with a "
                "larger --queue"
            )
        if self.waiting + samples > self.room:
            seconds = self.waiting * self.seconds_per_sample / len(self._threads)
            raise BusyError(
                f"{self.waiting} samples wait, and the queue holds {self.room}; send this again later, or less at once",
                max(1, math.ceil(seconds)),
            )
        self.waiting += samples

    def free(self, samples: int) -> None:
        self.waiting -= samples

    def submit(self, inputs: Arrays, samples: int, deadline: float) -> asyncio.Future[Arrays]:
        """Outputs by name, later. The future raises DeadlineError, or what the session raises."""
        future: asyncio.Future[Arrays] = self._loop.create_future()
        self._fresh.append(Job(inputs, samples, deadline, future))
        if len(self._fresh) == 1:
            self._loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        """Pass on what has come since the loop last looked for work."""
        if batch := self._quick():
            self._fresh = self._fresh[len(batch) :]
            if self._fresh:  # once the loop has read what has come meanwhile
                self._loop.call_soon(self._flush)
            self._flying += len(batch)
            self._deliver(self._answers(batch))
            return
        jobs, self._fresh = self._fresh, []
        self._flying += len(jobs)
        for job in jobs:
            self._queue.put(job)

    def _quick(self) -> list[Job]:
        """The fresh jobs that the loop runs itself now, as one inference; or none."""
        if not self._steady or self._flying or (len(self._fresh) > 1 and not self._lone_core):
            return []
        batch: list[Job] = []
        samples = 0
        for job in self._fresh:
            samples += job.samples
            seconds = self.seconds_per_sample * samples
            if not 0 < seconds < QUICK_SECONDS or job.key != self._fresh[0].key or (batch and samples > self._most):
                break
            batch.append(job)
        return batch

    def _deliver(self, results: list[tuple[Job, Arrays | BaseException]]) -> None:
        self._flying -= len(results)
        for job, result in results:
            if job.future.done():  # its client went away
                continue
            if isinstance(result, BaseException):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)

    def _close(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        threading.Thread(target=self._end, name=f"close-{self.version}", daemon=True).start()

    def _end(self) -> None:
        for thread in self._threads:
            thread.join(CLOSING_SECONDS)
        if not any(thread.is_alive() for thread in self._threads):
            self.model.close()
        # The loop may have ended meanwhile, if the process is ending.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.closed.set)

    def _work(self) -> None:
        held: Job | None = None
        while True:
            first = held or self._queue.get()
            held = None
            if first is None:
                return
            batch, samples = [first], first.samples
            while samples < self._most:
                try:
                    job = self._queue.get_nowait()
                except queue.Empty:
                    break
                if job is None:  # for the next turn of this thread: every thread gets one
                    self._queue.put(None)
                    break
                if job.key != first.key or samples + job.samples > self._most:
                    held = job
                    break
                batch.append(job)
                samples += job.samples
            self._loop.call_soon_threadsafe(self._deliver, self._answers(batch))

    def _answers(self, batch: list[Job]) -> list[tuple[Job, Arrays | BaseException]]:
        now = time.monotonic()
        alive = [job for job in batch if job.deadline > now]
        results: list[tuple[Job, Arrays | BaseException]] = [
            (job, DeadlineError("the time of this request was over before its turn came; allow it more, or send less"))
            for job in batch
            if job.deadline <= now
        ]
        return results + self._results(alive) if alive else results

    def _results(self, batch: list[Job]) -> list[tuple[Job, Arrays | BaseException]]:
        try:
            return list(zip(batch, self._run(batch), strict=True))
        except EdgeRuntimeError as error:
            # What one request brought must not fail its neighbours: then each gets an inference of its own.
            return [(batch[0], error)] if len(batch) == 1 else [one for job in batch for one in self._results([job])]
        except Exception as error:
            return [(job, error) for job in batch]

    def _run(self, batch: list[Job]) -> list[Arrays]:
        if len(batch) == 1:
            return [self._slices(batch[0])]
        inputs = {name: np.concatenate([job.inputs[name] for job in batch]) for name in batch[0].inputs}
        outputs = self._infer(inputs, sum(job.samples for job in batch))
        results, start = [], 0
        for job in batch:
            results.append({name: array[start : start + job.samples] for name, array in outputs.items()})
            start += job.samples
        return results

    def _slices(self, job: Job) -> Arrays:
        """One request, in several inferences if it brings more samples than one takes: memory stays bounded."""
        if job.samples <= self._most or not self.signature.batched:
            return self._infer(job.inputs, job.samples)
        parts = [
            self._infer(
                {name: array[start : start + self._most] for name, array in job.inputs.items()},
                min(self._most, job.samples - start),
            )
            for start in range(0, job.samples, self._most)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _infer(self, inputs: Arrays, samples: int) -> Arrays:
        started = time.perf_counter()
        outputs = self.model.session.run(inputs)
        seconds = time.perf_counter() - started
        each = seconds / samples
        mean = self.seconds_per_sample
        self.seconds_per_sample = each if not mean else mean + SMOOTHING * (each - mean)
        self._on_batch(inputs, outputs, seconds, samples, self.version)
        return outputs
