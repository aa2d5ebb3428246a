from __future__ import annotations

import pytest

from compress.bundle.build import read
from compress.bundle.choose import choose, listed
from compress.errors import BundlingError


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (None, "quantize/this-machine/onnxruntime"),
        ("this-machine", "quantize/this-machine/onnxruntime"),
        ("this-machine/onnxruntime", "quantize/this-machine/onnxruntime"),
        ("jetson-orin-nano", "quantize/jetson-orin-nano/tensorrt"),
        ("prune/raspberry-pi-4/onnxruntime", "prune/raspberry-pi-4/onnxruntime"),
    ],
)
def test_a_variant_a_target_or_a_runtime_of_it_can_be_named(run, wanted, found):
    assert choose(read(run), wanted).id == found


@pytest.mark.parametrize("wanted", ["quantise", "teacher/this-machine/pytorch", "", "quantize"])
def test_an_unknown_variant_lists_them_all_with_the_recommended_ones_marked(run, wanted):
    with pytest.raises(BundlingError, match="there is no variant") as caught:
        choose(read(run), wanted)
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 6
    assert [line.split()[1] for line in lines if line.startswith("*")] == [
        "quantize/this-machine/onnxruntime",
        "quantize/raspberry-pi-4/onnxruntime",
        "quantize/jetson-orin-nano/tensorrt",
    ]


def test_the_list_tells_what_was_measured(run):
    lines = listed(read(run)).splitlines()
    assert lines[1].endswith("int8, 3 kB, 89.84%, 0.5 ms")
    assert lines[3].endswith("not measured")


def test_of_two_runtimes_of_a_target_the_faster_student_is_taken(run):
    from dataclasses import replace

    results = read(run)
    row = next(v for v in results.variants if v.id == "prune/this-machine/onnxruntime")
    fast = replace(
        row, id="prune/this-machine/openvino", runtime="openvino", latency=replace(row.latency, p50=1e-4), parent=None
    )
    both = replace(results, variants=[*results.variants, fast])
    assert choose(both, None).id == "prune/this-machine/openvino"
    assert choose(both, "this-machine/onnxruntime").id == "quantize/this-machine/onnxruntime"


def test_a_package_is_compiled_for_this_machine_and_not_for_a_device(run):
    from dataclasses import replace

    results = read(run)
    row = next(v for v in results.variants if v.id == "prune/this-machine/onnxruntime")
    fast = replace(
        row, id="prune/this-machine/aotinductor", runtime="aotinductor", latency=replace(row.latency, p50=1e-6)
    )
    both = replace(results, variants=[fast, *results.variants])
    assert choose(both, None).runtime == "onnxruntime"
    with pytest.raises(BundlingError, match="there is no variant"):
        choose(both, fast.id)


def test_a_run_without_a_model_for_a_device_says_so(run):
    from dataclasses import replace

    results = read(run)
    with pytest.raises(BundlingError, match="no model for a device"):
        choose(replace(results, variants=results.variants[:1]), None)
