"""The application without a network: every address, who may use it, and every refusal."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from serving import INFER, application, ask, call, expected, infer_binary, infer_json, logits, unpacked

import edge_runtime
from edge_runtime.serve import openapi
from edge_runtime.serve.auth import Access, Token
from edge_runtime.serve.core import Settings
from edge_runtime.serve.routes import ROUTES

TOKEN, ADMIN = "clients-token-0123456789", "administrators-token-012"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
GUARDED = Access(Token(TOKEN.encode()), Token(ADMIN.encode()), None)


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    return unpacked(tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="module")
def sample():
    inputs, outputs = expected()
    return inputs[:1], outputs[:1]


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels[0, 0]).save(stream, "PNG")
    return stream.getvalue()


def address(endpoint: str) -> str:
    return ROUTES[endpoint][1].replace("{name}", "digits").replace("{version}", "1")


def test_health_and_metadata(contents):
    assert ask("GET", "/v2/health/live", contents=contents).json == {"live": True}
    assert ask("GET", "/v2/health/ready", contents=contents).json == {"ready": True}
    assert ask("GET", "/v2", contents=contents).json == {
        "name": "edge-runtime",
        "version": edge_runtime.__version__,
        "extensions": ["binary_tensor_data"],
    }
    model = {
        "name": "digits",
        "versions": ["1"],
        "platform": "onnxruntime",
        "inputs": [{"name": "input", "datatype": "UINT8", "shape": [-1, 1, 28, 28]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
    }
    assert ask("GET", "/v2/models/digits", contents=contents).json == model
    assert ask("GET", "/v2/models/digits/versions/1", contents=contents).json == model
    ready = {"name": "digits", "ready": True}
    assert ask("GET", "/v2/models/digits/ready", contents=contents).json == ready
    assert ask("GET", "/v2/models/digits/versions/1/ready", contents=contents).json == ready


def test_json_and_bytes_give_what_the_model_gives(contents):
    inputs, outputs = expected()
    for path in (INFER, "/v2/models/digits/versions/1/infer"):
        np.testing.assert_allclose(logits(ask("POST", path, infer_json(inputs), contents=contents)), outputs, rtol=1e-4)
        answer = ask("POST", path, *infer_binary(inputs), contents=contents)
        np.testing.assert_allclose(logits(answer), outputs, rtol=1e-4)
        assert answer.headers["content-type"] == "application/octet-stream"


def test_an_id_comes_back(contents, sample):
    assert ask("POST", INFER, infer_json(sample[0], id="a/1"), contents=contents).json["id"] == "a/1"


@pytest.mark.parametrize(("name", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_and_answers(contents, name, compress):
    inputs = np.repeat(expected()[0][:1], 64, axis=0)
    content, headers = infer_binary(inputs)
    headers |= {"Content-Encoding": name, "Accept-Encoding": name}
    answer = ask("POST", INFER, compress(content), headers, contents=contents)
    assert answer.headers["content-encoding"] == name
    answer.body = zlib.decompress(answer.body, 47)
    assert logits(answer).shape == (64, 10)


def test_a_body_in_pieces(contents, sample):
    content, headers = infer_binary(sample[0])
    pieces = [content[:10], b"", content[10:400], content[400:]]
    np.testing.assert_allclose(logits(ask("POST", INFER, pieces, headers, contents=contents)), sample[1], rtol=1e-4)


def form(*files: bytes, boundary: str = "b0undary") -> tuple[bytes, dict[str, str]]:
    parts = [b'Content-Disposition: form-data; name="note"\r\n\r\nhello']
    parts += [
        b'Content-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + file
        for file in files
    ]
    content = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), part) for part in parts)
    return content + f"--{boundary}--\r\n".encode(), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def test_predict_takes_a_picture_a_form_and_numbers(contents, sample):
    pixels, outputs = sample
    best = int(outputs.argmax())
    for content, headers in (
        (png(pixels), {"Content-Type": "image/png"}),
        (png(pixels), {}),
        (png(pixels), {"Content-Type": "application/octet-stream"}),
        (png(pixels), {"Content-Type": "application/x-www-form-urlencoded"}),  # curl --data-binary @a.png
        form(png(pixels)),
        (json.dumps({"data": pixels[0].tolist()}).encode(), {"Content-Type": "application/json"}),
        (json.dumps(pixels[0].tolist()).encode(), {"Content-Type": "application/json; charset=utf-8"}),
    ):
        answer = ask("POST", "/predict", content, headers, contents=contents)
        assert answer.status == 200, answer.body
        found = answer.json
        assert (found["model_name"], found["model_version"]) == ("digits", "1")
        assert (found["index"], found["label"]) == (best, f"class-{best}")
        assert found["top"][0] == {"label": found["label"], "confidence": found["confidence"]}


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 400, "request-invalid"),
        (b"not a picture", {"Content-Type": "image/png"}, 400, "image-unreadable"),
        (b"\xff", {"Content-Type": "text/plain"}, 400, "request-invalid"),
        (b"{", {"Content-Type": "application/json"}, 400, "request-invalid"),
        (b"7", {"Content-Type": "application/json"}, 400, "request-invalid"),
        (b'{"path": "/etc/passwd"}', {"Content-Type": "application/json"}, 400, "request-invalid"),
        (b'{"data": "x"}', {"Content-Type": "application/json"}, 400, "request-invalid"),
        (b'{"data": ["x"]}', {"Content-Type": "application/json"}, 400, "input-invalid"),
        (b"x", {"Content-Type": "video/mp4"}, 415, "media-type-unsupported"),
        (b'{"data": []}', {"Content-Type": "application/x-www-form-urlencoded"}, 415, "media-type-unsupported"),
        (b"[" * 40 + b"1" + b"]" * 40, {"Content-Type": "application/json"}, 400, "input-invalid"),
        (b"[" * 900 + b"1" + b"]" * 900, {"Content-Type": "application/json"}, 400, "input-invalid"),
        (*form(), 400, "request-invalid"),
        (*form(b"1", b"2"), 400, "request-invalid"),
        (form(b"1")[0][:-10], form(b"1")[1], 400, "request-invalid"),
        (form(b"1")[0], {"Content-Type": "multipart/form-data"}, 400, "request-invalid"),
        (b"x", {"Request-Timeout": "soon"}, 400, "request-invalid"),
        (b"x", {"Request-Timeout": "nan"}, 400, "request-invalid"),
    ],
)
def test_what_predict_refuses(contents, content, headers, status, code):
    answer = ask("POST", "/predict", content, headers, contents=contents)
    assert (answer.status, answer.code) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "address-unknown"),
        ("GET", "/v2/models/", 404, "address-unknown"),
        ("GET", "/v2/models/digits/config", 404, "address-unknown"),
        ("GET", "/v2/models/digits/versions/1/2/3", 404, "address-unknown"),
        ("GET", "/v2/models/other", 404, "model-unknown"),
        ("GET", "/v2/models/digits/versions/2", 404, "model-unknown"),
        ("POST", "/v2/models/other/infer", 404, "model-unknown"),
        ("POST", "/v2/models/digits/versions/0/infer", 404, "model-unknown"),
        ("GET", INFER, 405, "method-not-allowed"),
        ("DELETE", "/v2", 405, "method-not-allowed"),
        ("POST", "/admin/reload", 403, "admin-refused"),
        ("POST", INFER, 400, "request-invalid"),
    ],
)
def test_refusals_by_address(contents, method, path, status, code):
    answer = ask(method, path, contents=contents)
    assert (answer.status, answer.code) == (status, code)
    if status == 405:
        assert ("POST" if path == INFER else "GET") in answer.headers["allow"]


def test_head_is_answered_like_get(contents):
    assert ask("HEAD", "/v2/health/ready", contents=contents).status == 200


def test_503_while_no_model_is_loaded(sample):
    for method, path in (
        ("GET", "/v2/health/ready"),
        ("POST", INFER),
        ("POST", "/predict"),
        ("GET", "/v2/models/digits"),
    ):
        answer = ask(method, path, infer_json(sample[0]))
        assert (answer.status, answer.code) == (503, "not-ready")
        assert int(answer.headers["retry-after"]) >= 1
    assert ask("GET", "/v2/health/live").status == 200
    assert b"edge_runtime_ready 0" in ask("GET", "/metrics").body


@pytest.mark.parametrize("endpoint", ROUTES)
def test_every_address_but_health_asks_for_a_token(contents, endpoint):
    method, _, who = ROUTES[endpoint]
    answer = ask(method, address(endpoint), contents=contents, access=GUARDED)
    if who == "open":
        assert answer.status == 200
    else:
        assert (answer.status, answer.code) == (401, "token-refused")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_unknown_addresses_tell_strangers_nothing(contents):
    assert ask("GET", "/secret", contents=contents, access=GUARDED).status == 401


@pytest.mark.parametrize(
    "value",
    [TOKEN, f"Basic {TOKEN}", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Bearer {ADMIN}"],
)
def test_another_token_is_refused(contents, value):
    answer = ask("GET", "/v2", b"", {"Authorization": value}, contents=contents, access=GUARDED)
    assert answer.status == 401


def test_the_token_is_accepted_however_its_scheme_is_written(contents, sample):
    for scheme in ("Bearer", "bearer", "BEARER"):
        headers = {"Authorization": f"{scheme} {TOKEN}"}
        assert ask("POST", INFER, infer_json(sample[0]), headers, contents=contents, access=GUARDED).status == 200


def test_clients_are_no_administrators(contents):
    async def reload() -> str:
        return "2"

    def attempt(headers: dict[str, str]) -> int:
        return ask("POST", "/admin/reload", b"", headers, contents=contents, access=GUARDED, reload=reload).status

    assert attempt(BEARER) == 401
    assert attempt({"Authorization": f"Bearer {ADMIN}"}) == 200


def test_a_page_under_another_hosts_name_is_refused(contents):
    for host in ("localhost:8000", "LocalHost", "127.0.0.1", "[::1]:8000"):
        assert ask("GET", "/v2", b"", {"Host": host}, contents=contents).status == 200
    answer = ask("GET", "/v2", b"", {"Host": "evil.example:8000"}, contents=contents)
    assert (answer.status, answer.code) == (421, "host-refused")


@pytest.mark.parametrize("name", ["Host", "Authorization", "Content-Type", "Content-Encoding", "Request-Timeout"])
def test_a_header_that_stands_alone_is_refused_when_it_is_there_twice(contents, name):
    async def scenario() -> tuple[int, int]:
        sent = []

        async def receive():
            return {"type": "http.request", "body": b""}

        async def send(message):
            sent.append(message)

        async with application(contents) as app:
            for header in (name, "Accept"):
                pair = (header.lower().encode(), b"localhost")
                await app({"type": "http", "method": "GET", "path": "/v2", "headers": [pair, pair]}, receive, send)
        return sent[0]["status"], sent[2]["status"]

    assert asyncio.run(scenario()) == (400, 200)


class Endless:
    """A body that never ends; counts what was taken of it."""

    def __init__(self) -> None:
        self.taken = 0

    def __iter__(self):
        return self

    def __next__(self) -> bytes:
        self.taken += 1
        assert self.taken < 100, "the body is read on after it was too large"
        return bytes(1000)


def test_413_as_soon_as_a_body_is_too_large(contents):
    async def scenario() -> None:
        async with application(contents, max_body=10_000) as app:
            announced = await call(app, "POST", INFER, b"", {"Content-Length": "10001"})
            assert (announced.status, announced.code) == (413, "request-too-large")
            answer = await call(app, "POST", INFER, [bytes(1000)] * 50)
            assert (answer.status, answer.code) == (413, "request-too-large")
            bomb = await call(app, "POST", INFER, gzip.compress(bytes(10**7)), {"Content-Encoding": "gzip"})
            assert (bomb.status, bomb.code) == (413, "request-too-large")
            assert app._budget.held == 0

    asyncio.run(scenario())


GZIPPED = gzip.compress(b"{}", mtime=0)  # with the time in it, every test process would collect other test names


@pytest.mark.parametrize(
    ("headers", "content", "status"),
    [
        ({"Content-Encoding": "br"}, b"x", 415),
        ({"Content-Encoding": "gzip"}, b"not gzip", 400),
        ({"Content-Encoding": "gzip"}, GZIPPED[:-3], 400),
        ({"Content-Encoding": "gzip"}, GZIPPED + b"more", 400),
        ({"Content-Length": "two"}, b"x", 400),
        ({"Content-Length": "-1"}, b"x", 400),
        ({"Inference-Header-Content-Length": "x"}, b"x", 400),
        ({"Inference-Header-Content-Length": "9" * 30}, b"x", 400),
        ({"Request-Timeout": "-1"}, b"{}", 400),
    ],
)
def test_headers_that_lie(contents, headers, content, status):
    assert ask("POST", INFER, content, headers, contents=contents).status == status


def test_a_request_whose_time_is_over_is_not_run(contents, sample):
    answer = ask("POST", INFER, infer_json(sample[0]), {"Request-Timeout": "0"}, contents=contents)
    assert (answer.status, answer.code) == (504, "deadline-exceeded")


def test_a_full_queue_answers_429_and_when_to_come_back(contents):
    inputs = expected()[0]

    async def scenario() -> None:
        async with application(contents, settings=Settings(queue=4)) as app:
            with app.service.using() as runner:
                runner.reserve(2)
                answer = await call(app, "POST", INFER, infer_json(inputs[:3]))
                assert (answer.status, answer.code) == (429, "queue-full")
                assert int(answer.headers["retry-after"]) >= 1
                assert (await call(app, "POST", INFER, infer_json(inputs[:2]))).status == 200

    asyncio.run(scenario())


def test_more_samples_than_the_queue_ever_holds_are_not_to_be_sent_again(contents):
    answer = ask("POST", INFER, infer_json(expected()[0]), contents=contents, settings=Settings(queue=4))
    assert (answer.status, answer.code) == (413, "request-too-large")
    assert "retry-after" not in answer.headers and "larger --queue" in answer.json["error"]


@pytest.mark.parametrize(
    ("accepts", "encoding"),
    [
        ("gzip", "gzip"),
        ("br, gzip;q=1.0, deflate", "gzip"),
        ("gzip; q=0, deflate;q=0.5", "deflate"),
        ("gzip;q=0.0", None),
        ("br", None),
    ],
)
def test_an_encoding_is_one_that_the_client_takes(contents, accepts, encoding):
    answer = ask("GET", "/openapi.json", None, {"Accept-Encoding": accepts}, contents=contents)
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "accept-encoding"


def test_metrics_are_what_prometheus_reads(contents, sample):
    async def scenario() -> bytes:
        async with application(contents) as app:
            await call(app, "POST", INFER, infer_json(sample[0]))
            await call(app, "POST", INFER, b"{")
            return (await call(app, "GET", "/metrics")).body

    families = {family.name: family for family in text_string_to_metric_families(asyncio.run(scenario()).decode())}
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert values["edge_runtime_requests_total", ("endpoint", "infer"), ("status", "200")] == 1
    assert values["edge_runtime_errors_total", ("code", "request-invalid")] == 1
    assert values["edge_runtime_request_duration_seconds_count", ("endpoint", "infer")] == 2
    assert values["edge_runtime_inference_duration_seconds_bucket", ("le", "+Inf")] == 1
    assert values["edge_runtime_batch_samples_sum",] == 1
    assert values["edge_runtime_queue_samples",] == 0
    assert values["process_resident_memory_bytes",] > 10**6
    [info] = families["edge_runtime_model_info"].samples
    assert (info.labels["name"], info.labels["version"], info.value) == ("digits", "1", 1)
    assert all(family.documentation for family in families.values())


def test_the_document_and_the_addresses_agree(contents):
    document = ask("GET", "/openapi.json", contents=contents).json
    assert document == json.loads(json.dumps(openapi.document()))
    listed = {
        operation["operationId"]: (method.upper(), path)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert listed == {endpoint: (method, path) for endpoint, (method, path, _) in ROUTES.items()}


def test_every_code_in_an_answer_is_one_of_its_errors_classes(contents):
    """A code is a promise to clients, so none is made up on the way."""
    from edge_runtime import errors

    codes = {kind.code for kind in vars(errors).values() if isinstance(kind, type)}
    for method, path in (
        ("GET", "/x"),
        ("GET", INFER),
        ("POST", INFER),
        ("POST", "/predict"),
        ("POST", "/admin/reload"),
    ):
        assert ask(method, path, contents=contents).code in codes


def test_an_unforeseen_failure_is_a_500_that_tells_nothing_of_its_cause(contents, sample, monkeypatch, caplog):
    monkeypatch.setattr("edge_runtime.serve.protocol.parse", lambda *_: 1 / 0)
    answer = ask("POST", INFER, infer_json(sample[0]), contents=contents)
    assert (answer.status, answer.code) == (500, "serve-failed")
    assert "division" not in answer.json["error"]
    assert "division by zero" in caplog.text
