from __future__ import annotations

import math
import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.bench import words
from compress.bench.figures import Interval
from compress.bench.labels import Point
from compress.bench.run.plots import accuracy_latency, accuracy_size, latency_curves, latency_spread, pareto_front
from compress.bench.run.results import Variant

DRAWINGS = [accuracy_latency, accuracy_size, latency_spread, latency_curves]


@pytest.mark.parametrize("draw", DRAWINGS)
def test_the_same_results_give_the_same_bytes(results, draw):
    assert draw(results.variants) == draw(results.variants)


@pytest.mark.parametrize("draw", DRAWINGS)
def test_drawings_are_well_formed_bring_nothing_in_and_take_the_pages_colours(results, draw):
    svg = draw(results.variants)
    ElementTree.fromstring(svg)
    assert set(re.findall(r'https?://[^"]*', svg)) <= {"http://www.w3.org/1999/xlink", "http://www.w3.org/2000/svg"}
    assert "<style" not in svg
    assert "var(--ink)" in svg
    assert not re.findall(r"#[0-9a-f]{6}\b", svg)


def test_two_drawings_on_a_page_share_no_ids(results):
    drawings = [accuracy_latency(results.variants, name="a"), accuracy_latency(results.variants, name="b")]
    first, second = (set(re.findall(r'\bid="([^"]*)"', svg)) for svg in drawings)
    assert first
    assert not first & second
    for svg, ids in zip(drawings, (first, second), strict=True):
        assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', svg)) <= ids


def test_hostile_labels_stay_text(results):
    variants = [replace(v, stage="$x^2$</text><script>") for v in results.variants]
    for draw in DRAWINGS:
        svg = draw(variants)
        assert "<script>" not in svg
        assert "$x^2$&lt;/text&gt;&lt;script&gt;" in svg


def test_nothing_is_drawn_of_nothing_measured(results):
    unmeasured = [v for v in results.variants if v.latency is None]
    assert [draw(unmeasured) for draw in DRAWINGS] == [None] * len(DRAWINGS)


def test_the_legend_of_curves_names_steps_and_runtimes_once_and_not_every_pair(results):
    known = [v for v in results.variants if v.latency and len(v.latency.percentiles) == 101]
    names = [*dict.fromkeys(words.step(v) for v in known), *dict.fromkeys(v.runtime for v in known)]
    assert len(names) < len(known) and len({v.runtime for v in known}) > 1
    said = [text for text, _ in _texts(latency_curves(known))]
    assert [name for name in said if re.search("[a-z]", name) and "time of" not in name] == names
    alone = [v for v in known if v.runtime == known[0].runtime]
    assert known[0].runtime not in [text for text, _ in _texts(latency_curves(alone))]


def _texts(svg: str) -> list[tuple[str, tuple[float, float, float, float]]]:
    """Every upright text of a drawing, with its box (left, top, right, bottom) in the widths of a narrow font."""
    found = []
    for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        style = text.get("style")
        x, y, size = float(text.get("x")), float(text.get("y")), float(re.search(r"font-size: (\d+)px", style).group(1))
        width = 0.56 * size * len(text.text)
        left = {"start": x, "middle": x - width / 2, "end": x - width}[re.search(r"anchor: (\w+)", style).group(1)]
        if "rotate(-0" in text.get("transform"):
            found.append((text.text, (left, y - size, left + width, y)))
    return found


def _covering(texts) -> list[tuple[str, str]]:
    return [
        (name, other)
        for i, (name, a) in enumerate(texts)
        for other, b in texts[i + 1 :]
        if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]


def _crowd(results, count: int, spread: float) -> list[Variant]:
    """Alternatives of one network on one runtime, as far apart in latency and accuracy as ``spread`` says."""
    one = next(v for v in results.variants if v.stage == "distill" and v.latency)
    crowd = []
    for index in range(count):
        latency = one.latency.p50 * (1 + spread * math.sin(7.0 * index))
        value = one.accuracy.value + 0.05 * spread * math.cos(11.0 * index)
        accuracy = replace(one.accuracy, value=value, interval=Interval(value, value - 0.005, value + 0.005))
        latency = replace(one.latency, p50=latency, interval=Interval(latency, 0.99 * latency, 1.02 * latency))
        crowd.append(replace(one, id=str(index), stage=f"quantize-{index} mse", latency=latency, accuracy=accuracy))
    return crowd


def test_labels_do_not_cover_each_other(results):
    texts = _texts(accuracy_latency(results.variants))
    names = [name for name, _ in texts if name in ("teacher", "prune", "distill", "quantize int8")]
    assert len(names) >= 5  # the same step of two runtimes, drawn at one spot, has one label
    assert not _covering(texts)


def test_points_with_room_have_their_names_beside_them(results):
    names = [name for name, _ in _texts(accuracy_latency(_crowd(results, 3, 0.3)))]
    assert [name for name in names if "mse" in name] == [f"quantize-{i} mse" for i in range(3)]


@pytest.mark.parametrize(("count", "spread"), [(3, 0.3), (3, 0.001), (8, 0.1), (16, 0.1), (16, 0.02)])
def test_every_one_of_many_points_close_together_has_a_readable_label(results, count, spread):
    texts = _texts(accuracy_latency(_crowd(results, count, spread)))
    assert not _covering(texts)
    words = [name for name, _ in texts]
    for index in range(count):
        name, number = f"quantize-{index} mse", str(index + 1)
        assert name in words or (number in words and f"{number}  {name}" in words)


@pytest.mark.parametrize(("count", "numbered"), [(5, False), (6, True)])
def test_latencies_and_sizes_of_many_alternatives_are_numbered_alike(results, count, numbered):
    crowd = [replace(v, size=1000 * (index + 1)) for index, v in enumerate(_crowd(results, count, 0.5))]
    for draw in (accuracy_latency, accuracy_size):
        words = [name for name, _ in _texts(draw(crowd))]
        assert ("1  quantize-0 mse" in words, "quantize-0 mse" in words) == (numbered, not numbered)


@pytest.mark.parametrize(("count", "spread"), [(6, 0.001), (6, 0.003), (8, 0.003), (8, 0.01)])
def test_numbers_side_by_side_are_not_read_as_one(results, count, spread):
    texts = [(name, box) for name, box in _texts(accuracy_latency(_crowd(results, count, spread))) if name.isdigit()]
    for i, (_, a) in enumerate(texts):
        for _, b in texts[i + 1 :]:
            assert abs(a[3] - b[3]) > 4 or a[2] + 2 < b[0] or b[2] + 2 < a[0]


COORDINATES = st.integers(0, 5)


@given(st.lists(st.builds(Point, COORDINATES, *[st.just(0)] * 2, COORDINATES, *[st.just(0)] * 4), max_size=12))
def test_the_front_is_what_no_point_beats(points):
    front = pareto_front(points)
    for point in points:
        beaten = any((o.x <= point.x and o.y >= point.y) and (o.x < point.x or o.y > point.y) for o in points)
        assert ((point.x, point.y) in {(p.x, p.y) for p in front}) == (not beaten)
    assert [p.x for p in front] == sorted({p.x for p in front})


def test_a_ruined_network_is_told_and_does_not_flatten_the_rest(results):
    ruined = next(v for v in results.variants if v.stage == "prune" and v.accuracy)
    interval = replace(ruined.accuracy.interval, value=0.1, low=0.09, high=0.11)
    low = replace(ruined.accuracy, value=0.1, interval=interval)
    svg = accuracy_latency([replace(v, accuracy=low) if v.id == ruined.id else v for v in results.variants])
    assert "far below: prune 10.0 %" in svg
    ticks = [float(t) for t in re.findall(r">(\d+(?:\.\d+)?)</text>", svg)]
    assert not [tick for tick in ticks if 20 <= tick < 70]  # on the accuracy axis; latencies here are below 20 ms
