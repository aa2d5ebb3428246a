"""The command line: run the trials that are not done, for a while, and print what all of them say."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from compress.bench.own.environments import cache
from compress.bench.peers import PEERS
from compress.bench.peers.base import PeerError
from compress.bench.quantize.packages import tell
from compress.bench.trust import ours, page
from compress.bench.trust.lines import lines, meanwhile, table, untold
from compress.bench.trust.neighbour import KINDS
from compress.bench.trust.outcomes import Outcomes
from compress.bench.trust.trials import EXPERIMENTS, Files, trials
from compress.errors import CompressError


def main() -> int:
    arguments = _parse()
    folder = arguments.out
    found = Outcomes(folder / "outcomes.jsonl")
    if not arguments.report:
        _run(arguments, found)
    if arguments.write:
        page.write(arguments.write, found)
    status = tell(list(lines(found)))
    print("", *table(found), "", *untold(), "", meanwhile(found), sep="\n")
    return status


def _run(arguments: argparse.Namespace, found: Outcomes) -> None:
    end = time.monotonic() + arguments.seconds
    failed: set[str] = set()
    for trial in trials(
        Files.make(arguments.out / "models"),
        ours_alarms=arguments.trials,
        ours_slowdowns=arguments.slowdowns,
        peers=arguments.peer_trials,
        agreements=arguments.pairs,
        kinds=tuple(arguments.neighbours),
    ):
        chosen = trial.experiment in arguments.only and trial.tool in arguments.tools
        if not chosen or trial.key in found or trial.tool in failed:
            continue
        if time.monotonic() > end:
            print("time is up; call again to go on", file=sys.stderr)
            return
        try:
            outcome = trial.run()
        except (PeerError, CompressError) as error:
            failed.add(trial.tool)
            print(f"{trial.tool} is left out: {error}", file=sys.stderr)
            continue
        if not trial.quiet(outcome):
            print(
                f"{' '.join(map(str, trial.key))}: {outcome.others:.2f} cores were busy: not counted", file=sys.stderr
            )
            continue
        found.add(outcome)
        ratio = outcome.figures[0] / outcome.figures[1]
        print(f"{' '.join(map(str, trial.key))}: {outcome.seconds:.0f} s, {ratio:.3f} {outcome.said or ''}", flush=True)


def _parse() -> argparse.Namespace:
    tools = (ours.NAME, ours.ON_OPENVINO, *PEERS)
    parser = argparse.ArgumentParser(prog="python -m compress.bench.trust", description=__doc__)
    parser.add_argument("--only", type=_some(EXPERIMENTS), default=EXPERIMENTS, help=", ".join(EXPERIMENTS))
    parser.add_argument("--tools", type=_some(tools), default=tools, help=", ".join(tools))
    parser.add_argument("--neighbours", type=_some(KINDS), default=("steady",), help=", ".join(KINDS))
    parser.add_argument("--trials", type=int, default=100, help="of a file against itself, ours (%(default)s)")
    parser.add_argument("--slowdowns", type=int, default=40, help="of 20 layers against 21, ours (%(default)s)")
    parser.add_argument("--peer-trials", type=int, default=20, help="of either, each of the others (%(default)s)")
    parser.add_argument("--pairs", type=int, default=30, help="of ours beside another (%(default)s)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after so long")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the figures into a page, between its markers")
    parser.add_argument("--report", action="store_true", help="run nothing; print what there is")
    parser.add_argument("--out", type=Path, default=cache() / "trust", help="for models and outcomes (%(default)s)")
    return parser.parse_args()


def _some(known):
    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return chosen

    return parse


if __name__ == "__main__":
    sys.exit(main())
