"""Events on disk: what is read back, cut off, or void."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_runtime.errors import ProbeError
from edge_runtime.probes import events


def stream(*told: str | tuple[str, str]) -> list[dict]:
    return [{"event": one} if isinstance(one, str) else {"event": one[0], "what": one[1]} for one in told]


def test_times_come_back_within_the_precision_of_float32():
    seconds = np.array([5e-5, 0.0021, 3.5])
    np.testing.assert_allclose(events.decode(events.encode(seconds)), seconds, rtol=6e-8)
    assert events.decode(events.encode(seconds)).dtype == np.float64


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(events.line({"event": "begin"}) + events.line({"event": "end"})[:7])
    assert events.read(path) == [{"event": "begin"}]


@pytest.mark.parametrize("wrong", [b"{}\n", b"7\n", b"oops\n", b'{"event": 1}\n'])
def test_a_file_of_something_else_is_refused_with_its_line(tmp_path: Path, wrong: bytes):
    path = tmp_path / "events.jsonl"
    path.write_bytes(events.line({"event": "begin"}) + wrong)
    with pytest.raises(ProbeError, match="line 2 is no event"):
        events.read(path)


def test_a_step_done_anew_makes_void_what_it_told_before():
    broken = stream("begin", ("start", "a"), ("round", "first"), ("done", "a"), ("start", "b"), ("round", "void"))
    resumed = stream("begin", ("start", "b"), ("round", "second"), ("done", "b"), "end")
    kept = [event.get("what") for event in events.current(broken + resumed) if event["event"] == "round"]
    assert kept == ["first", "second"]
    assert events.finished(broken) == {"a"}
    assert events.finished(broken + resumed) == {"a", "b"}


def test_a_step_that_was_broken_off_and_never_done_anew_still_counts():
    broken = stream("begin", ("start", "a"), ("round", "kept"))
    assert broken[2] in events.current(broken)


def test_progress_is_not_kept_and_all_else_is():
    told = stream("begin", "progress", ("start", "a"), "progress", ("done", "a"), "end")
    assert [event["event"] for event in events.current(told)] == ["begin", "start", "done", "end"]


def test_a_figure_that_is_not_finite_is_not_written():
    with pytest.raises(ValueError, match="JSON"):
        events.line({"event": "round", "seconds": float("nan")})
