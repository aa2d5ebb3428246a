"""AOTInductor packages in a recipe: compiled and measured here, or told why not."""

from __future__ import annotations

import pytest

import compress
from compress.bench.run import report
from compress.bench.run.results import from_json
from compress.errors import ExportError
from compress.models.package import read
from edge_runtime import open_session
from edge_runtime.machine import detect

pytestmark = pytest.mark.integration
FLOAT = ["stages=[]", "targets=[{name: this-machine, runtimes: [onnxruntime, aotinductor]}]"]


@pytest.mark.slow
def test_a_package_is_compiled_judged_and_measured_beside_onnx_runtime(project, store, tmp_path, small_data):
    settings = [*FLOAT, "stages=[quantize: {to: bf16}]"]
    result = compress.run(project / "small.yaml", overrides=settings, store=store, out=tmp_path, threads=1)
    rows = {row.id.replace("/this-machine", ""): row for row in result.results.variants}
    known, found, half = (rows[name] for name in ("teacher/onnxruntime", "teacher/aotinductor", "quantize/aotinductor"))
    assert found.accuracy.correct == known.accuracy.correct
    assert found.agreement["torch"] == 1 and found.agreement["max_abs_diff"] < 1e-3
    assert half.precision == "bf16" and half.agreement["float"] > 0.9 and half.agreement["float_max_abs_diff"] > 0
    for row in (found, half):
        assert row.latency.p50 > 0 and row.latency.ratio_to_torch and row.memory.peak > row.memory.loaded > 0
        file = result.out / row.file
        assert file.suffix == ".pt2" and file.stat().st_size == row.size
        assert read(file).device == "cpu"
        with open_session(file) as session:
            answers = session.predict(small_data.test.inputs).argmax(1)
        assert (answers == small_data.test.labels).sum() == row.accuracy.correct
    for name in ("table.md", "report.html"):
        assert "aotinductor" in (result.out / name).read_text()
    labels = []
    compress.run(
        project / "small.yaml",
        overrides=settings,
        store=store,
        out=tmp_path,
        threads=1,
        emit=lambda event: labels.append((event.kind, event.stage)),
    )
    assert ("cached", "teacher/aotinductor") in labels and "done" not in {kind for kind, _ in labels}


@pytest.mark.skipif(bool(detect().gpu), reason="there is a GPU here")
def test_without_a_gpu_its_rows_say_so_and_the_rest_goes_on(project, store, tmp_path):
    gpu = "targets=[{name: nvidia-gpu, runtimes: [aotinductor, onnxruntime-cuda, tensorrt]}]"
    settings = ["stages=[quantize: {to: fp16}]", gpu]
    result = compress.run(project / "small.yaml", overrides=settings, store=store, out=tmp_path, threads=1)
    rows = {(row.stage, row.runtime): row for row in result.results.variants}
    for stage in ("teacher", "quantize"):
        package = rows[stage, "aotinductor"]
        assert package.file is package.size is package.latency is package.accuracy is None
        assert "no NVIDIA GPU" in package.not_measured and "compiled where it runs" in package.not_measured
        for runtime in ("onnxruntime-cuda", "tensorrt"):
            other = rows[stage, runtime]
            assert (result.out / other.file).stat().st_size == other.size
            assert "no NVIDIA GPU" in other.not_measured and other.latency is None
    assert rows["quantize", "tensorrt"].size < 0.7 * rows["teacher", "tensorrt"].size
    assert {verdict.verdict for verdict in result.results.verdicts} == {"not measured"}
    again = from_json((result.out / "results.json").read_text())
    assert "compiled where it runs" in report.render(again)
    assert "not measured" in (result.out / "table.md").read_text()


def test_without_a_compiler_the_recipes_line_and_the_remedy_are_named(project, tmp_path, monkeypatch):
    monkeypatch.setattr("compress.targets.aotinductor.shutil.which", lambda name: None)
    with pytest.raises(ExportError) as caught:
        compress.run(project / "small.yaml", overrides=FLOAT, store=tmp_path / "store", out=tmp_path, threads=1)
    assert str(caught.value).startswith("teacher, written for aotinductor: ")
    assert "no compiler here: apt-get install g++" in str(caught.value)
    assert not (tmp_path / "results.json").exists()
