"""The self-test's child process: real models that fail, and children that misbehave in every way."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bundles import KEY, golden, make_bundle, npy, tiny_model
from updates import EAGER, NOW, installed, state_of

from edge_runtime import limits
from edge_runtime.bundle.archive import unpack
from edge_runtime.bundle.contents import Contents
from edge_runtime.errors import SelfTestError
from edge_runtime.update import selftest
from edge_runtime.update.install import ON_TRIAL, install
from edge_runtime.update.trial import begin

pytestmark = pytest.mark.integration

CHILD = "edge_runtime.update.selftest_child"


@pytest.fixture
def version(tmp_path: Path) -> Contents:
    folder = tmp_path / "version"
    folder.mkdir()
    return unpack(make_bundle(tmp_path), folder, [KEY.public])


@pytest.fixture
def child_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Let the child run this code before anything else: Python imports `sitecustomize` when it starts."""

    def put(code: str) -> None:
        (tmp_path / "sitecustomize.py").write_text(code)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    return put


def test_a_sound_version_passes(version):
    result = selftest.run(version, timed=True)
    assert result.argmax == 1.0
    assert result.absolute < 1e-4
    assert 0 < result.p99 < 1
    assert 2 * 10**7 < result.memory < 10**9
    assert result.version[0].isdigit()
    assert selftest.failed_checks(version.manifest.golden, result) == {}


def test_time_is_taken_only_if_asked(version):
    assert selftest.run(version, timed=False).p99 is None


def test_a_version_that_answers_otherwise_is_refused_and_the_old_one_serves(home, bundles, tmp_path):
    first = installed(home, bundles[1], commit=True)
    outputs = golden(tiny_model(2))[1]
    wrong = {"golden/outputs.npy": npy(np.roll(outputs, 1, axis=1))}
    path = make_bundle(tmp_path, sequence=2, model=tiny_model(2), files=wrong)
    with pytest.raises(SelfTestError, match=r"0\.00% of its golden answers are right.*its outputs are off by"):
        install(home, path, now=lambda: NOW, policy=EAGER)
    assert begin(home).id == first
    assert len(state_of(home).bad) == 1


def test_a_real_bundle_is_installed_with_the_real_self_test(home, bundles):
    assert install(home, bundles[1], now=lambda: NOW).result == ON_TRIAL


@pytest.mark.parametrize("golden", [np.array(3, np.uint8), np.zeros((0, 1, 28, 28), np.uint8)])
def test_golden_inputs_that_are_none_are_refused_with_one_piece_of_advice(golden, home, tmp_path):
    outputs = npy(np.zeros((*golden.shape[:1], 10), np.float32) if golden.ndim else np.array(3, np.float32))
    path = make_bundle(tmp_path, files={"golden/inputs.npy": npy(golden), "golden/outputs.npy": outputs})
    with pytest.raises(SelfTestError, match=r"golden inputs .*; make the bundle again") as refusal:
        install(home, path, now=lambda: NOW)
    said = str(refusal.value)
    assert "Traceback" not in said and said.count("; make") == 1 and len(said) < 200


def test_a_model_that_the_engine_refuses_is_refused(home, bundles, tmp_path):
    installed(home, bundles[1], commit=True)
    path = make_bundle(tmp_path, sequence=2, model=tiny_model()[:1000])
    with pytest.raises(SelfTestError, match="cannot load this model"):
        install(home, path, now=lambda: NOW)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"golden/outputs.npy": npy(np.zeros((7, 10), np.float32))},
            r"golden inputs \(8, 1, 28, 28\) and outputs \(7, 10\) are not",
        ),
        ({"golden/outputs.npy": npy(np.zeros((8, 3), np.float32))}, r"shape \(8, 10\), and the golden ones \(8, 3\)"),
        ({"golden/inputs.npy": npy(np.zeros((8, 1, 28, 28), np.float32))}, "uint8"),
        ({"golden/inputs.npy": b"\x93NUMPY nonsense"}, "is not a"),
        ({"golden/outputs.npy": npy(np.full((8, 10), np.nan, np.float32))}, "off by inf"),
    ],
)
def test_golden_arrays_that_do_not_fit_are_a_refusal_in_words(files, words, home, tmp_path):
    path = make_bundle(tmp_path, files=files)
    with pytest.raises(SelfTestError, match=words):
        install(home, path, now=lambda: NOW)


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGILL"])
def test_a_child_that_crashes_is_a_refusal(name, home, bundles, child_does):
    first = installed(home, bundles[1], commit=True)
    child_does(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    with pytest.raises(SelfTestError, match=f"ended by {name}"):
        install(home, bundles[2], now=lambda: NOW)
    assert begin(home).id == first


def test_a_child_that_is_ended_by_a_signal_without_a_name_is_a_refusal(version, child_does):
    child_does("import os; os.kill(os.getpid(), 40)")
    with pytest.raises(SelfTestError, match="ended by signal 40;"):
        selftest.run(version, timed=False)


def test_a_child_that_does_not_end_after_its_answer_is_not_said_to_be_slow(version, child_does, monkeypatch):
    monkeypatch.setattr(limits, "LOCK_SECONDS", 0.5)
    child_does("import os, time; os.close(1); os.close(2); time.sleep(600)")
    with pytest.raises(SelfTestError, match=r"closed its output and did not end within 0\.5 s"):
        selftest.run(version, timed=False)


def test_a_child_that_takes_too_long_is_killed_with_all_it_has_started(version, child_does, tmp_path):
    note = tmp_path / "pids"
    child_does(
        "import os, subprocess, sys, time\n"
        "if 'SECOND' not in os.environ:\n"
        "    second = subprocess.Popen(['sleep', '600'])\n"
        f"    open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{second.pid}}')\n"
        "    time.sleep(600)\n"
    )
    began = time.monotonic()
    with pytest.raises(SelfTestError, match="longer than 3 s"):
        selftest.run(version, timed=False, seconds=3)
    assert time.monotonic() - began < 30
    for pid in map(int, note.read_text().split()):
        assert gone(pid)


def gone(pid: int, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_child_that_prints_without_end_is_stopped(stream, version, child_does):
    child_does(f"import sys\nwhile True: sys.{stream}.write('x' * 4096)")
    with pytest.raises(SelfTestError, match="printed more than 65536 bytes"):
        selftest.run(version, timed=False, seconds=60)


@pytest.mark.parametrize(
    "told",
    [
        "",
        "nonsense",
        "[]",
        '{"argmax": 1}',
        '{"argmax": true, "absolute": 0, "p99": null, "memory": 1, "version": "1"}',
        '{"argmax": NaN, "absolute": 0, "p99": null, "memory": 1, "version": "1"}',
        '{"argmax": 1, "absolute": 0, "p99": null, "memory": -1, "version": "1"}',
        "[" * 60000,
    ],
)
def test_a_child_that_answers_nonsense_is_not_believed(told, version, child_does, tmp_path):
    (tmp_path / "told").write_text(told)
    child_does(
        f"import os, sys; sys.stdout.write(open({str(tmp_path / 'told')!r}).read()); sys.stdout.flush(); os._exit(0)"
    )
    with pytest.raises(SelfTestError, match="something else than a result"):
        selftest.run(version, timed=False)


def test_what_an_engine_prints_does_not_spoil_the_answer(version, child_does):
    child_does("import atexit, os\natexit.register(lambda: os.write(1, b'goodbye from C'))")
    assert selftest.run(version, timed=False).argmax == 1.0


def test_a_file_beside_the_caller_does_not_hide_one_of_pythons_own(version, tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("raise SystemExit('imported the wrong json')")
    (version.folder / "numpy.py").write_text("raise SystemExit('imported a file of the bundle')")
    monkeypatch.chdir(tmp_path)
    assert selftest.run(version, timed=False).argmax == 1.0


def test_the_child_ends_when_the_updater_dies(version, child_does):
    """Loading the model takes for ever; the child's standard input is closed, as the kernel does for a dead parent."""
    child_does("import time\nfrom edge_runtime.bundle import contents\ncontents.load = lambda folder: time.sleep(600)")
    with subprocess.Popen([sys.executable, "-m", CHILD, str(version.folder)], stdin=subprocess.PIPE) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(2)
        child.stdin.close()
        assert child.wait(20) == 1


def test_a_model_with_a_fixed_batch_is_tested_in_such_batches(tmp_path):
    """Eight samples in batches of three: the last one is filled up, and what it is filled with is not compared."""
    from edge_runtime.update.selftest_child import _batches

    inputs = np.arange(8)[:, None]
    batches = _batches(inputs, 3)
    assert [batch.ravel().tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 7, 7]]


def test_the_child_is_the_first_to_go_when_memory_runs_out(version, child_does, tmp_path):
    note = tmp_path / "score"
    child_does(
        "import atexit\n"
        f"atexit.register(lambda: open({str(note)!r}, 'w').write(open('/proc/self/oom_score_adj').read()))\n"
    )
    selftest.run(version, timed=False)
    assert note.read_text().strip() == "1000"


def test_a_version_whose_files_have_gone_is_a_refusal(version):
    shutil.rmtree(version.folder)
    with pytest.raises(SelfTestError, match="cannot be read"):
        selftest.run(version, timed=False)


def test_every_limit_names_what_was_measured(version):
    golden = version.manifest.golden | {"p99": 0.001, "memory": 1000}
    poor = selftest.SelfTest(argmax=0.5, absolute=2.0, p99=0.5, memory=2000, version="1")
    assert set(selftest.failed_checks(golden, poor)) == {"argmax", "absolute", "p99", "memory"}
    exactly = replace(poor, argmax=1.0, absolute=1e-3, p99=0.001, memory=1000)
    assert selftest.failed_checks(golden, exactly) == {}
