"""The ways to run a network on the device, one class an engine: what is made once, and the call that is timed.

``prepare`` makes the files that an engine reads, which takes seconds to minutes; ``Way.open`` loads them, in this
process or in a fresh one (``memory``). A call takes its input from the device's memory and leaves its answer there.
Whatever an engine lacks is said by Refused, and the other ways go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from .hardware import Call, Hardware
from .networks import Network
from .refused import Refused

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""``tf32`` is float32 in memory, rounded to 10 bits for products; ``fp32`` is not rounded."""

CAPTURE_WARM_UP = 3
"""Calls on the capturing stream before the capture, in which libraries reserve what they need."""


class Way(NamedTuple):
    """An engine and a number format. ``name``: ``aoti-fp16``."""

    engine: str
    precision: str

    @property
    def name(self) -> str:
        return f"{self.engine}-{self.precision}"


@dataclass(frozen=True)
class Job:
    """What a way is made for. ``batches``: the sizes it will be called with; ``folder``: for its files."""

    way: Way
    network: Network
    hardware: Hardware
    folder: Path
    batches: tuple[int, ...]
    seed: int

    @property
    def dtype(self) -> torch.dtype:
        return DTYPES[self.way.precision]

    @property
    def stem(self) -> Path:
        """Files are the engine's and the format's: ``aoti-graph`` reads the one of ``aoti``."""
        return self.folder / f"{self.way.engine.removesuffix('-graph')}-{self.way.precision}"

    def module(self) -> nn.Module:
        """The network on the device in its number format."""
        return self.network.make(self.seed).to(self.hardware.device, self.dtype)

    def example(self, batch: int) -> Tensor:
        """(batch, *shape) on the device in its number format; the same samples for every way."""
        return self.network.samples(batch, self.seed).to(self.hardware.device, self.dtype)


class Opened(Protocol):
    """A network that is loaded. ``version`` is the engine's; ``size``: bytes of its file, or of its weights."""

    version: str
    size: int

    def at(self, inputs: Tensor) -> Call:
        """The call for this input, which stays where it is."""


class Eager:
    """PyTorch as it is, operator by operator. Half precision in channels-last memory, which tensor cores read."""

    version = torch.__version__

    def __init__(self, job: Job) -> None:
        self._half = job.dtype is not torch.float32
        layout = torch.channels_last if self._half else torch.contiguous_format
        self._network = job.module().to(memory_format=layout)
        self.size = sum(tensor.nbytes for tensor in self._network.state_dict().values())

    def at(self, inputs: Tensor) -> Call:
        network = self._network
        given = inputs.to(memory_format=torch.channels_last) if self._half else inputs
        return lambda: network(given)


class Aoti:
    """An AOTInductor package, ``.pt2``: compiled here for this device, any batch up to the largest."""

    version = torch.__version__

    def __init__(self, job: Job) -> None:
        file = job.stem.with_suffix(".pt2")
        self.size = file.stat().st_size
        # Without the logic for several threads, which a capture does not allow.
        opened = torch._inductor.aoti_load_package(str(file), run_single_threaded=True)
        # The loader itself: the object around it parses the call's specification anew in every call.
        self._run = opened.loader.run

    def at(self, inputs: Tensor) -> Call:
        run, given = self._run, [inputs]
        return lambda: run(given)[0]


class Graphed:
    """Another way's call, captured once as a CUDA graph and replayed: no Python and no launches in between."""

    def __init__(self, job: Job, inner: Callable[[Job], Opened]) -> None:
        if not job.hardware.cuda:
            raise Refused("no-device", "CUDA graphs need a CUDA device, and this is the CPU")
        self._inner = inner(job)
        self.version, self.size = self._inner.version, self._inner.size

    def at(self, inputs: Tensor) -> Call:
        call = self._inner.at(inputs)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(CAPTURE_WARM_UP):
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            answer = call()

        def replay() -> Tensor:
            graph.replay()
            return answer

        return replay


def prepare(job: Job) -> None:
    """Make the files that the way needs, unless they are there. Raises Refused."""
    from . import compiled, exported

    makers = {
        "aoti": compiled.package,
        "aoti-graph": compiled.package,
        "onnxruntime": exported.onnx,
        "tensorrt": exported.tensorrt,
    }
    if job.way.engine in makers:
        makers[job.way.engine](job)


def open_way(job: Job) -> Opened:
    """Load the network. Raises Refused, and whatever an engine raises."""
    from . import engines

    kinds: dict[str, Callable[[Job], Opened]] = {
        "eager": Eager,
        "graph": lambda job: Graphed(job, Eager),
        "aoti": Aoti,
        "aoti-graph": lambda job: Graphed(job, Aoti),
        "onnxruntime": engines.OnnxRuntime,
        "tensorrt": engines.TensorRt,
    }
    return kinds[job.way.engine](job)


WAYS = tuple(
    Way(engine, precision)
    for engine, precisions in {
        "eager": ("fp32", "tf32", "fp16", "bf16"),
        "graph": ("tf32", "fp16", "bf16"),
        "aoti": ("tf32", "fp16", "bf16"),
        "aoti-graph": ("tf32", "fp16", "bf16"),
        "onnxruntime": ("fp32", "tf32", "fp16"),
        "tensorrt": ("tf32", "fp16"),
    }.items()
    for precision in precisions
)
"""All of them; the first is what the others are compared with, in time and in answers."""
