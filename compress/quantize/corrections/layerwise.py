"""Walking two graphs of one network side by side, layer by layer, with real activations in hand.

Corrections of a layer need what comes into it behind the *corrected* layers before, and what the float network computes
there. Running the whole network anew for every layer would cost the square of its depth. Here a graph runs once, in
pieces: :class:`Pieces` computes what is asked for, keeps what nodes still to come will read, and forgets the rest.

Pairs are not fused: a QDQ graph computes literally what it says, without int8 kernels and their overflows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime

from compress.quantize.graph import qdq

SAMPLES = 128
"""How many samples are walked at most, so that memory does not grow with the calibration set."""

SHOWN = 6
"""Names of layers told in one line."""

ACTIVATIONS = 1 << 28
"""Bytes that one sample's largest activations may take times samples: large pictures get fewer of them."""


class Pieces:
    """A graph that runs bit by bit.

    ``feeds``: the graph's inputs by name; ``due``: values that are held, once computed, until they are asked for.
    """

    def __init__(self, model: ir.Model, feeds: dict[str, np.ndarray], due: Iterable[ir.Value] = ()) -> None:
        self._model = model
        self._due = set(due)
        self._values = dict(feeds)
        self._done: set[ir.Node] = set()
        self._readers = Counter(value for node in model.graph for value in node.inputs if value is not None)

    def compute(self, *wanted: ir.Value) -> list[np.ndarray]:
        """The arrays of these values, running only nodes that have not run yet.

        A value is forgotten when the last node that reads it has run, unless it is due yet.
        """
        nodes = self._missing(wanted)
        if nodes:
            self._run(nodes, wanted)
        found = [self._values[value.name] if value.const_value is None else qdq.stored(value) for value in wanted]
        self._due -= set(wanted)
        self._forget()
        return found

    def put(self, value: ir.Value, array: np.ndarray) -> None:
        """Take ``array`` for ``value``, whose node then does not run: who knows what it gives saves the time."""
        node = value.producer()
        self._values[value.name] = array
        self._done.add(node)
        self._readers.subtract(value for value in node.inputs if value is not None)

    def _missing(self, wanted: tuple[ir.Value, ...]) -> list[ir.Node]:
        """The nodes behind ``wanted`` that have not run, in topological order."""
        needed, pending = set(), list(wanted)
        while pending:
            value = pending.pop()
            node = value.producer()
            if node is None or node in self._done or node in needed:
                continue
            needed.add(node)
            pending += [value for value in node.inputs if value is not None]
        return [node for node in self._model.graph if node in needed]

    def _run(self, nodes: list[ir.Node], wanted: tuple[ir.Value, ...]) -> None:
        inside = set(nodes)
        made = [value for node in nodes for value in node.outputs if value.name]
        read = {value for node in nodes for value in node.inputs if value is not None} - set(made)
        kept = [
            value
            for value in made
            if value in wanted or value in self._due or set(value.consumers()) - inside - self._done
        ]
        fed = sorted((value for value in read if value.const_value is None), key=lambda value: value.name)
        session = _session(self._model, nodes, {value.name: self._values[value.name] for value in fed}, read, kept)
        results = session.run([value.name for value in kept], {value.name: self._values[value.name] for value in fed})
        self._values.update((value.name, array) for value, array in zip(kept, results, strict=True))
        self._done |= inside
        self._readers.subtract(value for node in nodes for value in node.inputs if value is not None)

    def _forget(self) -> None:
        """Drop what nobody will read. What was asked for has been handed out already."""
        waiting = {value.name for value, count in self._readers.items() if count > 0 or value in self._due}
        self._values = {name: array for name, array in self._values.items() if name in waiting}


def _session(
    model: ir.Model, nodes: list[ir.Node], feeds: dict[str, np.ndarray], read: set[ir.Value], kept: list[ir.Value]
) -> onnxruntime.InferenceSession:
    graph = onnx.GraphProto(name="piece")
    graph.node.extend(map(ir.serde.serialize_node, nodes))
    constants = sorted((value for value in read if value.const_value is not None), key=lambda value: value.name)
    graph.initializer.extend(onnx.numpy_helper.from_array(qdq.stored(value), value.name) for value in constants)
    for name, array in feeds.items():
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(onnx.helper.make_tensor_value_info(name, kind, [None] * array.ndim))
    graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in kept)  # types are inferred
    versions = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    piece = onnx.helper.make_model(graph, opset_imports=versions, ir_version=model.ir_version)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.disable_quant_qdq", "1")  # float kernels around pairs, as they stand
    options.intra_op_num_threads = 1  # sums in one order: the same file every time
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(piece.SerializeToString(), options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Step:
    """One layer's turn. ``layer``: in the quantized graph; ``twin``: its node in the float graph; ``incoming``: what
    comes in behind the quantized layers before it; ``target``: what the float layer puts out; ``activated``: that
    behind the Relu or Clip that alone reads it, None where there is none; ``pieces``: the quantized graph's."""

    layer: qdq.Layer
    twin: ir.Node
    incoming: np.ndarray
    target: np.ndarray
    activated: np.ndarray | None
    pieces: Pieces


def silent(done: int, total: int) -> None:
    """Reports to nobody."""


def walk(
    quantized: ir.Model, original: ir.Model, samples: np.ndarray, on_layer: Callable[[int, int], None] = silent
) -> Iterator[Step]:
    """A step for every layer of ``quantized`` in topological order.

    The caller may change the layer's weights and bias: they are read only when the next layer is due. ``samples``: raw
    inputs, few enough to hold the activations between two layers of all of them (see :func:`few`).
    ``on_layer(done, total)`` reports progress.
    """
    twins = {node.name: node for node in original.graph if node.op_type in qdq.WEIGHTED}
    pairs = [(layer, twins[layer.name]) for layer in qdq.layers(quantized) if layer.name in twins]
    due = [value for _, twin in pairs for value in (twin.outputs[0], _activation(twin)) if value is not None]
    feeds = {"input": np.ascontiguousarray(samples)}
    left, right = Pieces(quantized, feeds), Pieces(original, feeds, due)
    for done, (layer, twin) in enumerate(pairs, start=1):
        [incoming], activation = left.compute(layer.node.inputs[0]), _activation(twin)
        target, *behind = right.compute(*(v for v in (twin.outputs[0], activation) if v is not None))
        yield Step(layer, twin, incoming, target, behind[0] if behind else None, left)
        on_layer(done, len(pairs))


def _activation(node: ir.Node) -> ir.Value | None:
    readers = node.outputs[0].consumers()
    return readers[0].outputs[0] if len(readers) == 1 and readers[0].op_type in ("Relu", "Clip") else None


def outputs(quantized: ir.Model, layer: qdq.Layer, incoming: np.ndarray) -> np.ndarray:
    """What the layer, as it is now, puts out for ``incoming``."""
    value = layer.node.inputs[0]
    makers = []  # of weight and bias, from constants
    for constant in layer.node.inputs[1:]:
        if constant is not None and constant.producer() is not None:
            makers.append(constant.producer())
    nodes = [*makers, layer.node]
    read = {value for node in nodes for value in node.inputs if value is not None and value.producer() not in makers}
    out = layer.node.outputs[0]
    session = _session(quantized, nodes, {value.name: incoming}, read - {value}, [out])
    return session.run([out.name], {value.name: incoming})[0]


def few(samples: np.ndarray, model: ir.Model, limit: int = SAMPLES) -> np.ndarray:
    """Samples spread evenly over the set, as many as :data:`SAMPLES` and the sizes of the activations allow."""
    sizes = [np.prod([s for s in (v.shape or ()) if isinstance(s, int)]) for n in model.graph for v in n.outputs]
    fitting = int(ACTIVATIONS // (4 * max(sizes, default=1)))
    count = min(len(samples), limit, max(fitting, 1))
    return samples[np.linspace(0, len(samples) - 1, count).round().astype(int)]
