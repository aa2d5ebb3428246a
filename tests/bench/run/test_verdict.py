from __future__ import annotations

import pytest

from compress.bench.figures import Accuracy, Interval, Latency, PairedDifference
from compress.bench.run.results import Memory, StageRecord, Variant
from compress.bench.run.verdict import judge, judge_students

FAST, SAME, SLOWER, SLIGHTLY_SLOWER = (2.0, 1.9, 2.1), (1.0, 0.99, 1.01), (0.8, 0.78, 0.82), (0.97, 0.95, 0.99)
UNSURE = (1.05, 0.95, 1.15)
KEPT, LOST, UNCLEAR, GAINED = (0.001, -0.002, 0.004), (0.03, 0.02, 0.04), (0.01, 0.005, 0.015), (-0.02, -0.03, -0.01)


def drop(values):
    return PairedDifference(*values, p_mcnemar=0.5, better=10, worse=20, n=1000)


def variant(stage, step, *, speed=None, lost=None, lost_teacher=None, size=1000, peak=100, precision="fp32", **other):
    ratio = Interval(*speed) if speed else None
    values = {"ratio_to_parent": ratio, "ratio_to_teacher": ratio} if step else {}
    return Variant(
        id=f"{stage}{step}",
        stage=stage,
        step=step,
        parent=other.pop("parent", None),
        target="here",
        runtime="onnxruntime",
        precision=precision,
        size=size,
        params=other.pop("params", 10),
        macs=10,
        latency=Latency(0.001, 0.001, 0.001, 0.001, 1000.0, 100, **values) if speed or not step else None,
        memory=Memory(10, 50, peak),
        accuracy=Accuracy(
            900,
            1000,
            0.9,
            Interval(0.9, 0.88, 0.92),
            drop(lost_teacher or lost) if lost_teacher or lost else None,
            drop(lost) if lost else None,
        ),
        **other,
    )


TEACHER = variant("teacher", 0)


def verdict(stage="prune", *, budget=None, features=(), **case):
    student = variant(stage, 1, parent="teacher0", **case)
    return judge([TEACHER, student], budget=budget, features={"here": features})[0]


@pytest.mark.parametrize(
    ("speed", "lost", "size", "expected"),
    [
        (FAST, KEPT, 1000, "paid"),
        (FAST, LOST, 500, "did not pay"),
        (FAST, UNCLEAR, 500, "cannot tell"),
        (SAME, KEPT, 1000, "did not pay"),
        (SAME, KEPT, 250, "paid"),
        (UNSURE, KEPT, 1000, "cannot tell"),
        (UNSURE, KEPT, 250, "cannot tell"),
        ((0.86, 0.49, 1.06), KEPT, 250, "cannot tell"),
        ((1.08, 0.28, 1.38), KEPT, 250, "cannot tell"),
        ((1.05, 0.99, 1.15), KEPT, 250, "paid"),
        (SLOWER, KEPT, 1000, "did not pay"),
        (SLOWER, KEPT, 250, "did not pay"),
        (SLIGHTLY_SLOWER, KEPT, 250, "cannot tell"),
        ((0.985, 0.982, 0.99), KEPT, 250, "paid"),
        (SAME, GAINED, 1000, "paid"),
        (UNSURE, GAINED, 1000, "cannot tell"),
        (SAME, (-0.001, -0.0015, -0.0005), 1000, "did not pay"),
        (SLOWER, GAINED, 1000, "did not pay"),
        ((1.015, 1.01, 1.018), KEPT, 1000, "did not pay"),
    ],
)
def test_verdict_follows_the_rules(speed, lost, size, expected):
    assert verdict(speed=speed, lost=lost, size=size).verdict == expected


def test_slower_but_smaller_pays_when_the_budget_limits_size():
    assert verdict(speed=SLOWER, lost=KEPT, size=250, budget={"size": 300}).verdict == "paid"
    assert verdict(speed=SLOWER, lost=KEPT, size=250, budget={"latency": 1, "size": None}).verdict == "did not pay"


@pytest.mark.parametrize("speed", [FAST, SAME, UNSURE, (0.86, 0.49, 1.06), SLIGHTLY_SLOWER, SLOWER])
def test_a_less_certain_speed_is_never_judged_better(speed):
    order = ["did not pay", "cannot tell", "paid"]
    wider = (speed[0], 0.9 * speed[1], speed[2])
    sure, unsure = (verdict(speed=s, lost=KEPT, size=250).verdict for s in (speed, wider))
    assert order.index(unsure) <= order.index(sure)


def test_a_slowdown_that_is_not_excluded_is_told():
    said = verdict(speed=(0.86, 0.49, 1.06), lost=KEPT, size=250)
    assert "too uncertain to call faster or to exclude that it is slower" in said.reason
    assert "it may be slower, and the budget asks for no gain in size" in said.reason
    assert verdict(speed=(0.86, 0.49, 1.06), lost=KEPT, size=250, budget={"size": 300}).verdict == "paid"


def test_less_memory_alone_pays():
    said = verdict(speed=SAME, lost=KEPT, peak=50)
    assert said.verdict == "paid"
    assert "kept for its memory" in said.reason


def test_margin_is_the_budgets_accuracy_drop_and_the_default_is_said():
    assert verdict(speed=FAST, lost=LOST, budget={"accuracy_drop": 0.05}).verdict == "paid"
    assert "within the margin of 1.00 points (the default)" in verdict(speed=FAST, lost=KEPT).reason
    assert "default" not in verdict(speed=FAST, lost=KEPT, budget={"accuracy_drop": 0.01}).reason


def test_int8_that_is_no_faster_is_explained_by_the_cpu_and_kept_for_its_size():
    case = {"stage": "quantize", "precision": "int8", "speed": SAME, "lost": KEPT, "size": 256}
    said = verdict(features=("avx2",), **case)
    assert said.verdict == "paid"
    for words in ("1.00x [0.99, 1.01] the speed of fp32 here", "this CPU has no VNNI", "3.91x smaller", "for its size"):
        assert words in said.reason
    assert "although this CPU has VNNI" in verdict(features=("avx2", "avx512_vnni"), **case).reason
    assert "no dot-product instructions" in verdict(features=("asimd",), **case).reason
    assert "although this CPU has dot-product" in verdict(features=("asimd", "dotprod"), **case).reason
    assert "CPU" not in verdict(features=(), **case).reason


@pytest.mark.parametrize(("speed", "said"), [(SLOWER, "slower"), (SLIGHTLY_SLOWER, "not faster"), (SAME, "not faster")])
@pytest.mark.parametrize("case", [{}, {"precision": "int8", "features": ("avx2",)}])
def test_what_is_surely_slower_is_called_slower(speed, said, case):
    parts = verdict(speed=speed, lost=KEPT, **case).reason.split("; ")
    assert parts[0].split(": ")[1].split(" (")[0] == said


def test_a_missing_instruction_is_no_proven_cause():
    said = verdict(precision="int8", speed=SLOWER, lost=KEPT, features=("avx2",)).reason
    assert "slower (this CPU has no VNNI, without which int8 saves few instructions)" in said


def test_more_accuracy_buys_speed_only_where_the_budgets_limit_was_in_question():
    def said(parent_lost, budget):
        prune = variant("prune", 1, parent="teacher0", speed=FAST, lost=parent_lost, params=5)
        wider = variant("distill", 2, parent="prune1", speed=SLOWER, lost=GAINED, lost_teacher=KEPT, params=8)
        return judge([TEACHER, prune, wider], budget=budget)[1]

    assert said(LOST, {"accuracy_drop": 0.01}).verdict == "paid"
    assert "kept for its accuracy, which the budget limits" in said(UNCLEAR, {"accuracy_drop": 0.01}).reason
    assert said(LOST, {}).verdict == "did not pay"
    assert said(KEPT, {"accuracy_drop": 0.01}).verdict == "did not pay"
    assert "the budget asks for no gain in accuracy" in said(KEPT, {"accuracy_drop": 0.01}).reason


def test_only_what_the_budget_limits_is_named_as_limited():
    said = verdict(speed=SLOWER, lost=GAINED, size=250, peak=50, budget={"size": 300})
    assert "kept for its size, which the budget limits" in said.reason
    both = verdict(speed=SLOWER, lost=GAINED, size=250, peak=50)
    assert "the budget asks for no gain in size, memory and accuracy" in both.reason


def test_pruning_that_a_later_distillation_repairs_pays_and_says_so():
    prune = variant("prune", 1, parent="teacher0", speed=FAST, lost=LOST, size=500)
    repaired = variant("distill", 2, parent="prune1", speed=SAME, lost=GAINED, lost_teacher=KEPT, size=500)
    alone, together = judge([TEACHER, prune])[0], judge([TEACHER, prune, repaired])[0]
    assert (alone.verdict, together.verdict) == ("did not pay", "paid")
    assert "distill then brings it back" in together.reason


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (GAINED, "paid"),
        (LOST, "did not pay"),
        ((0, -0.0005, 0.0005), "did not pay"),
        ((-0.001, -0.004, 0.002), "cannot tell"),
    ],
)
def test_distilling_the_same_network_is_judged_by_the_accuracy_it_regains(lost, expected):
    assert verdict("distill", speed=SAME, lost=lost).verdict == expected


def test_distilling_into_another_network_is_judged_like_any_compression():
    assert verdict("distill", speed=FAST, lost=KEPT, params=5).verdict == "paid"
    assert verdict("distill", speed=FAST, lost=KEPT, size=300).verdict == "paid"


def test_the_kind_of_a_stage_comes_from_its_record():
    student = variant("recover", 1, parent="teacher0", speed=SAME, lost=(-0.001, -0.0015, -0.0005))
    record = StageRecord("recover", "distill", "", 1.0, False)
    assert judge([TEACHER, student])[0].verdict == "did not pay"
    assert judge([TEACHER, student], stages=[record])[0].verdict == "paid"


def test_what_was_not_measured_is_never_judged():
    assert verdict(speed=FAST, lost=KEPT, not_measured="no board").reason == "no board"
    assert verdict(lost=KEPT).verdict == "not measured"
    assert verdict(speed=FAST).verdict == "not measured"
    assert judge([variant("prune", 1, speed=FAST, lost=KEPT)])[0].verdict == "not measured"


def test_the_teacher_gets_no_verdict():
    assert judge([TEACHER]) == []
    assert judge_students([TEACHER]) == []


def test_the_student_is_judged_against_the_teacher():
    prune = variant("prune", 1, parent="teacher0", speed=FAST, lost=LOST, size=500, params=5)
    repaired = variant("distill", 2, parent="prune1", speed=FAST, lost=GAINED, lost_teacher=KEPT, params=5)
    (said,) = judge_students([TEACHER, prune, repaired])
    assert (said.stage, said.verdict) == ("student", "paid")
    assert "the speed of the teacher" in said.reason


def test_the_student_that_pays_names_the_limits_it_misses():
    student = variant("quantize", 1, parent="teacher0", precision="int8", speed=SLOWER, lost=KEPT, size=250)
    budget = {"size": 200, "latency": 0.0001, "memory": 1000, "speedup": None, "accuracy_drop": 0.01}
    (said,) = judge_students([TEACHER, student], budget=budget)
    assert said.verdict == "paid"
    assert said.reason.endswith("; misses the budget's size and latency")
    (kept,) = judge_students([TEACHER, student], budget={"size": 300})
    assert "misses" not in kept.reason
