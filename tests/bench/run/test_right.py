from __future__ import annotations

import numpy as np
import pytest

from compress.bench.figures import Accuracy, Interval
from compress.bench.run.results import ResultsError
from compress.bench.run.right import pack, unpack


def counted(right):
    correct, n = int(right.sum()), right.size
    return Accuracy(correct, n, correct / n, Interval(correct / n, 0, 1))


@pytest.mark.parametrize("n", [1, 7, 8, 9, 1000])
def test_which_samples_were_right_survives_and_takes_a_bit_a_sample(n):
    right = np.random.default_rng(n).random(n) < 0.7
    text = pack(right)
    assert (unpack(text, counted(right)) == right).all()
    assert len(text) <= 4 * (n // 24 + 1)


@pytest.mark.parametrize("text", ["!", "ab", "é", "", "AAAA"])
def test_what_does_not_fit_the_accuracy_is_refused(text):
    with pytest.raises(ResultsError, match="right"):
        unpack(text, counted(np.ones(10, dtype=bool)))
