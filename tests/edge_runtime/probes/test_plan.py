"""Plans: what comes back, which cells they have, and what is refused by name."""

from __future__ import annotations

import json

import pytest

from edge_runtime.errors import ProbeError
from edge_runtime.probes.plan import SCENARIOS, SCHEMA, Plan, PlanModel, parse, to_json

MODEL = PlanModel("one", "one.onnx")


def text(**values: object) -> str:
    return json.dumps({"schema": SCHEMA, "models": [{"name": "one", "path": "one.onnx"}]} | values)


def test_a_plan_comes_back_from_its_json():
    models = (MODEL, PlanModel("two", "sub/two.xml", "openvino", "rows.npz", ("/code",), ("two.bin", "w/0")))
    plan = Plan(models, SCENARIOS, (1, 4), (1, 8), 5.5, 0.0, 4, {"sequence": 12}, 0, False, True, sustain=90.0, seed=7)
    assert parse(to_json(plan)) == plan


def test_what_a_plan_does_not_name_has_its_default():
    assert parse(text()) == Plan((MODEL,))


def test_cells_sweep_threads_and_the_batches_of_the_scenarios_that_have_batches():
    plan = Plan((MODEL,), scenarios=SCENARIOS, threads=(1, 2), batches=(1, 4), query=6)
    assert [cell.name for cell in plan.cells] == [
        "single-stream/t1/b1", "single-stream/t2/b1", "multi-stream/t1/b6", "multi-stream/t2/b6",
        "offline/t1/b1", "offline/t1/b4", "offline/t2/b1", "offline/t2/b4",
        "batch/t1/b1", "batch/t1/b4", "batch/t2/b1", "batch/t2/b4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"secnds": 3}, "key 'secnds' of the plan is not known; did you mean 'seconds'"),
        ({"schema": "edge-runtime.bench/2"}, r"has schema 'edge-runtime\.bench/2'.*one version on both machines"),
        ({"models": []}, "key 'models' of the plan must be 1 to 256 models"),
        ({"models": {"name": "one"}}, "key 'models' of the plan must be a list"),
        ({"models": ["one.onnx"]}, "key 'models' of the plan must hold objects"),
        ({"models": [{"path": "one.onnx"}]}, "key 'name' of a model of the plan is missing"),
        ({"models": [{"name": "one", "path": "/etc/passwd"}]}, "key 'path' .* a path in the plan's folder"),
        ({"models": [{"name": "one", "path": "../one.onnx"}]}, "key 'path' .* a path in the plan's folder"),
        ({"models": [{"name": "one", "path": "a"}, {"name": "one", "path": "b"}]}, "models with different names"),
        ({"models": [{"name": "\x1b[2J", "path": "a"}]}, "key 'name' .* printable"),
        ({"models": [{"name": "one", "path": "a", "beside": ["../w"]}]}, "key 'beside' .* below the model's folder"),
        ({"models": [{"name": "one", "path": "a", "beside": "w"}]}, "key 'beside' .*, or null"),
        ({"scenarios": ["server"]}, "key 'scenarios' .* single-stream, multi-stream, offline, batch"),
        ({"threads": 2}, "key 'threads' of the plan must be a list"),
        ({"threads": [0]}, "key 'threads' .* from 1 to 1024"),
        ({"threads": [True]}, "key 'threads'"),
        ({"batches": [1, 1]}, "key 'batches' .* different"),
        ({"seconds": "20"}, "key 'seconds' of the plan must be a number"),
        ({"precision": -0.1}, "key 'precision'"),
        ({"axes": {"sequence": 0}}, "key 'axes' .* sizes from 1"),
        ({"memory": 1}, "key 'memory' of the plan must be true or false"),
        ({"sustain": 0}, "key 'sustain' .* or null"),
        ({"seed": -1}, "key 'seed'"),
    ],
)
def test_what_is_wrong_is_refused_by_its_key(values: dict, words: str):
    with pytest.raises(ProbeError, match=words):
        parse(text(**values))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "is no JSON object"),
        ('{"a": NaN}', "has NaN"),
        ('{"seed": 1, "seed": 2}', "one key twice"),
        ("[" * 100_000, "is not JSON"),
        (" " * (1024**2 + 1), "characters"),
    ],
    ids=["cut", "list", "nan", "twice", "deep", "long"],
)
def test_what_is_no_plan_at_all_is_refused(wrong: str, words: str):
    with pytest.raises(ProbeError, match=words):
        parse(wrong)


def test_a_plan_that_is_built_is_checked_as_one_that_is_read():
    with pytest.raises(ProbeError, match="key 'threads'"):
        Plan((MODEL,), threads=(0,))
