"""Kills: whatever the moment, an artifact is absent or whole, and the next run goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compress.store import Store

pytestmark = pytest.mark.integration

BUILDER = """
import os, sys
from pathlib import Path
from compress.store import Store

def make(work):
    for name in range(4):
        (work / f"{name}.bin").write_bytes(os.urandom(50_000))
    (work / "resume" / "state").write_text("epoch")
    return {"files": 4}

store = Store(Path(sys.argv[1]))
print("ready", flush=True)
for index in range(int(sys.argv[2]), 100_000):
    store.build(f"{index:064x}", "teacher", make)
"""


def _whole_or_absent(store: Store) -> int:
    """Number of whole artifacts; fails on any other."""
    found = sorted((store.root / "objects").glob("*"))
    for folder in found:
        artifact = store.get(folder.name, verify=True)
        assert artifact is not None, f"{folder.name} is neither absent nor whole"
        assert sorted(artifact.files) == ["0.bin", "1.bin", "2.bin", "3.bin"]
        assert sorted(p.name for p in artifact.path.iterdir()) == [*artifact.files, "manifest.json"]
    return len(found)


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(tmp_path, seed):
    moments = random.Random(seed)
    store = Store(tmp_path)
    whole = 0
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", BUILDER, str(tmp_path), str(whole)], stdout=subprocess.PIPE)
        try:
            assert child.stdout.readline() == b"ready\n"
            time.sleep(moments.uniform(0, 0.08))
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        whole = _whole_or_absent(store)
    assert store.build(f"{whole:064x}", "teacher", lambda work: {}).meta == {}  # no lock and no folder is in the way


# Wraps one function of the store's so that the process kills itself just before or just after it.
KILLED = """
import os, signal, sys
from pathlib import Path
import compress.store as module

def die():
    os.kill(os.getpid(), signal.SIGKILL)

module.make = None
root, name, when = sys.argv[1:]
owner = module if hasattr(module, name) else module.os if hasattr(module.os, name) else module.shutil
original = getattr(owner, name)

def fatal(*arguments, **keywords):
    if when == "before":
        die()
    original(*arguments, **keywords)
    die()

def make(work):
    (work / "model.bin").write_bytes(b"weights")
    (work / "resume" / "state").write_text("epoch 3")
    setattr(owner, name, fatal)
    if name == "make":
        die()
    return {}

module.Store(Path(root)).build("ab" * 32, "teacher", make)
"""


@pytest.mark.parametrize(
    ("name", "when", "there", "resumes"),
    [
        ("make", "before", False, True),
        ("fsync", "before", False, True),
        ("fsync", "after", False, True),
        ("write_manifest", "before", False, True),
        ("write_manifest", "after", False, True),
        ("rmtree", "before", False, True),
        ("rmtree", "after", False, False),
        ("rename", "before", False, False),
        ("rename", "after", True, False),
    ],
)
def test_killed_in(tmp_path, name, when, there, resumes):
    child = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), name, when], check=False)
    assert child.returncode == -signal.SIGKILL
    store = Store(tmp_path)
    assert (store.get("ab" * 32, verify=True) is not None) is there

    def go_on(work: Path) -> dict:
        assert not there
        assert (work / "resume" / "state").exists() is resumes
        assert [p.name for p in work.iterdir()] == ["resume"]
        (work / "model.bin").write_bytes(b"weights")
        return {}

    assert store.build("ab" * 32, "teacher", go_on).file("model.bin").read_bytes() == b"weights"


SLOW = """
import sys, time
from pathlib import Path
from compress.store import Store

root = Path(sys.argv[1])

def make(work):
    with open(root / "log", "a") as log:
        log.write("made\\n")
    time.sleep(0.3)
    (work / "model.bin").write_bytes(b"weights")
    return {}

events = []
artifact = Store(root / "store", events.append).build("ab" * 32, "teacher", make)
assert artifact.file("model.bin").read_bytes() == b"weights"
print([event.message for event in events])
"""


def test_runs_at_once_make_it_once_and_the_others_wait(tmp_path):
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    outputs = [run.communicate(timeout=30)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert (tmp_path / "log").read_text() == "made\n"
    assert sum("waiting" in output for output in outputs) <= 2


def test_a_killed_runs_lock_is_free_for_the_next(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", SLOW.replace("0.3", "60"), str(tmp_path)])
    while not (tmp_path / "log").exists():
        assert child.poll() is None
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert Store(tmp_path / "store").build("ab" * 32, "teacher", lambda work: {"who": "next"}).meta == {"who": "next"}
