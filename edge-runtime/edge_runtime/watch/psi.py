"""Population stability index: how far the shares of one sample's bins are from another's.

PSI = sum over bins of (p - q) ln(p / q), the symmetrised Kullback-Leibler divergence (Jeffreys 1946; the name and the
rule of thumb "0.1 watch, 0.25 act" are those of credit scoring: Siddiqi, Credit Risk Scorecards, 2006). Between two
samples of n and m from one distribution it is about (bins - 1)(1/n + 1/m) without any change (Yurdakul 2018), so that a
fixed threshold is nonsense for small samples: with 10 bins, n = 100 alone gives 0.09. Hence the rule here: thresholds
calibrated for the sample's size by bootstrap, or else at least 500 samples and the customary 0.25.
"""

from __future__ import annotations

import numpy as np

LEAST_SAMPLES = 500
"""Below this, PSI says nothing without a threshold calibrated for the size."""
CUSTOMARY = 0.25
"""The threshold of the rule of thumb, used only from ``LEAST_SAMPLES`` on and where none was calibrated."""
PRIOR = 0.5
"""Added to every bin's count, so that an empty bin gives a large index and not an infinite one."""


def psi(counts: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """PSI along the last axis, from counts (..., bins) against the reference's counts (..., bins)."""
    p = (counts + PRIOR) / (counts.sum(axis=-1, keepdims=True) + PRIOR * counts.shape[-1])
    q = (reference + PRIOR) / (reference.sum(axis=-1, keepdims=True) + PRIOR * reference.shape[-1])
    return ((p - q) * np.log(p / q)).sum(axis=-1)


def threshold(samples: int, calibrated: float | None) -> float | None:
    """The index above which a sample of this size differs; None where nothing may be said."""
    if calibrated is not None:
        return calibrated
    return CUSTOMARY if samples >= LEAST_SAMPLES else None
