from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.bench.plots import Point, accuracy_latency, accuracy_size, latency_spread, pareto_front

DRAWINGS = [accuracy_latency, accuracy_size, latency_spread]


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
    assert [draw(unmeasured) for draw in DRAWINGS] == [None, None, None]


def test_labels_do_not_cover_each_other(results):
    root = ElementTree.fromstring(accuracy_latency(results.variants))
    boxes = []
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        if text.text in ("teacher", "prune", "distill", "quantize int8"):
            x, y, width = float(text.get("x")), float(text.get("y")), 4.5 * len(text.text)
            left = {"start": x, "middle": x - width / 2, "end": x - width}[
                re.search(r"text-anchor: (\w+)", text.get("style")).group(1)
            ]
            boxes.append((left, y - 8, left + width, y))
    assert len(boxes) >= 5  # the same step of two runtimes, drawn at one spot, has one label
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


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
