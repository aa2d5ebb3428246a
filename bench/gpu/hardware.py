"""The device that a suite runs on, and its clock: an NVIDIA GPU, or the CPU to try the suite where there is none.

*Not run on a GPU yet.* What is said of CUDA here follows PyTorch's "CUDA semantics" (streams, events, TF32) and
NVIDIA's NVML reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from edge_runtime.probes import gpu_memory

from . import nvml
from .refused import Refused

Call = Callable[[], torch.Tensor]


class Hardware:
    """``device``: where tensors live. ``facts``: what it is, plain data for the record."""

    def __init__(self, name: str) -> None:
        self.device = torch.device(name)
        self.cuda = self.device.type == "cuda"
        self._tf32: bool | None = None
        self._gpu: nvml.Gpu | None = None
        self.facts: dict[str, Any] = {"device": name, "torch": torch.__version__}
        if self.cuda:
            self._begin_cuda()

    def _begin_cuda(self) -> None:
        if not torch.cuda.is_available():
            raise Refused(
                "no-device",
                f"PyTorch {torch.__version__} finds no CUDA device here; run where nvidia-smi shows one, with a "
                "PyTorch built for CUDA, or try the suite itself with --device cpu",
            )
        torch.cuda.set_device(self.device)
        torch.backends.cudnn.benchmark = True  # cuDNN tries its algorithms in the warm-up and keeps the quickest
        properties = torch.cuda.get_device_properties(self.device)
        self.facts |= {
            "name": properties.name,
            "capability": f"{properties.major}.{properties.minor}",
            "memory": properties.total_memory,
            "multiprocessors": properties.multi_processor_count,
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
        self._gpu = nvml.find(str(getattr(properties, "uuid", "")))
        self.facts["driver"] = self._gpu.driver if self._gpu else None

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Everything runs on one stream of our own: the default one can neither be captured nor be lent to others."""
        if not self.cuda:
            yield
            return
        with torch.cuda.stream(torch.cuda.Stream(self.device)):
            yield
            torch.cuda.synchronize(self.device)

    @property
    def stream_handle(self) -> int:
        """The current stream's address, for engines that are to queue their work on it."""
        return torch.cuda.current_stream(self.device).cuda_stream

    def synchronize(self) -> None:
        if self.cuda:
            torch.cuda.current_stream(self.device).synchronize()

    def tf32(self, allowed: bool) -> None:
        """Whether float32 products may be rounded to TF32's 10 bits. By default PyTorch does so in convolutions."""
        if allowed == self._tf32:
            return
        self._tf32 = allowed
        # Not the newer `fp32_precision`: PyTorch's exporter and compiler still ask for these two, which then refuse to
        # answer (2.13).
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed

    def timed(self, call: Call, count: int) -> np.ndarray | None:
        """(count,) seconds of that many calls on the device's own clock: from a mark queued before a call to one queued
        behind it. None on a CPU, which has only the wall clock."""
        if not self.cuda:
            return None
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        seconds = np.empty(count)
        call()
        self.synchronize()
        for index in range(count):
            begin.record()
            call()
            end.record()
            end.synchronize()
            seconds[index] = begin.elapsed_time(end) * 1e-3
        return seconds

    def reset_peaks(self) -> None:
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def memory(self) -> dict[str, int | None]:
        """Bytes: ``allocated`` and ``reserved`` are the peaks of PyTorch's allocator, ``used`` is what NVML says
        is given out at this moment, to whomever (all GPUs together)."""
        if not self.cuda:
            return {"allocated": None, "reserved": None, "used": None}
        return {
            "allocated": torch.cuda.max_memory_allocated(self.device),
            "reserved": torch.cuda.max_memory_reserved(self.device),
            "used": gpu_memory.used(),
        }

    def sensors(self, found: tuple[Any, ...]) -> tuple[Any, ...]:
        """Of power sensors those that tell of this device: other GPUs of the machine stay out."""
        mine = f"nvml:{self._gpu.index}" if self._gpu else None
        return tuple(sensor for sensor in found if sensor.kind != "nvml" or sensor.name == mine)

    def conditions(self) -> dict[str, Any] | None:
        """Temperature, clocks, power and what holds the clocks down; None where NVML is not."""
        return self._gpu.conditions() if self._gpu else None
