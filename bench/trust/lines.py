"""What is printed: promises as met or not met with their figures, and the table of tools."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from compress.bench import words
from compress.bench.figures import Interval
from compress.bench.peers import PEERS, benchmark_app
from compress.bench.trust import judge, ours
from compress.bench.trust.neighbour import KINDS
from compress.bench.trust.outcomes import Outcome, Outcomes
from compress.bench.trust.trials import AGREEMENTS, LAYERS, MORE_LAYERS

MOST_ALARMS, ALARM_TRIALS = 0.05, 100
LEAST_SEEN, SLOWDOWN_TRIALS, SLOWDOWN_SECONDS = 0.95, 40, 60.0
MOST_OVERHEAD = 1.02
MOST_NOISE = 1.1
"""High end of an interval by its low end, beyond which to hold 1 says nothing."""
TRUE_RATIO = LAYERS / MORE_LAYERS
HEAD = (
    *("tool", "tells", "neighbour", "figures of one file: their median", "standard deviation", "largest by least"),
    *("false alarms", "5 % seen", "time for two files"),
)
OURS = "95 % interval of the ratio"
APART = benchmark_app.PEER
"""Tells the time of the request alone; what handing arrays over takes was measured apart."""
TOOLS = (ours.NAME, ours.ON_OPENVINO, *PEERS)

Line = tuple[bool | None, str]


def lines(found: Outcomes) -> Iterator[Line]:
    """Whether a promise is kept (None: a remark, or too few trials to tell), and the words."""
    for one in found.of("work"):
        text = f"a minute with nothing else started: the time of {LAYERS} layers by that of {MORE_LAYERS} is"
        yield None, f"{text} {_ratio(Interval(*one.ratio))}, by their work {TRUE_RATIO:.4f}"
    for kind in dict.fromkeys(one.neighbour for one in found if one.experiment in ("false-alarms", "slowdown")):
        yield from _alarms(found.of("false-alarms", neighbour=kind), kind)
        yield from _slowdowns(found.of("slowdown", neighbour=kind), kind)
    for one in found.of("overhead"):
        yield _overhead(one)
    for model, peer, _ in AGREEMENTS:
        pairs = [one for one in found.of("agreement", tool=peer.name) if one.model == model]
        apart = [one for one in found.of("overhead", tool=ours.ON_OPENVINO) if (one.model, peer) == (model, APART)]
        yield from _agreement(pairs, peer.name, model, Interval(*apart[0].ratio) if apart else None)


def meanwhile(found: Outcomes) -> str:
    """What else ran on the machine."""
    busy = sorted(one.others for one in found)
    if not busy:
        return "No trial has been run."
    return (
        f"{len(busy)} trials. Besides them and their neighbours, other programs kept {busy[len(busy) // 2]:.2f} cores "
        f"busy in the median trial, {busy[-1]:.2f} in the worst."
    )


def table(found: Outcomes) -> list[str]:
    """All tools on the same questions beside a noisy neighbour, as Markdown."""
    rows = [list(HEAD), ["---"] * len(HEAD)]
    for name in TOOLS:
        for kind in KINDS:
            same, slower = (found.of(one, tool=name, neighbour=kind) for one in ("false-alarms", "slowdown"))
            if len(same) > 1:
                rows.append(_row(name, kind, same, slower))
    return _markdown(rows)


def _row(name: str, kind: str, same: list[Outcome], slower: list[Outcome]) -> list[str]:
    n, middle, deviation, span = judge.spread(same)
    return [
        name,
        f"median, {OURS}" if name not in PEERS else PEERS[name].tells,
        kind,
        f"{n}: {middle * 1e3:.3f} ms",
        f"{deviation:.1%}",
        f"{span:.2f}",
        judge.alarms(same).words(),
        judge.seen(slower).words() if slower else "not tried",
        f"{np.median([one.seconds for one in same]):.0f} s",
    ]


def untold() -> list[str]:
    """How each tool is run, and what it does not tell, as Markdown."""
    rows = [["tool", "run as", "does not tell"], ["---"] * 3]
    rows += [[peer.name, peer.run, peer.untold] for peer in PEERS.values()]
    return _markdown(rows)


def _markdown(rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in rows]


def _by_tool(outcomes: list[Outcome]) -> Iterator[tuple[str, list[Outcome]]]:
    for name in TOOLS:
        if of_tool := [one for one in outcomes if one.tool == name]:
            yield name, of_tool


def _alarms(outcomes: list[Outcome], kind: str) -> Iterator[Line]:
    for name, of_tool in _by_tool(outcomes):
        rate = judge.alarms(of_tool)
        text = f"false alarms, a file against itself, {kind} neighbour, {name}: {rate.words()}"
        if name != ours.NAME:
            yield None, text
            continue
        enough = rate.n >= ALARM_TRIALS
        asked = f"at most {MOST_ALARMS:.0%} of {ALARM_TRIALS}" + ("" if enough else ": too few yet to tell")
        yield (
            rate.value <= MOST_ALARMS if enough else None,
            f"{text} ({asked}); its interval excludes 1 in {judge.excludes_one(of_tool).words()}",
        )


def _slowdowns(outcomes: list[Outcome], kind: str) -> Iterator[Line]:
    for name, of_tool in _by_tool(outcomes):
        rate = judge.seen(of_tool)
        text = f"a slowdown of 5 %, {kind} neighbour, {name}: seen in {rate.words()}"
        if name != ours.NAME:
            yield None, text
            continue
        longest = max(one.seconds for one in of_tool)
        asked = f"at least {LEAST_SEEN:.0%} of {SLOWDOWN_TRIALS}, within {SLOWDOWN_SECONDS:.0f} s"
        asked += "" if rate.n >= SLOWDOWN_TRIALS else ": too few yet to tell"
        met = rate.value >= LEAST_SEEN and longest <= SLOWDOWN_SECONDS
        yield (
            met if rate.n >= SLOWDOWN_TRIALS else None,
            f"{text} ({asked}; the longest took {longest:.0f} s)",
        )


def _overhead(one: Outcome) -> Line:
    ratio = Interval(*one.ratio)
    medians = " and ".join(words.seconds(figure) for figure in one.figures)
    if one.tool == ours.ON_OPENVINO:
        text = f"handing arrays over: on the {one.model} model our median is {_ratio(ratio)} of that of"
        return None, f"{text} OpenVINO's request alone ({medians})"
    met = True if ratio.high <= MOST_OVERHEAD else False if ratio.low > MOST_OVERHEAD else None
    asked = "at most 2 % more" + (": cannot tell" if met is None else "")
    return (
        met,
        f"overhead on the {one.model} model: our median is {_ratio(ratio)} of a bare loop's ({medians}; {asked})",
    )


def _agreement(outcomes: list[Outcome], name: str, model: str, apart: Interval | None) -> Iterator[Line]:
    """``apart``: what ours holds and theirs does not, as a factor."""
    ratio = judge.paired(outcomes)
    if ratio is None:
        return
    mine, theirs = (float(np.median([one.figures[index] for one in outcomes])) for index in (0, 1))
    text = f"our median of the {model} model is {_ratio(ratio)} of that of {name}"
    text += f" ({words.seconds(mine)} and {words.seconds(theirs)}), {len(outcomes)} pairs"
    if apart is not None:
        ratio = judge.without(ratio, apart)
        text += f"; without handing arrays over, which it does not time, {_ratio(ratio)}"
    if not ratio.low <= 1 <= ratio.high:
        yield False, text
    elif ratio.high / ratio.low > MOST_NOISE:
        yield None, f"{text}: too noisy to tell"
    else:
        yield True, text


def _ratio(interval: Interval) -> str:
    return f"{interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]"
