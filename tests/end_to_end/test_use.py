"""As a person would use it: budgets, other teachers, an interrupt, a recipe that cannot work."""

from __future__ import annotations

import signal

import pytest
from click.testing import CliRunner
from small_recipe import kill_at

import compress
from compress.cli import main
from compress.errors import CompressError, RecipeError

pytestmark = pytest.mark.integration


def invoke(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="compress", catch_exceptions=False)


def test_a_missed_budget_exits_with_3_and_says_by_how_much(finished, project, store, tmp_path):
    common = ["run", project / "small.yaml", "--store", store, "--out", tmp_path, "--threads", 1, "--quiet"]
    missed = invoke(*common, "--set", "budget.size=1 kB")
    assert missed.exit_code == 3
    assert "not met" in missed.stdout and "over the limit of 1" in " ".join(missed.stdout.split())
    assert invoke(*common, "--set", "budget={size: 10 MB}").exit_code == 0


def test_an_onnx_teacher_is_quantized_and_measured(finished, project, store, tmp_path):
    teacher = "teacher={onnx: out/models/this-machine/onnxruntime/teacher.onnx}"
    settings = [teacher, "stages=[quantize: {samples: 64}]", "targets=[this-machine]"]
    result = compress.run(project / "small.yaml", overrides=settings, store=store, out=tmp_path, threads=1)
    found = {row.id: row for row in result.results.variants}
    known = {row.id: row for row in finished.results.variants}
    place = "this-machine/onnxruntime"
    assert found[f"teacher/{place}"].accuracy.correct == known[f"teacher/{place}"].accuracy.correct
    assert found[f"quantize/{place}"].size < 0.5 * found[f"teacher/{place}"].size
    assert "teacher/this-machine/pytorch" not in found


def test_an_onnx_teacher_cannot_be_pruned_and_the_message_says_what_can(project):
    teacher = "teacher={onnx: data.npz}"
    with pytest.raises(RecipeError, match=r"small\.yaml:9: stages\[0\]\.prune: an ONNX teacher can only be quantized"):
        compress.load_recipe(project / "small.yaml", [teacher])


def test_a_student_of_another_architecture_learns_from_the_teacher(finished, project, store, tmp_path):
    distill = "distill: {architecture: dscnn, arguments: {widths: [8], strides: [2]}, training: {epochs: 1, batch: 32}}"
    settings = [f"stages=[{distill}]", "targets=[{name: this-machine, runtimes: [onnxruntime]}]"]
    result = compress.run(project / "small.yaml", overrides=settings, store=store, out=tmp_path, threads=1)
    student = next(row for row in result.results.variants if row.stage == "distill")
    teacher = next(row for row in result.results.variants if row.id == "teacher/this-machine/onnxruntime")
    assert student.params != teacher.params and student.accuracy.n == 256


def test_an_interrupt_says_that_the_next_run_goes_on(start, tmp_path):
    with start(tmp_path / "store", tmp_path / "out") as process:
        kill_at(process, "export", signal.SIGINT)
        assert process.returncode == 130
        assert "the next run goes on" in process.stderr.read()
    assert not (tmp_path / "out").exists()


def test_a_network_that_does_not_fit_the_data_fails_before_any_work(project, store, tmp_path):
    settings = ["teacher.arguments={widths: [8, 16], classes: 3}"]
    with pytest.raises(CompressError, match=r"must give \(1, 4\) logits"):
        compress.run(project / "small.yaml", overrides=settings, store=store, out=tmp_path / "out", threads=1)
    assert not (tmp_path / "out").exists()
