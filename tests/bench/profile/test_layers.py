from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console

from compress.bench.profile import table as profile_table
from compress.bench.profile.layer_names import name_layers
from compress.bench.profile.layers import read, to_json
from compress.errors import RunError
from edge_runtime import machine
from edge_runtime.probes.profile import profile as measured

PEAKS = {
    "threads": 1,
    "float32": 40e9,
    "int8": {"onnxruntime": 80e9},
    "read": 30e9,
    "copy": 20e9,
    "resident": [],
    "event": "peaks",
    "at": 1.0,
}
METHOD = {
    "profiler": "a profiler",
    "version": "1.2.3",
    "calls": 50,
    "unprofiled_p50": 400e-6,
    "profiled_p50": 600e-6,
    "layers_sum": 500e-6,
}


def layer(name: str, micros: float, kind: str = "Conv", **rest: object) -> dict:
    facts = {"kernel": "CPU", "calls": 1, "precision": "float32", "conversion": None, "macs": None, "made_of": ()}
    return {"name": name, "type": kind, "seconds": micros * 1e-6, "share": micros / 500} | facts | rest


LAYERS = [
    layer("first", 300, macs=6_000_000),
    layer("second", 150, macs=6_000_000, precision="int8", kernel="fast"),
    layer("back", 50, "DequantizeLinear", conversion="type"),
]


def events(**rest: object) -> list[dict]:
    begin = {"event": "begin", "machine": asdict(machine.detect()), "emulated": False}
    found = {"event": "profile", "model": "net", "runtime": "openvino", "threads": 1, "inputs": {"input": [1, 3]}}
    return [begin, PEAKS, found | {"layers": LAYERS, "method": METHOD} | rest, {"event": "end", "complete": True}]


@pytest.fixture
def dense(tmp_path) -> Path:
    """float32 (batch, 3) -> (batch, 5), with two products of 15 and 25 MACs; the second node has no name."""
    tensors = {"w": np.ones((3, 5), np.float32), "v": np.ones((5, 5), np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["input", "w"], ["a"], name="named"),
            helper.make_node("MatMul", ["a", "v"], ["b"]),
            helper.make_node("Sigmoid", ["b"], ["bounded"], name="sigmoid"),
        ],
        "dense",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("bounded", TensorProto.FLOAT, ["batch", 5])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    path = tmp_path / "dense.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def shown(found, width: int = 120, top: int = 20) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(profile_table.terminal(found, top, width))
    return console.export_text().replace("\N{NO-BREAK SPACE}", " ")


def test_rates_are_of_each_layers_own_peak(dense):
    first, second, back = read(events(), "net", dense).layers
    assert (first.rate, first.of_peak) == (pytest.approx(20e9), pytest.approx(0.5))
    assert (second.rate, second.of_peak) == (pytest.approx(40e9), pytest.approx(0.5))
    assert (back.rate, back.of_peak) == (None, None)


def test_the_floor_is_of_the_file_and_the_unprofiled_inference(dense):
    found = read(events(), "net", dense)
    assert found.floor.compute == pytest.approx(40 / 40e9)
    assert found.floor.reached == pytest.approx(found.floor.seconds / 400e-6)


def test_without_peaks_there_is_no_floor_and_it_says_why(dense):
    refused = {"event": "refused", "model": None, "what": "peaks", "code": "probe-failed", "reason": "too hot"}
    some = [event for event in events() if event["event"] != "peaks"]
    assert read(some, "net", dense).no_floor == "no peak rates were measured"
    assert read([refused, *some], "net", dense).no_floor == "too hot"
    assert "None: too hot." in shown(read([refused, *some], "net", dense))


def test_a_file_that_cannot_be_counted_still_has_its_layers(tmp_path):
    found = read(events(), "net", tmp_path / "model.safetensors")
    assert len(found.layers) == 3
    assert found.floor is None
    assert ".onnx, .xml and .tflite" in found.no_floor


def test_a_refused_profile_gives_the_devices_own_reason(dense):
    refused = {"event": "refused", "model": "net", "what": "open", "code": "x", "reason": "it has no weights"}
    told = [events()[0], refused, {"event": "end", "complete": True, "why": "done"}]
    with pytest.raises(RunError, match="net has no profile: it has no weights"):
        read(told, "net", dense)


def test_a_stream_that_broke_off_is_told(dense):
    with pytest.raises(RunError, match="the board lost power"):
        read([events()[0], {"event": "end", "complete": False, "why": "the board lost power"}], "net", dense)


def test_json_has_a_schema_and_all_layers(dense):
    found = json.loads(to_json(read(events(), "net", dense)))
    assert found["schema"] == "compress.profile/1"
    assert [entry["name"] for entry in found["layers"]] == ["first", "second", "back"]
    assert found["peaks"]["float32"] == 40e9
    assert "event" not in found["peaks"]


def test_the_table_has_the_longest_first_with_bars_in_proportion(dense):
    lines = shown(read(events(), "net", dense)).splitlines()
    rows = [line for line in lines if "█" in line]
    assert ["first" in rows[0], "second" in rows[1], "back" in rows[2]] == [True] * 3
    assert [row.count("█") for row in rows] == [12, 6, 2]
    assert "300  60.0 %" in rows[0]
    assert "20.0" in rows[0]
    assert "50 %" in rows[0]


def test_fewer_rows_say_what_they_leave_out(dense):
    text = shown(read(events(), "net", dense), top=1)
    assert "3 layers take 500 µs, of which the 1 shown takes 60 %." in " ".join(text.split())


def test_conversions_and_the_profilers_own_cost_are_told(dense):
    text = " ".join(shown(read(events(), "net", dense)).split())
    assert "10.0 % changes the type (quantize, dequantize, cast), and computes nothing." in text
    assert "400 µs without the profiler (median), 600 µs with it. The layers' sum is 25 % above the former" in text


def test_one_layer_takes_and_several_take(dense):
    def said(layers, top=20):
        return " ".join(shown(read(events(layers=layers), "net", dense), top=top).split())

    assert "1 layer takes 500 µs." in said(LAYERS[:1])
    assert "3 layers take 500 µs, of which the 1 shown takes 60 %." in said(LAYERS, top=1)
    assert "3 layers take 500 µs, of which the 2 shown take 90 %." in said(LAYERS, top=2)


def test_time_between_layers_is_told(dense):
    method = METHOD | {"unprofiled_p50": 1e-3}
    text = " ".join(shown(read(events(method=method), "net", dense)).split())
    assert "50 % of the former lies between layers" in text


def test_emulated_times_are_marked(dense):
    told = events()
    told[0] |= {"emulated": True}
    assert "EMULATED" in shown(read(told, "net", dense))


@pytest.mark.parametrize("width", [80, 90, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(dense, width):
    long = [layer("model.backbone.stages.3.blocks.17.attention.projection", 500, macs=6_000_000, kernel="brgconv_avx2")]
    text = shown(read(events(layers=long), "net", dense), width)
    assert max(map(len, text.splitlines())) <= width
    assert "projection" in text
    assert "100.0 %" in text
    assert "30 %" in text


def test_onnx_runtimes_names_are_found_in_the_file(dense):
    kernels = [
        layer("named", 1, "FusedMatMul"),
        layer("MatMul_1", 1, "MatMul"),
        layer("sigmoid", 1, "Sigmoid"),
        layer("made up", 1, "ReorderInput"),
    ]
    found = name_layers(kernels, dense, {"input": (1, 3)})
    assert [(known.name, known.macs) for known in found] == [
        ("named", 15),
        ("MatMul_1", 25),
        ("sigmoid", None),
        ("made up", None),
    ]


def test_a_kernel_named_for_what_it_gives_is_the_product_before(dense):
    (found,) = name_layers([layer("bounded_nchwc", 1, "MatMul")], dense, {"input": (4, 3)})
    assert found.macs == 4 * 25


@pytest.mark.integration
def test_multiplications_of_real_kernels_sum_to_the_files(dense):
    given = measured(dense, None, 1, {"input": np.ones((2, 3), np.float32)}, calls=8)
    told = [events()[0], {"event": "profile", "model": "net", **given}]
    assert sum(one.macs or 0 for one in read(told, "net", dense).layers) == 2 * (15 + 25)
