"""The experiments, as trials that can be run one by one in any order.

- ``false-alarms``: a file against itself, with a noisy neighbour. Whoever says that they differ is wrong.
- ``slowdown``: 20 equal layers against 21, with a noisy neighbour. Whoever does not see it has missed 5 %.
- ``work``: the same two files for a minute with nothing else started: how much slower is the second really?
- ``overhead``: our median next to a bare timed loop's, in short turns on one session (``overhead``).
- ``agreement``: our median next to that of another tool on the same file, nothing else started; which goes first is
  drawn anew for every trial.

Where nothing else was to run and something did, the trial does not count (``Trial.quiet``).

We are asked once for both files; a tool that measures one file is asked twice, one after the other, as its user would.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from compress.bench import stats
from compress.bench.peers import PEERS, benchmark_app, models, ort_loop
from compress.bench.peers.base import Peer, output
from compress.bench.serve.calm import others
from compress.bench.trust import ours
from compress.bench.trust.neighbour import neighbour
from compress.bench.trust.outcomes import Outcome

EXPERIMENTS = ("work", "overhead", "false-alarms", "slowdown", "agreement")
LAYERS, MORE_LAYERS = 20, 21
WORK_SECONDS = 60.0
TURNS = 300
AGREEMENT_SECONDS = 4
"""Of ours, and of the other tool, on one file. Many short pairs: the machine's drift is slower than a pair."""
AGREEMENTS = (
    ("small", ort_loop.PEER, ort_loop.measure),
    ("usual", ort_loop.PEER, ort_loop.measure),
    ("usual", benchmark_app.PEER, benchmark_app.measure),
    ("large", benchmark_app.PEER, benchmark_app.measure),
)
"""benchmark_app tells hundredths of a millisecond: a fifth of what the small model takes."""
QUIET = 0.1
"""Cores that others may keep busy while nothing else is to run."""

Found = tuple[tuple[float, float], tuple[float, float, float] | None, str | None, dict[str, Any]]
"""An outcome's figures, ratio, word and details."""


@dataclass(frozen=True)
class Trial:
    """What is to be done; ``do`` does it."""

    experiment: str
    tool: str
    model: str
    neighbour: str
    number: int
    do: Callable[[], Found]

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        return (self.experiment, self.tool, self.model, self.neighbour, self.number)

    def run(self) -> Outcome:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        before, begun = others(), time.monotonic()
        with neighbour(self.neighbour, self.number):
            figures, ratio, said, details = self.do()
        # Children count as ours when they have been waited for: all of a trial's have, the neighbour too.
        took = time.monotonic() - begun
        load = (others() - before) / took
        return Outcome(*self.key, figures, ratio, said, round(took, 2), round(load, 3), at, details)

    def quiet(self, outcome: Outcome) -> bool:
        """Whether nothing else ran, if nothing else was to."""
        return self.neighbour != "none" or outcome.others <= QUIET


@dataclass(frozen=True)
class Files:
    """Where the models are; ``.onnx`` and ``.xml`` of each."""

    usual: Path
    more: Path
    small: Path
    large: Path

    @classmethod
    def make(cls, folder: Path) -> Files:
        files = cls(
            models.chain(folder / "usual.onnx", LAYERS, models.USUAL),
            models.chain(folder / "more.onnx", MORE_LAYERS, models.USUAL),
            models.chain(folder / "small.onnx", models.SMALL_LAYERS, models.SMALL),
            models.chain(folder / "large.onnx", LAYERS, models.LARGE),
        )
        for file in (files.usual, files.more, files.large):
            models.as_ir(file)
        return files


def trials(
    files: Files, *, ours_alarms: int, ours_slowdowns: int, peers: int, agreements: int, kinds: tuple[str, ...]
) -> Iterator[Trial]:
    """All, one of each kind after the other, so that whoever stops early has some of each. ``kinds``: of neighbours."""
    for number in range(max(ours_alarms, ours_slowdowns, peers, agreements, 1)):
        if number == 0:
            yield Trial("work", ours.NAME, "20 and 21 layers", "none", 0, lambda: _work(files))
            for model, file in (("small", files.small), ("usual", files.usual)):
                yield Trial("overhead", ours.NAME, model, "none", 0, _beside_bare(file))
            for model, file in (("usual", files.usual), ("large", files.large)):
                do = _beside_bare(file.with_suffix(".xml"))
                yield Trial("overhead", ours.ON_OPENVINO, model, "none", 0, do)
        for kind in kinds:
            for name, second, count in (
                ("false-alarms", files.usual, ours_alarms),
                ("slowdown", files.more, ours_slowdowns),
            ):
                model = f"20 and {LAYERS if second is files.usual else MORE_LAYERS} layers"
                if number < count:
                    yield Trial(name, ours.NAME, model, kind, number, _ours(files.usual, second, number))
                if number < peers:
                    do = _ours(files.usual.with_suffix(".xml"), second.with_suffix(".xml"), number)
                    yield Trial(name, ours.ON_OPENVINO, model, kind, number, do)
                    for peer in PEERS.values():
                        yield Trial(name, peer.name, model, kind, number, _twice(peer, files.usual, second))
        if number < agreements:
            for model, peer, measure in AGREEMENTS:
                path: Path = getattr(files, model).with_suffix(peer.reads)
                yield Trial("agreement", peer.name, model, "none", number, _side_by_side(measure, path, number))


def _work(files: Files) -> Found:
    return _compare(files.usual, files.more, 0, seconds=WORK_SECONDS, precision=0)


def _beside_bare(file: Path) -> Callable[[], Found]:
    def do() -> Found:
        told = output([sys.executable, "-m", "compress.bench.trust.overhead", file, str(TURNS)])
        found = json.loads(told.splitlines()[-1])
        mine, bare = (np.array(found[name]) for name in ("ours", "bare"))
        ratio = stats.ratio_interval(mine, bare, np.arange(TURNS))
        middles = (float(np.median(mine)), float(np.median(bare)))
        return middles, (ratio.value, ratio.low, ratio.high), None, found

    return do


def _ours(first: Path, second: Path, number: int) -> Callable[[], Found]:
    return lambda: _compare(first, second, number)


def _compare(first: Path, second: Path, seed: int, **settings: float) -> Found:
    cell = ours.measure({"first": first, "second": second}, seed=seed, **settings)
    (one, other), details = cell.timings, {"rounds": cell.rounds, "openings": cell.placements, "by": cell.ended_by}
    ratio = other.ratio_to_first
    return (one.p50.value, other.p50.value), ratio and (ratio.value, ratio.low, ratio.high), other.said, details


def _twice(peer: Peer, first: Path, second: Path) -> Callable[[], Found]:
    def do() -> Found:
        one, other = (peer.measure(file.with_suffix(peer.reads)) for file in (first, second))
        return (one, other), None, None, {}

    return do


def _side_by_side(measure: Callable[..., float], path: Path, number: int) -> Callable[[], Found]:
    def alone() -> float:
        settings = {"seconds": float(AGREEMENT_SECONDS), "precision": 0, "axes": models.AXES}
        cell = ours.measure({"model": path}, seed=number, **settings)
        return cell.timings[0].p50.value

    def do() -> Found:
        measures = {"ours": alone, "theirs": lambda: measure(path, AGREEMENT_SECONDS)}
        order = random.Random(f"{path.name} {number}").sample(sorted(measures), 2)
        found = {name: measures[name]() for name in order}
        return (found["ours"], found["theirs"]), None, None, {"order": order}

    return do
