"""Times of a network's layers in eager PyTorch on the CPU: a clock around every module that has no modules inside.

What a network does between its modules (additions, reshaping, ``torch.nn.functional``) is in no layer's time. That of
PyTorch's own profiler is, but under the names of operators, which are not the layers that a person knows.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from math import prod

import numpy as np
from torch import Tensor, nn

from edge_runtime.sessions.layers import LayerTime, middle_mean

TIMES = (
    "a clock around each of PyTorch's modules, so nothing that happens between them; mean of the middle half of calls"
)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def module_times(model: nn.Module, call: Callable[[], object], warm_up: int, calls: int) -> list[LayerTime]:
    """Seconds of one inference in each module, in the order of their first turns; ``call`` makes one inference."""
    times: dict[str, list[list[float]]] = defaultdict(list)
    macs: dict[str, int | None] = defaultdict(int)
    began: dict[str, float] = {}
    modules = {name: module for name, module in model.named_modules() if not list(module.children())}

    def before(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple) -> None:
            began[name] = time.perf_counter()

        return hook

    def after(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple, output: object) -> None:
            now = time.perf_counter()
            times[name][-1].append(now - began[name])
            if len(times[name]) == 1:
                macs[name] = _added(macs[name], _macs(module, inputs, output))

        return hook

    hooks = [module.register_forward_pre_hook(before(name)) for name, module in modules.items()]
    hooks += [module.register_forward_hook(after(name)) for name, module in modules.items()]
    try:
        for _ in range(warm_up + calls):
            for name in modules:
                times[name].append([])
            call()
    finally:
        for hook in hooks:
            hook.remove()
    ran = {name: found[-calls:] for name, found in times.items() if any(found[-calls:])}
    return [
        LayerTime(
            name=name,
            type=type(modules[name]).__name__,
            kernel="eager",
            seconds=middle_mean([sum(one) for one in found]),
            calls=round(float(np.median([len(one) for one in found]))),
            precision="float32",
            macs=macs[name] or None,
        )
        for name, found in ran.items()
    ]


def _added(sum_: int | None, more: int | None) -> int | None:
    return None if sum_ is None or more is None else sum_ + more


def _macs(module: nn.Module, inputs: tuple, output: object) -> int | None:
    if not isinstance(output, Tensor) or not inputs or not isinstance(inputs[0], Tensor):
        return None
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, CONVOLUTIONS):
        return output.numel() * prod(module.weight.shape[1:])
    if isinstance(module, TRANSPOSED):
        return inputs[0].numel() * prod(module.weight.shape[1:])
    return None
