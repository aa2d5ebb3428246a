"""The Open Inference Protocol without HTTP: what is understood, and what is refused before it costs anything."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from edge_runtime import limits
from edge_runtime.errors import ModelUnfitError, NotFiniteError, RequestError, RequestTooLargeError
from edge_runtime.serve.protocol import Signature, parse, render
from edge_runtime.sessions.base import TensorSpec

PIXELS = Signature.of(
    (TensorSpec("input", "uint8", ("batch", 1, 2, 2)),), (TensorSpec("logits", "float32", ("batch", 3)),)
)
PAIR = Signature.of(
    (TensorSpec("left", "float32", ("n", 2)), TensorSpec("right", "int64", ("n", None))),
    (TensorSpec("sum", "float32", ("n", 2)), TensorSpec("other", "float64", ("n",))),
)


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "input", "shape": [1, 1, 2, 2], "datatype": "UINT8", "data": [0, 1, 2, 255], **changes}


def binary(size: Any, **changes: Any) -> dict[str, Any]:
    entry = tensor(parameters={"binary_data_size": size}, **changes)
    del entry["data"]
    return entry


def body(*inputs: Any, **changes: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **changes}).encode()


def test_flat_and_nested_data_are_the_same_array():
    flat = parse(body(tensor()), None, PIXELS).inputs["input"]
    nested = parse(body(tensor(data=[[[[0, 1], [2, 255]]]])), None, PIXELS).inputs["input"]
    assert flat.dtype == nested.dtype == np.uint8
    np.testing.assert_array_equal(flat, [[[[0, 1], [2, 255]]]])
    np.testing.assert_array_equal(flat, nested)


def test_bytes_after_the_json_are_the_array():
    head = body(binary(4))
    request = parse(head + bytes([0, 1, 2, 255]), len(head), PIXELS)
    np.testing.assert_array_equal(request.inputs["input"], [[[[0, 1], [2, 255]]]])
    assert request.samples == 1


def test_binary_inputs_follow_in_the_order_of_the_json_and_may_be_unaligned():
    left, right = np.array([[1.5, -2]], "<f4"), np.array([[7]], "<i8")
    entries = [
        {"name": "right", "shape": [1, 1], "datatype": "INT64", "parameters": {"binary_data_size": 8}},
        {"name": "left", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
    ]
    for padding in range(8):  # whatever the JSON's length does to the place of the first byte
        head = json.dumps({"inputs": entries}).encode() + b" " * padding
        request = parse(head + right.tobytes() + left.tobytes(), len(head), PAIR)
        np.testing.assert_array_equal(request.inputs["left"], left)
        np.testing.assert_array_equal(request.inputs["right"], right)
        assert all(array.flags.aligned for array in request.inputs.values())


def test_an_answer_reads_back_as_what_the_model_gave():
    outputs = {"sum": np.array([[0.1, 1e30]], np.float32), "other": np.array([1 / 3])}
    request = parse(
        json.dumps(
            {
                "id": "7",
                "inputs": [
                    {"name": "left", "shape": [1, 2], "datatype": "FP32", "data": [1, 2.5]},
                    {"name": "right", "shape": [1, 1], "datatype": "INT64", "data": [[3]]},
                ],
                "outputs": [{"name": "other", "parameters": {"binary_data": True}}, {"name": "sum"}],
            }
        ).encode(),
        None,
        PAIR,
    )
    content, length = render(request, outputs, "digits", "3")
    answer = json.loads(content[:length])
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("digits", "3", "7")
    other, total = answer["outputs"]
    assert np.frombuffer(content[length:], "<f8") == outputs["other"]
    assert other["parameters"] == {"binary_data_size": 8} and other["datatype"] == "FP64"
    np.testing.assert_array_equal(np.array(total["data"], np.float32), outputs["sum"].ravel())
    assert total["shape"] == [1, 2]


def test_without_a_list_all_outputs_come_as_json_or_as_bytes_if_the_request_says_so():
    assert parse(body(tensor()), None, PIXELS).outputs == [("logits", False)]
    assert parse(body(tensor(), outputs=[]), None, PIXELS).outputs == [("logits", False)]
    wanted = {"parameters": {"binary_data_output": True}}
    assert parse(body(tensor(), **wanted), None, PIXELS).outputs == [("logits", True)]
    wanted["outputs"] = [{"name": "logits", "parameters": {"binary_data": False}}]
    assert parse(body(tensor(), **wanted), None, PIXELS).outputs == [("logits", False)]


def test_a_timeout_is_microseconds_and_zero_is_none():
    assert parse(body(tensor(), parameters={"timeout": 1500}), None, PIXELS).timeout == 0.0015
    assert parse(body(tensor(), parameters={"timeout": 0}), None, PIXELS).timeout is None


def test_infinity_is_refused_as_json_and_given_as_bytes():
    request = parse(body(tensor()), None, PIXELS)
    with pytest.raises(NotFiniteError, match="binary"):
        render(request, {"logits": np.array([[np.nan]], np.float32)}, "m", "1")
    request.outputs = [("logits", True)]
    content, length = render(request, {"logits": np.array([[np.nan]], np.float32)}, "m", "1")
    assert np.isnan(np.frombuffer(content[length:], "<f4")).all()


def test_a_model_of_texts_cannot_be_served():
    with pytest.raises(ModelUnfitError, match="object"):
        Signature.of((TensorSpec("text", "object", ("n",)),), ())


HUGE = 2**40
BAD = {
    "empty": b"",
    "not JSON": b"{",
    "not an object": b"[]",
    "not UTF-8": b'{"inputs": [{"name": "\xff"}]}',
    "NaN": body(tensor()).replace(b"255", b"NaN"),
    "infinity": body(tensor()).replace(b"255", b"Infinity"),
    "deep nesting": b'{"inputs":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "deep data": body(tensor()).replace(b"[0, 1, 2, 255]", b"[" * 500 + b"]" * 500),
    "no inputs": b"{}",
    "inputs of another kind": b'{"inputs": {}}',
    "too few inputs": body(),
    "too many inputs": body(tensor(), tensor()),
    "input that is no object": body([]),
    "unknown name": body(tensor(name="x" * 10**5)),
    "name of another kind": body(tensor(name=["input"])),
    "no shape": body(tensor(shape=None)),
    "empty shape": body(tensor(shape=[])),
    "negative size": body(tensor(shape=[1, 1, -2, -2])),
    "zero size": body(tensor(shape=[0, 1, 2, 2], data=[])),
    "boolean size": body(tensor(shape=[True, 1, 2, 2])),
    "fractional size": body(tensor(shape=[1.0, 1, 2, 2])),
    "size beyond 64 bits": body(tensor(shape=[2**70, 1, 2, 2])),
    "other rank": body(tensor(shape=[1, 4])),
    "many axes": body(tensor(shape=[1] * 1000)),
    "other fixed size": body(tensor(shape=[1, 1, 4, 1])),
    "other datatype": body(tensor(datatype="FP32")),
    "datatype of another kind": body(tensor(datatype=["UINT8"])),
    "no data": body(tensor(data=None)),
    "one number": body(tensor(data=3)),
    "text as data": body(tensor(data="abcd")),
    "too few numbers": body(tensor(data=[1])),
    "too many numbers": body(tensor(data=[1] * 5)),
    "numbers the type cannot hold": body(tensor(data=[0, 0, 0, 256])),
    "negative numbers": body(tensor(data=[0, 0, 0, -1])),
    "numbers beyond 64 bits": body(tensor(data=[0, 0, 0, 2**63])),
    "fractions": body(tensor(data=[0, 0, 0, 0.5])),
    "null": body(tensor(data=[0, 0, 0, None])),
    "booleans": body(tensor(data=[True] * 4)),
    "long texts": body(tensor(data=["x" * 10**5, "y", "y", "y"])),
    "ragged": body(tensor(data=[[[[0, 1], [2]]], 3])),
    "nested otherwise": body(tensor(data=[[0, 1], [2, 3]])),
    "half nested": body(tensor(data=[[[[0, 1], 2]]])),
    "binary without bytes": body(binary(4)),
    "data and binary": body(tensor(parameters={"binary_data_size": 0})),
    "parameters of another kind": body(tensor(parameters=[])),
    "unknown output": body(tensor(), outputs=[{"name": "x"}]),
    "output twice": body(tensor(), outputs=[{"name": "logits"}, {"name": "logits"}]),
    "outputs of another kind": body(tensor(), outputs="logits"),
    "flag of another kind": body(tensor(), parameters={"binary_data_output": "yes"}),
    "classification": body(tensor(), outputs=[{"name": "logits", "parameters": {"classification": 3}}]),
    "shared memory": body(tensor(parameters={"shared_memory_region": "r"})),
    "sequence": body(tensor(), parameters={"sequence_id": 4}),
    "negative timeout": body(tensor(), parameters={"timeout": -1}),
    "timeout of another kind": body(tensor(), parameters={"timeout": "1 s"}),
    "id of another kind": body(tensor(), id=7),
    "endless id": body(tensor(), id="x" * 1000),
    "too many samples": body(tensor(shape=[HUGE, 1, 2, 2])),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_refused_in_a_short_sentence(name):
    with pytest.raises(RequestError) as refusal:
        parse(BAD[name], None, PIXELS)
    assert len(str(refusal.value)) < 400


def test_a_name_given_twice_is_refused():
    left = {"name": "left", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    with pytest.raises(RequestError, match="twice"):
        parse(body(left, left), None, PAIR)


def test_inputs_of_different_numbers_of_samples_are_refused():
    left = {"name": "left", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}
    right = {"name": "right", "shape": [2, 1], "datatype": "INT64", "data": [1, 2]}
    with pytest.raises(RequestError, match="samples"):
        parse(body(left, right), None, PAIR)


@pytest.mark.parametrize(
    ("datatype", "data", "fits"),
    [
        ("FP16", [65504], True),
        ("FP16", [65520], False),
        ("FP32", [3.4e38, 7], True),
        ("FP32", [3.5e38], False),
        ("FP32", [10**400], False),
        ("INT64", [2**63 - 1, -(2**63)], True),
        ("INT64", [2**63], False),
        ("UINT64", [2**64 - 1], True),
        ("UINT64", [-1], False),
        ("UINT64", [2**64], False),
        ("BOOL", [True, False], True),
        ("BOOL", [1, 0], False),
        ("INT8", [-128, 127], True),
        ("INT8", [128], False),
    ],
)
def test_a_number_goes_in_only_if_the_type_holds_it(datatype, data, fits):
    from edge_runtime.serve.datatypes import NUMPY

    signature = Signature.of((TensorSpec("x", NUMPY[datatype].name, ("n",)),), ())
    request = body({"name": "x", "shape": [len(data)], "datatype": datatype, "data": data})
    if fits:
        assert parse(request, None, signature).inputs["x"].tolist() == pytest.approx(data)
    else:
        with pytest.raises(RequestError):
            parse(request, None, signature)


@pytest.mark.parametrize("length", [0, -1, 10**6])
def test_a_header_length_that_lies_is_refused(length):
    with pytest.raises(RequestError, match="Content-Length"):
        parse(body(binary(4)) + b"1234", length, PIXELS)


@pytest.mark.parametrize("size", [0, 3, 5, -1, 2**70, "4", 4.0, True, None])
def test_a_binary_size_that_is_not_the_tensors_is_refused(size):
    head = body(binary(size))
    with pytest.raises(RequestError):
        parse(head + b"1234", len(head), PIXELS)


def test_bytes_that_belong_to_no_input_are_refused():
    head = body(binary(4))
    with pytest.raises(RequestError, match="sum up"):
        parse(head + b"12345", len(head), PIXELS)


def test_a_bool_of_neither_0_nor_1_is_refused():
    signature = Signature.of((TensorSpec("x", "bool", ("n",)),), ())
    head = body({"name": "x", "shape": [2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}})
    assert parse(head + b"\1\0", len(head), signature).inputs["x"].tolist() == [True, False]
    with pytest.raises(RequestError, match="BOOL"):
        parse(head + b"\1\2", len(head), signature)


def test_an_open_axis_has_a_bound():
    entries = [
        {"name": "left", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
        {"name": "right", "shape": [1, limits.DYNAMIC_AXIS + 1], "datatype": "INT64", "data": []},
    ]
    with pytest.raises(RequestTooLargeError):
        parse(body(*entries), None, PAIR)


def test_json_beyond_the_cap_is_not_parsed():
    with pytest.raises(RequestTooLargeError):
        parse(b" " * (limits.INFER_JSON_BYTES + 1), None, PIXELS)
