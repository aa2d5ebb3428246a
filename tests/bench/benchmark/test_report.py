"""The page: self-contained, escaped, complete; and its tables sort and filter in a real browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace

import benchmark_example as example
import pytest
from html_page import Page

from compress.bench.benchmark import report
from compress.bench.benchmark.analyse import analyse
from compress.bench.benchmark.results import Doubt

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def html(benchmark):
    return report.render([benchmark])


def test_the_page_is_well_formed_and_needs_nothing_else(html):
    page = Page(html)
    assert page.open == []
    assert all(link.startswith("#") for link in page.links)
    assert not {"link", "img", "iframe", "object"} & page.tags
    assert "@import" not in html and "url(http" not in html
    assert len(page.ids) == len(set(page.ids))


def test_the_only_program_is_ours_and_no_other_may_run(html):
    assert html.count("<script>") == html.count("<script") == 1
    script = html.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html).group(1).replace("&#39;", "'")
    assert f"script-src 'sha256-{digest}'" in policy and "default-src 'none'" in policy


def test_what_others_wrote_is_escaped(benchmark):
    evil = "<script>alert(1)</script>"
    cell = benchmark.cells[0]
    timings = [replace(t, model=evil) for t in cell.timings]
    state = {"before": {evil: evil}}
    hostile = replace(
        benchmark,
        target=evil,
        command=[evil],
        machine={evil: evil, "cpu": evil},
        models=[replace(m, name=evil, path=evil, source=evil) for m in benchmark.models],
        cells=[replace(cell, timings=timings, fastest=[evil], method={evil: evil}, conditions=state)],
        missing=[evil],
        energy=[replace(e, model=evil, sensor=evil, source=evil) for e in benchmark.energy],
        cold=[], memory=[], sustained=[],
    )  # fmt: skip
    html = report.render([hostile])
    assert html.count("<script") == 1
    assert evil in "".join(Page(html).text)


def test_every_figure_there_is_is_drawn_and_no_other(html, benchmark):
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    for begun in ("Single calls: single-stream, 1 thread", "Throughput by threads and batch, batch", "From nothing",
                  "Memory", "Energy", "Sustained"):  # fmt: skip
        assert any(caption.startswith(begun) for caption in captions), begun
    bare = replace(benchmark, cells=benchmark.cells[:1], cold=[], memory=[], energy=[], sustained=[])
    assert re.findall(r"<figcaption>(.*?)</figcaption>", report.render([bare])) == [
        "Single calls: single-stream, 1 thread, batch 1"
    ]


def test_every_row_is_there_once_with_its_cell(html, benchmark):
    table = html.split("<table")[1].split("</table>")[0]
    assert table.count("<tr>") == 1 + len(example.MODELS) * len(benchmark.cells)


def test_doubts_and_what_is_missing_are_told(doubtful):
    text = " ".join("".join(Page(report.render([doubtful])).text).split())
    for said in ("governor", "still warming", "others: other programs used up to 40 %", "memory of int8", "(partial)"):
        assert said in text


def test_a_rows_own_doubts_stand_beside_its_models_name(doubtful):
    table = report.render([doubtful]).split("<table")[1].split("</table>")[0]
    names = {re.search(r'data-value="(.*?)"', row)[1]: row for row in re.findall(r'<th scope="row".*?</th>', table)}
    assert '<span class="doubt">still warming</span>' in names["int8"]
    assert "doubt" not in names["fp32"]


def test_colours_follow_the_readers_preference(html):
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", html))
    light, dark = html.split("prefers-color-scheme: dark", 1)
    for name in used:
        assert f"{name}:" in light and f"{name}:" in dark.split("</style>")[0]


def test_several_targets_stand_apart(benchmark):
    other = replace(benchmark, target="qemu", emulated=True)
    text = " ".join("".join(Page(report.render([benchmark, other])).text).split())
    assert "qemu (emulated)" in text
    assert "times of different machines are not ranked against each other" in text


def test_a_benchmark_that_measured_nothing_still_has_a_page():
    refused = {"event": "refused", "at": 0.1, "model": "fp32", "what": "open", "code": "x", "reason": "damaged"}
    html = report.render([analyse([example.begin(example.plan()), refused], target="pi")])
    assert Page(html).open == []
    assert "damaged" in html


CUT = """
const wide = document.documentElement.clientWidth;
const cut = [...document.querySelectorAll("span.doubt, td, th")].filter((e) => {
  const box = e.getBoundingClientRect();
  return box.width && (box.left < 0 || box.right > wide + 1);
});
document.body.textContent = "DONE" + JSON.stringify([wide, cut.map((e) => e.textContent)]) + "END";
"""
DRIVE = """
const table = document.querySelector("table.stack");
const rows = () => [...table.tBodies[0].rows].filter((r) => !r.hidden);
const names = (column) => rows().map((r) => r.cells[column].textContent.replace(/\\s+/g, " ").trim());
const heads = [...table.tHead.rows[0].cells];
const at = (name) => heads.findIndex((h) => h.textContent.startsWith(name));
const click = (name) => heads[at(name)].querySelector("button").click();
const input = document.querySelector(".tools input");
const filter = (words) => { input.value = words; input.dispatchEvent(new Event("input")); return rows().length; };
const said = {};
const medians = () => rows().map((r) => Number(r.cells[at("Median")].dataset.value));
click("Median"); said.rising = medians();
click("Median"); said.falling = medians();
said.aria = heads[at("Median")].getAttribute("aria-sort");
click("Median"); said.written = names(0);
click("Speed"); said.speed_last = names(0).slice(-6);
click("Speed"); said.speed_last_too = names(0).slice(-6);
said.filters = ["int8", "int8 threads=4", "-fp32", "batch=8 median<3000", "speed>=1.6", "nosuch", "scenario=single",
  "nocolumn=1", ""].map((words) => [words, filter(words)]);
document.body.textContent = "DONE" + JSON.stringify(said) + "END";
"""


def driven(html, program, folder, *options):
    """What a program of ours says in a browser. It is let through here; a reader's browser runs the page's only."""
    page = folder / "page.html"
    page.write_text(
        re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", html).replace(
            "</body>", f"<script>{program}</script></body>"
        ),
        encoding="utf-8",
    )
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
         f"--user-data-dir={folder / 'profile'}", *options, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    found = re.search(r"DONE(.*)END", done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(found.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


@pytest.mark.integration
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
@pytest.mark.parametrize("width", [1280, 500])
def test_neither_doubts_nor_figures_are_cut_off_at_the_pages_edge(benchmark, width, tmp_path):
    """Long names, every column, and rows with several doubts; 500 is the least that Chromium opens a window with."""
    long = {name: f"efficientnet-{name}-" * 3 for name in example.MODELS}
    doubts = [Doubt(word, word) for word in ("time ran out", "still warming", "sizes assumed", "two speeds")]
    changed = {"doubts": doubts[1:], "said": "no difference to tell"}
    cells = [
        replace(
            cell,
            doubts=doubts[:1],
            fastest=list(long.values()),
            alike=[],
            timings=[replace(t, model=long[t.model], p999=t.p99, **changed) for t in cell.timings],
        )
        for cell in benchmark.cells
    ]
    models = [replace(m, name=long[m.name]) for m in benchmark.models]
    for shown in (cells, cells[:1]):
        page = replace(benchmark, models=models, cells=shown, cold=[], memory=[], energy=[], sustained=[])
        wide, cut = driven(report.render([page]), CUT, tmp_path, f"--window-size={width},900")
        assert wide == width
        assert cut == []


@pytest.mark.integration
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")
def test_tables_sort_and_filter_in_a_browser(html, tmp_path):
    said = driven(html, DRIVE, tmp_path)
    assert said["rising"] == sorted(said["rising"]) and len(said["rising"]) == 18
    assert said["falling"] == sorted(said["rising"], reverse=True)
    assert said["aria"] == "descending"
    assert said["written"][:3] == ["int8", "pruned", "fp32"]
    # The first model has no ratio: without a value it comes last, either way.
    assert said["speed_last"] == said["speed_last_too"] == ["fp32"] * 6
    counts = dict(map(tuple, said["filters"]))
    assert counts == {
        "int8": 6, "int8 threads=4": 3, "-fp32": 12, "batch=8 median<3000": 2, "speed>=1.6": 6, "nosuch": 0,
        "scenario=single": 6, "nocolumn=1": 0, "": 18,
    }  # fmt: skip
