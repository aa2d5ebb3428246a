from __future__ import annotations

import pytest

from compress.bench.run.budget import check_budget
from compress.bench.run.recommend import students

PLACE = ("this-machine", "openvino")


def line(results, what, limit):
    return next(b for b in check_budget(results.variants, {what: limit}) if (b.target, b.runtime) == PLACE)


@pytest.mark.parametrize(
    ("what", "generous", "harsh"),
    [
        ("accuracy_drop", 0.05, -0.05),
        ("latency", 1.0, 1e-6),
        ("size", 10**6, 10),
        ("memory", 10**9, 10),
        ("speedup", 1.5, 50),
    ],
)
def test_limits_are_met_or_not_by_as_much_as_is_said(results, what, generous, harsh):
    assert line(results, what, generous).met is True
    assert line(results, what, harsh).met is False
    assert "the limit of" in line(results, what, generous).by


@pytest.mark.parametrize("what", ["accuracy_drop", "latency", "speedup"])
def test_a_limit_inside_the_interval_cannot_be_told(results, what):
    value = line(results, what, 0.0).value
    assert line(results, what, value).met is None


def test_the_latency_is_the_median_that_the_table_shows(results):
    shown = {(v.target, v.runtime): v.latency.p50 for v in students(results.variants, {"latency": 1.0}) if v.latency}
    assert line(results, "latency", 1.0).value == shown[PLACE]


def test_a_size_of_exactly_the_limit_is_met(results):
    assert line(results, "size", 78_300).met is True


def test_what_was_not_measured_cannot_be_told_and_says_why(results):
    lines = [b for b in check_budget(results.variants, {"latency": 1.0, "size": 10**6}) if b.target == "raspberry-pi-4"]
    assert [(b.what, b.met) for b in lines] == [("latency", None), ("size", True)]
    assert "raspberry-pi-4 is aarch64" in lines[0].by


def test_places_with_the_teacher_alone_and_absent_limits_have_no_lines(results):
    lines = check_budget(results.variants, {"size": 1, "memory": None})
    assert {b.runtime for b in lines} == {"onnxruntime", "openvino"}
    assert {b.what for b in lines} == {"size"}


def test_an_unknown_limit_is_an_error(results):
    with pytest.raises(KeyError, match="lattency"):
        check_budget(results.variants, {"lattency": 1.0})
