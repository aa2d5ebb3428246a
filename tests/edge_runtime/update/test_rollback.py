"""Going back by hand, and what it needs: no engine, no numpy, no signature library, no network."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from bundles import make_bundle
from updates import installed, state_of

from edge_runtime.errors import NothingInstalledError, NoWayBackError
from edge_runtime.update.home import Home
from edge_runtime.update.rollback import rollback
from edge_runtime.update.trial import begin


def test_it_goes_to_the_version_before_and_marks_the_one_it_leaves(home, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], commit=True)
    assert rollback(home, "customers complain").id == first
    found = state_of(home)
    assert (found.current, found.previous, found.good) == (first, None, first)
    assert dict(found.bad) == {second: "customers complain"}
    assert [home.linked(name) for name in ("current", "previous", "good")] == [first, None, first]


def test_it_cannot_go_back_twice(home, bundles):
    installed(home, bundles[1], commit=True)
    installed(home, bundles[2], commit=True)
    third = installed(home, bundles[3], commit=True)
    assert rollback(home).manifest.sequence == 2
    with pytest.raises(NoWayBackError, match="no version before this one"):
        rollback(home)
    assert home.current().manifest.sequence == 2
    assert third in state_of(home).bad


def test_nothing_is_lost_where_there_is_no_way_back(home, bundles):
    with pytest.raises(NothingInstalledError):
        rollback(home)
    first = installed(home, bundles[1])
    with pytest.raises(NoWayBackError):
        rollback(home)
    assert begin(home).id == first
    assert state_of(home).bad == {}


def test_it_does_not_go_below_the_floor(home, bundles, tmp_path):
    installed(home, bundles[1], commit=True)
    second = installed(home, make_bundle(tmp_path, sequence=2, raise_floor=2), commit=True)
    with pytest.raises(NoWayBackError):
        rollback(home)
    assert begin(home).id == second


def test_it_does_not_go_to_a_damaged_version(home, bundles):
    first = installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], commit=True)
    (home.versions / first / "model/model.onnx").unlink()
    with pytest.raises(NoWayBackError, match=f"{first[:12]} is damaged"):
        rollback(home)
    assert begin(home).id == second


def test_a_very_long_reason_is_cut(home, bundles):
    installed(home, bundles[1], commit=True)
    second = installed(home, bundles[2], commit=True)
    rollback(home, "x" * 100_000)
    assert len(state_of(home).bad[second]) == 500


HEAVY = ("numpy", "onnxruntime", "openvino", "nacl", "onnx", "PIL")
GO_BACK = f"""
import json, sys
for name in {HEAVY}:
    sys.modules[name] = None  # importing it fails, as that of a broken one would
from edge_runtime.cli import main
from edge_runtime.update.home import Home
from edge_runtime.update.trial import begin, report
home = Home(sys.argv[1])
begin(home)
assert report(home, version=home.linked("current"), failed=100) == "rolled-back"
assert main(["--home", sys.argv[1], "status"]) == main(["--home", sys.argv[1], "history"]) == 0
loaded = [name for name in sys.modules if sys.modules[name] is not None]
print(json.dumps([name for name in {HEAVY} if any((m + ".").startswith(name + ".") for m in loaded)]))
"""
BY_HAND = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None
from edge_runtime.cli import main
sys.exit(main(["--home", sys.argv[1], "rollback"]))
"""


@pytest.mark.integration
def test_going_back_needs_no_engine_and_no_numpy(home, bundles):
    first = installed(home, bundles[1], commit=True)
    installed(home, bundles[2])
    done = subprocess.run([sys.executable, "-c", GO_BACK, home.root], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert Home(home.root).linked("current") == first


@pytest.mark.integration
def test_going_back_by_hand_needs_none_either(home, bundles):
    first = installed(home, bundles[1], commit=True)
    installed(home, bundles[2])
    subprocess.run([sys.executable, "-c", BY_HAND, home.root], capture_output=True, text=True, check=True)
    assert home.linked("current") == first
