"""Operators of domains that no runtime knows: a network with one of them can be read but not run."""

from __future__ import annotations

from pathlib import Path

import onnx

KNOWN = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
"""ONNX's own domains, and ONNX Runtime's."""


def foreign(path: Path | str) -> str | None:
    """What is wrong with the first operator of ``path`` that is neither of a known domain nor a function of the file,
    in words with what to do; None where there is none. The file must be a valid one."""
    model = onnx.load(path, load_external_data=False)
    own = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if node.domain not in KNOWN and (node.domain, node.op_type) not in own:
            where = f" (node '{node.name}')" if node.name else f" (it gives '{node.output[0]}')"
            return (
                f"operator {node.op_type} of domain '{node.domain}'{where} is known to no runtime here; export it "
                "again with standard operators in its place, or with its definition as a function of the file"
            )
    return None
