from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compress.errors import StoreError
from compress.progress import Event
from compress.store import Store, default_root

KEY = "ab" * 32


def write_two_files(work: Path) -> dict:
    (work / "model.bin").write_bytes(b"weights")
    (work / "sub").mkdir()
    (work / "sub" / "notes.txt").write_text("notes")
    return {"params": 7}


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def store(tmp_path, events) -> Store:
    return Store(tmp_path / "store", events.append)


def test_absent_artifact_is_none_and_creates_nothing(store):
    assert store.get(KEY) is None
    assert list(store.artifacts()) == []
    assert store.size() == 0
    assert not store.root.exists()


def test_built_artifact_is_found_with_its_files_and_meta(store):
    built = store.build(KEY, "teacher", write_two_files)
    found = store.get(KEY, verify=True)
    assert found == built
    assert (found.kind, found.meta, found.size) == ("teacher", {"params": 7}, 12)
    assert found.file("model.bin").read_bytes() == b"weights"
    assert found.file("sub/notes.txt").read_text() == "notes"
    assert [artifact.key for artifact in store.artifacts()] == [KEY]


def test_second_build_does_not_make_it_again(store):
    store.build(KEY, "teacher", write_two_files)
    again = store.build(KEY, "teacher", lambda work: pytest.fail("made twice"))
    assert again.file("model.bin").read_bytes() == b"weights"


def test_asking_for_a_file_it_does_not_have_names_those_it_has(store):
    artifact = store.build(KEY, "teacher", write_two_files)
    with pytest.raises(StoreError, match=r"no file 'x\.onnx', only model\.bin, sub/notes\.txt"):
        artifact.file("x.onnx")


def test_meta_is_what_reading_it_back_gives(store):
    built = store.build(KEY, "k", lambda work: {"shape": (1, 2)})
    assert built.meta == store.get(KEY).meta == {"shape": [1, 2]}


def test_failed_attempt_leaves_nothing_but_its_resume_folder_for_the_next(store):
    def fail(work: Path) -> dict:
        (work / "half.bin").write_bytes(b"ha")
        (work / "resume" / "state").write_text("epoch 3")
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        store.build(KEY, "teacher", fail)
    assert store.get(KEY) is None

    def go_on(work: Path) -> dict:
        assert sorted(p.name for p in work.iterdir()) == ["resume"]
        assert (work / "resume" / "state").read_text() == "epoch 3"
        return write_two_files(work)

    artifact = store.build(KEY, "teacher", go_on)
    assert sorted(artifact.files) == ["model.bin", "sub/notes.txt"]
    assert not (artifact.path / "resume").exists()


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (lambda p: (p / "model.bin").write_bytes(b"short"), "model.bin has 5 bytes instead of 7"),
        (lambda p: (p / "model.bin").unlink(), "model.bin is missing"),
        (lambda p: (p / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda p: (p / "manifest.json").write_text("{"), "manifest.json cannot be read"),
        (lambda p: (p / "manifest.json").write_text("[]"), "manifest.json cannot be read"),
        (lambda p: (p / "manifest.json").write_bytes(b"\xff\xfe"), "manifest.json cannot be read"),
        (lambda p: _edit(p, key="cd" * 32), "of another artifact or another version"),
        (lambda p: _edit(p, schema="compress.artifact/99"), "of another artifact or another version"),
        (lambda p: _edit(p, files={"model.bin": 3}), "manifest.json cannot be read"),
    ],
)
def test_damaged_artifact_is_set_aside_with_a_warning_and_made_anew(store, events, hurt, words):
    hurt(store.build(KEY, "teacher", write_two_files).path)
    assert store.get(KEY) is None
    assert [event.kind for event in events] == ["warning"]
    assert words in events[0].message
    assert len(list((store.root / "aside").iterdir())) == 1
    store.build(KEY, "teacher", write_two_files)
    assert store.get(KEY, verify=True).damage(hashes=True) is None


def _edit(folder: Path, **fields: object) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | fields))


def test_build_replaces_a_damaged_artifact_nobody_asked_for(store):
    (store.build(KEY, "teacher", write_two_files).path / "model.bin").unlink()
    assert store.build(KEY, "teacher", write_two_files).damage(hashes=True) is None


def test_changed_bytes_of_equal_length_are_found_on_demand(store, events):
    (store.build(KEY, "teacher", write_two_files).path / "model.bin").write_bytes(b"WEIGHTS")
    assert store.get(KEY) is not None
    assert store.get(KEY, verify=True) is None
    assert "model.bin was changed" in events[0].message


def test_links_are_refused_because_their_content_could_change(store, tmp_path):
    def link(work: Path) -> dict:
        (work / "model.bin").symlink_to(tmp_path / "elsewhere")
        return {}

    with pytest.raises(StoreError, match=r"model\.bin is not a plain file"):
        store.build(KEY, "teacher", link)
    assert store.get(KEY) is None


def test_meta_that_is_not_json_is_refused(store):
    with pytest.raises(StoreError, match="not JSON"):
        store.build(KEY, "teacher", lambda work: {"loss": float("nan")})
    assert store.get(KEY) is None


def test_full_disk_is_a_store_error_with_advice(store):
    def fill(work: Path) -> dict:
        with open("/dev/full", "w") as file:
            file.write("x")
        return {}

    with pytest.raises(StoreError, match=r"No space left on device; free some space.*--store"):
        store.build(KEY, "teacher", fill)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EIO])
def test_store_that_refuses_writing_is_a_store_error(store, monkeypatch, code):
    def refuse(source, target):
        raise OSError(code, os.strerror(code), str(target))

    monkeypatch.setattr("compress.store.os.rename", refuse)
    with pytest.raises(StoreError, match=os.strerror(code)):
        store.build(KEY, "teacher", write_two_files)
    monkeypatch.undo()
    assert store.get(KEY) is None


def test_root_that_is_a_file_is_a_store_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to the store"):
        Store(tmp_path / "file").build(KEY, "teacher", write_two_files)


def test_root_that_cannot_be_made_is_a_store_error():
    with pytest.raises(StoreError, match=r"cannot write to the store /proc/xx: No such file or directory; check"):
        Store(Path("/proc/xx")).build(KEY, "teacher", write_two_files)


@pytest.mark.parametrize("folder", ["elsewhere", "store"])
def test_errors_of_the_stage_itself_pass_through(store, tmp_path, folder):
    missing = {"elsewhere": tmp_path, "store": store.root}[folder] / "gone"
    with pytest.raises(FileNotFoundError):
        store.build(KEY, "teacher", lambda work: missing.read_text())


def test_an_artifact_made_anew_takes_the_place_of_the_old_one(store):
    store.build(KEY, "measure", write_two_files)

    def other(work):
        (work / "calls.npz").write_bytes(b"new")
        assert store.get(KEY) is not None  # the old one stays until the new one is whole
        return {}

    store.build(KEY, "measure", other, anew=True)
    assert list(store.get(KEY).files) == ["calls.npz"]
    assert list((store.root / "aside").iterdir()) == []


def test_an_artifact_stays_when_making_it_anew_fails(store):
    store.build(KEY, "measure", write_two_files)
    with pytest.raises(ZeroDivisionError):
        store.build(KEY, "measure", lambda work: 1 / 0, anew=True)
    assert store.get(KEY, verify=True) is not None


def test_gc_deletes_what_was_not_used_and_keeps_the_rest(store):
    other = "cd" * 32
    for key in (KEY, other):
        store.build(key, "teacher", write_two_files)
    long_ago = time.time() - 1000
    os.utime(store.get(KEY).path / "manifest.json", (long_ago, long_ago))
    assert store.gc(500) > 0
    assert [artifact.key for artifact in store.artifacts()] == [other]


def test_use_postpones_gc(store):
    artifact = store.build(KEY, "teacher", write_two_files)
    os.utime(artifact.path / "manifest.json", (1, 1))
    store.get(KEY)
    store.gc(500)
    assert store.get(KEY) is not None


def test_gc_deletes_abandoned_work_and_what_was_set_aside(store):
    with pytest.raises(ZeroDivisionError):
        store.build(KEY, "teacher", lambda work: {"x": 1 / 0})
    for path in [store.root / "work" / KEY, *(store.root / "work" / KEY).rglob("*")]:
        os.utime(path, (1, 1))
    (store.root / "aside" / "old").mkdir(parents=True)
    store.gc(500)
    assert list((store.root / "work").iterdir()) == list((store.root / "aside").iterdir()) == []


def test_gc_keeps_unfinished_work_that_went_on_lately(store):
    def interrupted(work: Path) -> dict:
        (work / "resume" / "state").write_text("epoch 3")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.build(KEY, "teacher", interrupted)
    work = store.root / "work" / KEY
    for path in (work, work / "resume"):
        os.utime(path, (1, 1))
    store.gc(500)
    assert (work / "resume" / "state").exists()


def test_gc_leaves_alone_what_is_being_made(store):
    def collect(work: Path) -> dict:
        os.utime(work, (1, 1))
        store.gc(0)
        assert work.is_dir()
        return write_two_files(work)

    assert store.build(KEY, "teacher", collect).damage(hashes=True) is None


def test_default_root_can_be_chosen_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("COMPRESS_STORE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("COMPRESS_STORE")
    assert default_root().name == "compress"


# Keys

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
few = settings(deadline=None, max_examples=50)
some_settings = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


def _reversed(value):
    if isinstance(value, dict):
        return {key: _reversed(value[key]) for key in reversed(value)}
    return [_reversed(item) for item in value] if isinstance(value, list) else value


@few
@given(some_settings, st.dictionaries(st.text(max_size=3), st.text(max_size=3), max_size=3))
def test_key_does_not_depend_on_the_order_of_mappings(settings, inputs):
    key = Store.key("prune", 1, settings, inputs, {"a": "1", "b": "2"})
    assert key == Store.key("prune", 1, _reversed(settings), _reversed(inputs), {"b": "2", "a": "1"})
    assert len(key) == 64


@few
@given(some_settings, st.text(max_size=5), json_values)
def test_key_changes_with_every_setting(settings, name, value):
    before = Store.key("prune", 1, settings, {}, {})
    changed = settings | {name: value}
    same = json.dumps(changed, sort_keys=True) == json.dumps(settings, sort_keys=True)
    assert (Store.key("prune", 1, changed, {}, {}) == before) is same


def test_key_changes_with_every_part():
    base = {"kind": "k", "version": 1, "settings": {"a": 1}, "inputs": {"model": "x"}, "libraries": {"torch": "2"}}
    changes = [
        {},
        {"kind": "l"},
        {"version": 2},
        {"settings": {"a": 1.5}},
        {"settings": {"a": "1"}},
        {"settings": {"a": True}},
        {"settings": {"a": [1]}},
        {"settings": {}},
        {"inputs": {"model": "y"}},
        {"inputs": {"teacher": "x"}},
        {"libraries": {"torch": "3"}},
        {"settings": {"torch": "2"}, "libraries": {"a": 1}},
    ]
    keys = {Store.key(**(base | change)) for change in changes}
    assert len(keys) == len(changes)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), Path("x"), {1, 2}, {1: "one"}, [{None: 1}], b"bytes"])
def test_key_refuses_what_is_not_json(value):
    with pytest.raises(StoreError, match="not JSON"):
        Store.key("k", 1, {"a": value}, {}, {})
