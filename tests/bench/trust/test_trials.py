from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from compress.bench.peers import PEERS, models
from compress.bench.peers.base import output
from compress.bench.trust import __main__ as command
from compress.bench.trust import ours
from compress.bench.trust import trials as trials_module
from compress.bench.trust.neighbour import neighbour
from compress.bench.trust.outcomes import Outcomes
from compress.bench.trust.page import BEGIN, END
from compress.bench.trust.trials import Files, trials

TOOL = "onnxruntime perf_test loop"


def test_every_trial_is_asked_for_once_and_as_often_as_wished() -> None:
    files = Files(*(Path(f"{name}.onnx") for name in ("usual", "more", "small", "large")))
    counts = {"ours_alarms": 7, "ours_slowdowns": 4, "peers": 3, "agreements": 2}
    made = list(trials(files, **counts, kinds=("steady", "bursts")))
    assert len({trial.key for trial in made}) == len(made)
    found = Counter((trial.experiment, trial.tool not in PEERS) for trial in made)
    assert found == {
        ("work", True): 1,
        ("overhead", True): 4,
        ("false-alarms", True): 20,
        ("slowdown", True): 14,
        ("false-alarms", False): 30,
        ("slowdown", False): 30,
        ("agreement", False): 8,
    }


@pytest.mark.parametrize("kind", ["steady", "bursts"])
def test_a_neighbour_is_there_until_the_end(kind: str) -> None:
    with neighbour(kind) as process:
        assert process.poll() is None
    assert process.poll() is not None


def test_nobody_is_a_neighbour_too() -> None:
    with neighbour("none") as process:
        assert process is None


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Runs the command with one tool, which only counts how often it is asked."""
    asked: list[Path] = []
    stub = replace(PEERS[TOOL], measure=lambda path: asked.append(path) or 1e-3)
    monkeypatch.setitem(PEERS, TOOL, stub)
    monkeypatch.setattr(trials_module, "others", lambda: 0.0)
    monkeypatch.setattr(Files, "make", lambda folder: Files(*[folder / "a.onnx"] * 4))

    def run(*options: str) -> int:
        line = ["trust", "--out", str(tmp_path), "--tools", TOOL, "--neighbours", "none", "--only", "slowdown"]
        monkeypatch.setattr("sys.argv", [*line, *options])
        return command.main()

    return run, asked, tmp_path / "outcomes.jsonl"


def test_trials_that_are_there_are_not_run_again(tool, capsys: pytest.CaptureFixture[str]) -> None:
    run, asked, path = tool
    assert run("--peer-trials", "2") == 0
    assert len(asked) == 4 and len(list(Outcomes(path))) == 2
    run("--peer-trials", "3")
    assert len(asked) == 6
    run("--report", "--peer-trials", "9")
    assert len(asked) == 6
    assert "seen in 0 of 3 = 0%" in capsys.readouterr().out


def test_no_trial_begins_when_time_is_up(tool, capsys: pytest.CaptureFixture[str]) -> None:
    run, asked, _ = tool
    run("--seconds", "-1")
    assert not asked
    assert "call again to go on" in capsys.readouterr().err


def test_a_trial_that_was_to_be_alone_and_was_not_is_run_again(tool, monkeypatch, capsys) -> None:
    run, asked, path = tool
    busy = iter([0.0, 1e9])
    monkeypatch.setattr(trials_module, "others", lambda: next(busy, 1e9))
    run("--peer-trials", "2")
    assert len(asked) == 4 and len(list(Outcomes(path))) == 1
    assert "cores were busy: not counted" in capsys.readouterr().err
    run("--peer-trials", "2")
    assert len(asked) == 6 and len(list(Outcomes(path))) == 2


def test_figures_are_put_into_a_page_and_the_rest_of_it_stays(tool) -> None:
    run, _, path = tool
    run("--peer-trials", "2")
    page = path.with_name("page.md")
    page.write_text(f"above\n{BEGIN}\nold\n{END}\nbelow\n")
    for _ in range(2):
        run("--report", "--write", str(page))
    text = page.read_text()
    assert text.startswith("above\n") and text.endswith("\nbelow\n") and "old" not in text
    assert text.count("seen in 0 of 2 = 0%") == 1
    page.write_text("nothing to fill in")
    with pytest.raises(SystemExit, match="no lines"):
        run("--report", "--write", str(page))


def test_an_unknown_tool_is_named(tool, capsys: pytest.CaptureFixture[str]) -> None:
    run, _, _ = tool
    with pytest.raises(SystemExit):
        run("--tools", "stopwatch")
    assert "'stopwatch' is none of compress bench, compress bench on OpenVINO, onnxruntime" in capsys.readouterr().err


@pytest.mark.integration
def test_our_measurement_is_what_users_get(tmp_path: Path) -> None:
    path = models.chain(tmp_path / "a.onnx", 5, models.SMALL)
    cell = ours.measure({"first": path, "second": path}, seed=0, seconds=1.5)
    assert [timing.model for timing in cell.timings] == ["first", "second"]
    assert cell.scenario == "single-stream" and cell.threads == 1
    ratio = cell.timings[1].ratio_to_first
    assert ratio.low <= ratio.value <= ratio.high and 0.3 < ratio.value < 3


@pytest.mark.integration
@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_our_loop_and_a_bare_one_take_turns(tmp_path: Path, suffix: str) -> None:
    path = models.chain(tmp_path / "a.onnx", 5, models.SMALL)
    path = models.as_ir(path) if suffix == ".xml" else path
    told = json.loads(output([sys.executable, "-m", "compress.bench.trust.overhead", path, "2"]))
    assert {name: len(medians) for name, medians in told.items()} == {"ours": 2, "bare": 2}
    assert all(1e-6 < median < 0.1 for medians in told.values() for median in medians)
