"""Benchmarks on one machine see each other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.probes import neighbours
from edge_runtime.probes.conditions import Conditions

Record = Callable[[dict[str, str]], Path]
MEASURES = """
from edge_runtime.probes import neighbours
with neighbours.present():
    print(neighbours.count(), flush=True)
    input()
"""


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="Linux")
def test_another_that_measures_is_seen_until_it_ends_however_that_is():
    alone = neighbours.count()
    with neighbours.present():
        assert neighbours.count() == alone  # we are not our own neighbour
        with subprocess.Popen([sys.executable, "-c", MEASURES], stdin=-1, stdout=-1, text=True) as other:
            assert int(other.stdout.readline()) >= 1  # and we are seen
            assert neighbours.count() >= 1
            assert Conditions().report()["worst"]["measuring"] >= 1
            other.kill()
    with neighbours.present():
        pass


def test_what_the_kernel_lists_is_counted(record: Record):
    lines = ["Num RefCount Protocol Flags Type St Inode Path"]
    lines += [f"0000: 00000002 00000000 00000000 0002 01 83391{i} @edge-runtime-bench/{i}" for i in range(2)]
    lines += ["0000: 00000002 00000000 00010000 0001 01 5 /run/edge-runtime-bench/x", "0000: 00000003 0 0 0001 03 6"]
    assert neighbours.count(record({"proc/net/unix": "\n".join(lines)})) == 2
    assert neighbours.count(record({"unrelated": ""}) / "elsewhere") is None
