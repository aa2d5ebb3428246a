"""The Open Inference Protocol v2 without its HTTP: a request's body to arrays, arrays to an answer's body.

Sources: the Open Inference Protocol (KServe, ``inference_rest.md``); Triton's binary tensor data extension, in which
the bytes of tensors follow the JSON; and ``timeout`` (microseconds) of Triton's schedule policy extension.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from edge_runtime import limits
from edge_runtime.errors import ModelUnfitError, NotFiniteError, RequestError, RequestTooLargeError
from edge_runtime.serve import datatypes, tensors
from edge_runtime.sessions.base import TensorSpec

EXTENSIONS = ["binary_tensor_data"]

CHANGES_MEANING = ("classification", "shared_memory_region", "sequence_id")
"""Parameters of Triton's other extensions. Ignoring one would answer another question than was asked."""

SIZE_PARAMETER = "binary_data_size"


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives. ``batched``: axis 0 of every input and output is the batch, of any size."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    batched: bool

    @classmethod
    def of(cls, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Signature:
        """Raises ModelUnfitError when an element type has no name in the protocol."""
        for spec in (*inputs, *outputs):
            if spec.dtype not in datatypes.NAMES:
                raise ModelUnfitError(f"{spec}: this type cannot be served; export the model with another")
        batched = all(spec.shape and not isinstance(spec.shape[0], int) for spec in (*inputs, *outputs))
        return cls(inputs, outputs, batched)

    def metadata(self) -> dict[str, list[dict[str, Any]]]:
        return {"inputs": [_tensor(spec) for spec in self.inputs], "outputs": [_tensor(spec) for spec in self.outputs]}


@dataclass
class InferRequest:
    """``outputs``: the names asked for, in order; and whether each goes back as bytes. ``timeout``: seconds or None."""

    id: str | None
    inputs: dict[str, np.ndarray]
    samples: int
    outputs: list[tuple[str, bool]]
    timeout: float | None


def parse(body: bytes, header_length: int | None, signature: Signature) -> InferRequest:
    """Read an inference request. ``header_length``: bytes of its JSON, when tensors follow it.

    Raises RequestError (RequestTooLargeError) for anything that is not a request for this model.
    """
    view = memoryview(body)
    length = len(body) if header_length is None else header_length
    if not 0 < length <= len(body):
        raise RequestError(f"Inference-Header-Content-Length says {length}, and the body has {len(body)} bytes")
    if length > limits.INFER_JSON_BYTES:
        raise RequestTooLargeError(
            f"{length} bytes of JSON, and at most {limits.INFER_JSON_BYTES} are taken; send tensors as binary data"
        )
    request = _mapping(load_json(view[:length]), "the request")
    parameters = _parameters(request, "the request")
    inputs, samples = _inputs(request.get("inputs"), view[length:], signature)
    identity = request.get("id")
    if identity is not None and (type(identity) is not str or len(identity) > limits.REQUEST_ID_LENGTH):
        raise RequestError(f"'id' must be a text of at most {limits.REQUEST_ID_LENGTH} characters")
    binary = _flag(parameters, "binary_data_output", False)
    return InferRequest(
        identity, inputs, samples, _outputs(request.get("outputs"), signature, binary), _timeout(parameters)
    )


def render(
    request: InferRequest, outputs: Mapping[str, np.ndarray], model: str, version: str
) -> tuple[bytes, int | None]:
    """The body of an answer, and the length of its JSON when tensors follow it.

    Raises NotFiniteError when an output that is to be JSON holds infinities or NaN.
    """
    described, tail = [], []
    for name, binary in request.outputs:
        array = np.ascontiguousarray(outputs[name])
        entry: dict[str, Any] = {"name": name, "datatype": datatypes.OF_DTYPE[array.dtype], "shape": array.shape}
        if binary:
            entry["parameters"] = {SIZE_PARAMETER: array.nbytes}
            tail.append((array if sys.byteorder == "little" else array.byteswap()).tobytes())
        else:
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise NotFiniteError(f"output {name!r} is not finite, which JSON cannot say; ask for binary data")
            entry["data"] = array.ravel()
        described.append(entry)
    answer: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        answer["id"] = request.id
    answer["outputs"] = described
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return (b"".join([head, *tail]), len(head)) if tail else (head, None)


def load_json(content: bytes | memoryview) -> Any:
    """Raises RequestError. The parser refuses NaN, what is not UTF-8, and more than 1024 nested lists."""
    try:
        return orjson.loads(content)
    except ValueError as error:
        raise RequestError(f"the body is not JSON: {error}") from None


def _inputs(entries: object, tail: memoryview, signature: Signature) -> tuple[dict[str, np.ndarray], int]:
    if type(entries) is not list:
        raise RequestError("'inputs' must be a list of tensors")
    specs = {spec.name: spec for spec in signature.inputs}
    if len(entries) != len(specs):
        raise RequestError(f"{len(entries)} inputs, and the model takes {len(specs)}: {_listed(signature.inputs)}")
    inputs: dict[str, np.ndarray] = {}
    sizes, place = set(), 0
    for entry in entries:
        name = _mapping(entry, "an input").get("name")
        if type(name) is not str or name not in specs:
            raise RequestError(f"no input is named {name!r:.80}; the model takes {_listed(signature.inputs)}")
        if name in inputs:
            raise RequestError(f"input {name!r} is given twice")
        array, used = _input(name, entry, tail[place:], specs[name], signature.batched)
        inputs[name] = array
        place += used
        sizes.add(array.shape[0] if signature.batched else 1)
    if place != len(tail):
        raise RequestError(f"{len(tail)} bytes follow the JSON, and the inputs' {SIZE_PARAMETER} sum up to {place}")
    if len(sizes) > 1:
        raise RequestError(f"the inputs hold different numbers of samples: {sorted(sizes)}")
    return inputs, sizes.pop() if sizes else 1


def _input(
    name: str, entry: dict[str, Any], tail: memoryview, spec: TensorSpec, batched: bool
) -> tuple[np.ndarray, int]:
    """The array of one input, and how many of the bytes after the JSON are its own."""
    datatype = entry.get("datatype")
    if datatype != datatypes.NAMES[spec.dtype]:
        raise RequestError(f"input {name!r} is {datatypes.NAMES[spec.dtype]}, not {datatype!r:.40}")
    shape = tensors.checked_shape(name, entry.get("shape"))
    if len(shape) != len(spec.shape) or any(
        isinstance(fixed, int) and fixed != size for fixed, size in zip(spec.shape, shape, strict=True)
    ):
        raise RequestError(f"input {name!r} has shape {_axes(spec)}, -1 being any size, not {list(shape)}")
    if batched:
        tensors.check_size(name, shape[0], limits.REQUEST_SAMPLES, "samples")
    for fixed, size in list(zip(spec.shape, shape, strict=True))[batched:]:
        if not isinstance(fixed, int):
            tensors.check_size(name, size, limits.DYNAMIC_AXIS, "elements along an axis")
    parameters = _parameters(entry, f"input {name!r}")
    dtype = np.dtype(spec.dtype)
    if SIZE_PARAMETER not in parameters:
        return tensors.from_json(name, entry.get("data"), dtype, shape), 0
    if "data" in entry:
        raise RequestError(f"input {name!r} has both 'data' and {SIZE_PARAMETER}; send one of them")
    used = parameters[SIZE_PARAMETER]
    if type(used) is not int or not 0 <= used <= len(tail):
        raise RequestError(f"input {name!r}: {SIZE_PARAMETER} is {used!r:.40}, and {len(tail)} bytes are left")
    return tensors.from_bytes(name, tail[:used], dtype, shape), used


def _outputs(entries: object, signature: Signature, binary: bool) -> list[tuple[str, bool]]:
    names = [spec.name for spec in signature.outputs]
    if entries is None or entries == []:
        return [(name, binary) for name in names]
    if type(entries) is not list or len(entries) > len(names):
        raise RequestError(f"'outputs' must be a list of some of {', '.join(names)}")
    wanted: dict[str, bool] = {}
    for entry in entries:
        name = _mapping(entry, "an output").get("name")
        if type(name) is not str or name not in names:
            raise RequestError(f"no output is named {name!r:.80}; the model gives {_listed(signature.outputs)}")
        if name in wanted:
            raise RequestError(f"output {name!r} is asked for twice")
        wanted[name] = _flag(_parameters(entry, f"output {name!r}"), "binary_data", binary)
    return list(wanted.items())


def _parameters(holder: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = _mapping(holder.get("parameters", {}), f"'parameters' of {where}")
    for name in CHANGES_MEANING:
        if parameters.get(name):
            raise RequestError(f"{where}: this server has no {name!r}; leave it out")
    return parameters


def _timeout(parameters: dict[str, Any]) -> float | None:
    """Seconds. Triton's clients send microseconds; 0 stands for the server's own."""
    value = parameters.get("timeout")
    if value is None or value == 0:
        return None
    if type(value) is not int or value < 0:
        raise RequestError("'timeout' must be a whole number of microseconds")
    return min(value / 1e6, limits.REQUEST_SECONDS)


def _flag(parameters: dict[str, Any], name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if type(value) is not bool:
        raise RequestError(f"{name!r} must be true or false")
    return value


def _mapping(value: object, what: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise RequestError(f"{what} must be a JSON object")
    return value


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": datatypes.NAMES[spec.dtype], "shape": _axes(spec)}


def _axes(spec: TensorSpec) -> list[int]:
    return [axis if isinstance(axis, int) else -1 for axis in spec.shape]


def _listed(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name!r} {datatypes.NAMES[spec.dtype]} {_axes(spec)}" for spec in specs)
