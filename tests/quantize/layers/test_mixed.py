from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from compress.bench import stats
from compress.bench.figures import Interval
from compress.quantize import max_drop, mixed, quantize
from compress.quantize.layers import keep, search
from compress.quantize.layers.variants import Variants
from edge_runtime import open_session

GIVES, TAKES = "model.features.6", "model.features.9"
"""The layers at both ends of the outlier."""

pytestmark = pytest.mark.integration

LIMIT = 0.02
RUNTIMES = ["onnxruntime", "openvino"]


@pytest.fixture
def asked(fragile_job, tmp_path):
    """`asked(runtime, to=..., max_drop=...)`: a job on another machine's behalf, so that times decide nothing."""

    def make(runtime: str, **settings):
        job = fragile_job(runtime, **settings)
        out = tmp_path / "out" / job.out.name
        out.parent.mkdir(exist_ok=True)
        return replace(job, out=out, measurable=False, say=[].append)

    return make


def upper(job, path) -> float:
    """Of the accuracy that the file lost on validation."""
    split = job.data.validation
    right = []
    for file in (job.model, path):
        with open_session(file) as session:
            right.append(session.predict(split.inputs).argmax(1) == split.labels)
    return stats.paired_difference(*right).high


def in_float(quantized, out) -> set[str]:
    """The layers of the first file that are no 8-bit ones in the second."""
    return {layer.name for layer in keep.layers(quantized)} - {
        layer.name for layer in keep.layers(out) if layer.weights
    }


def taking(seconds: dict[int | None, float]):
    """`Variants.times` by how many layers are in float (None: the float file); all others take a second."""

    def times(self, variants, **settings):
        counts = {name: None if kept is None else len(kept) for name, kept in variants.items()}
        return {name: np.full(6, seconds.get(count, 1.0)) for name, count in counts.items()}, {}

    return times


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_mixed_leaves_the_fragile_layers_in_float_and_holds_where_int8_does_not(asked, runtime, int8_file):
    job = asked(runtime, to="mixed", max_drop=LIMIT)
    story = mixed.quantize(job)
    assert upper(job, int8_file(runtime)) > LIMIT
    assert upper(job, job.out) <= LIMIT
    expected = {"onnxruntime": {GIVES, TAKES}, "openvino": {TAKES}}[runtime]
    assert in_float(int8_file(runtime), job.out) == expected
    for name in expected:
        [line] = [line for line in story if line.startswith(f"{name} stays in float")]
        assert "points" in line
    assert any(f"{5 - len(expected)} of 5 layers in int8" in line for line in story)
    assert any("times were not used" in line for line in story)
    assert keep.size(int8_file(runtime)) < keep.size(job.out) < keep.size(job.model)
    assert job.say.__self__ == []


class Killed(BaseException):
    pass


def test_a_killed_search_goes_on_with_what_it_has_found(asked, tmp_path, monkeypatch):
    def killed(done: int, total: int) -> None:
        if done == 4:
            raise Killed

    opened = []
    monkeypatch.setattr(
        Variants,
        "_open",
        lambda self, kept, open=Variants._open, **options: opened.append(kept) or open(self, kept, **options),
    )
    job = replace(asked("openvino", to="mixed", max_drop=LIMIT), resume=tmp_path / "resume")
    with pytest.raises(Killed):
        mixed.quantize(replace(job, on_batch=killed))
    first = len(opened)
    story = mixed.quantize(job)
    again = opened[first:]
    assert first >= 4
    assert {kept for kept in opened[:first] if kept is not None}.isdisjoint(again)
    assert story == mixed.quantize(replace(job, resume=None))


def test_mixed_changes_nothing_where_int8_holds(asked, int8_file):
    job = asked("openvino", to="mixed", max_drop=0.9)
    story = mixed.quantize(job)
    assert in_float(int8_file("openvino"), job.out) == set()
    assert any("5 of 5 layers in int8" in line for line in story)


def test_too_few_samples_for_the_limit_say_how_many_are_needed(asked):
    job = asked("openvino", to="mixed", max_drop=0.001)
    story = mixed.quantize(job)
    [said] = job.say.__self__
    assert said in story
    assert "cannot be met: 512 validation samples cannot show it" in said
    assert "at least 3838 are needed" in said
    assert job.out.exists()


def test_a_file_whose_weights_are_not_the_float_files_may_not_reach_the_limit(asked, swap_classes, tmp_path):
    """Here another network was quantized than the float file holds."""
    job = asked("onnxruntime", to="int8", max_drop=LIMIT)
    other = tmp_path / "other.onnx"
    swap_classes(job.model, other)
    quantize(replace(job, model=other, onnx=other))
    # As for a file that was trained: the float file is no reference for its weights.
    settings = job.settings.model_copy(update={"method": "qat"})
    control = max_drop.control(replace(job, settings=settings))
    assert not control.met
    assert any("not even all layers in float meet it" in line for line in control.story)


@pytest.mark.parametrize(("limit", "needed"), [(0.005, 765), (0.01, 381), (0.5, 4)])
def test_samples_needed_are_the_fewest_with_which_no_flip_is_enough(limit, needed):
    assert search.samples_needed(limit) == needed
    assert stats.tango(0, 0, needed).high <= limit < stats.tango(0, 0, needed - 1).high


def test_no_number_of_samples_shows_that_nothing_is_lost():
    assert search.samples_needed(0) is None


def test_control_of_int8_names_the_layers_in_the_way_and_the_cost_and_leaves_the_file(asked, int8_file):
    job = replace(asked("openvino", to="int8", max_drop=LIMIT), out=int8_file("openvino"))
    before = [file.read_bytes() for file in keep.files(job.out)]
    control = max_drop.control(job)
    assert control.met is False
    assert [file.read_bytes() for file in keep.files(job.out)] == before
    assert any(f"in the way: {TAKES};" in line and "kB" in line for line in control.story)
    assert job.say.__self__[0].startswith("max_drop is missed")


def test_control_is_content_where_it_holds(asked, int8_file):
    control = max_drop.control(replace(asked("openvino", to="int8", max_drop=0.9), out=int8_file("openvino")))
    assert control.met is True
    assert len(control.story) == 1


def test_layers_that_int8_makes_slower_here_go_to_float(asked, int8_file, monkeypatch):
    """The times are made up: whether int8 is slower for real depends on the machine."""
    job = replace(asked("openvino", to="mixed"), measurable=True)

    def gains(self, base, names, **settings):
        slower = {"model.features.0"} if "model.features.0" in names else {"model.features.3"}
        return {n: Interval(0.9, 0.85, 0.95) if n in slower else Interval(1.1, 0.99, 1.2) for n in names}, []

    monkeypatch.setattr(Variants, "gains", gains)
    monkeypatch.setattr(Variants, "times", taking({None: 1.6, 2: 0.8}))
    story = mixed.quantize(job)
    assert in_float(int8_file("openvino"), job.out) == {"model.features.0", "model.features.3"}
    assert "model.features.0 stays in float: int8 is 0.90x [0.85, 0.95] as fast here" in story
    assert "the float file takes 2.00x [2.00, 2.00] as long as this one" in story


def test_layers_of_which_none_is_surely_slower_go_to_float_where_all_of_them_are(asked, int8_file, monkeypatch):
    job = replace(asked("openvino", to="mixed"), measurable=True)
    monkeypatch.setattr(
        Variants, "gains", lambda self, base, names, **_: ({n: Interval(0.98, 0.94, 1.02) for n in names}, [])
    )
    monkeypatch.setattr(Variants, "times", taking({None: 0.9, 5: 0.9}))
    story = mixed.quantize(job)
    assert in_float(int8_file("openvino"), job.out) == {layer.name for layer in keep.layers(int8_file("openvino"))}
    assert any("with 5 layers in float the network takes 0.90x [0.90, 0.90] as long here" in line for line in story)
    assert "that is every layer: the file is the float network again" in story
    assert "without max_drop, only time decided" in story


def test_layers_that_together_cost_time_stay_int8(asked, int8_file, monkeypatch):
    job = replace(asked("openvino", to="mixed"), measurable=True)
    monkeypatch.setattr(
        Variants, "gains", lambda self, base, names, **_: ({n: Interval(0.9, 0.85, 0.95) for n in names}, [])
    )
    monkeypatch.setattr(
        Variants, "times", lambda self, named, **_: ({n: np.full(6, 1.0 + bool(k)) for n, k in named.items()}, {})
    )
    mixed.quantize(job)
    assert in_float(int8_file("openvino"), job.out) == set()


def test_mixed_measures_for_real_and_tells_the_figures(asked, monkeypatch):
    monkeypatch.setattr("compress.quantize.layers.sensitivity.ROUNDS", 6)
    monkeypatch.setattr("compress.quantize.layers.sensitivity.SECONDS", 1.0)
    seen = []
    job = replace(
        asked("onnxruntime", to="mixed", max_drop=LIMIT),
        measurable=True,
        on_batch=lambda done, total: seen.append((done, total)),
    )
    story = mixed.quantize(job)
    assert upper(job, job.out) <= LIMIT
    assert any(line.startswith("the float file takes") for line in story)
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
