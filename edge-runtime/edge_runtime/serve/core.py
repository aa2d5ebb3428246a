"""A model being served, whatever the network: which version answers, whether there is room, and how it is going.

``switch`` loads another version beside the one that serves, and then hands over between two requests: every request
is answered whole by one version, none is refused, and whoever has seen the new version never sees the old one again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from edge_runtime import limits
from edge_runtime.errors import DeadlineError, EdgeRuntimeError, InputError, ModelUnfitError, NotReadyError
from edge_runtime.serve.aside import aside
from edge_runtime.serve.audience import Audience, Observer
from edge_runtime.serve.batcher import Arrays, Runner
from edge_runtime.serve.metrics import Metrics, Sample
from edge_runtime.serve.opening import open_and_try
from edge_runtime.serve.protocol import InferRequest, Signature
from edge_runtime.serve.tally import Account, Accounts, Tally
from edge_runtime.serve.witness import READ, RUN, Witness, finite


@dataclass(frozen=True)
class Settings:
    """``threads``: inferences at the same time. ``batch``: samples of one. ``queue``: samples that may wait.

    ``seconds``: longest wait of a request that asks for nothing else.
    """

    threads: int = 1
    batch: int = limits.BATCH_SAMPLES
    queue: int = limits.QUEUE_SAMPLES
    seconds: float = limits.REQUEST_SECONDS


class Service:
    """Made and called on an event loop. ``observers`` are told of every inference of a model with one input and output.

    A model is what ``edge_runtime.model.Model`` is: ``session``, ``contents``, ``prepare``, ``interpret``, ``close``.
    """

    def __init__(
        self, settings: Settings, *, metrics: Metrics | None = None, observers: Iterable[Observer] = ()
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.audience = Audience(observers)
        self.draining = False
        self._runner: Runner | None = None
        self._witness: Witness | None = None
        self._accounts = Accounts()
        self._switching = asyncio.Lock()
        self._pool = ThreadPoolExecutor(settings.threads, "prepare")

    @property
    def ready(self) -> bool:
        return self._runner is not None and not self.draining

    @property
    def model(self) -> Any:
        """The model that serves. Raises NotReadyError."""
        return self._current().model

    @property
    def version(self) -> str:
        """The version that serves, as requests name it: the bundle's sequence number. Raises NotReadyError."""
        return self._current().version

    @property
    def id(self) -> str | None:
        """The bundle that serves, by its hash, or None."""
        return self._runner.model.contents.id if self._runner else None

    @property
    def waiting(self) -> int:
        """Samples that are waited for, in the queue or in an inference."""
        return self._runner.waiting if self._runner else 0

    @contextmanager
    def using(self) -> Iterator[Runner]:
        """The version that serves, kept open until the block ends. Raises NotReadyError."""
        runner = self._current()
        runner.acquire()
        try:
            yield runner
        finally:
            runner.release()

    async def infer(
        self, runner: Runner, request: InferRequest, arrived: float, make: Callable[[Arrays], Any] = lambda found: found
    ) -> Any:
        """What ``make`` makes of a request's outputs by name. ``arrived``: time.monotonic() when it came.

        An inference counts as good once its answer is made. Raises BusyError when the queue is full, DeadlineError when
        its turn comes too late, SessionError, and what ``make`` raises.
        """
        seconds = self.settings.seconds if request.timeout is None else min(request.timeout, self.settings.seconds)
        runner.reserve(request.samples)
        try:
            return await self._counted(runner, request.inputs, request.samples, arrived + seconds, make)
        finally:
            runner.free(request.samples)

    async def predict(self, runner: Runner, item: Any, arrived: float, timeout: float | None = None) -> Any:
        """What the model says of one item: what ``Model.interpret`` gives. Raises as ``infer`` does, and InputError."""
        loop = asyncio.get_running_loop()
        seconds = self.settings.seconds if timeout is None else min(timeout, self.settings.seconds)
        runner.reserve(1)
        try:
            # Numbers are quickly made an array; a picture or a text takes longer than handing it to a thread does.
            quick = isinstance(item, list)
            sample = (
                runner.model.prepare(item)
                if quick
                else await loop.run_in_executor(self._pool, runner.model.prepare, item)
            )
            name, output = runner.signature.inputs[0].name, runner.signature.outputs[0].name
            return await self._counted(
                runner, {name: sample}, 1, arrived + seconds, lambda found: runner.model.interpret(found[output])[0]
            )
        finally:
            runner.free(1)

    async def switch(self, opener: Callable[[], Any], former: Callable[[], Any] = lambda: None) -> str:
        """Serve the model that ``opener`` opens (in a thread) instead of the present one. Its version.

        ``former`` opens, in a thread, the version that would serve in its place, for `Witness`; or gives None.
        Returns once the former version has answered its last request and is closed. When the new one cannot be opened
        or does not run, the former one serves on, and the reason is raised.
        """
        async with self._switching:
            try:
                model, signature, most, known = await aside(partial(open_and_try, opener, self.settings.batch))
                account = self._accounts.open(model.contents.id, keep=(self.id,))
                runner = self._started(model, signature, most, account)
            except EdgeRuntimeError:
                self.metrics.switches.add("failed")
                raise
            # Before its first answer, so that none goes unseen; the last ones of the former version do.
            await self.audience.serve(model.contents, runner.version)
            last, self._runner = self._runner, runner
            if self._witness:
                self._witness.end()
            self._witness = Witness(runner, known, account.failed, former)
            self.metrics.switches.add("done")
            if last:
                last.retire()
                await last.closed.wait()
            return runner.version

    def tally(self, id: str) -> Tally:
        """How the bundle with this hash has been doing since this was last called, and start anew."""
        return self._accounts.told(id)

    def give_back(self, id: str, told: Tally) -> None:
        """What `tally` has told could not be passed on: tell it again."""
        self._accounts.give_back(id, told)

    def samples(self) -> list[Sample]:
        """The metrics that are states."""
        found = [
            Sample("edge_runtime_ready", float(self.ready), help="Whether inferences are answered."),
            Sample("edge_runtime_queue_samples", self.waiting, help="Samples that are waited for."),
            Sample("edge_runtime_queue_limit_samples", self.settings.queue, help="Samples that may be waited for."),
        ]
        if self._runner:
            contents, session = self.model.contents, self.model.session
            labels = {
                "name": contents.manifest.name,
                "version": self.version,
                "id": contents.id,
                "runtime": session.runtime,
                "runtime_version": session.version,
            }
            found.append(Sample("edge_runtime_model_info", 1, labels, help="The model that is served."))
        return found

    async def close(self) -> None:
        """Stop when the last request is answered."""
        self.draining = True
        if self._witness:
            self._witness.end()
        if self._runner:
            self._runner.retire()
            await self._runner.closed.wait()
            self._runner = None
        await self.audience.close()
        self._pool.shutdown(wait=False)

    def _current(self) -> Runner:
        if self._runner is None:
            raise NotReadyError("no model is loaded yet; wait until /v2/health/ready answers 200")
        return self._runner

    def _started(self, model: Any, signature: Signature, most: int, account: Account) -> Runner:
        """Raises ModelUnfitError when there are no threads left to run it, and then the model is closed."""
        try:
            return Runner(
                model,
                signature,
                str(model.contents.manifest.sequence),
                threads=self.settings.threads,
                most=most,
                room=self.settings.queue,
                on_batch=partial(self._observe, account),
            )
        except RuntimeError as error:
            model.close()
            raise ModelUnfitError(f"{model.session!r}: it cannot be run: {error}; free some memory") from error

    async def _counted(
        self, runner: Runner, inputs: Arrays, samples: int, deadline: float, make: Callable[[Arrays], Any]
    ) -> Any:
        account = self._accounts[runner.model.contents.id]
        try:
            outputs = await runner.submit(inputs, samples, deadline)
        except (InputError, DeadlineError):  # the client's doing, and the load's
            raise
        except Exception:
            self._doubt(runner, RUN, inputs)
            raise
        sound = finite(outputs)
        try:
            answer = make(outputs)
        except Exception:
            if sound or finite(inputs):
                self._doubt(runner, READ if sound else RUN, inputs)
            raise
        # A model whose answers are no numbers may have failed, unless it was asked about what is none.
        if sound or not finite(inputs):
            account.good()
        else:
            self._doubt(runner, RUN, inputs)
        return answer

    def _doubt(self, runner: Runner, what: str, inputs: Arrays) -> None:
        if self._witness and runner is self._runner:  # a version that is being left is not judged any more
            self._witness.doubt(what, inputs)

    def _observe(
        self, account: Account, inputs: Arrays, outputs: Arrays, seconds: float, samples: int, version: str
    ) -> None:
        """Called by inference threads."""
        self.metrics.inference.observe(seconds)
        self.metrics.batch.observe(samples)
        if samples == 1:
            account.times.append(seconds)
        if self.audience and len(inputs) == len(outputs) == 1:
            [given], [got] = inputs.values(), outputs.values()
            self.audience.observe(given, got, seconds, version)
