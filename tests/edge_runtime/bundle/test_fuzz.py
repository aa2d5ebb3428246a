"""Random and half-right bytes: a reader refuses them or understands them completely; nothing else ever happens.

EDGE_RUNTIME_FUZZ=<examples of each test> makes it as long as wanted; without it the tests take some seconds.
"""

from __future__ import annotations

import copy
import json
import os
from typing import Any

import oracles
import pytest
from bundles import KEY
from forged import signed, small, zipped
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.bundle import signature
from edge_runtime.bundle.manifest import canonical
from edge_runtime.errors import BundleError

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
    data = oracles.ARCHIVE
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 100)))
        piece = draw(st.binary(max_size=60) | st.just(data[start:end] * 2) | st.just(b"PK\5\6" + bytes(18)))
        data = data[:start] + piece + data[end:]
    return data


@long
@given(st.binary(max_size=2000))
def test_random_bytes_as_a_manifest(data):
    oracles.manifest_text(data)


@long
@given(st.text(max_size=500))
def test_random_text_as_a_manifest(text):
    oracles.manifest_text(text.encode("utf-8", "surrogatepass"))


@long
@given(json_values)
def test_random_json_as_a_manifest(value):
    oracles.manifest_text(json.dumps(value).encode())


@long
@given(edited_manifests())
def test_edited_manifests(data):
    oracles.manifest_text(data)


@long
@given(content=st.binary(max_size=1500) | edited_archives())
def test_edited_archives(tmp_path, content):
    oracles.bundle(tmp_path, content, may_pass=content == oracles.ARCHIVE)


@long
@given(content=edited_manifests())
def test_edited_manifests_under_a_good_signature(tmp_path, content):
    oracles.bundle(tmp_path, zipped(signed(content, small()[1])), may_pass=True)


@long
@given(data=st.binary(max_size=200), key=st.binary(min_size=32, max_size=32))
def test_random_signatures_and_keys(data, key):
    with pytest.raises(BundleError):
        signature.verify(b"message", data, [signature.PublicKey(key, "random"), KEY.public])


@long
@given(data=st.binary(max_size=200) | st.text(max_size=80).map(lambda text: f"edge-ed25519 {text} x".encode()))
def test_random_key_files(tmp_path, data):
    oracles.key_file(tmp_path, data)
