"""`compress sensitivity` of a finished run, and of one that was never made."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from compress.cli.sensitivity import sensitivity
from compress.errors import RecipeError, StoreError

pytestmark = pytest.mark.integration


def call(*arguments: object):
    return CliRunner().invoke(sensitivity, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def told(finished, project, store) -> tuple[Path, str]:
    """The folder with the three files, and what was printed as JSON."""
    out = project / "blame"
    options = ["--store", store, "--out", out, "--samples", 40, "--rounds", 6, "--json"]
    return out, call(project / "small.yaml", *options).stdout


def test_layers_are_ranked_for_every_runtime_with_both_measurements(told):
    out, _ = told
    rankings = json.loads((out / "sensitivity.json").read_text())["rankings"]
    assert [ranking["runtime"] for ranking in rankings] == ["onnxruntime", "openvino"]
    for ranking in rankings:
        errors = [layer["error"] for layer in ranking["layers"]]
        assert len(errors) == 3
        assert errors == sorted(errors, reverse=True)
        assert all(layer["latency"]["low"] <= layer["latency"]["high"] for layer in ranking["layers"])
        assert ranking["loss"]["n"] == 40


def test_csv_has_a_row_a_layer_and_runtime(told):
    rows = list(csv.DictReader((told[0] / "sensitivity.csv").read_text().splitlines()))
    assert len(rows) == 6
    assert float(rows[0]["latency_ratio_low"]) <= float(rows[0]["latency_ratio"])


def test_the_page_needs_nothing_else_and_shows_every_layer(told):
    page = (told[0] / "sensitivity.html").read_text()
    assert page.count("<svg") == 4
    assert "http" not in page.replace("http://www.w3.org", "")
    names = [layer["name"] for layer in json.loads((told[0] / "sensitivity.json").read_text())["rankings"][0]["layers"]]
    assert all(f"<td>{name}</td>" in page for name in names)


def test_json_ends_with_the_rankings(told):
    events = [json.loads(line) for line in told[1].splitlines()]
    assert events[-1]["event"] == "result"
    started = [event["message"] for event in events if event["event"] == "start"]
    assert all(message.startswith("40 of ") for message in started if "validation samples" in message)
    assert len(events[-1]["rankings"][0]["layers"]) == 3


def test_the_tables_are_printed(finished, project, store, tmp_path):
    result = call(
        project / "small.yaml", "--store", store, "--out", tmp_path, "--samples", 20, "--rounds", 6, "--quiet"
    )
    assert "onnxruntime, u8s" in result.stdout
    assert "head" in result.stdout
    assert "as fast as float" in result.stdout.replace("\n", " ")


def test_where_the_ranked_int8_comes_from_is_said_before_and_in_the_tables(told, finished, project, store, tmp_path):
    printed = " ".join(told[1].split())
    assert "validation samples; its int8 is the run's 'quantize'" in printed
    assert json.loads(printed[printed.rindex('{"event"') :])["rankings"][0]["method"]["int8"].endswith("'quantize'")
    other = ["--set", "stages.2.quantize={to: fp16}"]
    options = ["--store", store, "--out", tmp_path, "--samples", 20, "--rounds", 6]
    result = call(project / "small.yaml", *other, *options)
    for shown in (result.stdout, (tmp_path / "sensitivity.html").read_text()):
        assert "int8 is made for this ranking: static, with default settings" in " ".join(shown.split())


def test_a_run_that_was_not_made_is_refused(project, tmp_path):
    with pytest.raises(StoreError, match=r"is not in the store .*: make it with `compress run` first"):
        call(project / "small.yaml", "--store", tmp_path / "empty", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_results_is_no_run(tmp_path):
    with pytest.raises(RecipeError, match=r"no results\.json; make one with `compress run`"):
        call(tmp_path)


def test_a_folder_of_many_runs_lists_some_of_them(tmp_path):
    for number in range(20):
        (tmp_path / f"run-{number:02}").mkdir()
        (tmp_path / f"run-{number:02}" / "results.json").touch()
    with pytest.raises(RecipeError, match=r"which of its runs\? run-00, run-01, .*run-07 and 12 more$"):
        call(tmp_path)
