from __future__ import annotations

import re
from dataclasses import replace

import pytest
from html_page import Page

from compress.bench import words
from compress.bench.figures import Interval
from compress.bench.run import report
from compress.bench.run.verdict import judge_students


@pytest.fixture(scope="module")
def html(results):
    return report.render(results)


def test_the_page_is_well_formed_and_self_contained(html):
    page = Page(html)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert not page.tags & {"link", "img", "iframe", "object"}
    assert "@import" not in html
    assert "url(http" not in html
    assert len(page.ids) == len(set(page.ids))


def test_the_answer_comes_first_and_says_what_was_not_measured(results, html):
    text = " ".join("".join(Page(html).text).split())
    answer, numbers = report.headline(results)
    assert answer == "It paid on both runtimes measured."
    assert "4.84x the teacher's speed" in numbers
    assert "Not measured: 1 of 3." in numbers
    assert "1 not met" in numbers
    assert text.index(answer) < text.index("Every step, measured")


def test_every_verdict_budget_line_and_story_is_told(results, html):
    text = " ".join("".join(Page(html).text).split())
    for verdict in results.verdicts:
        assert verdict.reason in text
    for line in results.budget:
        assert line.by in text
    for stage in results.stages:
        for story in stage.story:
            assert story in text


def _student_with(results, *, ratio, drop):
    """The results with the only student's speed and accuracy drop against the teacher replaced."""
    judged = next(v for v in results.verdicts if v.stage == "student" and v.verdict == "paid")
    student = next(v for v in results.variants if v.id == judged.variant)
    drop = replace(student.accuracy.drop_vs_teacher, value=drop[0], low=drop[1], high=drop[2])
    changed = replace(
        student,
        latency=replace(student.latency, ratio_to_teacher=Interval(*ratio)),
        accuracy=replace(student.accuracy, drop_vs_teacher=drop),
    )
    variants = [changed if v is student else v for v in results.variants]
    return replace(results, variants=variants, verdicts=[judged])


def test_the_headline_claims_only_what_the_intervals_support(results):
    unsure = _student_with(results, ratio=(1.05, 0.37, 1.15), drop=(-0.001, -0.0064, 0.0038))
    _, numbers = report.headline(unsure)
    assert "no difference in speed shown (1.05x [0.37, 1.15])" in numbers
    assert "no difference in accuracy shown (+0.10 [\N{MINUS SIGN}0.38, +0.64])" in numbers
    assert "speed [0.37, 1.15]" in " ".join("".join(Page(report.render(unsure)).text).split())
    _, numbers = report.headline(_student_with(results, ratio=(1.05, 1.03, 1.08), drop=(-0.002, -0.003, -0.001)))
    assert "1.05x the teacher's speed" in numbers
    assert "+0.20 points of accuracy" in numbers
    assert "no difference" not in numbers


def test_a_failure_is_called_a_failure(results):
    lost = [v for v in results.variants if v.runtime == "onnxruntime" and v.target == "this-machine" and v.step < 2]
    answer, _ = report.headline(replace(results, variants=lost, verdicts=judge_students(lost), budget=[]))
    assert answer == "It did not pay."


def test_nothing_measured_gives_no_answer(results):
    unmeasured = [v for v in results.variants if v.target == "raspberry-pi-4"]
    answer, _ = report.headline(replace(results, variants=unmeasured))
    assert answer.startswith("Nothing was measured")


def test_everything_written_by_others_is_escaped(results):
    evil = "<script>alert(1)</script>"
    hostile = replace(
        results,
        name=evil,
        created=evil,
        recipe={evil: evil},
        environment={evil: [evil]},
        conditions={evil: {"before": {evil: evil}, "after": {evil: 1}, evil: evil}},
        data={evil: {evil: evil}},
        method={evil: evil, "latency": {evil: {evil: evil}}},
        stages=[replace(s, label=evil, key=evil, settings={evil: evil}, story=[evil]) for s in results.stages],
        variants=[
            replace(
                v, stage=evil, target=evil, runtime=evil, agreement={evil: 1.0}, not_measured=v.not_measured and evil
            )
            for v in results.variants
        ],
        verdicts=[
            replace(v, stage=v.stage if v.stage == "student" else evil, target=evil, runtime=evil, reason=evil)
            for v in results.verdicts
        ],
        budget=[replace(b, what=evil, target=evil, runtime=evil, by=evil) for b in results.budget],
    )
    html = report.render(hostile)
    assert html.count("<script") == 1
    assert evil in "".join(Page(html).text)


def test_colours_follow_the_readers_preference(html):
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html))
    light, dark = html.split("prefers-color-scheme: dark", 1)
    for name in used:
        assert f"{name}:" in light
        assert f"{name}:" in dark.split("</style>")[0]


def test_the_verdicts_are_those_of_the_results(results):
    said = [replace(v, verdict="cannot tell", reason="as the file says") for v in results.verdicts]
    changed = replace(results, verdicts=said)
    assert report.headline(changed)[0] == "It cannot be told whether it paid."
    assert {answer.verdict.reason for answer in report.answers(changed)} == {"as the file says"}


def test_largest_differences_are_no_shares(results):
    agreement = {"float": 0.9987, "float_max_abs_diff": 0.18, "max_abs_diff": 4.1e-6}
    variants = [replace(v, agreement=agreement) for v in results.variants]
    text = "".join(Page(report.render(replace(results, variants=variants))).text)
    for piece in ("float 99.87 %", "float max abs diff 0.18", "max abs diff 4.1e-06"):
        assert piece in text


def test_conditions_and_methods_are_told_by_measurement(results, html):
    text = " ".join(" ".join(Page(html).text).split())
    for label, found in results.conditions.items():
        assert f"{label} taken {found['taken']} governor performance" in text
    assert "load average 0.4, 0.3, 0.2 before, 0.9, 0.3, 0.2 after" in text
    # One and the same method is told once.
    assert f"{', '.join(results.method['latency'])} protocol interleaved" in text
    assert text.count("interleaved blocks, random order") == 1


@pytest.mark.parametrize("flat", [{}, {"governor": None, "load": 0.4}])
def test_flat_conditions_and_methods_are_shown_too(results, flat):
    assert Page(report.render(replace(results, conditions=flat, method=flat and {"latency": flat}))).open == []


def test_wall_times_are_told_as_the_progress_tells_them(html):
    assert "13 min 21 s" in html
    assert "3 min 32 s" in html


def test_a_run_without_students_still_has_a_report(results):
    alone = replace(results, variants=results.variants[:1], verdicts=[], budget=[], stages=[])
    assert Page(report.render(alone)).open == []


def test_cost_in_detail_gives_quantiles_and_throughput_of_every_measured_row(results):
    page = report.render(results)
    table = page[page.index("Cost in detail") : page.index("Accuracy in detail")]
    for variant in results.variants:
        if variant.latency:
            assert f'data-label="p99">{words.seconds(variant.latency.p99)}</td>' in table
            assert f"{variant.latency.throughput:,.0f}" in table


def test_stages_without_a_story_are_still_all_named(results):
    page = report.render(results)
    assert all(stage.label in page for stage in results.stages)


def test_it_tells_which_layers_are_not_int8_and_why(html):
    text = " ".join("".join(Page(html).text).split())
    assert "12 of 13" in text
    assert "head: its weight is float" in text
    assert "int8 68.0 kB, float32 5.12 kB" in text
