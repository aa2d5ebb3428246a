"""A measurement over a real ssh connection to this machine; what measures there only counts (``sshd``)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dense_model import dense_model
from sshd import Server, make_key

from compress.bench.benchmark.analyse import analyse
from compress.bench.devices import wheels
from compress.bench.devices.ssh import Ssh
from compress.errors import (
    BusyError,
    DeviceError,
    DevicePythonError,
    HostKeyError,
    KilledError,
    LoginError,
    LostError,
    MismatchError,
    SpaceError,
    UnreachableError,
)
from compress.targets.target import load_target
from edge_runtime.probes.plan import Plan, PlanModel

pytestmark = pytest.mark.integration


class Events(list):
    """Takes events, and does something when a tick of some number comes."""

    def __init__(self, when: int | None = None, do: Callable[[], object] = lambda: None) -> None:
        self.when, self.do = when, do

    def __call__(self, event: dict) -> None:
        self.append(event)
        if event["event"] == "tick" and event["number"] == self.when:
            self.do()

    @property
    def ticks(self) -> list[int]:
        return [event["number"] for event in self if event["event"] == "tick"]

    @property
    def sent(self) -> list[str]:
        return list(dict.fromkeys(event["what"] for event in self if event["event"] == "progress"))


def kept(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def ticks(events: list[dict]) -> list[int]:
    return [event["number"] for event in events if event["event"] == "tick"]


def test_events_come_home_and_nothing_but_packages_stays_there(ssh, board, plan, files, tmp_path):
    events = Events()
    ssh(ticks=5).run(plan, files, events, folder=tmp_path / "home")
    found = kept(tmp_path / "home")
    assert [event["event"] for event in found] == ["begin", *["tick"] * 5, "end"]
    assert found == [event for event in events if event["event"] != "progress"]
    assert found[0]["model"] == files["models/small.bin"].stat().st_size
    assert not board.work() and not list((board.cache / "files").iterdir()) and not board.pids()
    assert len(list((board.cache / "packages").iterdir())) == 1


def test_only_what_the_device_lacks_is_sent(ssh, board, plan, files, tmp_path):
    first, second, third = Events(), Events(), Events()
    ssh(keep="all").run(plan, files, first, folder=tmp_path / "1")
    ssh(keep="nothing").run(plan, files, second, folder=tmp_path / "2")
    assert len(first.sent) == 3 and second.sent == []
    assert not board.cache.exists()
    ssh().run(plan, files, third, folder=tmp_path / "3")
    assert third.sent == first.sent


def test_a_dropped_connection_leaves_no_gap_and_doubles_nothing(ssh, board, said, plan, files, tmp_path):
    events = Events(5, board.drop)
    ssh(ticks=40, pause=0.05).run(plan, files, events, folder=tmp_path / "home")
    assert any("trying again" in line for line in said)
    assert events.ticks == list(range(40)) == ticks(kept(tmp_path / "home"))
    assert sum(event["event"] == "begin" for event in events) == 1


def test_a_connection_dropped_while_sending_goes_on_with_the_rest(ssh, board, plan, files, tmp_path):
    files["models/small.bin"].write_bytes(os.urandom(1 << 24))
    dropped = []

    def on_event(event: dict) -> None:
        if event["event"] == "progress" and event["what"] == "sending small.bin":
            done.append(event["done"])
            if event["done"] > 1 << 23 and not dropped:
                dropped.append(event)
                board.drop()

    done: list[int] = []
    ssh().run(plan, files, on_event, folder=tmp_path / "home")
    assert dropped and done[-1] == 1 << 24
    assert len(done) < 160, "128 pieces, and those that were on their way; from the start it would be 192"
    assert kept(tmp_path / "home")[0]["model"] == 1 << 24


def test_a_device_started_again_goes_on_after_what_is_done(ssh, board, said, plan, files, tmp_path):
    def restart() -> None:
        board.lose_power()
        (work,) = board.work()
        with (work / "events.jsonl").open("ab") as file:
            file.write(b'{"event": "tick", "num')  # it was being written

    events = Events(5, restart)
    ssh(ticks=20, pause=0.05).run(plan, files, events, folder=tmp_path / "home")
    assert any("started again" in line for line in said)
    assert events.ticks == list(range(20))
    assert [event["resumed"] for event in events if event["event"] == "begin"] == [False, True]


def test_events_lost_with_the_power_are_sent_back_from_here(ssh, board, plan, files, tmp_path):
    def restart() -> None:
        board.lose_power()
        (work,) = board.work()
        os.truncate(work / "events.jsonl", 0)

    events = Events(5, restart)
    ssh(ticks=10, pause=0.05).run(plan, files, events, folder=tmp_path / "home")
    assert events.ticks == list(range(10)) == ticks(kept(tmp_path / "home"))


def test_a_folder_with_events_of_the_plan_is_gone_on_with(ssh, plan, files, tmp_path):
    home = tmp_path / "home"
    ssh(ticks=3).run(plan, files, Events(), folder=home)
    lines = (home / "events.jsonl").read_bytes().splitlines(keepends=True)
    (home / "events.jsonl").write_bytes(b"".join(lines[:3]) + lines[3][:10])
    events = Events()
    ssh(ticks=6).run(plan, files, events, folder=home)
    assert events.ticks == list(range(6)) == ticks(kept(home))


def test_out_of_reach_for_too_long_then_collected_by_the_same_command(ssh, board, plan, files, tmp_path):
    with pytest.raises(LostError, match="go on from there within a day"):
        ssh(ticks=30, pause=0.05, patience=0.6).run(plan, files, Events(5, board.stop), folder=tmp_path / "home")
    assert 5 in ticks(kept(tmp_path / "home"))
    board.start()
    events = Events()
    ssh(ticks=0).run(plan, files, events, folder=tmp_path / "home")
    assert events.ticks == list(range(30)), "it was not the measurement that had gone on"
    assert not board.work()


def test_a_connection_that_breaks_every_time_is_given_up(ssh, plan, files, tmp_path):
    python = tmp_path / "python3"
    about = {"version": (3, 11, 2), "path": str(python), "whole": True, "name": "CPython", "libc": ("glibc", "2.36")}
    about |= {"machine": os.uname().machine, "bits": 64}
    python.write_text(f'#!/bin/sh\ncase "$1" in -c) echo "{about}";; *) kill -9 $$;; esac\n')
    python.chmod(0o755)
    with pytest.raises(LostError, match="again and again"):
        ssh(python=str(python), patience=1.0).run(plan, files, Events(), folder=tmp_path / "home")


def test_through_a_jump_host_of_the_users_own_configuration(ssh, board, plan, files, tmp_path):
    with (board.folder / "ssh_config").open("a") as file:
        file.write(f"Host behind\n HostName 127.0.0.1\n Port {board.port}\n ProxyJump device\n")
        file.write(f" IdentityFile {board.folder / 'key'}\n UserKnownHostsFile {board.folder / 'known_hosts'}\n")
    events = Events()
    device = ssh(address="ssh://behind")
    device.run(plan, files, events, folder=tmp_path / "home")
    assert events[-1]["complete"] is True


def test_the_wrong_key_is_refused_with_advice(ssh, board, plan, files, tmp_path):
    make_key(board.folder / "key")
    with pytest.raises(LoginError, match="ssh-copy-id device"):
        ssh().run(plan, files, Events(), folder=tmp_path / "home")


def test_an_unknown_host_key_is_not_accepted(ssh, board, plan, files, tmp_path):
    board.know("")
    with pytest.raises(HostKeyError, match=r"not known here.*fingerprint"):
        ssh().run(plan, files, Events(), folder=tmp_path / "home")
    assert not (board.folder / "known_hosts").read_text()


def test_a_changed_host_key_is_not_accepted(ssh, board, plan, files, tmp_path):
    make_key(board.folder / "other")
    board.know((board.folder / "other.pub").read_text())
    with pytest.raises(HostKeyError, match="not the one this device had before"):
        ssh().run(plan, files, Events(), folder=tmp_path / "home")


def test_nothing_answers(ssh, board, plan, files, tmp_path):
    board.stop()
    with pytest.raises(UnreachableError, match=r"refused.*is it on.*ssh device"):
        ssh().run(plan, files, Events(), folder=tmp_path / "home")


def test_a_device_without_python(ssh, board, plan, files, tmp_path):
    with pytest.raises(DevicePythonError, match=r"no Python \(/nowhere/python3 .*apt install python3"):
        ssh(python="/nowhere/python3").run(plan, files, Events(), folder=tmp_path / "home")
    assert not board.cache.exists()


def test_another_architecture_than_the_targets(ssh, board, plan, files, tmp_path):
    other = "x86-avx2" if os.uname().machine == "aarch64" else "raspberry-pi-5"
    with pytest.raises(MismatchError, match=f"target {other} is"):
        ssh(target=load_target(other)).run(plan, files, Events(), folder=tmp_path / "home")
    assert not (board.cache / "packages").exists()


def test_a_machine_that_is_not_the_target_is_told(ssh, said, plan, files, tmp_path):
    here = load_target("this-machine")
    ssh(target=here.model_copy(update={"boards": ("Nobody's Board",)})).run(
        plan, files, Events(), folder=tmp_path / "1"
    )
    assert any("not figures of" in line for line in said)
    said.clear()
    ssh(target=here).run(plan, files, Events(), folder=tmp_path / "2")
    assert not any("not figures of" in line for line in said)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_no_room_there(ssh, plan, files, small, tmp_path):
    with pytest.raises(SpaceError, match=r"1\.\d* MB are free in .*are needed; free some"):
        ssh(folder=str(small / "bench")).run(plan, files, Events(), folder=tmp_path / "home")


def test_the_room_is_used_up_meanwhile(ssh, plan, files, small, tmp_path, monkeypatch):
    monkeypatch.setattr("compress.bench.devices.measurement.SPARE_BYTES", -1 << 30)
    files["models/small.bin"].write_bytes(os.urandom(1 << 21))
    with pytest.raises(SpaceError, match="no space is left"):
        ssh(folder=str(small / "bench")).run(plan, files, Events(), folder=tmp_path / "home")
    assert not list((small / "bench" / "incoming").iterdir())


def test_no_room_even_for_the_agent(ssh, plan, files, small, tmp_path):
    (small / "full").write_bytes(b"x" * ((1 << 20) - 8192))
    with pytest.raises(SpaceError, match="Nothing can be kept in"):
        ssh(folder=str(small / "bench")).run(plan, files, Events(), folder=tmp_path / "home")


def test_a_folder_that_cannot_be_made(ssh, plan, files, tmp_path):
    with pytest.raises(DeviceError, match="Nothing can be kept in /proc/bench: free some space, or choose another"):
        ssh(folder="/proc/bench").run(plan, files, Events(), folder=tmp_path / "home")


def test_the_real_program_measures_a_model(board: Server, said, tmp_path):
    model = dense_model(tmp_path / "dense.onnx")
    # The device's Python is the one here, which has numpy and the engine; edge-runtime comes as a wheel.
    device = Ssh(
        "board", "ssh://device", options=board.options, python=sys.executable, wheels=lambda *_: [wheels.own(tmp_path)],
        say=said.append, target=load_target("this-machine"),
    )  # fmt: skip
    plan = Plan((PlanModel("dense", "dense.onnx"),), seconds=1.0, precision=0.5, cold=0, memory=False)
    events = Events()
    device.run(plan, {"dense.onnx": model}, events, folder=tmp_path / "home")
    found = {event["event"]: event for event in events}
    assert found["end"]["complete"] is True and "refused" not in found, events
    assert found["cell"]["models"] == ["dense"] and found["model"]["runtime"] == "onnxruntime"
    ((timing,),) = [cell.timings for cell in analyse(kept(tmp_path / "home"), target="board").cells]
    assert timing.n > timing.rounds > 1 and 1e-7 < timing.p50.value < 0.1
    assert not any("not figures of" in line for line in said) and not board.work()


def test_a_program_that_fails_says_why(ssh, board, plan, files, tmp_path):
    with pytest.raises(DeviceError, match="status 1: no such model"):
        ssh(fails="exit").run(plan, files, Events(), folder=tmp_path / "home")
    assert not board.work()


def test_a_program_that_is_killed_there(ssh, board, plan, files, tmp_path):
    with pytest.raises(KilledError, match="SIGKILL"):
        ssh(fails="killed").run(plan, files, Events(), folder=tmp_path / "home")
    assert ticks(kept(tmp_path / "home")) == [0, 1, 2]
    assert not board.work()


def test_stopping_ends_it_there_and_keeps_what_came(ssh, board, plan, files, tmp_path):
    device: Ssh = ssh(ticks=1000, pause=0.05)
    with pytest.raises(KeyboardInterrupt):
        device.run(plan, files, Events(3, device.stop), folder=tmp_path / "home")
    assert kept(tmp_path / "home")[-1] == {"event": "end", "complete": False, "why": "it was interrupted"}
    assert not board.work() and not board.pids()


def test_ctrl_c_ends_it_there(board: Server, ssh, tmp_path):
    (tmp_path / "m.bin").write_bytes(b"model")
    script = f"""
import signal
from pathlib import Path
from compress.bench.devices import wheels
from compress.bench.devices.ssh import Ssh
from edge_runtime.probes.plan import Plan, PlanModel
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are started with it ignored
device = Ssh("board", "ssh://device", options={board.options!r}, wheels=lambda *_: [Path({str(next(tmp_path.glob("*.whl")))!r})],
    environment={{"TICKS": "1000", "PAUSE": "0.05"}})
device.run(Plan((PlanModel("m", "m.bin"),)), {{"m.bin": Path({str(tmp_path / "m.bin")!r})}},
    lambda event: print(event["event"], flush=True), folder=Path({str(tmp_path / "home")!r}))
"""  # noqa: E501
    program = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in program.stdout:
        if line == "tick\n":
            break
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode and errors.rstrip().endswith("KeyboardInterrupt")
    assert kept(tmp_path / "home")[-1]["why"] == "it was interrupted"
    assert not board.work() and not board.pids()


def test_two_measurements_at_a_time_are_refused(ssh, files, tmp_path):
    first, second = (Plan((PlanModel(name, "models/small.bin"),)) for name in ("first", "second"))
    device = ssh(ticks=1000, pause=0.05)
    caught: list[Exception] = []

    def another() -> None:
        try:
            ssh().run(second, files, Events(), folder=tmp_path / "2")
        except Exception as error:
            caught.append(error)
        device.stop()

    events = Events(2, lambda: threading.Thread(target=another).start())
    with pytest.raises(KeyboardInterrupt):
        device.run(first, files, events, folder=tmp_path / "1")
    assert isinstance(caught[0], BusyError), caught


def test_events_left_by_a_measurement_of_long_ago_are_not_taken_for_new_ones(ssh, board, plan, files, tmp_path):
    with pytest.raises(LostError):
        ssh(ticks=8, pause=0.05, patience=0.3).run(plan, files, Events(5, board.stop), folder=tmp_path / "1")
    end = time.monotonic() + 20
    (work,) = board.work()
    while not (work / "ended.json").exists() and time.monotonic() < end:
        time.sleep(0.05)
    started = json.loads((work / "started.json").read_text())
    (work / "started.json").write_text(json.dumps(started | {"at": started["at"] - 100_000}))
    board.start()
    events = Events()
    ssh(ticks=3).run(plan, files, events, folder=tmp_path / "2")
    assert events.ticks == [0, 1, 2]
