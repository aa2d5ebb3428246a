from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compress.errors import RecipeError
from compress.recipe import Prune
from compress.recipe_file import load_recipe

GOOD = """\
# a comment
name: quick
teacher:
  architecture: resnet
  arguments: {classes: 10, widths: [16, 32]}
  checkpoint: teacher.safetensors
data:
  source: fashion-mnist
stages:
  - prune: {ratio: 0.5, finetune: {epochs: 2}}
  - distill:
      temperature: 4
  - quantize
targets: [this-machine, {name: raspberry-pi-4, runtimes: [onnxruntime]}]
budget:
  latency: 2 ms
"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "teacher.safetensors").write_bytes(b"weights")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, overrides: tuple[str, ...] = ()) -> list[str]:
    """The lines of the error, with the path shortened to its name."""
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{path.parent}/", "").splitlines()


def replaced(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def test_good_recipe_is_read_with_its_folder(folder):
    recipe = load_recipe(write(folder, GOOD))
    assert recipe.folder == folder
    assert recipe.teacher.arguments == {"classes": 10, "widths": [16, 32]}
    assert [stage.kind for stage in recipe.stages] == ["prune", "distill", "quantize"]
    assert recipe.budget.latency == 0.002


def test_path_may_be_text_and_nothing_is_written(folder):
    path = write(folder, GOOD)
    load_recipe(str(path), ["seed=3"])
    assert sorted(p.name for p in folder.iterdir()) == ["teacher.safetensors", "x.yaml"]
    assert path.read_text() == GOOD


def test_byte_order_mark_is_no_part_of_the_first_key(folder):
    path = folder / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_recipe(path).name == "quick"


def test_override_changes_the_recipe(folder):
    path = write(folder, GOOD)
    overrides = ["stages.0.prune.ratio=0.25", "stages[1].distill.training.epochs=3", "targets=this-machine"]
    recipe = load_recipe(path, overrides)
    assert recipe.stages[0].settings.ratio == 0.25
    assert recipe.stages[1].settings.training.epochs == 3
    assert [target.name for target in recipe.targets] == ["this-machine"]


def test_unknown_key_suggests_the_nearest_one(folder):
    [line] = refusal(write(folder, replaced("{ratio: 0.5,", "{ration: 0.5,")))
    assert line == (
        "x.yaml:10: stages[0].prune.ration: unknown key; did you mean 'ratio'? "
        f"allowed: {', '.join(Prune.model_fields)}"
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: quick\n", "", "2: name: missing: name of the run and of its folder"),
        ("name: quick", "name: Quick Start", "2: name: 'Quick Start' does not fit: name of the run"),
        ("name: quick", "name: 3", "2: name: expected text, not 3"),
        ("name: quick", "name: quick\nseed: -1", "3: seed: must be at least 0, not -1"),
        ("name: quick", "name: quick\nseed: 1.5", "3: seed: expected a whole number, not 1.5"),
        ("name: quick", "name: quick\nversion: 2", "3: version: 2 is not known; allowed: 1"),
        ("{epochs: 2}", "{epochs: many}", "10: stages[0].prune.finetune.epochs: expected a whole number, not 'many'"),
        ("{epochs: 2}", "{epochs: yes}", "10: stages[0].prune.finetune.epochs: expected a whole number, not 'yes'"),
        ("{epochs: 2}", "{epochs: true}", "10: stages[0].prune.finetune.epochs: expected a number, not true"),
        ("{epochs: 2}", "2", "10: stages[0].prune.finetune: expected a mapping with the keys epochs, batch"),
        (
            "{epochs: 2}",
            "{optimizer: adam}",
            "10: stages[0].prune.finetune.optimizer: 'adam' is not known; did you mean 'adamw'? allowed: sgd, adamw",
        ),
        ("ratio: 0.5", "ratio: 1.5", "10: stages[0].prune.ratio: must be less than 1, not 1.5"),
        ("ratio: 0.5", "ratio: 0", "10: stages[0].prune.ratio: must be greater than 0, not 0"),
        ("ratio: 0.5", "ignore: head", "10: stages[0].prune.ignore: expected a list, not 'head'"),
        (
            "quantize",
            "quantize: {to: int4}",
            "13: stages[2].quantize.to: 'int4' is not known; did you mean 'int4-weights'?",
        ),
        (
            "quantize",
            "quantize: {max_drop: 50}",
            "13: stages[2].quantize.max_drop: must be at most 1, not 50: a fraction, or percent such as '0.5%'",
        ),
        ("quantize", "quantise", "13: stages[2]: expected a mapping with the keys prune, distill, quantize, not"),
        ("quantize", "quantise: {}", "13: stages[2].quantise: unknown key; did you mean 'quantize'?"),
        ("stages:", "stagse:", "9: stagse: unknown key; did you mean 'stages'?"),
        ("2 ms", "2 MB", "16: budget.latency: unknown unit 'MB': write for example '2 ms'; units: s, ms"),
        ("2 ms", "quick", "16: budget.latency: expected a number or a text such as '2 ms'"),
        ("2 ms", "0 ms", "16: budget.latency: must be greater than 0, not"),
        ("resnet", "resnet\n  onnx: a.onnx", "3: teacher: give exactly one of checkpoint, huggingface, onnx, train"),
        ("teacher.safe", "student.safe", "6: teacher.checkpoint: no such file: student.safetensors"),
        ("source: fashion-mnist", "source: huggingface\n  path: gone", "9: data.path: no such file or folder: gone"),
        ("source: fashion-mnist", "source: npz\n  path: .", "9: data.path: npz needs a file, and this is none: "),
        (
            "source: fashion-mnist",
            "source: image-folder\n  path: x.yaml",
            "9: data.path: image-folder needs a folder, and this is none: x.yaml",
        ),
        ("source: fashion-mnist", "source: gone.code:load", "8: data.source: no module 'gone' is installed, nor in "),
        ("resnet", "gone:net", "4: teacher.architecture: no module 'gone' is installed, nor in "),
        ("temperature: 4", "architecture: gone:net", "12: stages[1].distill.architecture: no module 'gone' is"),
        ("resnet", "resnett", "4: teacher.architecture: unknown architecture 'resnett'; did you mean 'resnet'?"),
        ("widths", "width", "5: teacher.arguments.width: resnet has no argument 'width'; did you mean 'widths'?"),
        (
            "fashion-mnist",
            "fashion-mnist\n  options: {size: 3}",
            "9: data.options.size: fashion-mnist has no option 'size'; it takes none",
        ),
        ("[onnxruntime]", "[]", "14: targets[1].runtimes: needs at least 1 of them, not []"),
        (
            "  checkpoint:",
            "  normalize: {mean: [0.1], std: [0]}\n  checkpoint:",
            "6: teacher.normalize.std[0]: must be greater than 0, not 0",
        ),
        ("this-machine,", "this-mashine,", "14: targets[0]: "),
        ("[onnxruntime]", "[onnx]", "14: targets[1].runtimes[0]: 'raspberry-pi-4' has no runtime 'onnx' that"),
    ],
)
def test_mistake_is_named_with_its_line(folder, old, new, expected):
    [line] = refusal(write(folder, replaced(old, new)))
    assert line.startswith(f"x.yaml:{expected}")


@pytest.mark.parametrize("runtime", ["aotinductor", "aotinductor-graph", "onnxruntime-cuda"])
def test_int8_is_refused_where_there_is_none_with_what_there_is(folder, runtime):
    target = f"[{{name: nvidia-gpu, runtimes: [{runtime}]}}]"
    path = write(folder, replaced("[this-machine, {name: raspberry-pi-4, runtimes: [onnxruntime]}]", target))
    [line] = refusal(path)
    assert f"stages[2].quantize: method static cannot be written for {runtime}" in line
    assert "fp16" in line
    assert load_recipe(path, ["stages.2={quantize: {to: fp16}}"]).targets[0].runtimes == (runtime,)


def test_what_is_written_from_pytorch_is_refused_for_an_onnx_teacher(folder):
    (folder / "t.onnx").write_bytes(b"")
    text = (
        "name: x\nteacher: {onnx: t.onnx}\ndata: {source: fashion-mnist}\ntargets: {name: nvidia-gpu, runtimes: [%s]}\n"
    )
    [line] = refusal(write(folder, text % "aotinductor"))
    assert line == "x.yaml:4: targets[0].runtimes: aotinductor is written from PyTorch: an ONNX teacher has none"
    found = refusal(write(folder, text % "tensorrt" + "stages: [quantize: {to: fp16}]\n"))
    assert "x.yaml:5: stages[0].quantize: fp16 for tensorrt is written from PyTorch: an ONNX teacher has none" in found


def test_all_mistakes_are_listed_in_the_order_of_lines(folder):
    text = replaced("quick", "Quick").replace("ratio: 0.5", "ratio: 5").replace("temperature", "temprature")
    lines = refusal(write(folder, text), ("budget.speed=3",))
    assert [line.split(": ")[0] for line in lines] == ["x.yaml:2", "x.yaml:10", "x.yaml:12", "--set budget.speed=3"]


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("stages.0.prune.ration=0.3", "stages[0].prune.ration: unknown key; did you mean 'ratio'?"),
        ("stages[0].prune.ratio=3", "stages[0].prune.ratio: must be less than 1, not 3"),
        ("techer.onnx=a", "techer: unknown key; did you mean 'teacher'?"),
        ("data.path=gone", "data.path: no such folder: gone"),
    ],
)
def test_mistake_of_an_override_names_the_override(folder, override, expected):
    [line] = refusal(write(folder, GOOD), (override,))
    assert line.startswith(f"--set {override}: {expected}")


def test_mistake_in_an_anchor_is_named_where_it_is_written(folder):
    text = replaced("{epochs: 2}", "&t {epochs: 0}").replace("temperature: 4", "training: *t")
    assert refusal(write(folder, text)) == [
        "x.yaml:10: stages[0].prune.finetune.epochs: must be at least 1, not 0",
        "x.yaml:10: stages[1].distill.training.epochs: must be at least 1, not 0",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "x.yaml: empty: expected a mapping with the keys version, name"),
        (b"# only a comment\n", "x.yaml: empty"),
        (b"- a\n", "x.yaml: a list: expected a mapping"),
        (b"name\n", "x.yaml: a single value: expected a mapping"),
        (b"name: x\nb: \xff\xfe", "x.yaml:2: not UTF-8 text"),
        (b"name: " + b"x" * 1_000_001, "x.yaml: larger than 1000 kB"),
        (b"name: x\nname: y\n", "x.yaml:2: 'name' stands twice; the first is in line 1"),
        (b"name: [\n", "x.yaml:2:1: not valid YAML"),
    ],
)
def test_file_that_is_no_recipe_is_refused(folder, content, expected):
    path = folder / "x.yaml"
    path.write_bytes(content)
    [line] = refusal(path)
    assert line.startswith(expected)


def test_missing_file_suggests_the_recipes_beside_it(folder):
    write(folder, GOOD)
    assert refusal(folder / "y.yaml") == ["y.yaml: no such file; did you mean 'x.yaml'? the recipes there: x.yaml"]
    assert refusal(folder / "gone" / "y.yaml") == ["y.yaml: no such file"]


def test_of_many_recipes_beside_a_missing_one_some_are_listed(folder):
    for number in range(20):
        (folder / f"x-{number:02}.yaml").touch()
    [line] = refusal(folder / "x-19.yml")
    assert line.startswith("x-19.yml: no such file; did you mean 'x-19.yaml'? the recipes there: x-00.yaml, x-01.yaml")
    assert line.endswith("x-07.yaml and 12 more")
    assert refusal(folder)[0].endswith("x-07.yaml and 12 more")


def test_folder_is_refused_with_the_recipes_in_it(folder):
    assert refusal(folder)[0].endswith(": a folder; give the recipe's file")
    write(folder, GOOD)
    assert refusal(folder)[0].endswith(": a folder; give the recipe's file, one of x.yaml")


_keys = st.sampled_from(["name", "teacher", "data", "stages", "targets", "budget", "prune", "ratio", "epochs", "x"])
_leaves = st.none() | st.booleans() | st.integers(-3, 10) | st.sampled_from(["resnet", "quantize", "a.onnx", "2 ms"])
_trees = st.recursive(_leaves, lambda t: st.lists(t, max_size=3) | st.dictionaries(_keys, t, max_size=4), max_leaves=12)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.dictionaries(_keys, _trees, max_size=6))
def test_any_tree_of_values_is_a_recipe_or_a_recipe_error_with_lines(folder, tree):
    path = write(folder, json.dumps(tree))
    try:
        load_recipe(path)
    except RecipeError as error:
        assert all(re.match(r"\S+x\.yaml(:\d+)?: ", line) for line in str(error).splitlines())


def test_own_code_in_the_recipes_folder_is_found_and_not_run(folder):
    (folder / "mine_beside_the_recipe.py").write_text("1 / 0")
    load_recipe(write(folder, replaced("resnet", "mine_beside_the_recipe:net")))


def board(folder: Path, name: str) -> None:
    text = f"name: {name}\ntitle: My board\narch: aarch64\nruntimes: [onnxruntime]\nprecisions: [int8]\nsource: [me]\n"
    (folder / "board.yaml").write_text(text)


def test_target_of_ones_own_is_a_file_relative_to_the_recipe(folder):
    path = write(folder, replaced("this-machine,", "board.yaml,"))
    assert refusal(path)[0].startswith("x.yaml:14: targets[0]: board.yaml: no such file")
    board(folder, "my-board")
    recipe = load_recipe(path)
    assert recipe.target(recipe.targets[0]) == str(folder / "board.yaml")


def test_two_targets_cannot_have_one_name(folder):
    board(folder, "raspberry-pi-4")
    [line] = refusal(write(folder, replaced("this-machine,", "board.yaml,")))
    assert line.startswith("x.yaml:14: targets[1]: another target is called 'raspberry-pi-4' too")
