"""What comes to be known later: whether the model was wrong about samples that it answered.

A request is ``{"version": "7", "wrong": [false, true]}``, in the order in which the true labels came.
"""

from __future__ import annotations

from edge_runtime import limits
from edge_runtime.errors import RequestError
from edge_runtime.serve.protocol import load_json


def outcomes(content: bytes) -> tuple[str, list[bool]]:
    """The version that answered, and whether it was wrong, sample by sample. Raises RequestError."""
    found = load_json(content)
    if type(found) is not dict or set(found) != {"version", "wrong"} or type(found["version"]) is not str:
        raise RequestError('outcomes are {"version": "7", "wrong": [false, true]}, and nothing else')
    wrong = found["wrong"]
    if type(wrong) is not list or not 1 <= len(wrong) <= limits.OUTCOMES or {*map(type, wrong)} != {bool}:
        raise RequestError(f"'wrong' must be a list of 1 to {limits.OUTCOMES} times true or false")
    return found["version"], wrong
