from __future__ import annotations

import os

import pytest

from compress.store import Store

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path) -> Store:
    def make(work):
        (work / "model.bin").write_bytes(bytes(2_000_000))
        return {}

    store = Store(tmp_path / "store")
    store.build(KEY, "teacher", make)
    return store


def test_artifacts_are_listed_by_kind_with_their_size(call, store):
    lines = call("store", "--store", store.root).stdout.splitlines()
    assert lines[0].split() == ["teacher", "1", "2.0", "MB"]
    assert lines[-1] == f"{store.root}: 2.0 MB"


def test_gc_frees_what_was_not_used(call, store):
    assert call("store", "--store", store.root, "--gc", 1).stdout.startswith("freed 0.0 MB")
    os.utime(store.get(KEY).path / "manifest.json", (1, 1))
    assert call("store", "--store", store.root, "--gc", 1).stdout.startswith("freed 2.0 MB")
    assert store.get(KEY) is None


def test_verify_finds_changed_bytes(call, store):
    file = store.get(KEY).file("model.bin")
    file.write_bytes(b"x" * 2_000_000)
    assert "teacher" in call("store", "--store", store.root).stdout
    result = call("store", "--store", store.root, "--verify")
    assert "model.bin was changed" in result.stderr
    assert "teacher" not in result.stdout
