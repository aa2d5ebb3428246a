from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from compress.targets.onnx_graph import compact
from edge_runtime import open_session

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def small(exported, tmp_path_factory):
    path = tmp_path_factory.mktemp("compact") / "model.onnx"
    model = ir.load(exported)
    compact(model)
    ir.save(model, path)
    return path


def test_compacting_keeps_the_answers(exported, small, small_data):
    inputs = small_data.test.inputs[:8]
    with open_session(exported) as before, open_session(small) as after:
        np.testing.assert_array_equal(after.predict(inputs), before.predict(inputs))


def test_only_the_names_of_input_output_and_batch_stay(small):
    graph = onnx.load(small).graph
    names = {name for node in graph.node for name in (*node.input, *node.output)} | {i.name for i in graph.initializer}
    assert {name for name in names if len(name) > 2} == {"input", "logits"}
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not graph.value_info


def test_what_is_not_weights_takes_less_than_three_kilobytes(small):
    weights = sum(onnx.numpy_helper.to_array(tensor).nbytes for tensor in onnx.load(small).graph.initializer)
    assert small.stat().st_size - weights < 3000
