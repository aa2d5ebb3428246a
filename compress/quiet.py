"""Libraries are kept from saying what a user can do nothing about, and from configuring logging for everybody."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

TALKATIVE = ("torchao", "torch.utils._pytree", "torch.onnx._internal.exporter._registration")


@contextmanager
def pytorch() -> Iterator[None]:
    """Silence what PyTorch and torchao say about themselves while they are imported, trace, train and
    export.

    - `Failed to load ..._C_mxfp8...so` (log): torchao's kernels for GPUs that this machine may not have.
    - `KernelPreference is an Enum subclass` (log), ``isinstance(treespec, LeafSpec)`` (FutureWarning): libraries using
      their own older interfaces.
    - `torchvision is not installed. Skipping torchvision::nms` (log): those operators are not used by models that come
      without torchvision.
    """
    logs = [logging.getLogger(name) for name in TALKATIVE]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning)
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


@contextmanager
def transformers() -> Iterator[None]:
    """Silence the progress bars of ``transformers``, which it draws on any terminal."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


@contextmanager
def root_logger() -> Iterator[None]:
    """Keep ``logging.basicConfig`` inside the block from adding a handler to the root logger or changing its level."""
    # It does nothing while there is a handler.
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
