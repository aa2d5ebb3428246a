from __future__ import annotations

import copy
import importlib.metadata
import json
import subprocess
import sys
from dataclasses import replace

import onnx
import pytest

from compress import energy, plan_keys
from compress.models.spec import SPEC_FILE, WEIGHTS_FILE
from compress.plan import Facts, Plan, plan
from compress.recipe import Distill, Measure, Prune, Quantize, Recipe
from edge_runtime.energy.find import find
from edge_runtime.machine import detect

RECIPE = {
    "name": "quick",
    "teacher": {"architecture": "resnet", "checkpoint": "t.safetensors"},
    "data": {"source": "fashion-mnist"},
    "stages": [{"prune": {"ratio": 0.5}}, {"distill": {"temperature": 4}}, "quantize"],
    "targets": [{"name": "this-machine", "runtimes": ["onnxruntime", "openvino"]}],
}
SAMPLES = {"train": 55_000, "calibration": 1000, "validation": 4000, "test": 10_000}
FACTS = Facts("data-fingerprint", SAMPLES)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "t.safetensors").write_bytes(b"weights")
    (tmp_path / "t.onnx").write_bytes(b"graph")
    return tmp_path


@pytest.fixture
def planned(folder):
    def make(facts: Facts = FACTS, **changes: object) -> Plan:
        return plan(Recipe.model_validate(copy.deepcopy(RECIPE) | changes).placed(folder), facts)

    return make


def labels(made: Plan, *kinds: str) -> list[str]:
    return [step.label for step in made.steps if step.kind in kinds]


def changed(before: Plan, after: Plan) -> set[str]:
    """Labels of the stored steps whose key differs."""
    keys = {step.label: step.key for step in before.steps}
    return {step.label for step in after.steps if step.stored and step.key != keys.get(step.label)}


def test_networks_come_in_the_recipes_order_each_with_its_exports(planned):
    assert labels(planned(), "teacher", "prune", "distill", "export") == [
        "teacher",
        "teacher/onnx",
        "teacher/openvino",
        "prune",
        "prune/onnx",
        "prune/openvino",
        "distill",
        "distill/onnx",
        "distill/openvino",
    ]


def test_every_input_is_made_by_an_earlier_step(planned):
    seen: set[str] = set()
    for step in planned().steps:
        assert set(step.inputs.values()) <= seen
        seen.add(step.label)


def test_test_data_is_touched_only_after_all_training_and_quantization(planned):
    kinds = [step.kind for step in planned().steps]
    first = kinds.index("evaluate")
    assert set(kinds[first:]) == {"evaluate", "measure", "report"}
    assert kinds[-1] == "report"


def test_roles_of_inputs(planned):
    made = planned()
    assert made.step("prune").inputs == {"model": "teacher"}
    assert made.step("distill").inputs == {"teacher": "teacher", "model": "prune"}
    assert made.step("distill/openvino").inputs == {"model": "distill/onnx"}
    own = planned(stages=[{"distill": {"architecture": "resnet"}}])
    assert own.step("distill").inputs == {"teacher": "teacher"}


def test_repeated_stages_are_numbered(planned):
    prune = {"prune": {"ratio": 0.2}}
    made = planned(stages=[prune, "distill", prune, "distill"])
    assert labels(made, "prune", "distill") == ["prune", "distill", "prune-2", "distill-2"]
    assert made.step("distill-2").inputs == {"teacher": "teacher", "model": "prune-2"}


def test_settings_are_json_and_become_the_recipes_types_again(planned):
    made = planned(seed=5)
    for step in made.steps:
        json.dumps(step.settings)
    assert made.step("prune").options(Prune) == Prune(ratio=0.5)
    assert made.step("distill").options(Distill) == Distill(temperature=4)
    assert made.step("measure/this-machine/openvino").options(Measure) == Measure()
    quantize = made.step(labels(made, "quantize")[0])
    assert quantize.options(Quantize) == Quantize()
    assert quantize.settings["arithmetic"]["activations"] == "u8"
    assert made.step("prune").settings["seed"] == 5


def test_openvino_is_left_out_where_no_target_asks_for_it(planned):
    made = planned(targets=[{"name": "this-machine", "runtimes": ["onnxruntime"]}])
    assert not [label for label in labels(made, "export", "quantize", "measure") if "openvino" in label]


def test_rows_follow_each_runtime_from_the_teacher_to_the_student(planned):
    rows = planned().variants
    assert [row.id for row in rows] == [
        "teacher/this-machine/pytorch",
        "teacher/this-machine/onnxruntime",
        "prune/this-machine/onnxruntime",
        "distill/this-machine/onnxruntime",
        "quantize/this-machine/onnxruntime",
        "teacher/this-machine/openvino",
        "prune/this-machine/openvino",
        "distill/this-machine/openvino",
        "quantize/this-machine/openvino",
    ]
    assert [row.parent for row in rows[:5]] == [None, None, *(row.id for row in rows[1:4])]
    assert [row.order for row in rows[1:5]] == [0, 1, 2, 3]
    assert [row.precision for row in rows[1:5]] == ["fp32", "fp32", "fp32", "int8"]


def test_rows_name_steps_of_the_plan(planned):
    made = planned(targets=["this-machine", "raspberry-pi-4"])
    for row in made.variants:
        assert made.step(row.file).kind in ("teacher", "export", "quantize")
        assert (row.measure is None) is (row.evaluate is None) is (row.not_measured is not None)
        if row.evaluate:
            assert made.step(row.evaluate).inputs == {"model": row.file}
        if row.measure and row.runtime != "pytorch":
            assert made.step(row.measure).inputs[row.id] == row.file
            assert made.step(row.measure).settings["runtime"] == row.runtime


def test_pytorch_teacher_is_the_reference_in_every_measurement(planned):
    made = planned()
    assert [made.step(label).inputs["torch"] for label in labels(made, "measure")] == ["teacher", "teacher"]
    assert made.variants[0].measure == labels(made, "measure")[0]


def test_target_elsewhere_is_built_and_neither_judged_nor_measured(planned):
    workstation = replace(FACTS, machine=replace(detect(), model=None, arch="x86_64"))
    made = planned(targets=["raspberry-pi-4"], facts=workstation)
    assert labels(made, "measure") == []
    assert not [label for label in labels(made, "evaluate") if "/onnx" in label]
    assert all(row.measure is None and row.not_measured for row in made.variants)
    assert {row.runtime for row in made.variants}.isdisjoint({"pytorch"})
    assert labels(made, "quantize")


def test_quantize_stages_are_alternatives_made_from_one_float_network(planned):
    made = planned(stages=[{"prune": {"ratio": 0.5}}, "quantize", {"quantize": {"to": "fp16"}}])
    rows = [row for row in made.variants if row.runtime == "openvino" and row.stage.startswith("quantize")]
    assert [(row.stage, row.precision, row.parent) for row in rows] == [
        ("quantize", "int8", "prune/this-machine/openvino"),
        ("quantize-2", "fp16", "prune/this-machine/openvino"),
    ]
    assert len({row.order for row in rows}) == 2
    assert "quantize-2/openvino/fp16" in labels(made, "quantize")


def test_quantization_aware_training_happens_once_for_onnx_runtime_and_openvino(planned):
    made = planned(stages=[{"quantize": {"method": "qat"}}])
    trained, converted = [made.step(label) for label in labels(made, "quantize")]
    assert {"network", "teacher"} <= trained.inputs.keys()
    assert converted.inputs == {"model": "teacher/openvino", "trained": trained.label}


def test_only_what_times_layers_is_keyed_by_the_machine(planned):
    other = replace(FACTS, machine=replace(FACTS.machine, cpu="another", cores=64))
    for to, same in (("int8", True), ("mixed", False)):
        stages = [{"quantize": {"to": to}}]
        label = labels(planned(stages=stages), "quantize")[0]
        keys = {planned(facts, stages=stages).step(label).key for facts in (FACTS, other)}
        assert (len(keys) == 1) is same


def test_another_scheme_can_be_forced_and_has_its_own_file(planned):
    forced = planned(stages=[{"quantize": {"scheme": {"weight_bits": 8}}}], targets=["x86-avx2"])
    assert any("u8s8-saturating" in label for label in labels(forced, "quantize"))


def test_targets_with_the_same_scheme_share_one_quantized_file(planned):
    here = planned(targets=[{"name": "x86-avx2", "runtimes": ["onnxruntime"]}])
    [file] = labels(here, "quantize")
    again = planned(targets=[{"name": name, "runtimes": ["onnxruntime"]} for name in ("x86-avx2", "raspberry-pi-4")])
    files = {row.target: row.file for row in again.variants if row.stage == "quantize"}
    assert files["x86-avx2"] == file
    assert len(labels(again, "quantize")) == len(set(files.values()))


PACKAGES = [{"name": "this-machine", "runtimes": ["onnxruntime", "aotinductor"]}]
GPU = [{"name": "nvidia-gpu", "runtimes": ["aotinductor", "aotinductor-graph", "onnxruntime-cuda", "tensorrt"]}]
HALF = [{"quantize": {"to": "fp16"}}]


@pytest.fixture
def gpu_machine(monkeypatch) -> Facts:
    """A machine with a GPU and everything for it but TensorRT."""
    monkeypatch.setattr("compress.targets.target.find_spec", lambda name: None if name == "tensorrt" else object())
    monkeypatch.setattr("compress.targets.target.version", lambda package: "2.13.0")
    return replace(FACTS, machine=replace(detect(), model=None, arch="x86_64", gpu=("NVIDIA H100",)))


def test_a_package_is_compiled_from_the_network_for_this_very_machine(planned):
    made = planned(targets=PACKAGES, stages=HALF)
    assert made.step("teacher/aotinductor").settings == {"format": "aotinductor", "device": "cpu"}
    assert made.step("teacher/aotinductor").inputs == {"model": "teacher"}
    assert made.step("quantize/aotinductor/fp16").inputs["network"] == "teacher"
    rows = {row.id: row for row in made.variants}
    assert rows["quantize/this-machine/aotinductor"].file == "quantize/aotinductor/fp16"
    assert rows["quantize/this-machine/aotinductor"].parent == "teacher/this-machine/aotinductor"
    other = planned(targets=PACKAGES, stages=HALF, facts=replace(FACTS, machine=replace(FACTS.machine, cpu="another")))
    compiled = {"teacher/aotinductor", "quantize/aotinductor/fp16"}
    assert compiled <= changed(made, other)
    assert {"teacher/onnx", "quantize/onnxruntime/fp16"}.isdisjoint(changed(made, other))


def test_without_a_gpu_there_are_no_packages_for_it_and_every_row_says_why(planned):
    workstation = replace(FACTS, machine=replace(detect(), gpu=()))
    made = planned(targets=GPU, stages=HALF, facts=workstation)
    assert not [step.label for step in made.steps if "aotinductor" in step.label or step.kind == "measure"]
    for row in made.variants:
        assert "no NVIDIA GPU" in row.not_measured
        compiled = row.runtime.startswith("aotinductor")
        assert (row.file is None) is compiled is ("compiled where it runs" in row.not_measured)
    rewritten = made.step("quantize/tensorrt/fp16")
    assert rewritten.inputs == {"model": "teacher/onnx", "onnx": "teacher/onnx", "network": "teacher"}


def test_on_a_gpu_each_runtime_answers_for_itself_beside_pytorch_on_the_gpu(planned, gpu_machine):
    made = planned(targets=GPU, stages=HALF, facts=gpu_machine)
    rows = {row.id: row for row in made.variants}
    reference = made.variants[0]
    assert (reference.runtime, reference.file, reference.evaluate) == (
        "pytorch-cuda",
        "teacher",
        "evaluate/teacher/pytorch-cuda",
    )
    assert made.step(reference.evaluate).settings["runtime"] == "pytorch-cuda"
    one, graph = (rows[f"quantize/nvidia-gpu/{name}"] for name in ("aotinductor", "aotinductor-graph"))
    assert one.file == graph.file and made.step(one.file).settings["device"] == "cuda"
    assert one.evaluate != graph.evaluate
    for label in labels(made, "measure"):
        assert made.step(label).settings["reference"] == "pytorch-cuda"
    for row in made.variants:
        if row.evaluate:
            assert made.step(row.evaluate).settings["runtime"] == row.runtime


def test_one_missing_engine_keeps_the_others_from_nothing(planned, gpu_machine):
    made = planned(targets=GPU, stages=[], facts=gpu_machine)
    assert labels(made, "measure") == [
        f"measure/nvidia-gpu/{runtime}" for runtime in ("aotinductor", "aotinductor-graph", "onnxruntime-cuda")
    ]
    reasons = {row.runtime: row.not_measured for row in made.variants if row.not_measured}
    assert reasons == {"tensorrt": "tensorrt is not installed here: python -m pip install tensorrt"}


def test_packages_are_built_only_where_they_are_named(planned):
    for targets in (["this-machine"], ["nvidia-gpu"]):
        assert not [row for row in planned(targets=targets).variants if "aotinductor" in row.runtime]


def external(name: str) -> onnx.TensorProto:
    tensor = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=[1])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=f"{name}.data")
    return tensor


def test_weights_outside_the_onnx_file_are_part_of_the_key(planned, folder):
    branch = onnx.helper.make_graph([], "branch", [], [], initializer=[external("inner")])
    nodes = [onnx.helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)]
    graph = onnx.helper.make_graph(nodes, "g", [], [], initializer=[external("outer"), external("gone")])
    (folder / "t.onnx").write_bytes(onnx.helper.make_model(graph).SerializeToString())
    keys = set()
    for outer, inner in ((b"a", b"b"), (b"c", b"b"), (b"c", b"d")):
        (folder / "outer.data").write_bytes(outer)
        (folder / "inner.data").write_bytes(inner)
        keys.add(planned(teacher={"onnx": "t.onnx"}, stages=["quantize"]).step("teacher").key)
    assert len(keys) == 3


def test_description_beside_a_saved_model_is_part_of_the_key(planned, folder):
    assert (plan_keys.SAVED_WEIGHTS, plan_keys.SAVED_SPEC) == (WEIGHTS_FILE, SPEC_FILE)
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    keys = set()
    for text in ("", "{}", '{"normalize": null}'):
        (folder / SPEC_FILE).write_text(text)
        keys.add(planned(teacher={"architecture": "resnet", "checkpoint": WEIGHTS_FILE}).step("teacher").key)
    assert len(keys) == 3


def test_onnx_teacher_has_no_pytorch_steps(planned):
    made = planned(teacher={"onnx": "t.onnx"}, stages=["quantize"])
    assert "evaluate/teacher" not in labels(made, "evaluate")
    assert "pytorch" not in {row.runtime for row in made.variants}
    assert all("torch" not in made.step(label).inputs for label in labels(made, "measure"))


def test_teacher_alone_is_a_plan(planned):
    made = planned(stages=[])
    assert labels(made, "prune", "distill", "quantize") == []
    assert {row.stage for row in made.variants} == {"teacher"}


def test_every_stored_step_has_its_own_key(planned):
    keys = [step.key for step in planned().steps if step.stored]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert planned() == planned()


def test_without_the_data_only_a_loaded_teacher_has_a_key(planned):
    made = planned(facts=Facts())
    assert [step.label for step in made.steps if step.key] == ["teacher"]
    trained = planned(facts=Facts(), teacher={"architecture": "resnet", "train": {}})
    assert [step.label for step in trained.steps if step.key] == []


def test_changed_stage_changes_it_and_all_that_follows_and_nothing_before(planned):
    stages = [{"prune": {"ratio": 0.5}}, {"distill": {"temperature": 5}}, "quantize"]
    found = changed(planned(), planned(stages=stages))
    assert found
    assert all("distill" in label or label.split("/")[0] == "measure" or "quantize" in label for label in found)
    assert {"distill", "distill/onnx", "distill/openvino", "evaluate/distill", "measure/this-machine/openvino"} <= found


def test_energy_is_another_measurement_and_nothing_else_is(planned):
    assert changed(planned(), planned(measure={"energy": True})) == set(labels(planned(), "measure"))
    assert changed(planned(), planned(measure={"meters": ["http://plug/status"]})) == set(labels(planned(), "measure"))


def test_modelled_energy_needs_no_measurement(planned):
    assert changed(planned(), planned(measure={"model_energy": 5.0})) == set()


def test_a_sensor_that_can_be_read_by_now_makes_it_another_measurement(planned, monkeypatch, tmp_path):
    """Who was told how to read a sensor, and did so, must not be told again that there is none."""
    monkeypatch.setattr(energy, "find", lambda: find(tmp_path))
    before = planned(measure={"energy": True})
    zone = tmp_path / "sys/class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in {"name": "package-0", "energy_uj": "1", "max_energy_range_uj": "262143328850"}.items():
        (zone / name).write_text(text)
    after = planned(measure={"energy": True})
    assert changed(before, after) == set(labels(before, "measure"))
    assert after.step("measure/this-machine/openvino").settings["sensors"] == ["rapl"]


def test_without_energy_a_measurement_is_keyed_as_it_was_before_there_was_any(planned):
    settings = planned().step("measure/this-machine/openvino").settings
    assert settings == {
        "threads": 1, "batch": 1, "rounds": 40, "seconds": 20.0, "runtime": "openvino", "seed": 0,
    }  # fmt: skip


def test_changed_measure_changes_only_measurements(planned):
    found = changed(planned(), planned(measure={"rounds": 10}))
    assert found == set(labels(planned(), "measure"))


def test_changed_budget_name_and_other_targets_change_nothing_made_before(planned):
    before = planned()
    assert changed(before, planned(name="other", budget={"latency": "1 ms"})) == set()
    more = planned(targets=[*RECIPE["targets"], "raspberry-pi-4"])
    assert changed(more, before) == set()


def test_changed_weights_data_or_seed_change_the_keys(planned, folder):
    before = planned()
    assert "teacher" not in changed(before, planned(facts=replace(FACTS, data="other")))
    assert "teacher/onnx" in changed(before, planned(facts=replace(FACTS, data="other")))
    assert changed(before, planned(seed=1)) >= {"prune", "distill"}
    (folder / "t.safetensors").write_bytes(b"others!")
    assert len(changed(before, planned())) == sum(step.stored for step in before.steps)


def test_other_machine_changes_only_what_runs_on_it(planned):
    here = detect()
    slower = replace(FACTS, machine=replace(here, cores=here.cores + 1))
    assert changed(planned(), planned(facts=slower)) == set(labels(planned(), "measure"))
    other = replace(FACTS, machine=replace(here, features=(*here.features, "amx_int8")))
    made = planned(facts=other)
    assert changed(planned(), made) >= set(labels(made, "measure", "evaluate"))


def test_library_version_changes_the_steps_that_use_it(planned, monkeypatch):
    before, original = planned(), importlib.metadata.version
    versions = {"torch-pruning": "99"}
    monkeypatch.setattr("importlib.metadata.version", lambda name: versions.get(name) or original(name))
    found = changed(before, planned())
    assert "prune" in found
    assert not found & {"teacher", "teacher/onnx"}


def test_new_version_of_a_steps_code_changes_it(planned, monkeypatch):
    before = planned()
    monkeypatch.setitem(plan_keys.VERSIONS, "distill", plan_keys.VERSIONS["distill"] + 1)
    found = changed(before, planned())
    assert "distill" in found
    assert not found & {"prune", "prune/onnx"}


def test_own_code_is_part_of_the_key(planned, folder):
    teacher = {"architecture": "my_models.nets:build", "checkpoint": "t.safetensors"}
    package = folder / "my_models"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('a plan runs no code')")
    (package / "nets.py").write_text("one")
    before = planned(teacher=teacher)
    assert changed(before, planned(teacher=teacher)) == set()
    (package / "nets.py").write_text("two")
    assert "teacher" in changed(before, planned(teacher=teacher))


def test_own_single_module_is_part_of_the_key(planned, folder):
    stages = [{"distill": {"architecture": "my_net:build"}}]
    (folder / "my_net.py").write_text("one")
    before = planned(stages=stages)
    (folder / "my_net.py").write_text("two")
    found = changed(before, planned(stages=stages))
    assert "distill" in found
    assert "teacher" not in found


def test_folder_of_a_teacher_is_hashed_with_all_its_files(planned, folder):
    (folder / "hub").mkdir()
    (folder / "hub" / "config.json").write_text("1")
    before = planned(teacher={"huggingface": "hub"})
    (folder / "hub" / "config.json").write_text("2")
    assert "teacher" in changed(before, planned(teacher={"huggingface": "hub"}))


@pytest.mark.parametrize(
    ("stages", "label", "words", "work"),
    [
        ([], "teacher", "load resnet with the weights of t.safetensors", ""),
        ([{"prune": {"ratio": 0.5}}], "prune", "remove 50% of the channels", "5 epochs x 55,000 samples"),
        (
            [{"prune": {"macs": 0.3, "iterations": 3, "finetune": {"epochs": 1}}}],
            "prune",
            "keep 30% of the MACs by magnitude in 3 rounds",
            "3 x 1 epoch x 55,000 samples",
        ),
        ([{"prune": {"ratio": 0.5, "finetune": None}}], "prune", "remove 50% of the channels by magnitude", ""),
        ([{"prune": {"ratio": 0.5}}, "distill"], "distill", "train the network of 'prune' on", "10 epochs x 55,000"),
        ([{"distill": {"architecture": "dscnn"}}], "distill", "train dscnn on the teacher's answers", "10 epochs"),
    ],
)
def test_steps_say_what_they_do_and_how_much_work_it_is(planned, stages, label, words, work):
    step = planned(stages=stages).step(label)
    assert step.words.startswith(words)
    assert step.work.startswith(work)
    assert bool(step.work) is bool(work)


@pytest.mark.integration
def test_planning_imports_no_engine():
    heavy = "torch", "onnx", "onnxruntime", "openvino"
    code = f"import sys, compress.plan, compress.recipe_file; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
