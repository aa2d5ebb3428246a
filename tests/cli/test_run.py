from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from compress.bench.run.results import BudgetLine, Verdict
from compress.errors import DataError
from compress.plan import Facts, plan
from compress.progress import Event
from compress.recipe_file import load_recipe
from compress.store import Store

VERDICT = Verdict("prune", "this-machine", "onnxruntime", "paid", "faster")
LINE = BudgetLine("latency", 0.002, 0.001, "this-machine", "onnxruntime", True, "interval")


@dataclass
class Engine:
    """Stands in for compress.runner: remembers how it was called."""

    called: dict | None = None
    budget_met: bool | None = None
    data: Facts | Exception = None
    error: Exception | None = None

    def run(self, recipe, **keywords):
        self.called = {"recipe": recipe, **keywords}
        keywords["emit"](Event("start", "prune", message="remove half"))
        keywords["emit"](Event("warning", "prune", message="slow"))
        keywords["emit"](Event("done", "prune", seconds=1))
        if isinstance(self.error, Exception):
            raise self.error
        answer = SimpleNamespace(verdicts=[VERDICT], budget=[LINE])
        return SimpleNamespace(results=answer, out=keywords["out"], budget_met=self.budget_met)

    def facts(self, recipe):
        if isinstance(self.data, Exception):
            raise self.data
        return self.data or Facts("fingerprint")


@pytest.fixture
def engine(monkeypatch, tmp_path) -> Engine:
    engine = Engine()
    module = ModuleType("compress.runner")
    module.run, module.facts = engine.run, engine.facts
    monkeypatch.setitem(sys.modules, "compress.runner", module)
    monkeypatch.setattr("compress.runner", module, raising=False)
    monkeypatch.setattr("compress.bench.run.table.terminal", lambda results, width: "THE TABLE")
    monkeypatch.setenv("COMPRESS_STORE", str(tmp_path / "store"))
    return engine


def test_run_prints_the_table_and_hands_on_what_was_asked(call, recipe, engine, tmp_path):
    result = call("run", recipe, "--set", "seed=3", "--threads", 2, "--remeasure")
    assert result.exit_code == 0
    assert result.stdout == "THE TABLE\n"
    assert result.stderr.splitlines() == [
        "prune: started: remove half",
        "warning: prune: slow",
        "prune: done in 1.0 s",
        f"report: {Path('runs/quick/report.html')}",
    ]
    called = engine.called
    assert (called["recipe"].seed, called["threads"], called["remeasure"]) == (3, 2, True)
    assert called["out"] == Path("runs/quick")
    assert called["store"].root == tmp_path / "store"


def test_folders_can_be_chosen(call, recipe, engine):
    call("run", recipe, "--store", "here", "--out", "there")
    assert engine.called["store"].root == Path("here")
    assert engine.called["out"] == Path("there")


@pytest.mark.parametrize(("met", "code"), [(None, 0), (True, 0), (False, 3)])
def test_missed_budget_exits_with_3_after_the_table(call, recipe, engine, met, code):
    engine.budget_met = met
    result = call("run", recipe)
    assert result.exit_code == code
    assert "THE TABLE" in result.stdout


def test_quiet_shows_warnings_and_the_table(call, recipe, engine):
    result = call("run", recipe, "--quiet")
    assert result.stdout == "THE TABLE\n"
    assert result.stderr.splitlines()[0] == "warning: prune: slow"
    assert "started" not in result.stderr


def test_json_is_events_only_and_the_last_is_the_result(call, recipe, engine):
    engine.budget_met = False
    result = call("run", recipe, "--json")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == ["start", "warning", "done", "result"]
    assert events[-1] == {
        "event": "result",
        "out": str(Path("runs/quick")),
        "budget_met": False,
        "verdicts": [asdict(VERDICT)],
        "budget": [asdict(LINE)],
    }
    assert (result.stderr, result.exit_code) == ("", 3)


def test_json_ends_with_the_error_where_there_is_one(call, recipe, engine):
    engine.error = DataError("data.npz: no arrays")
    result = call("run", recipe, "--json")
    last = json.loads(result.stdout.splitlines()[-1])
    assert last == {"event": "error", "message": "data.npz: no arrays", "exit_code": 1}
    assert (result.stderr, result.exit_code) == ("error: data.npz: no arrays\n", 1)


def test_wrong_recipe_is_an_error_event_too(call, recipe, engine):
    recipe.write_text("name: x\n")
    result = call("run", recipe, "--json")
    [event] = map(json.loads, result.stdout.splitlines())
    assert (event["event"], event["exit_code"], result.exit_code) == ("error", 2, 2)


def test_table_is_not_folded_by_a_narrow_terminal(call, recipe, engine, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("compress.bench.run.table.terminal", lambda results, width: "x" * width)
    assert call("run", recipe).stdout == "x" * 80 + "\n"


def test_quiet_and_json_exclude_each_other(call, recipe, engine):
    result = call("run", recipe, "--quiet", "--json")
    assert result.exit_code == 2
    assert "exclude each other" in result.stderr


def test_wrong_recipe_runs_nothing(call, recipe, engine):
    recipe.write_text("name: x\n")
    assert call("run", recipe).exit_code == 2
    assert engine.called is None


def test_plan_shows_what_is_in_the_store_and_runs_nothing(call, recipe, engine, tmp_path):
    steps = plan(load_recipe(recipe), Facts("fingerprint"))
    Store(tmp_path / "store").build(steps.step("prune").key, "prune", lambda work: {})
    result = call("run", recipe, "--plan", "--json")
    lines = {line["step"]: line for line in map(json.loads, result.stdout.splitlines())}
    assert list(lines) == [step.label for step in steps.steps]
    assert lines["prune"]["stored"] == "yes"
    assert lines["teacher"]["stored"] == "no"
    assert lines["report"]["stored"] == "-"
    assert engine.called is None


def test_plan_is_a_table_with_work_in_words(call, recipe, engine):
    text = call("run", recipe, "--plan").stdout
    assert "remove 50% of the channels by magnitude, then fine-tune" in text
    assert "5 epochs" in text


def test_plan_without_readable_data_says_unknown_and_why(call, recipe, engine):
    engine.data = DataError("data.npz: no arrays")
    result = call("run", recipe, "--plan", "--json")
    assert result.exit_code == 0
    assert "data.npz: no arrays" in result.stderr
    stored = {line["step"]: line["stored"] for line in map(json.loads, result.stdout.splitlines())}
    assert stored["teacher"] == "no"
    assert stored["prune"] == "unknown"


def test_plan_writes_nothing(call, recipe, engine):
    before = sorted(recipe.parent.rglob("*"))
    call("run", recipe, "--plan")
    assert sorted(recipe.parent.rglob("*")) == before
