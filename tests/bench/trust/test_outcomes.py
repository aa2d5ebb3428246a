from __future__ import annotations

from pathlib import Path

from trust_example import outcome

from compress.bench.trust.outcomes import Outcomes


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    kept = [outcome(0), outcome(1, ratio=None, said=None, details={"order": ["ours", "theirs"]})]
    found = Outcomes(tmp_path / "new" / "outcomes.jsonl")
    for one in kept:
        found.add(one)
    again = Outcomes(tmp_path / "new" / "outcomes.jsonl")
    assert list(again) == list(found) == kept
    assert outcome(1).key in again and outcome(2).key not in again


def test_a_line_that_was_cut_off_is_a_trial_that_was_not_done(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    found = Outcomes(path)
    found.add(outcome(0))
    found.add(outcome(1))
    path.write_bytes(path.read_bytes()[:-40])
    again = Outcomes(path)
    assert [one.trial for one in again] == [0]
    again.add(outcome(1))
    assert [one.trial for one in Outcomes(path)] == [0, 1]


def test_outcomes_are_told_apart_by_experiment_tool_and_neighbour(tmp_path: Path) -> None:
    found = Outcomes(tmp_path / "outcomes.jsonl")
    for one in (
        outcome(3),
        outcome(1),
        outcome(1, tool="other"),
        outcome(1, neighbour="bursts"),
        outcome(1, "slowdown"),
    ):
        found.add(one)
    assert [one.trial for one in found.of("false-alarms", tool="compress bench", neighbour="steady")] == [1, 3]
    assert len(found.of("false-alarms")) == 4
