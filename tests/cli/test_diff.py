"""`compress diff` as a gate: exit codes, options, and runs that are none."""

from __future__ import annotations

import json
from dataclasses import replace

import benchmark_example
import example
import pytest
from run_pairs import change, complete, slower, wrong

from compress.bench.benchmark import results as benchmark_results
from compress.bench.benchmark.analyse import analyse
from compress.bench.run.results import to_json


@pytest.fixture(scope="module")
def old():
    return complete(example.build())


@pytest.fixture
def saved(tmp_path):
    def save(name, run):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(to_json(run), encoding="utf-8")
        return tmp_path / name

    return save


def test_equal_runs_pass(call, saved, old):
    run = saved("old", old)
    result = call("diff", run, run / "results.json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Nothing is worse")


def test_a_worse_run_fails_with_a_code_of_its_own(call, saved, old):
    result = call("diff", saved("old", old), saved("new", change(old, slower(1.2))))
    assert result.exit_code == 4
    assert "time +20.0 %" in result.stdout


def test_a_better_run_passes(call, saved, old):
    assert call("diff", saved("old", old), saved("new", change(old, slower(0.8)))).exit_code == 0


def test_the_tolerance_decides(call, saved, old):
    runs = saved("old", old), saved("new", change(change(old, slower(1.2)), wrong(100)))
    for options, code in (
        (["--tolerance", "latency=30%,accuracy=2%"], 0),
        (["--tolerance", "latency=30%", "--tolerance", "accuracy=0.02"], 0),
        (["--tolerance", "latency=30%"], 4),
        (["--tolerance", "accuracy=2%"], 4),
        (["--tolerance", "accuracy=2%", "--run-to-run", "20%"], 0),
        (["--only", "*/openvino"], 0),
        (["--only", "*/openvino", "--only", "quantize/*"], 4),
    ):
        assert call("diff", *runs, *options).exit_code == code, options


def test_strict_fails_where_something_is_not_compared_any_more(call, saved, old):
    runs = saved("old", old), saved("new", replace(old, variants=old.variants[:-1]))
    assert call("diff", *runs).exit_code == 0
    assert call("diff", *runs, "--strict").exit_code == 4
    assert call("diff", *runs[::-1], "--strict").exit_code == 0


def test_json_is_one_document_and_the_code_is_the_same(call, saved, old):
    result = call("diff", saved("old", old), saved("new", change(old, slower(1.2))), "--json")
    plain = json.loads(result.stdout)
    worse = [(p["stage"], c["figure"]) for p in plain["pairs"] for c in p["changes"] if c["word"] == "worse"]
    assert (result.exit_code, plain["worse"]) == (4, True)
    assert worse == [("quantize", "speed"), ("quantize", "median")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("latency", "write for example latency=3%"),
        ("latncy=3%", "did you mean 'latency'?"),
        ("latency=3ms", "unknown unit 'ms'"),
        ("latency=-1%", "between 0% and 100%"),
        ("latency=nan", "expected a number"),
    ],
)
def test_a_tolerance_that_is_none_is_a_usage_error(call, saved, old, text, said):
    run = saved("old", old)
    result = call("diff", run, run, "--tolerance", text)
    assert (result.exit_code, said in result.stderr, result.stdout) == (2, True, "")


def test_a_variation_that_is_none_is_a_usage_error(call, saved, old):
    run = saved("old", old)
    result = call("diff", run, run, "--run-to-run", "much")
    assert (result.exit_code, "'much': expected a number" in result.stderr) == (2, True)


def test_what_is_no_run_is_told_in_one_line(call, saved, old, tmp_path):
    run = saved("old", old)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "newer.json").write_text(to_json(old).replace("compress.results/1", "compress.results/7"))
    (tmp_path / "odd.json").write_text(to_json(old).replace('"size": 1180000', '"size": 0', 1))
    contradiction = change(old, lambda v: replace(v, right="AAAA"))
    for given, said in (
        (saved("forged", contradiction), "`right` tells of 0 right answers in 3 bytes"),
        (tmp_path / "nowhere", "does not exist; give the folder of a finished run, or its results.json"),
        (tmp_path / "empty", "it has no results.json; give the folder of a finished run"),
        (tmp_path, "which of its runs? forged, old"),
        (tmp_path / "notes.txt", "this is no results file: not JSON at line 1"),
        (tmp_path / "bytes", "it is not text"),
        (tmp_path / "newer.json", "schema is 'compress.results/7', and this program reads 'compress.results/1'"),
        (tmp_path / "odd.json", "has figures that cannot be"),
    ):
        for runs in ((run, given), (given, run)):
            result = call("diff", *runs, "--json")
            assert (result.exit_code, result.stdout) == (2, "")
            assert result.stderr.startswith(f"error: {given}") and said in result.stderr
            assert result.stderr.count("\n") == 1


def test_runs_without_a_common_variant_are_refused_with_what_they_have(call, saved, old):
    run = saved("old", old)
    result = call("diff", run, run, "--only", "quantise/*")
    assert result.exit_code == 2
    assert "--only quantise/*" in result.stderr and "teacher/this-machine/pytorch" in result.stderr


def test_two_runs_are_needed(call, tmp_path):
    assert call("diff", tmp_path).exit_code == 2


END = {"event": "end", "at": 300.0, "complete": True, "why": "all is measured"}


@pytest.fixture
def benchmarks(tmp_path):
    """Folders of two benchmarks, the second of which has a slower model."""
    plan = benchmark_example.plan(scenarios=("single-stream",), threads=(1,), batches=(1,))
    for name, factor in (("b1", 1.0), ("b2", 1.3)):
        speed = benchmark_example.SPEED | {"int8": factor * benchmark_example.SPEED["int8"]}
        rounds = benchmark_example.cell_rounds(plan.cells[0], speed=speed)
        events = [benchmark_example.begin(plan), *benchmark_example.models(), *rounds]
        events += [benchmark_example.cell_end(plan.cells[0]), END]
        (tmp_path / name).mkdir()
        text = benchmark_results.to_json(analyse(events, target="pi"))
        (tmp_path / name / "benchmark.json").write_text(text, encoding="utf-8")
    return tmp_path / "b1", tmp_path / "b2"


def test_two_benchmarks_are_a_gate_with_the_same_codes(call, benchmarks):
    one, two = benchmarks
    same, worse = call("diff", one, one / "benchmark.json"), call("diff", one, two)
    assert (same.exit_code, worse.exit_code, call("diff", two, one).exit_code) == (0, 4, 0)
    assert "pi, single-stream, 1 thread, batch 1" in worse.stdout and "int8" in worse.stdout
    plain = json.loads(call("diff", one, two, "--json").stdout)
    assert (plain["schema"], plain["worse"]) == ("compress.benchmark-diff/1", True)
    assert call("diff", one, two, "--only", "pruned/*").exit_code == 0
    assert call("diff", one, two, "--tolerance", "latency=40%").exit_code == 0


def test_a_run_and_a_benchmark_are_not_compared(call, benchmarks, saved, old):
    result = call("diff", benchmarks[0], saved("old", old))
    assert result.exit_code == 2
    assert "is a benchmark and" in result.stderr and "two of one kind" in result.stderr


def test_what_is_no_benchmark_is_told_in_one_line(call, benchmarks, tmp_path):
    one, _ = benchmarks
    text = (one / "benchmark.json").read_text()
    (tmp_path / "many/pi").mkdir(parents=True)
    (tmp_path / "many/pi/benchmark.json").write_text(text)
    (tmp_path / "newer.json").write_text(text.replace("compress.benchmark/1", "compress.benchmark/7"))
    for given, said in (
        (tmp_path / "many", "which of its targets? pi"),
        (tmp_path / "newer.json", "schema is 'compress.benchmark/7'"),
    ):
        result = call("diff", one, given)
        assert (result.exit_code, result.stdout) == (2, "")
        assert said in result.stderr and result.stderr.count("\n") == 1


def test_a_damaged_benchmark_is_called_so_and_not_a_run(call, benchmarks, tmp_path):
    one, _ = benchmarks
    text = (one / "benchmark.json").read_text()
    (tmp_path / "cut.json").write_text(text[: len(text) // 2])
    (tmp_path / "listed.json").write_text("[]")
    zero = json.loads(text)
    zero["cells"][0]["timings"][0]["p99"]["low"] = 0.0
    (tmp_path / "zero.json").write_text(json.dumps(zero))
    for name, said in (
        ("cut.json", "not JSON at line"),
        ("listed.json", "schema"),
        ("zero.json", "has figures that cannot be"),
        ("gone.json", "does not exist"),
    ):
        for pair in ((one, tmp_path / name), (tmp_path / name, one)):
            result = call("diff", *pair)
            assert (result.exit_code, result.stdout) == (2, ""), name
            assert said in result.stderr and f"{name} is a run" not in result.stderr and name in result.stderr


def changed(place, folder, change):
    plain = json.loads((place / "benchmark.json").read_text())
    change(plain)
    folder.mkdir()
    (folder / "benchmark.json").write_text(json.dumps(plain))
    return folder


def test_a_partial_newer_benchmark_is_told_and_strict_fails(call, benchmarks, tmp_path):
    one, _ = benchmarks
    cut = changed(one, tmp_path / "cut", lambda plain: plain.update(complete=False, why="it was interrupted"))
    result = call("diff", one, cut)
    assert result.exit_code == 0 and "the newer benchmark is partial" in " ".join(result.stdout.split())
    assert call("diff", one, cut, "--strict").exit_code == 4
    assert call("diff", one, one, "--strict").exit_code == 0


def test_times_that_the_noise_of_others_forbids_are_told_and_strict_fails(call, benchmarks, tmp_path):
    one, _ = benchmarks

    def disturb(plain):
        plain["cells"][0]["conditions"]["before"]["others"] = 0.45
        for timing in plain["cells"][0]["timings"]:
            timing["mean"] *= 1.001

    noisy = changed(one, tmp_path / "noisy", disturb)
    result = call("diff", one, noisy)
    assert result.exit_code == 0
    assert "other programs used up to 45% of the processor" in " ".join(result.stdout.split("older:")[0].split())
    assert call("diff", one, noisy, "--strict").exit_code == 4


def test_when_every_model_is_refused_the_gate_fails(call, benchmarks, tmp_path):
    one, _ = benchmarks

    def refuse(plain):
        names = [model["name"] for model in plain["models"]]
        plain.update(cells=[], cold=[], memory=[], energy=[])
        plain["models"] = [{"name": name, "path": f"{name}.onnx"} for name in names]
        plain["refused"] = [{"model": name, "what": "open", "code": "failed", "reason": "broken"} for name in names]

    result = call("diff", one, changed(one, tmp_path / "refused", refuse))
    assert result.exit_code == 4 and "gone (worse): fp32, int8, pruned" in result.stdout
