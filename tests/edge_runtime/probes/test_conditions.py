"""The worst of a machine's state while something is measured, and what other programs take of the processor."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_runtime.probes import conditions
from edge_runtime.probes.conditions import Conditions, Others

Record = Callable[[dict[str, str]], Path]
TICKS = os.sysconf("SC_CLK_TCK")


def stat(busy: float, idle: float) -> dict[str, str]:
    return {"proc/stat": f"cpu  {round(busy * TICKS)} 0 0 {round(idle * TICKS)} 0 0 0 0 0 0\ncpu0 1 2 3 4\n"}


def test_others_are_what_is_busy_less_what_we_took(record: Record, monkeypatch: pytest.MonkeyPatch):
    own = iter([(1.0, 0.0, 0.0, 0.0, 9.0), (3.0, 0.5, 0.5, 0.0, 19.0)])
    monkeypatch.setattr(os, "times", lambda: next(own))
    others = Others(record(stat(100, 1000)))
    record(stat(108, 1012))  # of 20 s of all cores 8 were busy, of which 3 were ours
    assert others.share() == pytest.approx(0.25)


def test_nothing_is_said_over_too_little_time_or_without_the_kernels_counts(record: Record):
    others = Others(record(stat(100, 1000)))
    assert others.share() is None
    assert Others(record({"proc/stat": ""})).share() is None


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="Linux")
def test_a_busy_neighbour_is_seen_and_our_own_work_is_not():
    others = Others()
    code = "import time\nend = time.time() + 30\nwhile time.time() < end: pass"
    neighbour = subprocess.Popen([sys.executable, "-c", code])
    try:
        time.sleep(0.3)
        others.share()
        end = time.time() + 1.0
        while time.time() < end:  # ours
            pass
        share = others.share()
    finally:
        neighbour.kill()
        neighbour.wait()
    cores = os.cpu_count() or 1
    assert share > 0.3 / cores  # it may have had to share a core
    assert share <= 1.0


def test_the_worst_of_each_is_kept(record: Record):
    cpu = "sys/devices/system/cpu/cpu0/cpufreq/"
    zone = {"sys/class/thermal/thermal_zone0/type": "cpu-thermal", "proc/loadavg": "0.10 0.1 0.1 1/1 1\n"}
    root = record(zone | {f"{cpu}scaling_cur_freq": "1800000", "sys/class/thermal/thermal_zone0/temp": "50000"})
    state = Conditions(root)
    record({f"{cpu}scaling_cur_freq": "600000", "sys/class/thermal/thermal_zone0/temp": "81000"})
    record({"proc/device-tree/model": "Raspberry Pi 4", "sys/devices/platform/soc/soc:firmware/get_throttled": "50005"})
    state.look()
    record({f"{cpu}scaling_cur_freq": "1500000", "sys/class/thermal/thermal_zone0/temp": "60000"})
    (root / "sys/devices/platform/soc/soc:firmware/get_throttled").write_text("50000")
    report = state.report()
    assert (report["before"]["temperature"], report["after"]["temperature"]) == (50.0, 60.0)
    worst = report["worst"]
    assert (worst["temperature"], worst["frequency"]) == (81.0, 6e8)
    assert (worst["throttled"], worst["under_voltage"], worst["looks"]) == (True, True, 3)
    assert worst["throttle_flags"] == [
        "under-voltage now", "throttled now", "under-voltage since start", "throttled since start"
    ]  # fmt: skip


def test_what_cannot_be_read_stays_unknown(record: Record):
    report = Conditions(record({"unrelated": ""})).report()
    assert {key: value for key, value in report["worst"].items() if value is not None} == {"looks": 2}


def test_it_looks_about_once_a_second(record: Record, monkeypatch: pytest.MonkeyPatch):
    clock = [100.0]
    monkeypatch.setattr(conditions.time, "monotonic", lambda: clock[0])
    state = Conditions(record({"unrelated": ""}))
    for _ in range(50):
        clock[0] += 0.1
        state.tick()
    assert state.report()["worst"]["looks"] == pytest.approx(2 + 5, abs=1)
