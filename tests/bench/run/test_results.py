from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.bench.run.results import (
    BudgetLine,
    Results,
    ResultsError,
    StageRecord,
    Variant,
    Verdict,
    from_json,
    to_json,
)

TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))
FACTS = st.dictionaries(TEXT, JSON, max_size=3)
ANY_RESULTS = st.builds(
    Results,
    **dict.fromkeys(("recipe", "environment", "conditions", "data", "method"), FACTS),
    stages=st.lists(st.builds(StageRecord, settings=FACTS, story=st.lists(TEXT, max_size=2)), max_size=2),
    variants=st.lists(st.from_type(Variant), max_size=2),
    verdicts=st.lists(st.from_type(Verdict), max_size=2),
    budget=st.lists(st.from_type(BudgetLine), max_size=2),
)


def test_realistic_results_survive_the_round_trip(results):
    assert from_json(to_json(results)) == results


@pytest.mark.parametrize("schema", ["compress.results/2", None, 1])
def test_another_schema_version_is_refused_by_name(results, schema):
    plain = json.loads(to_json(results)) | {"schema": schema}
    with pytest.raises(ResultsError, match=r"compress\.results/1"):
        from_json(json.dumps(plain))


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float64("nan")])
def test_a_number_that_is_none_is_never_written_and_its_place_is_named(results, value):
    variant = replace(results.variants[0], latency=replace(results.variants[0].latency, p50=value))
    with pytest.raises(ResultsError, match=r"results\.variants\[0\]\.latency\.p50"):
        to_json(replace(results, variants=[variant]))


def test_nan_in_free_dictionaries_is_found_too(results):
    with pytest.raises(ResultsError, match=r"conditions\.sensor\[1\]"):
        to_json(replace(results, conditions={"sensor": [1.0, math.nan]}))


def test_nan_is_not_read_either(results):
    text = to_json(results).replace('"p50": ', '"p50": NaN, "old": ', 1)
    with pytest.raises(ResultsError, match="malformed"):
        from_json(text)


def test_numpy_scalars_are_written_as_numbers(results):
    text = to_json(replace(results, data={"test": np.int64(10), "mean": np.float32(0.5), "shape": np.array([1, 2])}))
    assert from_json(text).data == {"test": 10, "mean": 0.5, "shape": [1, 2]}


def test_objects_that_json_cannot_hold_are_refused(results):
    with pytest.raises(ResultsError, match=r"results\.data\.path is a object"):
        to_json(replace(results, data={"path": object()}))


def test_an_unknown_field_is_refused_with_its_place(results):
    plain = json.loads(to_json(results))
    plain["variants"][0]["latencies"] = 3
    with pytest.raises(ResultsError, match=r"variants\.0\.latencies"):
        from_json(json.dumps(plain))


@pytest.mark.parametrize("text", ["", "[]", "{", "nonsense"])
def test_something_else_than_a_results_file_is_refused(text):
    with pytest.raises(ResultsError, match="results"):
        from_json(text)


@given(ANY_RESULTS)
@settings(max_examples=40, deadline=None)
def test_any_results_survive_the_round_trip(any_results):
    assert from_json(to_json(any_results)) == any_results
