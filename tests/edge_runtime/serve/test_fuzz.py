"""Whatever bytes come, the protocol's parser refuses them with a RequestError or understands them; it never fails.

Seconds here; for longer set EDGE_RUNTIME_FUZZ_EXAMPLES to a number of examples for each test.
"""

from __future__ import annotations

import asyncio
import json
import math
import os

import oracles
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_runtime.errors import EdgeRuntimeError
from edge_runtime.serve.messages import Budget, Request

EXAMPLES = int(os.environ.get("EDGE_RUNTIME_FUZZ_EXAMPLES", "150"))
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
SIZES = st.integers(-2, 6) | st.integers() | st.just(2**63)


@st.composite
def nearly(draw: st.DrawFn) -> tuple[bytes, int]:
    """A body and the length of its JSON: right, but for what was put in the place of some of its parts."""

    def usually(value: object, otherwise: st.SearchStrategy = ANYTHING) -> object:
        # Not 0, which is drawn far more often than others.
        return draw(otherwise) if draw(st.integers(0, 11)) == 7 else value

    batch, length = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    inputs, tail = [], b""
    for name, datatype, shape in (("pixels", "UINT8", [batch, 1, 2, 2]), ("tokens", "INT64", [batch, length])):
        tensor = {"name": usually(name), "datatype": usually(datatype)}
        tensor["shape"] = usually(shape, ANYTHING | st.lists(SIZES, max_size=5))
        count = math.prod(shape)
        if draw(st.booleans()):
            numbers = st.integers(0, 255) if draw(st.integers(0, 5)) else st.integers(-1, 2**64) | st.floats()
            tensor["data"] = usually(draw(st.lists(numbers, min_size=count, max_size=count)))
        else:
            size = count * (1 if datatype == "UINT8" else 8)
            tensor["parameters"] = usually({"binary_data_size": usually(size, SIZES)})
            tail += draw(st.binary(min_size=size, max_size=size))
        inputs.append(tensor)
    request = {"inputs": usually(inputs)}
    if draw(st.booleans()):
        request["outputs"] = usually([{"name": "logits", "parameters": {"binary_data": True}}])
    if draw(st.booleans()):
        request["parameters"] = usually({"timeout": 5}, st.dictionaries(st.just("binary_data_output"), ANYTHING))
    if draw(st.booleans()):
        request["id"] = usually("7")
    head = json.dumps(request).encode()
    return usually(head + tail, st.binary().map(head.__add__)), usually(len(head), SIZES)


@fuzz
@given(nearly())
def test_requests_that_are_nearly_right(request):
    oracles.request(*request)


def test_the_requests_above_are_often_understood():
    """Or the fuzzing would only ever reach the first checks."""
    understood = []

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(nearly())
    def collect(request):
        understood.append(oracles.request(*request))

    collect()
    assert 30 < sum(understood) < 270


@fuzz
@given(ANYTHING)
def test_any_json(value):
    oracles.request(json.dumps(value).encode(), None)


@fuzz
@given(st.binary(max_size=200), st.none() | st.integers(-(2**70), 2**70))
def test_any_bytes(body, length):
    oracles.request(body, length)


@fuzz
@given(
    st.binary(max_size=300) | ANYTHING.map(lambda value: json.dumps(value).encode()),
    st.sampled_from([b"", b"text/plain", b"application/json", b"image/png", b"multipart/form-data", b"x/y"]),
    st.binary(max_size=20),
)
def test_any_item_for_predict(content, media_type, rest):
    oracles.item_for_predict(content, media_type, rest)


@fuzz
@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5), st.sampled_from([b"gzip", b"deflate", b"br", b"\xff"]))
def test_any_compressed_body(pieces, encoding):
    messages = iter({"type": "http.request", "body": piece, "more_body": piece is not pieces[-1]} for piece in pieces)

    async def receive():
        return next(messages, {"type": "http.disconnect"})

    budget = Budget(1000)
    scope = {"method": "POST", "path": "/", "headers": [(b"content-encoding", encoding)]}
    request = Request(scope, receive, budget)
    try:
        asyncio.run(request.body(100))
    except EdgeRuntimeError as error:
        assert 400 <= error.status < 500
    request.finish()
    assert budget.held == 0
