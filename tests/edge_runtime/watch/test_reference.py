from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from edge_runtime.errors import DriftReferenceError
from edge_runtime.watch.alarms import Alarms
from edge_runtime.watch.reference import FALSE_ALARMS, WINDOWS, Reference, summarize
from edge_runtime.watch.windows import Windows


def beyond(reference, size, samples):
    """By detector: the share of windows of ``size`` that are beyond their threshold."""
    known = Reference(reference)
    windows = Windows(known, size, Alarms(), "1")
    counts = dict.fromkeys(known.layout.detectors, 0)
    rows = known.layout.rows(*samples)
    for start in range(0, len(rows), size):
        windows.add(rows[start : start + size], start, start + size - 1, 0.0)
        for name, verdict in windows.last.items():
            counts[name] += verdict.beyond
    return {name: count / (len(rows) // size) for name, count in counts.items()}


def test_the_same_samples_give_the_same_reference(reference, stream):
    assert json.dumps(summarize(*stream(2000, 0))) == json.dumps(reference)


def test_it_is_small_json_that_tells_what_was_seen(reference, stream):
    text = json.dumps(reference, allow_nan=False)
    assert len(text) < 50_000
    _, logits = stream(2000, 0)
    shares = np.bincount(logits.argmax(1), minlength=5) / 2000
    assert reference["outputs"]["shares"] == pytest.approx(shares.tolist())
    assert set(reference["thresholds"]) == {str(size) for size in WINDOWS}
    assert Reference(json.loads(text)).digest == Reference(reference).digest


@pytest.mark.parametrize("size", WINDOWS)
def test_unchanged_windows_are_beyond_a_threshold_as_rarely_as_promised(reference, stream, size):
    """Fresh samples, not the reference's own. Their windows share the reference's chance error, so the rate scatters
    about FALSE_ALARMS by more than a binomial; three times it must not be exceeded."""
    count = 60_000
    shares = beyond(reference, size, stream(count, 1))
    windows = count // size
    for name, share in shares.items():
        assert share <= 3 * FALSE_ALARMS + 3 * np.sqrt(FALSE_ALARMS / windows), name


def test_each_detector_sees_the_change_that_is_its_own(reference, stream):
    size = 500
    brighter = beyond(reference, size, stream(5000, 2, brightness=4))
    assert brighter["inputs"] == 1 and brighter["classes"] <= 0.1
    noisier = beyond(reference, size, stream(5000, 3, noise=10))
    assert noisier["inputs"] == 1
    favoured = beyond(reference, size, stream(5000, 4, favoured=4))
    assert favoured["classes"] == favoured["outputs"] == 1 and favoured["inputs"] <= 0.1
    pictures, logits = stream(5000, 5)
    unsure = beyond(reference, size, (pictures, logits / 2))
    assert unsure["confidence"] == unsure["outputs"] == 1 and unsure["classes"] <= 0.1


def test_probabilities_are_taken_as_they_are(stream):
    pictures, logits = stream(400, 0)
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = summarize(pictures, shares.astype(np.float32))["outputs"]
    expected = summarize(pictures, logits)["outputs"]
    assert found["probabilities"] and not expected["probabilities"]
    assert found["confidence"]["mean"] == pytest.approx(expected["confidence"]["mean"], rel=1e-5)


def test_outputs_that_are_no_classes_are_compared_as_vectors(stream):
    pictures, logits = stream(400, 0)
    found = summarize(pictures, logits[:, :1])
    assert Reference(found).layout.detectors == ["inputs", "outputs"]
    assert "page_hinkley" not in found


def test_an_embedding_takes_the_place_of_the_outputs(stream):
    pictures, logits = stream(600, 0)
    random = np.random.default_rng(0)
    vectors = random.normal(size=(600, 40)) * np.r_[np.full(30, 5.0), np.zeros(10)]
    known = Reference(summarize(pictures, logits, embeddings=vectors))
    assert "embedding" in known.layout.detectors
    moved = vectors[:500].copy()
    moved[:, 35] += 20 * random.random(500)  # where the reference has no spread at all
    for embeddings, far in ((vectors[:500], False), (moved, True)):
        total = known.layout.rows(pictures[:500], logits[:500], embeddings).sum(axis=0)
        statistic, _ = known.statistics(total, 500)["embedding"]
        assert (statistic > known.threshold("embedding", 500)) == far


def test_samples_without_the_embedding_are_not_compared_by_it(stream):
    pictures, logits = stream(600, 0)
    known = Reference(summarize(pictures, logits, embeddings=logits @ np.ones((5, 12), np.float32)))
    total = known.layout.rows(pictures[:500], logits[:500]).sum(axis=0)
    assert "embedding" not in known.statistics(total, 500)


def test_a_feature_that_never_varied_makes_any_variation_drift(stream):
    pictures, logits = stream(1000, 0)
    pictures[:, :, :, :] = 7
    known = Reference(summarize(pictures, logits))
    for value, far in ((7, False), (8, True)):
        inputs = np.full_like(pictures[:500], value)
        total = known.layout.rows(inputs, logits[:500]).sum(axis=0)
        assert (known.statistics(total, 500)["inputs"][0] > known.threshold("inputs", 500)) == far


def test_distance_is_one_for_the_farthest_hundredth(reference, stream):
    known = Reference(reference)
    far = known.distances(*stream(5000, 9))
    assert 0.003 < (far > known.quantile("distance", 0.99)).mean() < 0.03
    assert (known.distances(*stream(500, 9, brightness=100)) > known.quantile("distance", 0.99)).mean() > 0.95


def test_a_window_between_two_sizes_is_held_to_the_higher_threshold(reference):
    known = Reference(reference)
    assert known.threshold("inputs", 700) == known.threshold("inputs", 500) > known.threshold("inputs", 1000)
    assert known.threshold("inputs", 99) is None


def test_too_few_samples_and_unequal_lengths_are_refused(stream):
    pictures, logits = stream(300, 0)
    for arrays in ((pictures[:199], logits[:199]), (pictures, logits[:-1])):
        with pytest.raises(DriftReferenceError, match="2,000 samples") as refused:
            summarize(*arrays)
        assert refused.value.code == "drift-reference-invalid"


def paths(value, path=()):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from paths(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield (*path, 0)


@pytest.mark.parametrize("replacement", [None, "x", [], {}, float("nan"), -1, [[1, 2], [3]]], ids=repr)
def test_a_damaged_reference_is_refused_or_harmless(reference, stream, replacement):
    """Every part replaced in turn: either DriftReferenceError, or windows are judged as usual."""
    refused = 0
    pictures, logits = stream(20, 0)
    for path in paths(reference):
        damaged = copy.deepcopy(reference)
        inner = damaged
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = replacement
        try:
            known = Reference(damaged)
        except DriftReferenceError:
            refused += 1
            continue
        if known.layout.fits(pictures, logits):
            known.statistics(known.layout.rows(pictures, logits).sum(axis=0), 20)
            known.distances(pictures, logits)
            known.threshold("inputs", 500)
            for of in ("entropy", "distance"):
                known.quantile(of, 0.95)
    assert refused > 10


def test_another_schema_is_refused_by_its_number(reference):
    with pytest.raises(DriftReferenceError, match=r"schema 2.*update edge-runtime"):
        Reference(reference | {"schema": 2})
