from __future__ import annotations

from dataclasses import replace

from compress.bench.run.recommend import students
from compress.bench.run.results import Promise, places
from compress.bench.run.verdict import judge, judge_students

PLACE = ("this-machine", "onnxruntime")


def here(results):
    return [v for v in results.variants if places(v) == PLACE]


def chosen(variants, budget):
    (student,) = students(variants, budget)
    return student.stage


def change(variants, stage, **fields):
    return [replace(v, **fields) if v.stage == stage else v for v in variants]


def slower(variants, stage, factor):
    latency = next(v.latency for v in variants if v.stage == stage)
    return change(variants, stage, latency=replace(latency, p50=latency.p50 * factor))


def test_every_place_with_more_than_a_teacher_has_one_student(results):
    assert [places(v) for v in students(results.variants, {})] == [
        ("this-machine", "onnxruntime"),
        ("this-machine", "openvino"),
        ("raspberry-pi-4", "onnxruntime"),
    ]
    assert students([v for v in results.variants if v.step == 0], {}) == []


def test_int8_that_is_slower_than_its_float_parent_is_not_taken(results):
    assert chosen(slower(here(results), "quantize", 1.2), {}) == "distill"


def test_unless_the_budget_asks_for_its_size(results):
    assert chosen(slower(here(results), "quantize", 1.2), {"size": 80_000}) == "quantize"


def test_of_two_equally_fast_models_the_smaller_is_taken(results):
    assert chosen(slower(here(results), "quantize", 0.96), {}) == "quantize"


def test_a_fast_model_that_lost_its_accuracy_is_not_taken(results):
    variants = slower(here(results), "quantize", 0.3)
    ruined = next(v.accuracy for v in variants if v.stage == "quantize")
    drop = replace(ruined.drop_vs_teacher, value=0.2, low=0.19, high=0.21)
    variants = change(variants, "quantize", accuracy=replace(ruined, drop_vs_teacher=drop))
    assert chosen(variants, {}) == "distill"


def test_alternatives_compete_and_the_verdict_names_what_was_taken(results):
    variants = slower(here(results), "quantize", 0.5)
    first = next(v for v in variants if v.stage == "quantize")
    other = replace(slower([first], "quantize", 3.0)[0], id="other", stage="quantize-2", step=4, precision="fp16")
    assert chosen([*variants, other], {}) == "quantize"
    (verdict,) = judge_students([*variants, other])
    assert "taken is quantize int8" in verdict.reason


def test_a_quantization_that_misses_its_own_max_drop_is_not_taken_and_did_not_pay(results):
    variants = slower(here(results), "quantize", 0.3)
    variants = change(variants, "quantize", max_drop=Promise(limit=0.001, high=0.004, met=False))
    assert chosen(variants, {}) == "distill"
    verdict = next(v for v in judge(variants) if v.stage == "quantize")
    assert verdict.verdict == "did not pay"
    assert "misses its max_drop: up to 0.40 points may be lost" in verdict.reason


def test_where_nothing_is_measured_the_quantized_model_is_the_student(results):
    assert [v.stage for v in students([v for v in results.variants if v.not_measured], {})] == ["quantize"]
