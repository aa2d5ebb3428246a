"""PyTorch to an AOTInductor package: one ``.pt2`` file of native code for one kind of device, any batch size.

1. Arithmetic is moved to the number format asked for: raw values come in and are normalised as ever, the network behind
   computes in fp16 or bf16, and its logits leave as float32.
2. PyTorch's exporter traces it, and its compiler writes the package, with the inputs named in the metadata.
3. The package is opened, run and compared with PyTorch in float32 before it takes its place.

A package fits the kind of device that it was compiled on (for a GPU its compute capability), so it is compiled there.
"""

from __future__ import annotations

import copy
import shutil
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from compress import quiet
from compress.errors import ExportError
from compress.models import package
from compress.models.package_session import AotInductorSession
from compress.targets.draft import draft
from compress.targets.narrow import TOLERANCE, narrowed
from edge_runtime import SessionError, TensorSpec

TRACED = 2
"""Batch of the example: PyTorch's exporter takes a batch of 1 for a constant."""
CHECKED = 7
COMPILERS = ("g++", "c++", "clang++")
SETTINGS = {"cpp.dynamic_threads": True}
"""The number of threads is the session's. The compiler would write that of the moment into the code instead."""


def export(
    model: nn.Module,
    example: np.ndarray,
    path: Path | str,
    *,
    precision: Literal["fp32", "fp16", "bf16"] = "fp16",
    device: Literal["cuda", "cpu"] = "cuda",
) -> None:
    """Write ``model`` to ``path`` (``.pt2``), compiled for ``device``.

    ``example``: raw inputs (1 or more, C, H, W); dtype and sizes become the package's, the batch stays free.
    Raises :class:`ExportError` where it cannot be compiled, or the package computes something else.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ExportError("a package for an NVIDIA GPU is compiled on it, and PyTorch finds none here; device='cpu'?")
    if not any(map(shutil.which, COMPILERS)):
        raise ExportError("AOTInductor compiles C++, and there is no compiler here: apt-get install g++")
    original = copy.deepcopy(model).to(memory_format=torch.contiguous_format).eval()
    batch = torch.from_numpy(np.ascontiguousarray(np.resize(example, (TRACED, *example.shape[1:]))))
    with torch.inference_mode():
        classes = original(batch).shape[1]
    specs = {
        package.INPUTS: (TensorSpec("input", example.dtype.name, ("batch", *example.shape[1:])),),
        package.OUTPUTS: (TensorSpec("logits", "float32", ("batch", classes)),),
    }
    metadata = {key: package.dump(spec) for key, spec in specs.items()}
    with draft(Path(path)) as file:
        _compile(narrowed(original, precision).to(device), batch.to(device), file, metadata)
        _compare(original, example, file, precision)


def _compile(model: nn.Module, batch: Tensor, file: Path, metadata: dict[str, str]) -> None:
    try:
        with quiet.pytorch(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of PyTorch to itself, about its own older interfaces
            free = ({0: torch.export.Dim("batch", min=1)},)
            program = torch.export.export(model, (batch,), dynamic_shapes=free)
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(file), inductor_configs={"aot_inductor.metadata": metadata, **SETTINGS}
            )
    except Exception as error:  # the exporter's, the compiler's and the C++ compiler's errors share no class
        reason = str(error.__cause__ or error).strip().splitlines()[-1:] or [type(error).__name__]
        raise ExportError(f"{type(model).__name__} cannot be compiled by AOTInductor: {reason[0]}") from error


def _compare(model: nn.Module, example: np.ndarray, file: Path, precision: str) -> None:
    rng = np.random.default_rng(0)
    shape = (CHECKED, *example.shape[1:])
    noise = rng.integers(0, 256, shape) if example.dtype == np.uint8 else rng.standard_normal(shape)
    inputs = np.concatenate([example, noise.astype(example.dtype)])
    with torch.inference_mode():
        expected = model(torch.from_numpy(inputs)).numpy()
    try:
        with AotInductorSession(file, torch.get_num_threads()) as session:
            found = session.predict(inputs)
    except SessionError as error:
        raise ExportError(f"{file.name}: the package does not run: {error}") from error
    difference = float(np.abs(found - expected).max())
    allowed = TOLERANCE[precision] * max(1.0, float(np.abs(expected).max()))
    if not difference <= allowed:  # so that NaN fails too
        raise ExportError(
            f"{file.name}: the package is not the model: its logits differ from PyTorch's by up to {difference:.2g} "
            f"({allowed:.2g} allowed in {precision})"
        )
