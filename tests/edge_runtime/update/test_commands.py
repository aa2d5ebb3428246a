"""The command line of updates, from a key to a rollback, as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundles import KEY, make_bundle
from updates import EAGER, PERFECT

from edge_runtime.cli import main
from edge_runtime.update import history, selftest
from edge_runtime.update import install as installing
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
    assert run("gc") == (0, "nothing to remove\n", "")
    assert run("trust", "--remove", KEY.public.id)[0] == 0
    status, out, err = run("trust")
    assert (status, out) == (0, "") and "no key is trusted" in err
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


@pytest.mark.parametrize("option", ["--attempts=0", "--good=-1", "--window=nan", "--good=x", "--window=soon"])
def test_wrong_usage_says_what_is_right(option, run, bundles):
    status, _, err = run("install", bundles[1], option)
    what = "seconds below 1e9" if "window" in option else "whole number of at least 1"
    name, value = option.split("=")
    assert status == 2
    assert f"argument {name}: must be a" in err and f"{what}, not '{value}'" in err


def test_an_interrupted_install_says_what_has_become_of_it(run, bundles, tmp_path, monkeypatch):
    (tmp_path / "key.pub").write_text(KEY.public.line())
    run("trust", tmp_path / "key.pub")
    options = installing.install.__kwdefaults__

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(options, "selftest", interrupted)
        assert run("install", bundles[1]) == (130, "", "interrupted; the version that was current still is\n")
    with monkeypatch.context() as patch:
        patch.setattr(history, "note", lambda _, __, event, **___: event == "installed" and interrupted())
        assert run("install", bundles[1]) == (130, "", "interrupted; it is installed all the same\n")
    assert "already installed" in run("install", bundles[1])[1]


def test_the_last_attempt_is_one(run, bundles, tmp_path):
    (tmp_path / "key.pub").write_text(KEY.public.line())
    run("trust", tmp_path / "key.pub")
    run("install", bundles[1], "--attempts", 1)
    assert "trial     1 attempt left, " in run("status")[1]


def test_a_version_that_is_gone_is_told_as_damaged(run, bundles, tmp_path):
    (tmp_path / "key.pub").write_text(KEY.public.line())
    run("trust", tmp_path / "key.pub")
    run("install", bundles[1])
    for path in (tmp_path / "home" / "versions").glob("*/manifest.json"):
        path.unlink()
    out = run("status")[1]
    assert "current   damaged (" in out and "None" not in out
    assert out.count("problem ") == 1


@pytest.mark.parametrize("name", ["rollback", "status", "gc", "history"])
def test_where_nothing_is_installed_it_says_so(name, run):
    status, _, err = run(name)
    assert status == 1
    assert err.startswith("error[nothing-installed]: ")
    assert "use `edge-runtime install`" in err


def test_the_history_of_a_home_without_events_is_empty(run, tmp_path):
    (tmp_path / "home").mkdir()
    assert run("history") == (0, "", "")


def test_the_history_names_what_was_removed(run, bundles, tmp_path):
    (tmp_path / "key.pub").write_text(KEY.public.line())
    run("trust", tmp_path / "key.pub")
    run("install", bundles[1])
    (tmp_path / "home" / "versions" / ("0" * 64)).mkdir()
    assert run("gc")[1] == f"removed {'0' * 64}\n"
    assert run("history")[1].splitlines()[-1].endswith(f" removed {'0' * 12}")


def test_nothing_that_commands_a_terminal_is_printed_or_kept(run, bundles, tmp_path):
    home = tmp_path / "home"
    (tmp_path / "key.pub").write_text(KEY.public.line())
    run("trust", tmp_path / "key.pub")
    run("install", bundles[1], "--good", 1, "--window", 0)
    commit(tmp_path)
    run("install", bundles[2])
    run("rollback", "--reason", "\x1b]0;pwned\x07\x9b2Jit\nis worse")
    kept = (home / "state.json").read_text() + (home / "history.jsonl").read_text()
    assert "\\u001b" not in kept and "\\u009b" not in kept and "\x1b" not in kept
    # And what is there from before, or from somebody else.
    with (home / "history.jsonl").open("a") as stream:
        stream.write(json.dumps({"at": "now\x1b[2J", "event": "x\x9b2J", "reason": "\x1b[31m\ny"}) + "\n")
    (home / "keys" / "\x1b[2J.pub").write_text("nonsense")
    for words in (("history",), ("status",), ("trust",)):
        status, out, err = run(*words)
        assert status == 0
        assert all(letter.isprintable() or letter == "\n" for letter in out + err)
    assert "is worse" in run("history")[1] and "is worse" in run("status")[1]
    assert "not used: " in run("trust")[2]


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
