"""What a manifest may say, and how a refusal names the place."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bundles import make_manifest

from edge_runtime import limits
from edge_runtime.bundle.manifest import Tensor, canonical, parse
from edge_runtime.errors import BundleTooLargeError, ManifestError


@pytest.fixture(scope="module")
def manifest():
    return make_manifest()[0]


@pytest.fixture
def edited(manifest) -> Callable[..., bytes]:
    """The manifest's JSON with changes made by a function."""

    def edit(change: Callable[[dict], Any]) -> bytes:
        value = json.loads(canonical(manifest))
        change(value)
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    return edit


def test_parse_gives_back_what_canonical_wrote(manifest):
    full = replace(
        manifest,
        target="aarch64-linux",
        features=("dotprod", "fp16"),
        runtime="tensorrt",
        build={"builder": "tensorrt", "typed": "strongly", "batch": [1, 1, 256]},
        preprocess={"kind": "text", "tokenizer": "sbom.cdx.json", "length": 128},
        labels=("straße", "日本"),
        golden=manifest.golden | {"p99": 0.05, "memory": 10**9, "absolute": 1e-7},
        reference="sbom.cdx.json",
        provenance={"a": {"b": [1, 2.5, None, True]}},
        measured={"latency": {"p50": 0.1 + 0.2}},
        expires="2030-01-31T12:00:00Z",
        raise_floor=1,
    )
    for each in (manifest, full, replace(manifest, preprocess={"kind": "tensor"})):
        assert parse(canonical(each)) == each
        assert canonical(parse(canonical(each))) == canonical(each)


def test_canonical_does_not_depend_on_the_order_of_keys(manifest):
    turned = replace(manifest, golden=dict(reversed(manifest.golden.items())))
    assert canonical(turned) == canonical(manifest)


def test_numbers_that_json_cannot_hold_are_not_written(manifest):
    for value in (float("nan"), float("inf"), b"bytes"):
        with pytest.raises(ManifestError, match="cannot be written as JSON"):
            canonical(replace(manifest, measured={"x": value}))


def test_text_that_is_no_utf8_is_not_written(manifest):
    with pytest.raises(ManifestError, match="cannot be written as JSON"):
        canonical(replace(manifest, labels=("\ud800",)))


REFUSED = {
    "another_schema": (lambda m: m.update(schema=2), r"schema 2, and this edge-runtime reads 1"),
    "schema_that_only_equals_one": (lambda m: m.update(schema=True), "schema True"),
    "schema_as_a_float": (lambda m: m.update(schema=1.0), "schema 1.0"),
    "no_schema": (lambda m: m.pop("schema"), "schema None"),
    "unknown_key": (lambda m: m.update(colour="red"), r"unknown key 'colour'"),
    "missing_key": (lambda m: m.pop("labels"), "lacks the key 'labels'"),
    "name_with_a_slash": (lambda m: m.update(name="a/b"), "name: is 'a/b'"),
    "name_of_spaces": (lambda m: m.update(name=" "), "name"),
    "name_with_a_newline": (lambda m: m.update(name="digits\n"), "name"),
    "long_name": (lambda m: m.update(name="a" * 101), "name"),
    "sequence_zero": (lambda m: m.update(sequence=0), "sequence: is 0"),
    "negative_sequence": (lambda m: m.update(sequence=-1), "sequence"),
    "sequence_true": (lambda m: m.update(sequence=True), "sequence: is True"),
    "sequence_as_text": (lambda m: m.update(sequence="1"), "sequence: is '1'"),
    "sequence_as_a_float": (lambda m: m.update(sequence=1.0), "sequence: is 1.0"),
    "huge_sequence": (lambda m: m.update(sequence=2**53), "sequence"),
    "unknown_target": (lambda m: m.update(target="windows"), "target: is 'windows', and must be one of x86_64-linux"),
    "target_as_a_list": (lambda m: m.update(target=["any"]), "target"),
    "feature_with_spaces": (lambda m: m.update(features=["a b"]), r"features\[0\]"),
    "feature_twice": (lambda m: m.update(features=["avx2", "avx2"]), "features: names one twice"),
    "runtime_with_a_path": (lambda m: m.update(runtime="../x"), "runtime"),
    "version_of_words": (lambda m: m.update(runtime_minimum="latest"), "runtime_minimum"),
    "version_with_zeros": (lambda m: m.update(runtime_minimum="1.01"), "runtime_minimum"),
    "model_not_among_the_files": (lambda m: m.update(model="other.onnx"), "model: 'other.onnx' is not among its files"),
    "no_inputs": (lambda m: m.update(inputs=[]), "inputs: has 0 entries"),
    "unknown_dtype": (lambda m: m["inputs"][0].update(dtype="object"), r"inputs\[0\]: dtype: is 'object'"),
    "negative_axis": (lambda m: m["inputs"][0].update(shape=[-1]), r"inputs\[0\]: shape\[0\]: is -1"),
    "many_axes": (lambda m: m["inputs"][0].update(shape=[1] * 9), "shape: has 9 entries"),
    "tensor_with_an_unknown_key": (lambda m: m["inputs"][0].update(x=1), r"inputs\[0\]: has the unknown key 'x'"),
    "tensor_twice": (lambda m: m.update(inputs=m["inputs"] * 2), "inputs: names a tensor twice"),
    "unknown_preprocess": (lambda m: m.update(preprocess={"kind": "exec"}), "preprocess: kind: is 'exec'"),
    "preprocess_of_no_kind": (lambda m: m.update(preprocess={}), "preprocess: lacks the key 'kind'"),
    "preprocess_as_a_list": (lambda m: m.update(preprocess=[]), "preprocess"),
    "image_of_no_size": (lambda m: m["preprocess"].update(size=[0, 28]), r"size\[0\]: is 0"),
    "image_of_one_side": (lambda m: m["preprocess"].update(size=[28]), "size: has 1 entries"),
    "huge_image": (lambda m: m["preprocess"].update(size=[28, 10**6]), r"size\[1\]"),
    "two_channels": (lambda m: m["preprocess"].update(channels=2), "2 channels"),
    "unknown_resize": (lambda m: m["preprocess"].update(resize="magic"), "resize"),
    "tensor_with_a_size": (lambda m: m.update(preprocess={"kind": "tensor", "size": [1, 1]}), "unknown key 'size'"),
    "tokenizer_elsewhere": (
        lambda m: m.update(preprocess={"kind": "text", "tokenizer": "/etc/passwd", "length": 1}),
        "tokenizer: '/etc/passwd' is not a path",
    ),
    "label_of_control_characters": (lambda m: m.update(labels=["\x1b[31m"]), r"labels\[0\]"),
    "empty_label": (lambda m: m.update(labels=[""]), r"labels\[0\]"),
    "no_files": (lambda m: m.update(files=[]), "files: has 0 entries"),
    "file_twice": (lambda m: m["files"].append(m["files"][0]), "files: names a path twice"),
    "manifest_as_a_file": (lambda m: m["files"][0].update(path="manifest.json"), "names manifest.json"),
    "signature_as_a_file": (lambda m: m["files"][0].update(path="manifest.sig"), "names manifest.sig"),
    "file_below_a_file": (
        lambda m: m["files"].append(m["files"][0] | {"path": "model/model.onnx/x"}),
        "'model/model.onnx' both as a file and as a folder",
    ),
    "file_below_the_manifest": (
        lambda m: m["files"].append(m["files"][0] | {"path": "manifest.json/x"}),
        "'manifest.json' both as a file and as a folder",
    ),
    "deep_path": (lambda m: m["files"][0].update(path="a/b/c/d/e"), "is not a path"),
    "long_path": (lambda m: m["files"][0].update(path="a" * 201), "is not a path"),
    "hidden_path": (lambda m: m["files"][0].update(path=".bashrc"), "is not a path"),
    "path_that_looks_like_an_option": (lambda m: m["files"][0].update(path="-rf"), "is not a path"),
    "upper_case_path": (lambda m: m["files"][0].update(path="A"), "is not a path"),
    "path_with_a_newline": (lambda m: m["files"][0].update(path="a\n"), "is not a path"),
    "short_hash": (lambda m: m["files"][0].update(sha256="ab"), r"files\[0\]: sha256"),
    "upper_case_hash": (lambda m: m["files"][0].update(sha256="AB" * 32), "sha256"),
    "negative_size": (lambda m: m["files"][0].update(size=-1), r"files\[0\]: size: is -1"),
    "huge_size": (lambda m: m["files"][0].update(size=2**40), "size"),
    "huge_sum_of_sizes": (
        lambda m: [f.update(size=2**31 - 1) for f in m["files"]],
        "more than 2147483648 bytes in all",
    ),
    "golden_elsewhere": (lambda m: m["golden"].update(inputs="../x.npy"), "golden: inputs"),
    "golden_of_another_kind": (lambda m: m["golden"].update(inputs="sbom.cdx.json"), "is not an .npy file"),
    "golden_that_accepts_anything": (lambda m: m["golden"].update(absolute=1e31), "golden: absolute"),
    "negative_tolerance": (lambda m: m["golden"].update(absolute=-1), "golden: absolute"),
    "agreement_above_one": (lambda m: m["golden"].update(argmax=1.5), "golden: argmax"),
    "agreement_true": (lambda m: m["golden"].update(argmax=True), "golden: argmax"),
    "golden_without_argmax": (lambda m: m["golden"].pop("argmax"), "golden: lacks the key 'argmax'"),
    "memory_of_half_a_byte": (lambda m: m["golden"].update(memory=0.5), "golden: memory"),
    "reference_not_among_the_files": (lambda m: m.update(reference="x.json"), "reference"),
    "no_sbom": (lambda m: m.update(sbom=None), "sbom"),
    "unknown_builder": (
        lambda m: m.update(build={"builder": "make", "typed": "strongly", "batch": [1, 1, 1]}),
        "build: builder: is 'make'",
    ),
    "batches_out_of_order": (
        lambda m: m.update(build={"builder": "tensorrt", "typed": "strongly", "batch": [2, 1, 4]}),
        "build: batch",
    ),
    "terminal_codes_in_provenance": (
        lambda m: m.update(provenance={"a": [{"b": "\x1b]0;owned\x07"}]}),
        "provenance: a: b: must be",
    ),
    "terminal_codes_in_a_key": (lambda m: m.update(measured={"\x1b[2J": 1}), "measured: must be"),
    "long_text_in_provenance": (lambda m: m.update(provenance={"a": "x" * 1001}), "provenance: a"),
    "provenance_as_text": (lambda m: m.update(provenance="me"), "provenance"),
    "expires_in_words": (lambda m: m.update(expires="tomorrow"), "expires: is 'tomorrow'"),
    "expires_elsewhere": (lambda m: m.update(expires="2030-01-31T12:00:00+02:00"), "expires"),
    "expires_on_no_day": (lambda m: m.update(expires="2030-02-30T12:00:00Z"), "expires"),
    "expires_as_a_number": (lambda m: m.update(expires=1e9), "expires"),
    "floor_above_its_own_sequence": (lambda m: m.update(raise_floor=2), "raise_floor: is 2"),
    "negative_floor": (lambda m: m.update(raise_floor=-1), "raise_floor"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused_and_says_where(edited, case):
    change, words = REFUSED[case]
    with pytest.raises(ManifestError, match=words) as caught:
        parse(edited(change))
    assert str(caught.value).startswith("manifest.json")
    assert (caught.value.code, caught.value.status) == ("bundle-manifest-invalid", 400)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b'{"schema":1,"schema":1}',
        b'{"schema":NaN}',
        b'{"schema":1e999}',
        b'{"schema":' + b"9" * 100 + b"}",
        b'{"schema":1.' + b"9" * 100_000 + b"}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'"' + b'\\"' * 100_000,
        b'{"schema":1} trailing',
    ],
    ids=lambda data: data[:16].decode("latin-1") + f"...{len(data)}",
)
def test_what_is_not_plain_json_is_refused_quickly(data):
    started = time.perf_counter()
    with pytest.raises(ManifestError):
        parse(data)
    assert time.perf_counter() - started < 1


def test_nesting_is_counted_outside_of_texts_only(manifest):
    deep = "[" * limits.JSON_DEPTH * 2
    for text in (deep, deep + '"', deep + '\\"' + deep, "\\" + deep):
        wordy = replace(manifest, provenance={"words": text})
        assert parse(canonical(wordy)) == wordy


def test_free_objects_are_bounded_in_depth(manifest):
    value: Any = 1
    for _ in range(limits.JSON_DEPTH):
        value = [value]
    with pytest.raises(ManifestError, match="nests"):
        parse(canonical(replace(manifest, provenance={"x": value})))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data + b"\n",
        lambda data: data.replace(b'"sequence":1', b'"sequence": 1'),
        lambda data: data.replace(b'"argmax":1.0', b'"argmax":1.00'),
        lambda data: data.replace(b"class-1", b"class\\u002d1"),
        lambda data: data.replace(b'{"build":null,', b"{").replace(b'"target"', b'"build":null,"target"'),
    ],
    ids=["newline", "space", "number", "escape", "order"],
)
def test_there_is_one_way_to_write_a_manifest(manifest, change):
    data = change(canonical(manifest))
    assert data != canonical(manifest)
    assert json.loads(data) == json.loads(canonical(manifest))
    with pytest.raises(ManifestError, match="is not in the form"):
        parse(data)


def test_more_than_the_cap_is_refused_unread():
    with pytest.raises(BundleTooLargeError, match="1048577 bytes"):
        parse(b"\xff" * (limits.MANIFEST_BYTES + 1))


def test_the_largest_manifest_is_read_in_a_second(manifest):
    large = replace(manifest, labels=tuple(f"{i:06d} label" for i in range(65_536)))
    assert limits.MANIFEST_BYTES * 0.9 < len(canonical(large)) <= limits.MANIFEST_BYTES
    started = time.perf_counter()
    assert parse(canonical(large)) == large
    assert time.perf_counter() - started < 2


def test_too_many_files_are_refused(edited):
    def fill(value):
        value["files"] += [value["files"][0] | {"path": f"file-{i}"} for i in range(limits.BUNDLE_FILES)]

    with pytest.raises(ManifestError, match="files: has 68 entries"):
        parse(edited(fill))


def test_many_tensors_are_told_apart(manifest):
    two = replace(manifest, inputs=(Tensor("ids", "int64", (None, None)), Tensor("mask", "int64", (None, None))))
    assert parse(canonical(two)).inputs[1].name == "mask"
