"""Random changes to training pictures, drawn per epoch and per sample so that a view can be made again at will.

The parameters of a whole epoch are drawn at once from ``(seed, view)``; sample *i* of view *v* therefore always looks
the same, whatever the batch order. Resumed runs repeat exactly, and a teacher's logits can be computed once per view
(Beyer et al., 2022, arXiv:2106.05237: teacher and student must see the same view).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from compress.recipe import Augment


class View:
    """One epoch's version of a split's inputs (N, C, H, W): ``view[index]`` gives those samples augmented, dtype kept.

    Erased rectangles cover 2 to 20 % of the picture and hold noise (Zhong et al., 2017, arXiv:1708.04896).
    """

    def __init__(self, inputs: np.ndarray, augment: Augment, *, seed: int, view: int) -> None:
        rng = np.random.default_rng((seed, view))
        n, _, height, width = inputs.shape
        self._inputs = torch.from_numpy(np.ascontiguousarray(inputs))
        self._flip = torch.from_numpy(rng.random(n) < 0.5) if augment.flip else None
        s = augment.shift
        self._shift = torch.from_numpy(rng.integers(-s, s + 1, (2, n))) if s else None
        self._boxes = None
        if augment.erase:
            area = height * width * rng.uniform(0.02, 0.2, n)
            ratio = np.exp(rng.uniform(np.log(0.3), np.log(1 / 0.3), n))
            h = np.clip(np.round(np.sqrt(area * ratio)), 1, height).astype(np.int64)
            w = np.clip(np.round(np.sqrt(area / ratio)), 1, width).astype(np.int64)
            h[rng.random(n) >= augment.erase] = 0
            top = (rng.random(n) * (height - h + 1)).astype(np.int64)
            left = (rng.random(n) * (width - w + 1)).astype(np.int64)
            self._boxes = torch.from_numpy(np.stack([top, top + h, left, left + w]))
            self._noise = torch.from_numpy(rng.integers(0, 256, inputs.shape[1:], dtype=np.uint8))

    def __getitem__(self, index: Tensor) -> Tensor:
        x = self._inputs[index]
        _, _, height, width = x.shape
        rows, cols = torch.arange(height), torch.arange(width)
        if self._flip is not None:
            x = torch.where(self._flip[index, None, None, None], x.flip(-1), x)
        if self._shift is not None:
            down, right = self._shift[:, index]
            r, c = rows - down[:, None], cols - right[:, None]
            inside = ((r >= 0) & (r < height))[:, None, :, None] & ((c >= 0) & (c < width))[:, None, None, :]
            batch = torch.arange(len(x))[:, None, None]
            x = x.permute(0, 2, 3, 1)[batch, r.clamp(0, height - 1)[:, :, None], c.clamp(0, width - 1)[:, None, :]]
            x = x.permute(0, 3, 1, 2) * inside
        if self._boxes is not None:
            top, bottom, left, right = self._boxes[:, index, None]
            box = ((rows >= top) & (rows < bottom))[:, None, :, None] & ((cols >= left) & (cols < right))[:, None, None]
            x = torch.where(box, self._noise.to(x.dtype), x)
        return x
