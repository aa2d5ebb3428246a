"""Static int8 for OpenVINO by NNCF (Neural Network Compression Framework) on the intermediate representation."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from compress.errors import ExportError
from compress.recipe import Quantize
from compress.targets.scheme import Scheme


def quantize(model: Path, out: Path, calibration: np.ndarray, scheme: Scheme, settings: Quantize) -> None:
    """Write ``model`` (float ``.xml``) as int8 ``out``; ``calibration``: raw inputs (N, C, H, W).

    NNCF's ``CPU`` target takes 7-bit ranges where the instruction set needs them when the weights overflow otherwise.
    Raises :class:`ExportError` when NNCF refuses the model.
    """
    import nncf
    import openvino

    with _quiet():
        dataset = nncf.Dataset([calibration[index : index + 1] for index in range(len(calibration))])
        try:
            quantized = nncf.quantize(
                openvino.Core().read_model(model),
                dataset,
                preset=nncf.QuantizationPreset.PERFORMANCE if scheme.symmetric_activations else nncf.QuantizationPreset.MIXED,
                subset_size=len(calibration),
            )
        except (RuntimeError, nncf.InternalError, nncf.ValidationError) as error:
            raise ExportError(f"NNCF cannot quantize {model.name}: {error}") from error
        openvino.save_model(quantized, out, compress_to_fp16=False)


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("nncf")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
