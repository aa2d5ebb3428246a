from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_runtime.capture import policy
from edge_runtime.capture.policy import Policy
from edge_runtime.errors import CaptureSettingsError
from edge_runtime.watch.outputs import read

THRESHOLDS = {"uncertain": 1.0, "drifting": 2.0}


def test_the_largest_probability_that_applies_holds_and_every_reason_is_told():
    logits = np.array([[9, 0, 0, 0], [0, 0, 0, 0], [9, 0, 0, 0], [0, 0, 0, 0]], np.float32)
    distances = np.array([0.0, 0.0, 3.0, 3.0])
    chances, reasons = Policy(random=0.1, uncertain=0.5, drifting=0.25).probabilities(
        read(logits), distances, THRESHOLDS
    )
    assert chances.tolist() == [0.1, 0.5, 0.25, 0.5]
    assert reasons == [["random"], ["random", "uncertain"], ["random", "drifting"], ["random", "drifting", "uncertain"]]


def test_a_small_margin_can_be_what_is_uncertain():
    logits = np.array([[5, 5, -9, -9], [5, 0, 0, 0]], np.float32)  # two classes equal; three classes unlikely
    chances, _ = Policy(random=0.1, uncertain=1, measure="margin").probabilities(
        read(logits), np.zeros(2), {"uncertain": -0.5, "drifting": None}
    )
    assert chances.tolist() == [1, 0.1]


def test_without_a_reference_only_chance_decides():
    chances, _ = Policy(random=0.1).probabilities(read(np.zeros((1, 4), np.float32)), np.array([99.0]), {})
    assert chances.tolist() == [0.1]


@settings(deadline=None)
@given(st.integers(1, 100_000), st.integers(0, 200_000))
def test_the_quota_halves_in_tenths_and_ends_at_nothing(hourly, used):
    settings = Policy(hourly=hourly)
    factor = settings.quota(used)
    assert (factor == 0) == (used >= hourly)
    assert settings.quota(0) == 1
    assert settings.quota(used + 1) <= factor
    assert used >= hourly or factor >= 2**-9


def test_there_is_nothing_captured_until_somebody_says_so():
    assert Policy().on is False
    assert policy.from_dict({}).on is False


@pytest.mark.parametrize(
    "settings",
    [
        {"random": 0},
        {"random": 1.1},
        {"uncertain": -0.1},
        {"uncertain": True},
        {"hourly": 0},
        {"hourly": 1.5},
        {"uncertain_above": 0.94},
        {"measure": "guess"},
        {"on": 1},
        {"days": float("nan")},
        {"near": 99},
        {"colour": "red"},
    ],
)
def test_settings_out_of_range_are_refused_by_name(settings):
    with pytest.raises(CaptureSettingsError, match=next(iter(settings))) as refused:
        policy.from_dict(settings)
    assert refused.value.code == "capture-settings-invalid"


def test_settings_are_kept_for_their_owner_only(tmp_path):
    path = tmp_path / "captures" / "settings.json"
    policy.save(path, Policy(on=True, random=0.2))
    assert policy.load(path) == Policy(on=True, random=0.2)
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"random": "much"}', b"[" * 90_000, b" " * 20_000])
def test_a_damaged_file_says_what_to_do(tmp_path, data):
    path = tmp_path / "settings.json"
    path.write_bytes(data)
    with pytest.raises(CaptureSettingsError):
        policy.load(path)


def test_every_setting_can_be_written_and_read():
    assert policy.from_dict(json.loads(json.dumps(asdict(Policy())))) == Policy()
