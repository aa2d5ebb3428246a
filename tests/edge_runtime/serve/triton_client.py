"""Talks to a server as others' programs do, through ``tritonclient[http]`` as it is published; run by test_triton.py.

    python triton_client.py HOST:PORT inputs.npy outputs.npy

One line of JSON a check: its name, and the error or null. The bundle served is ``digits`` 1.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import numpy as np
from tritonclient.http import InferenceServerClient, InferenceServerException, InferInput, InferRequestedOutput

CHECKS: list[Callable[..., None]] = []


def check(function: Callable[..., None]) -> Callable[..., None]:
    CHECKS.append(function)
    return function


def given(pixels: np.ndarray, binary: bool = True) -> list[InferInput]:
    tensor = InferInput("input", list(pixels.shape), "UINT8")
    tensor.set_data_from_numpy(pixels, binary_data=binary)
    return [tensor]


def close(got: np.ndarray, outputs: np.ndarray) -> None:
    assert got is not None and got.dtype == np.float32
    np.testing.assert_allclose(got, outputs, rtol=1e-4)


def refused(call: Callable[[], object], status: str, words: str) -> None:
    try:
        call()
    except InferenceServerException as error:
        assert error.status() == status, error
        assert words in error.message(), error
    else:
        raise AssertionError("it was not refused")


@check
def health(client, inputs, outputs):
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("digits") and client.is_model_ready("digits", "1")
    assert not client.is_model_ready("digits", "2") and not client.is_model_ready("other")


@check
def metadata(client, inputs, outputs):
    server = client.get_server_metadata()
    assert server["name"] == "edge-runtime" and "binary_tensor_data" in server["extensions"]
    for version in ("", "1"):
        model = client.get_model_metadata("digits", version)
        assert model["versions"] == ["1"] and model["platform"] == "onnxruntime"
        assert model["inputs"] == [{"name": "input", "datatype": "UINT8", "shape": [-1, 1, 28, 28]}]


@check
def bytes_both_ways(client, inputs, outputs):
    answer = client.infer("digits", given(inputs))
    close(answer.as_numpy("logits"), outputs)
    assert answer.get_response()["model_version"] == "1"
    assert "binary_data_size" in answer.get_output("logits")["parameters"]


@check
def json_both_ways(client, inputs, outputs):
    wanted = [InferRequestedOutput("logits", binary_data=False)]
    answer = client.infer("digits", given(inputs, binary=False), outputs=wanted)
    close(answer.as_numpy("logits"), outputs)
    assert "parameters" not in answer.get_output("logits")


@check
def bytes_in_json_out_and_the_reverse(client, inputs, outputs):
    for inward, outward in ((True, False), (False, True)):
        wanted = [InferRequestedOutput("logits", binary_data=outward)]
        close(client.infer("digits", given(inputs, inward), outputs=wanted).as_numpy("logits"), outputs)


@check
def version_and_id(client, inputs, outputs):
    answer = client.infer("digits", given(inputs), model_version="1", request_id="order 66")
    assert answer.get_response()["id"] == "order 66"


@check
def compression(client, inputs, outputs):
    many = np.repeat(inputs, 8, axis=0)
    for there in (None, "gzip", "deflate"):
        for back in (None, "gzip", "deflate"):
            answer = client.infer(
                "digits", given(many), request_compression_algorithm=there, response_compression_algorithm=back
            )
            close(answer.as_numpy("logits"), np.repeat(outputs, 8, axis=0))


@check
def concurrent_requests(client, inputs, outputs):
    requests = [(n % 8, client.async_infer("digits", given(inputs[n % 8 : n % 8 + 1]))) for n in range(64)]
    for number, request in requests:
        close(request.get_result().as_numpy("logits"), outputs[number : number + 1])


@check
def body_made_beforehand(client, inputs, outputs):
    body, length = InferenceServerClient.generate_request_body(given(inputs))
    assert length and len(body) > inputs.nbytes


@check
def timeout_and_priority(client, inputs, outputs):
    close(client.infer("digits", given(inputs), timeout=10_000_000, priority=1).as_numpy("logits"), outputs)
    refused(lambda: client.infer("digits", given(inputs), timeout=1), "504", "time")


@check
def refusals(client, inputs, outputs):
    refused(lambda: client.infer("other", given(inputs)), "404", "other")
    refused(lambda: client.infer("digits", given(inputs), model_version="9"), "404", "version")
    refused(lambda: client.get_model_metadata("other"), "404", "other")
    refused(lambda: client.infer("digits", given(inputs[:, :, :14])), "400", "shape")
    refused(lambda: client.infer("digits", []), "400", "inputs")
    refused(lambda: client.infer("digits", given(inputs), outputs=[InferRequestedOutput("x")]), "400", "output")
    refused(
        lambda: client.infer("digits", given(inputs), outputs=[InferRequestedOutput("logits", class_count=3)]),
        "400",
        "classification",
    )
    refused(lambda: client.infer("digits", given(inputs), sequence_id=5), "400", "sequence_id")


def main() -> None:
    address, inputs, outputs = sys.argv[1], np.load(sys.argv[2]), np.load(sys.argv[3])
    with InferenceServerClient(address, concurrency=4) as client:
        for function in CHECKS:
            try:
                function(client, inputs, outputs)
                problem = None
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            print(json.dumps([function.__name__, problem]), flush=True)


if __name__ == "__main__":
    main()
