"""The GPU suite: run networks on an NVIDIA GPU in every way that PyTorch and the engines beside it have, and record it.

    python bench/gpu/suite.py -o results                    # from a checkout: PyTorch with numpy is all it needs
    python bench/gpu/suite.py --pack gpu-suite.pyz          # the same as one file, to copy to the machine with the GPU
    python gpu-suite.pyz -o results
    compress bench --from results/student.jsonl             # the tables, anywhere

One record a network, ``FOLDER/NETWORK.jsonl``, written as it is measured: what was measured before a crash or Ctrl-C is
kept. docs/gpu.md says what the figures mean. ``--device cpu`` tries the suite itself where there is no GPU.
"""

from __future__ import annotations

import argparse
import fnmatch
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: recorded; 1: nothing could be; 2: called wrongly; 130: stopped."""
    given = _parser().parse_args(arguments)
    _importable()
    if given.memory_of:  # before anything is imported that is to be weighed
        return _weigh(given)
    if given.pack:
        from bench.gpu.pack import pack

        print(f"{pack(given.pack, ROOT)}: run it with python on the machine with the GPU")
        return 0
    try:
        import numpy  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        print(f"this suite needs PyTorch and numpy, and {error.name} is missing here: pip install it", file=sys.stderr)
        return 1
    from bench.gpu.refused import Refused

    try:
        return _measure(given)
    except Refused as error:
        print(error, file=sys.stderr)
        return 2 if error.code == "wrong" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="suite.py", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("-o", "--out", type=Path, default=Path("gpu-results"), help="folder of the records (default: gpu-results)")
    add("--device", default="cuda", help="cuda, cuda:1, or cpu to try the suite itself")
    networks, compared = ["student", "teacher", "resnet50"], "the first, in the suite's own order, is the reference"
    add("--networks", nargs="+", default=networks, metavar="NAME", help="student, teacher, resnet50, tiny")
    add("--ways", nargs="+", default=["*"], metavar="PATTERN", help=f"such as eager-fp32 'aoti-*'; {compared}")
    add("--batches", nargs="+", type=int, default=[1, 8, 64])
    add("--seconds", type=float, default=30.0, help="for one cell, all its ways together (default: 30)")
    add(
        "--precision",
        type=float,
        default=0.01,
        help="a cell ends when all intervals are within this fraction; 0: never",
    )
    add("--no-offline", action="store_true", help="without queues of batches")
    add("--no-memory", action="store_true", help="without weighing each way in a fresh process")
    add("--energy", action="store_true", help="also measure energy at the largest batch: minutes a way")
    add("--idle-seconds", type=float, default=30.0, help="of energy's baseline")
    add("--windows", type=int, default=5, help="of energy, a way")
    add("--window-seconds", type=float, default=10.0)
    add("--seed", type=int, default=0)
    add("--folder", type=Path, help="keep compiled files here, and use those that are there")
    add("--pack", type=Path, metavar="FILE", help="write the suite as one file, and do no more")
    add("--memory-of", help=argparse.SUPPRESS)
    add("--network", help=argparse.SUPPRESS)
    return parser


def _importable() -> None:
    """The checkout's own packages first. In one packed file they are already there."""
    if ROOT.is_dir():
        sys.path[:0] = [str(ROOT), str(ROOT / "edge-runtime")]


def _measure(given: argparse.Namespace) -> int:
    import torch

    from bench.gpu.hardware import Hardware
    from bench.gpu.measure import Measurement, Settings
    from bench.gpu.record import Record

    _check_networks(given.networks)
    torch.set_num_threads(1)
    hardware = Hardware(given.device)
    ways = _ways(given.ways)
    signal.signal(signal.SIGTERM, _stop)
    given.out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(hardware.stream())
        top = given.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpu-suite-")))
        for network in given.networks:
            folder = top / network
            folder.mkdir(parents=True, exist_ok=True)
            command = (sys.executable, str(Path(sys.argv[0]).resolve()))
            settings = Settings(network, _plan(network, ways, given), ways, command, folder)
            path = given.out / f"{network}.jsonl"
            try:
                with Record(path) as record:
                    Measurement(settings, hardware, record, lambda words: print(words, file=sys.stderr)).run()
            except KeyboardInterrupt:
                print(f"stopped; what was measured is in {path}", file=sys.stderr)
                return 130
            print(path)
    return 0


def _weigh(given: argparse.Namespace) -> int:
    from bench.gpu.memory import tell

    def make_job() -> Any:
        import torch

        from bench.gpu.hardware import Hardware
        from bench.gpu.networks import NETWORKS
        from bench.gpu.ways import Job

        torch.set_num_threads(1)
        network, [way] = NETWORKS[given.network], _ways([given.memory_of])
        return Job(way, network, Hardware(given.device), given.folder, tuple(given.batches), given.seed)

    tell(make_job)
    return 0


def _plan(network: str, ways: tuple[Any, ...], given: argparse.Namespace) -> Any:
    """What is measured, in the words of a plan: the ways are its models."""
    from bench.gpu.refused import Refused
    from edge_runtime.errors import ProbeError
    from edge_runtime.probes.plan import Plan, PlanModel

    larger = tuple(batch for batch in sorted(set(given.batches)) if batch != 1)
    scenarios = ("single-stream",) if 1 in given.batches else ()
    if larger:
        scenarios += ("batch",) if given.no_offline else ("batch", "offline")
    try:
        return Plan(
            models=tuple(PlanModel(way.name, f"{network}/{way.name}") for way in ways),
            scenarios=scenarios,
            batches=larger or (1,),
            seconds=given.seconds,
            precision=given.precision,
            cold=0,
            memory=not given.no_memory,
            energy=given.energy,
            idle_seconds=given.idle_seconds,
            windows=given.windows,
            window_seconds=given.window_seconds,
            seed=given.seed,
        )
    except ProbeError as error:
        raise Refused("wrong", str(error)) from None


def _ways(patterns: list[str]) -> tuple[Any, ...]:
    from bench.gpu.refused import Refused
    from bench.gpu.ways import WAYS

    found = tuple(way for way in WAYS if any(fnmatch.fnmatch(way.name, pattern) for pattern in patterns))
    if not found:
        raise Refused("wrong", f"no way is called {' or '.join(patterns)}; there are {', '.join(w.name for w in WAYS)}")
    return found


def _check_networks(names: list[str]) -> None:
    from bench.gpu.networks import NETWORKS
    from bench.gpu.refused import Refused

    if unknown := [name for name in names if name not in NETWORKS]:
        raise Refused("wrong", f"there is no network {unknown[0]!r}; there are {', '.join(NETWORKS)}")


def _stop(*_: object) -> NoReturn:
    raise KeyboardInterrupt("ended by SIGTERM")


if __name__ == "__main__":
    sys.exit(main())
