"""Random and half-right bytes: a reader refuses them or understands them completely; nothing else ever happens.

EDGE_RUNTIME_FUZZ=<examples of each test> makes it as long as wanted; without it the tests take some seconds.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import pytest
from bundles import KEY
from forged import honest, signed, small, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import archive, manifest, signature
from edge_runtime.bundle.manifest import canonical
from edge_runtime.errors import BundleError, KeyFileError

long = settings(
    max_examples=int(os.environ.get("EDGE_RUNTIME_FUZZ", "150")),
    deadline=2000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["..", "/", "a/b"]),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=10), children, max_size=4),
    max_leaves=12,
)
SMALL = json.loads(canonical(small()[0]))
ARCHIVE = zipped(honest())


def places(value: Any, above: tuple = ()) -> list[tuple]:
    """The path of every value in a JSON value."""
    found = [above] if above else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*above, key))
    return found


@st.composite
def edited_manifests(draw) -> bytes:
    """The small manifest with up to three values replaced, removed or added."""
    value = copy.deepcopy(SMALL)
    for _ in range(draw(st.integers(1, 3))):
        known = places(value)
        if not known:
            break
        *above, last = draw(st.sampled_from(known))
        inside = value
        for key in above:
            inside = inside[key]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                inside[last] = draw(json_values)
            case "remove":
                del inside[last]
            case "add" if isinstance(inside, dict):
                inside[draw(st.text(max_size=8))] = draw(json_values)
            case "add":
                inside.append(draw(json_values))
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=draw(st.booleans())).encode(
        "utf-8", "surrogatepass"
    )


@st.composite
def edited_archives(draw) -> bytes:
    """The small bundle with pieces cut out, overwritten, doubled or put in."""
    data = ARCHIVE
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 100)))
        piece = draw(st.binary(max_size=60) | st.just(data[start:end] * 2) | st.just(b"PK\5\6" + bytes(18)))
        data = data[:start] + piece + data[end:]
    return data


def refused_or_understood(data: bytes) -> None:
    try:
        found = manifest.parse(data)
    except BundleError as error:
        assert str(error).startswith("manifest.json")
        return
    assert canonical(found) == data
    assert all(".." not in file.path and not file.path.startswith("/") for file in found.files)


@long
@given(st.binary(max_size=2000))
def test_random_bytes_as_a_manifest(data):
    refused_or_understood(data)


@long
@given(st.text(max_size=500))
def test_random_text_as_a_manifest(text):
    refused_or_understood(text.encode("utf-8", "surrogatepass"))


@long
@given(json_values)
def test_random_json_as_a_manifest(value):
    refused_or_understood(json.dumps(value).encode())


@long
@given(edited_manifests())
def test_edited_manifests(data):
    refused_or_understood(data)


@long
@given(content=st.binary(max_size=1500) | edited_archives())
def test_edited_archives(tmp_path, content):
    read_both(tmp_path, content, may_pass=content == ARCHIVE)


@long
@given(content=edited_manifests())
def test_edited_manifests_under_a_good_signature(tmp_path, content):
    read_both(tmp_path, zipped(signed(content, small()[1])), may_pass=True)


@long
@given(data=st.binary(max_size=200), key=st.binary(min_size=32, max_size=32))
def test_random_signatures_and_keys(data, key):
    with pytest.raises(BundleError):
        signature.verify(b"message", data, [signature.PublicKey(key, "random"), KEY.public])


@long
@given(data=st.binary(max_size=200) | st.text(max_size=80).map(lambda text: f"edge-ed25519 {text} x".encode()))
def test_random_key_files(tmp_path, data):
    (tmp_path / "k.pub").write_bytes(data)
    try:
        key = signature.load_public(tmp_path / "k.pub")
    except KeyFileError:
        return
    assert key.line().encode().rstrip() == data.rstrip()


def read_both(folder, content: bytes, *, may_pass: bool) -> None:
    path, inner = folder / "m.edge", folder / "inner"
    inner.mkdir(exist_ok=True)
    path.write_bytes(content)
    written = []

    def store(place, blocks):
        written.append(place)
        for _ in blocks:
            pass

    full = False
    for read in (
        lambda: archive.read_signed_manifest(path, [KEY.public]),
        lambda: archive.unpack(path, inner, [KEY.public], store=store),
    ):
        try:
            read()
            # An edit within a file leaves the length, and is found by ``unpack`` alone.
            assert may_pass or (not full and len(content) == len(ARCHIVE))
        except BundleError:
            pass
        full = True
    assert all(inner in place.resolve().parents for place in written)
