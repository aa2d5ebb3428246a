"""AOTInductor packages: PyTorch's compiler writes a network as one ``.pt2`` file with native code for this device.

https://docs.pytorch.org/docs/stable/torch.compiler_aot_inductor.html
"""

from __future__ import annotations

import shutil
import warnings

import torch

from .refused import Refused
from .ways import Job

TRACED = 2
"""Batch of the example: PyTorch's exporter takes a batch of 1 for a constant."""


def package(job: Job) -> None:
    """Compile the network for batches from 1 to the largest. Raises Refused without a C++ compiler."""
    file = job.stem.with_suffix(".pt2")
    if file.exists():
        return
    if not any(map(shutil.which, ("g++", "c++", "clang++"))):
        raise Refused(
            "missing", "AOTInductor compiles C++, and there is no compiler here: apt-get install g++, or $CXX"
        )
    job.hardware.tf32(job.way.precision == "tf32")
    batch = torch.export.Dim("batch", min=1, max=max(TRACED, *job.batches))
    draft = file.with_suffix(".draft.pt2")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of PyTorch to itself, about its own older interfaces
        program = torch.export.export(job.module(), (job.example(TRACED),), dynamic_shapes=({0: batch},))
        torch._inductor.aoti_compile_and_package(program, package_path=str(draft))
    draft.rename(file)
