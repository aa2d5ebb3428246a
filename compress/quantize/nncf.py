"""Static int8 by NNCF, Intel's own quantizer, on an OpenVINO model: `method: nncf`.

NNCF sees calibration samples one by one, estimates the ranges of activations, and corrects biases for the error that
rounding leaves (as in Nagel et al., 2019, arXiv:1906.04721, section 4.2). The result depends on the samples and their
order only. On the networks measured so far `method: static` came out more exact, and as fast (docs/decisions/0006).
"""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

from compress.quantize.from_scheme import nncf_parameters
from compress.quantize.graph import onnxruntime, ranges
from compress.targets.openvino import save
from edge_runtime.sessions.openvino_core import core

if TYPE_CHECKING:
    from nncf.quantization.range_estimator import RangeEstimatorParameters

    from compress.quantize.job import Job

OUTLIERS = 1e-4
"""Share of an activation's values outside the range that `calibration: percentile` chooses, at either end."""


def quantize(job: Job) -> list[str]:
    """Write ``job.out``. 7-bit weights are NNCF's overflow fix, symmetric activations its preset `performance`,
    asymmetric ones `mixed`. Returns lines for the report.

    Raises :class:`compress.errors.DataError` for calibration samples that the network cannot take, and
    :class:`compress.errors.QuantizationError` for one that is quantized already; then nothing is written.
    """
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedSmoothQuantParameters

    # Its log tells which library versions it would rather see and what it is about to do.
    nncf.set_log_level(logging.ERROR)
    settings, samples = job.settings, job.calibration
    ranges.check(onnxruntime.prepare(job.onnx), samples)
    told = nncf_parameters(job.scheme)
    # NNCF has SmoothQuant for networks said to be transformers only, and leaves it out for an alpha of -1.
    alpha = -1 if settings.smooth is None else settings.smooth
    transformer = None if settings.smooth is None else nncf.ModelType.TRANSFORMER
    with redirect_stdout(io.StringIO()):  # progress bars
        model = nncf.quantize(
            core().read_model(job.model),
            nncf.Dataset([samples[index : index + 1] for index in range(len(samples))]),
            preset=told["preset"],
            model_type=transformer,
            subset_size=len(samples),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=told["overflow_fix"],
                disable_bias_correction=not settings.bias_correction,
                smooth_quant_alphas=AdvancedSmoothQuantParameters(matmul=alpha, convolution=alpha),
                activations_range_estimator_params=_ranges(settings.calibration),
            ),
        )
    save(model, job.out)
    return [
        f"NNCF: {settings.calibration} ranges over {len(samples)} samples"
        + (", biases corrected" if settings.bias_correction else "")
        + ("" if settings.smooth is None else f", SmoothQuant with alpha {settings.smooth:g}")
    ]


def _ranges(calibration: str) -> RangeEstimatorParameters:
    """NNCF's nearest range estimator: its histogram minimises the quantization error, which is `mse`, and has to do for
    `entropy` too; its quantiles are each sample's, of which the widest count."""
    from nncf.quantization.range_estimator import (
        AggregatorType,
        RangeEstimatorParameters,
        RangeEstimatorParametersSet,
        StatisticsCollectorParameters,
        StatisticsType,
    )

    if calibration == "minmax":
        return RangeEstimatorParametersSet.MINMAX
    if calibration in ("entropy", "mse"):
        return RangeEstimatorParametersSet.HISTOGRAM
    low, high = (
        StatisticsCollectorParameters(StatisticsType.QUANTILE, aggregator, quantile_outlier_prob=OUTLIERS)
        for aggregator in (AggregatorType.MIN, AggregatorType.MAX)
    )
    return RangeEstimatorParameters(low, high)
