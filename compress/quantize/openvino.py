"""Post-training int8 by NNCF on an OpenVINO model: FakeQuantize nodes for activations, int8 constants for weights.

NNCF sees calibration samples one by one, estimates the ranges of activations, and corrects biases for the error that
rounding leaves (as in Nagel et al., 2019, arXiv:1906.04721, section 4.2). The result depends on the samples and their
order only.
"""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

from compress.targets.openvino import save

if TYPE_CHECKING:
    from nncf.quantization.range_estimator import RangeEstimatorParameters

    from compress.recipe import Quantize
    from compress.targets.scheme import Scheme

OUTLIERS = 1e-4
"""Share of an activation's values outside the range that `calibration: percentile` chooses, at either end."""


def quantize(
    model_path: Path | str, out: Path | str, calibration: np.ndarray, scheme: Scheme, settings: Quantize
) -> None:
    """Write the int8 version of the IR ``model_path`` (.xml) to ``out``.

    ``calibration``: raw inputs (N, ...), of which the first ``settings.samples`` are used. 7-bit weights are NNCF's
    overflow fix, symmetric activations its preset `performance`, asymmetric ones `mixed`.
    """
    import nncf
    from nncf.quantization.advanced_parameters import OverflowFix

    # Its log tells which library versions it would rather see and what it is about to do.
    nncf.set_log_level(logging.ERROR)
    samples = calibration[: settings.samples]
    presets = nncf.QuantizationPreset
    with redirect_stdout(io.StringIO()):  # progress bars
        model = nncf.quantize(
            openvino.Core().read_model(model_path),
            nncf.Dataset([samples[index : index + 1] for index in range(len(samples))]),
            preset=presets.PERFORMANCE if scheme.symmetric_activations else presets.MIXED,
            subset_size=len(samples),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=OverflowFix.ENABLE if scheme.weight_bits == 7 else OverflowFix.DISABLE,
                activations_range_estimator_params=_ranges(settings.calibration),
            ),
        )
    save(model, Path(out))


def _ranges(calibration: str) -> RangeEstimatorParameters:
    """NNCF's nearest range estimator: its histogram minimises the quantization error instead of the divergence, and its
    quantiles are each sample's, of which the widest count."""
    from nncf.quantization.range_estimator import (
        AggregatorType,
        RangeEstimatorParameters,
        RangeEstimatorParametersSet,
        StatisticsCollectorParameters,
        StatisticsType,
    )

    if calibration == "minmax":
        return RangeEstimatorParametersSet.MINMAX
    if calibration == "entropy":
        return RangeEstimatorParametersSet.HISTOGRAM
    low, high = (
        StatisticsCollectorParameters(StatisticsType.QUANTILE, aggregator, quantile_outlier_prob=OUTLIERS)
        for aggregator in (AggregatorType.MIN, AggregatorType.MAX)
    )
    return RangeEstimatorParameters(low, high)
