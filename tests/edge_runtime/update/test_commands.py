"""The command line of updates, from a key to a rollback, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import KEY, make_bundle
from updates import EAGER, PERFECT

from edge_runtime.cli import main
from edge_runtime.update import install as installing
from edge_runtime.update import selftest
from edge_runtime.update.home import Home
from edge_runtime.update.trial import begin, report


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run `edge-runtime` on a home; the exit status, and what it printed."""
    options = installing.install.__kwdefaults__
    monkeypatch.setitem(options, "selftest", lambda version, *, timed: PERFECT)
    assert selftest.run is not options["selftest"]

    def command(*words: object) -> tuple[int, str, str]:
        status = main([words[0], "--home", str(tmp_path / "home"), *map(str, words[1:])])
        return (status, *capsys.readouterr())

    return command


def commit(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert report(home, version=begin(home).id, good=1000) == "committed"


def test_from_a_key_to_a_rollback(run, bundles, tmp_path):
    (tmp_path / "key.pub").write_text(KEY.public.line())
    assert run("install", bundles[1])[0] == 1
    assert run("trust", tmp_path / "key.pub") == (0, f"trusted: {KEY.public}\n", "")
    assert run("trust") == (0, f"{KEY.public}\n", "")
    status, out, _ = run("install", bundles[1], "--good", 10, "--window", 0)
    assert (status, out.split(": ")[1]) == (0, "on trial\n")
    commit(tmp_path)
    assert "already installed" in run("install", bundles[1])[1]
    assert run("install", bundles[2], "--attempts", 5, "--good", 7, "--window", 9)[0] == 0
    status, out, _ = run("status")
    assert status == 0
    assert "current   digits 2" in out
    assert "previous  digits 1" in out
    assert "5 attempts left, 0 of 7 good inferences, 0 failed, window 9 s" in out
    assert json.loads(run("status", "--json")[1])["current"]["sequence"] == 2
    status, out, _ = run("rollback", "--reason", "it is worse")
    assert (status, out.endswith("): current\n")) == (0, True)
    assert "it is worse" in run("history")[1]
    events = [json.loads(line)["event"] for line in run("history", "--json")[1].splitlines()]
    assert events == ["installed", "committed", "installed", "rolled-back"]
    status, out, err = run("install", bundles[2])
    assert (status, out) == (1, "")
    assert err.startswith("error[version-bad]: ")
    assert run("install", bundles[2], "--retry")[0] == 0
    assert run("gc") == (0, "", "")
    assert run("trust", "--remove", KEY.public.id)[0] == 0
    assert run("install", bundles[3])[2].startswith("error[bundle-key-unknown]: ")


def test_refusals_that_a_person_may_overrule(run, bundles, tmp_path):
    (tmp_path / "key.pub").write_text(KEY.public.line())
    run("trust", tmp_path / "key.pub")
    run("install", bundles[3])
    for option, code, path in (
        ("--allow-downgrade", "not-newer", bundles[2]),
        ("--other-model", "other-model", make_bundle(tmp_path, sequence=9, name="letters")),
        (
            "--ignore-expiry",
            "bundle-expired",
            make_bundle(tmp_path, sequence=10, name="letters", expires="2026-11-02T00:00:00Z"),
        ),
    ):
        assert run("install", path)[2].startswith(f"error[{code}]: ")
        assert run("install", path, option)[0] == 0


@pytest.mark.parametrize("option", ["--attempts=0", "--good=-1", "--window=nan", "--good=x"])
def test_wrong_usage(option, run, bundles):
    assert run("install", bundles[1], option)[0] == 2


@pytest.mark.parametrize("name", ["rollback", "status", "gc"])
def test_where_nothing_is_installed_it_says_so(name, run):
    status, _, err = run(name)
    assert status == 1
    assert err.startswith("error[nothing-installed]: ")


def test_a_history_of_nothing_is_empty(run):
    assert run("history") == (0, "", "")


def test_what_is_excused_is_told(run, tmp_path, monkeypatch):
    (tmp_path / "key.pub").write_text(KEY.public.line())
    run("trust", tmp_path / "key.pub")
    run("install", make_bundle(tmp_path), "--good", EAGER.good, "--window", 0)
    commit(tmp_path)
    golden = {
        "inputs": "golden/inputs.npy",
        "outputs": "golden/outputs.npy",
        "absolute": 1,
        "argmax": 1,
        "memory": None,
    }
    status, out, _ = run("install", make_bundle(tmp_path, sequence=2, golden=golden | {"p99": 1e-9}))
    assert status == 0
    assert "p99 is 1.00 ms, where 0.00 ms are allowed; the version before it does no better here" in out
