"""One network, all ways: opened, compared, timed in turns, weighed. What is not possible is refused and recorded.

1. Every way's files are made, the network is loaded, and its answers are compared with those of the first way.
2. Cells: at batch 1 ``single-stream``, at others ``batch`` (a call is waited for before the next one begins) and
   ``offline`` (a call is a queue of ``QUEUE`` batches that is waited for at its end). All ways are timed in turns by
   ``edge_runtime.probes.latency``, on the wall clock: a call and the synchronisation after it. After every round each
   way is timed again by the device's own events, which leaves the synchronisation out.
3. Memory, each way in a fresh process.
4. Energy, where asked for, by ``edge_runtime.probes.energy`` with the sensors found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from edge_runtime.energy.find import find
from edge_runtime.probes import energy, events, latency
from edge_runtime.probes.conditions import Conditions
from edge_runtime.probes.plan import Cell, Plan

from .answers import compare
from .hardware import Call, Hardware
from .memory import weigh
from .networks import NETWORKS
from .record import Record
from .refused import Refused, words
from .ways import Job, Opened, Way, open_way, prepare

QUEUE = 16
"""Batches of a call of ``offline``."""

ROUNDS = 1_000_000
"""More than any run has: cells end by their precision or their seconds."""

DEVICE_CALLS = 3
"""Calls a round that are timed by the device's events."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Settings:
    """``plan`` says what is measured; its models are the ways. ``command``: starts this suite in a fresh process."""

    network: str
    plan: Plan
    ways: tuple[Way, ...]
    command: tuple[str, ...]
    folder: Path

    @property
    def batches(self) -> tuple[int, ...]:
        return tuple(sorted({cell.batch for cell in self.plan.cells}))


class Measurement:
    """What has been opened so far, for one network."""

    def __init__(self, settings: Settings, hardware: Hardware, record: Record, say: Say) -> None:
        self._settings, self._hardware, self._record, self._say = settings, hardware, record, say
        self._opened: dict[Way, Opened] = {}
        self._expected: torch.Tensor | None = None

    def run(self) -> None:
        self._record.begin(self._settings.plan, self._hardware.facts)
        for way in self._settings.ways:
            self._say(f"{way.name}: preparing")
            self._try(way, "open", lambda way=way: self._open(way))
        for cell in self._settings.plan.cells:
            self._cell(cell)
        if self._settings.plan.memory:
            for way in self._opened:
                self._try(way, "memory", lambda way=way: self._memory(way))
        if self._settings.plan.energy:
            self._energy(max(self._settings.batches))

    def _try(self, way: Way, what: str, action: Callable[[], object]) -> None:
        """Do it, or record why not. An engine's errors share no class: whatever one raises, the others go on."""
        try:
            action()
        except Refused as error:
            code, reason = error.code, str(error)
        except torch.OutOfMemoryError as error:
            code, reason = "memory", f"the GPU's memory is not enough: {words(error)}"
        except Exception as error:
            code, reason = "failed", words(error)
        else:
            return
        self._record.refuse(way.name, what, code, reason)
        self._say(f"{way.name}: {reason}")

    def _job(self, way: Way) -> Job:
        settings = self._settings
        seed = settings.plan.seed
        return Job(way, NETWORKS[settings.network], self._hardware, settings.folder, settings.batches, seed)

    def _open(self, way: Way) -> None:
        if way.precision == "tf32" and not self._hardware.cuda:
            raise Refused("no-device", "TF32 is a mode of NVIDIA's tensor cores, and this is the CPU")
        job = self._job(way)
        prepare(job)
        with torch.inference_mode():
            opened = open_way(job)
            inputs = job.example(max(job.batches))
            answer = self._call(way, opened.at(inputs))().float().cpu()
        self._expected = answer if self._expected is None else self._expected
        difference, agreement = compare(answer, self._expected, way.precision)
        self._opened[way] = opened
        sizes, dtype = [None, *job.network.shape], str(inputs.dtype).removeprefix("torch.")
        self._record.write(
            "model",
            model=way.name,
            runtime=RUNTIMES[way.engine] if self._hardware.cuda else way.engine,
            version=opened.version,
            size=opened.size,
            inputs=[{"name": "input", "dtype": dtype, "shape": sizes}],
            outputs=[{"name": "logits", "dtype": dtype, "shape": [None, answer.shape[1]]}],
            source=f"random (seed {job.seed})",
            assumed={},
            weights=f"random (seed {job.seed}): {job.network.what}",
            precision=way.precision,
            difference=difference,
            agreement=agreement,
        )

    def _call(self, way: Way, call: Call) -> Call:
        """The call with float32 products as its format wants them, which is a state of the whole process."""
        set_tf32, allowed = self._hardware.tf32, way.precision == "tf32"

        def run() -> torch.Tensor:
            set_tf32(allowed)
            return call()

        return run

    def _calls(self, batch: int, what: str) -> dict[Way, Call]:
        """A call for every way that can be called with this batch."""
        calls: dict[Way, Call] = {}

        def open_call(way: Way) -> None:
            calls[way] = self._call(way, self._opened[way].at(self._job(way).example(batch)))
            calls[way]()
            self._hardware.synchronize()

        for way in self._opened:
            self._try(way, what, lambda way=way: open_call(way))
        return calls

    @torch.inference_mode()
    def _cell(self, cell: Cell) -> None:
        self._say(f"{cell.name}: timing")
        calls, plan = self._calls(cell.batch, cell.name), self._settings.plan
        if not calls:
            return
        queue = QUEUE if cell.scenario == "offline" else 1
        runs = {way.name: self._waited(call, queue) for way, call in calls.items()}
        device: dict[str, list[np.ndarray]] = {way.name: [] for way in calls}
        rounds = 0

        def on_samples(placement: int, samples: latency.Samples) -> None:
            nonlocal rounds
            for way, call in calls.items():
                own = self._hardware.timed(call, DEVICE_CALLS) if queue == 1 else None
                if own is not None:
                    device[way.name].append(own)
                self._record.write(
                    "round",
                    cell=cell.name,
                    round=rounds,
                    placement=placement,
                    model=way.name,
                    samples=queue * cell.batch,
                    seconds=events.encode(samples[way.name]),
                    **({} if own is None else {"device": events.encode(own)}),
                )
            rounds += 1

        conditions, before = Conditions(), self._hardware.conditions()
        taken = latency.interleave(
            runs,
            rounds=ROUNDS,
            seconds=plan.seconds,
            seed=plan.seed,
            precision=plan.precision,
            on_samples=on_samples,
        )
        medians = {name: float(np.median(np.concatenate(found))) for name, found in device.items() if found}
        method = taken.method | {
            "call": f"a queue of {queue} batches, then synchronisation"
            if queue > 1
            else "a batch, then synchronisation",
            "data": "inputs and answers in the device's memory; copies from and to the host are not timed",
            "device_clock": "CUDA events around a call" if medians else None,
            "device_medians": medians,
        }
        self._record.write(
            "cell",
            cell=cell.name,
            scenario=cell.scenario,
            threads=cell.threads,
            batch=cell.batch,
            models=list(runs),
            method=method,
            conditions=conditions.report() | {"gpu": {"before": before, "after": self._hardware.conditions()}},
        )

    def _waited(self, call: Call, queue: int) -> Callable[[], None]:
        synchronize = self._hardware.synchronize

        def run() -> None:
            for _ in range(queue):
                call()
            synchronize()

        return run

    def _memory(self, way: Way) -> None:
        self._say(f"{way.name}: memory")
        for told in weigh(self._settings.command, self._job(way), self._settings.network):
            self._record.write("memory", model=way.name, threads=1, **told)

    @torch.inference_mode()
    def _energy(self, batch: int) -> None:
        plan, found = self._settings.plan, find()
        sensors = self._hardware.sensors(found.sensors)
        if not sensors:
            for way in self._opened:
                self._record.write("energy", model=way.name, threads=1, batch=batch, none=found.why_none())
            return
        calls = self._calls(batch, "energy")
        samples = energy.measure(
            {way.name: self._waited(call, 1) for way, call in calls.items()},
            sensors,
            batch=batch,
            windows=plan.windows,
            window_seconds=plan.window_seconds,
            idle_seconds=plan.idle_seconds,
            seed=plan.seed,
            on_step=self._say,
        )
        for name, energies in samples.energies.items():
            told = [asdict(answer) for answer in energies]
            medians = [float(np.median(window)) for window in samples.calls[name]]
            self._record.write(
                "energy", model=name, threads=1, batch=batch, energies=told, method=samples.method, calls=medians
            )


RUNTIMES = {
    "eager": "pytorch",
    "graph": "pytorch, CUDA graph",
    "aoti": "aotinductor",
    "aoti-graph": "aotinductor, CUDA graph",
    "onnxruntime": "onnxruntime-cuda",
    "tensorrt": "tensorrt",
}
