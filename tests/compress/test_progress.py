from __future__ import annotations

import io
import json

import pytest

from compress.progress import Event, Json, Live, Plain, Quiet, duration, ignore

STORY = [
    Event("start", "prune", message="remove half"),
    Event("progress", "prune", 5, 10),
    Event("line", "prune", message="epoch 1: [fine]"),
    Event("warning", "prune", message="slow disk"),
    Event("done", "prune", seconds=75.0),
    Event("cached", "distill"),
    Event("warning", message="store damaged"),
]


def told(sink_type, events=STORY, **keywords) -> str:
    stream = io.StringIO()
    with sink_type(stream, **keywords) as emit:
        for event in events:
            emit(event)
    return stream.getvalue()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_duration_in_words(seconds, words):
    assert duration(seconds) == words


def test_plain_lines_tell_the_story():
    assert told(Plain, interval=0, clock=lambda: 0).splitlines() == [
        "prune: started: remove half",
        "prune: 50%, 0.0 s left",
        "prune: epoch 1: [fine]",
        "warning: prune: slow disk",
        "prune: done in 1 min 15 s",
        "distill: from the store",
        "warning: store damaged",
    ]


def test_plain_progress_is_throttled_and_estimates_the_time_left():
    stream, clock = io.StringIO(), Clock()
    emit = Plain(stream, interval=10, clock=clock)
    emit(Event("start", "train"))
    for step in range(1, 31):
        clock.now = float(step)
        emit(Event("progress", "train", step, 100))
    assert stream.getvalue().splitlines()[1:] == [
        "train: 10%, 1 min 30 s left",
        "train: 20%, 1 min 20 s left",
        "train: 30%, 1 min 10 s left",
    ]


def test_estimate_of_a_resumed_stage_counts_only_what_was_done_now():
    stream, clock = io.StringIO(), Clock()
    emit = Plain(stream, interval=1, clock=clock)
    emit(Event("start", "train", done=80, total=100))
    clock.now = 10.0
    emit(Event("progress", "train", 90, 100))
    assert stream.getvalue().splitlines()[-1] == "train: 90%, 10 s left"


def test_progress_of_unknown_length_counts():
    assert told(Plain, [Event("progress", "x", 3)], interval=0) == "x: 3\n"


def test_quiet_lets_only_warnings_through():
    assert told(Quiet).splitlines() == ["warning: prune: slow disk", "warning: store damaged"]


def test_json_is_one_object_a_line_with_the_fields_that_say_something():
    lines = [json.loads(line) for line in told(Json).splitlines()]
    times = [line.pop("time") for line in lines]
    assert times == sorted(times)
    assert lines[1] == {"event": "progress", "stage": "prune", "done": 5, "total": 10}
    assert lines[4] == {"event": "done", "stage": "prune", "seconds": 75.0}
    assert len(lines) == len(STORY)


def test_live_prints_what_is_done_and_takes_brackets_literally():
    text = told(Live)
    assert "✓ prune  1 min 15 s" in text
    assert "= distill  from the store" in text
    assert "epoch 1: [fine]" in text
    assert "! store damaged" in text


def test_ignore_takes_every_event():
    for event in STORY:
        assert ignore(event) is None
