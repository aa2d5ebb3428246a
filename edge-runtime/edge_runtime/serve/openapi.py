"""What the server offers, for programs that read it: OpenAPI 3.1. A test holds it against ``app.ROUTES``."""

from __future__ import annotations

from typing import Any

import edge_runtime
from edge_runtime import limits
from edge_runtime.serve.datatypes import NUMPY

Schema = dict[str, Any]


def document() -> Schema:
    """The OpenAPI document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "edge-runtime",
            "version": edge_runtime.__version__,
            "summary": "One model over the Open Inference Protocol v2, and a plain /predict.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {"token": []}],
        "paths": _paths(),
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "admin": {"type": "http", "scheme": "bearer"},
            },
            "schemas": _schemas(),
        },
    }


def _paths() -> Schema:
    paths: Schema = {
        "/v2/health/live": {"get": _get("live", "Whether the process answers.", _object({"live": _BOOLEAN}), [])},
        "/v2/health/ready": {
            "get": _get("ready", "Whether inferences are answered.", _object({"ready": _BOOLEAN}), [503])
        },
        "/v2": {"get": _get("server", "Name, version and extensions of this server.", _ref("Server"), [401])},
        "/predict": {"post": _predict()},
        "/metrics": {"get": _metrics()},
        "/openapi.json": {"get": _get("openapi", "This document.", {"type": "object"}, [401])},
        "/admin/status": {
            "get": {
                "operationId": "status",
                "summary": "What is served, the alarms of those who watch it, and what they could not do.",
                "security": [{"admin": []}],
                "responses": _responses(_json(_ref("Status")), [401, 403]),
            }
        },
        "/admin/reload": {
            "post": {
                "operationId": "reload",
                "summary": "Serve the version that is installed now, without losing a request.",
                "security": [{"admin": []}],
                "responses": _responses(_json(_object({"version": _TEXT})), [401, 403, 500, 503]),
            }
        },
        "/admin/outcomes": {
            "post": {
                "operationId": "outcomes",
                "summary": "Tell whether the model was wrong about samples whose true label has become known.",
                "security": [{"admin": []}],
                "requestBody": {"required": True, "content": _json(_ref("Outcomes"))},
                "responses": _responses(
                    _json(_object({"version": _TEXT, "samples": {"type": "integer", "minimum": 1}})),
                    [400, 401, 403, 404, 408, 413, 415, 503],
                ),
            }
        },
    }
    for suffix, names in (("", ["name"]), ("_version", ["name", "version"])):
        base = "/v2/models/{name}" + ("/versions/{version}" if suffix else "")
        parameters = [{"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names]
        for path, operation in {
            base: _get(f"model{suffix}", "What the model takes and gives.", _ref("Model"), [401, 404, 503]),
            f"{base}/ready": _get(
                f"model{suffix}_ready", "Whether this model answers.", _ref("ModelReady"), [401, 404, 503]
            ),
            f"{base}/infer": _infer(f"infer{suffix}"),
        }.items():
            paths[path] = {("post" if path.endswith("infer") else "get"): operation, "parameters": parameters}
    return paths


_TEXT = {"type": "string"}
_BOOLEAN = {"type": "boolean"}
_BUSY = [400, 401, 404, 408, 413, 415, 429, 500, 503, 504]


def _infer(identity: str) -> Schema:
    request = _content(
        {
            "application/json": _ref("InferRequest"),
            "application/octet-stream": {"description": "JSON, then binary tensors.", **_BYTES},
        }
    )
    answer = _content(
        {
            "application/json": _ref("InferResponse"),
            "application/octet-stream": {"description": "JSON, then binary tensors.", **_BYTES},
        }
    )
    length = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "Bytes of the body that are JSON, when binary tensors follow (binary tensor data extension).",
        "schema": {"type": "integer", "minimum": 1},
    }
    return {
        "operationId": identity,
        "summary": "Run the model.",
        "parameters": [length, _TIMEOUT],
        "requestBody": {"required": True, "content": request},
        "responses": _responses(answer, _BUSY),
    }


def _predict() -> Schema:
    form = {
        "type": "object",
        "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
        "required": ["file"],
    }
    either = {
        "oneOf": [
            _TEXT,
            {"type": "array"},
            {"type": "object", "properties": {"text": _TEXT}, "required": ["text"], "additionalProperties": False},
            {
                "type": "object",
                "properties": {"data": {"type": "array"}},
                "required": ["data"],
                "additionalProperties": False,
            },
        ]
    }
    kinds = {
        "image/*": _BYTES,
        "application/octet-stream": _BYTES,
        "text/plain": _TEXT,
        "application/json": either,
        "multipart/form-data": form,
    }
    return {
        "operationId": "predict",
        "summary": "Classify a picture's file, a text, or an array of numbers.",
        "parameters": [_TIMEOUT],
        "requestBody": {"required": True, "content": _content(kinds)},
        "responses": _responses(_json(_ref("Prediction")), _BUSY),
    }


_BYTES = {"type": "string", "format": "binary"}
_TIMEOUT = {
    "name": "Request-Timeout",
    "in": "header",
    "description": "Seconds to wait for the inference to begin; later it is not made, and the answer is 504. "
    f"More than {limits.REQUEST_SECONDS:g} counts as that.",
    "schema": {"type": "number", "minimum": 0},
}


def _metrics() -> Schema:
    return {
        "operationId": "metrics",
        "summary": "Counters, gauges and histograms for Prometheus.",
        "responses": _responses(_content({"text/plain": _TEXT}), [401]),
    }


def _schemas() -> Schema:
    datatype = {"type": "string", "enum": list(NUMPY)}
    parameters = {"type": "object", "additionalProperties": {"type": ["string", "integer", "number", "boolean"]}}
    shape = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 1, "maxItems": limits.AXES}
    described = _object(
        {"name": _TEXT, "datatype": datatype, "shape": {"type": "array", "items": {"type": "integer", "minimum": -1}}}
    )
    given = _object({"name": _TEXT, "datatype": datatype, "shape": shape}) | {}
    given["properties"] |= {"data": {"type": "array"}, "parameters": parameters}
    wanted = _object({"name": _TEXT})
    wanted["properties"] |= {"parameters": parameters}
    request = _object({"inputs": {"type": "array", "items": given, "minItems": 1}})
    request["properties"] |= {
        "id": {"type": "string", "maxLength": limits.REQUEST_ID_LENGTH},
        "parameters": parameters,
        "outputs": {"type": "array", "items": wanted},
    }
    response = _object(
        {"model_name": _TEXT, "model_version": _TEXT, "outputs": {"type": "array", "items": given}},
    )
    response["properties"] |= {"id": _TEXT, "parameters": parameters}
    share = {"type": "number", "minimum": 0, "maximum": 1}
    return {
        "Error": _object({"error": _TEXT, "code": {"type": "string", "pattern": "^[a-z0-9-]+$"}}),
        "Server": _object({"name": _TEXT, "version": _TEXT, "extensions": {"type": "array", "items": _TEXT}}),
        "Model": _object(
            {
                "name": _TEXT,
                "versions": {"type": "array", "items": _TEXT},
                "platform": _TEXT,
                "inputs": {"type": "array", "items": described},
                "outputs": {"type": "array", "items": described},
            }
        ),
        "Status": _object(
            {
                "ready": _BOOLEAN,
                "queue_samples": {"type": "integer", "minimum": 0},
                "model": {"oneOf": [{"type": "null"}, _object({"name": _TEXT, "version": _TEXT, "id": _TEXT})]},
                "alarms": {"type": "array", "items": _object({"detector": _TEXT, "on": _BOOLEAN, "text": _TEXT})},
                "notes": {"type": "array", "items": _TEXT},
            }
        ),
        "Outcomes": _object(
            {
                "version": _TEXT,
                "wrong": {"type": "array", "items": _BOOLEAN, "minItems": 1, "maxItems": limits.OUTCOMES},
            }
        )
        | {"additionalProperties": False},
        "ModelReady": _object({"name": _TEXT, "ready": _BOOLEAN}),
        "InferRequest": request,
        "InferResponse": response,
        "Prediction": _object(
            {
                "model_name": _TEXT,
                "model_version": _TEXT,
                "label": {"type": ["string", "null"]},
                "index": {"type": "integer", "minimum": 0},
                "confidence": share,
                "top": {"type": "array", "items": _object({"label": _TEXT, "confidence": share})},
            }
        ),
    }


def _get(identity: str, summary: str, schema: Schema, errors: list[int]) -> Schema:
    operation: Schema = {
        "operationId": identity,
        "summary": summary,
        "responses": _responses(_json(schema), errors),
    }
    if identity in ("live", "ready"):
        operation["security"] = [{}]
    return operation


def _responses(content: Schema, errors: list[int]) -> Schema:
    failed = {"description": "Refused, and why.", "content": _json(_ref("Error"))}
    # A request to another host than this one (421), for another method (405), with a header twice (400) or too long
    # ones (431) comes before any operation.
    return {"200": {"description": "Answered.", "content": content}} | {
        str(status): failed for status in sorted({*errors, 400, 405, 421, 431, 500})
    }


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _content(schemas: Schema) -> Schema:
    return {media_type: {"schema": schema} for media_type, schema in schemas.items()}


def _json(schema: Schema) -> Schema:
    return _content({"application/json": schema})


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
