from __future__ import annotations

import copy
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

import compress.recipe as module
from compress.recipe import Budget, FineTune, Recipe, Training

MINIMAL = {
    "name": "quick",
    "teacher": {"architecture": "resnet", "checkpoint": "t.safetensors"},
    "data": {"source": "fashion-mnist"},
}


def recipe(**changes: object) -> Recipe:
    return Recipe.model_validate(copy.deepcopy(MINIMAL) | changes)


def errors(**changes: object) -> dict[tuple, str]:
    with pytest.raises(ValidationError) as caught:
        recipe(**changes)
    return {error["loc"]: error["msg"] for error in caught.value.errors()}


def models() -> list[type[BaseModel]]:
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, module._Model)]
    return [model for model in found if model is not module._Model]


def test_defaults_complete_a_minimal_recipe():
    made = recipe()
    assert (made.version, made.seed, made.stages) == (1, 0, ())
    assert [target.name for target in made.targets] == ["this-machine"]
    assert made.targets[0].runtimes is None
    assert (made.measure.threads, made.measure.batch, made.measure.rounds, made.measure.seconds) == (1, 1, 40, 20.0)
    assert made.budget == Budget()


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_field_is_described(model):
    assert model.__doc__
    assert [name for name, field in model.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_unknown_keys_are_forbidden(model):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        model.model_validate({"unknown_key": 1})


def test_training_has_the_defaults_that_fine_tuning_softens():
    assert (Training().epochs, Training().lr) == (10, 0.1)
    assert (FineTune().epochs, FineTune().lr) == (5, 0.02)
    assert set(FineTune.model_fields) == set(Training.model_fields)


@pytest.mark.parametrize("written", ["quantize", {"quantize": None}, {"quantize": {}}])
def test_stage_without_settings_has_the_defaults(written):
    stage = recipe(stages=[written]).stages[0]
    assert stage.kind == "quantize"
    assert (stage.settings.to, stage.settings.calibration, stage.settings.samples) == ("int8", "minmax", 512)


def test_stage_with_settings_keeps_them():
    stage = recipe(stages=[{"prune": {"macs": 0.3, "finetune": {"epochs": 2}}}]).stages[0]
    assert stage.settings.finetune == FineTune(epochs=2)
    assert recipe(stages=[{"prune": {"macs": 0.3, "finetune": None}}]).stages[0].settings.finetune is None


@pytest.mark.parametrize("stage", [{}, {"prune": {"ratio": 0.5}, "quantize": {}}])
def test_stage_has_exactly_one_key(stage):
    assert "exactly one of prune, distill, quantize" in errors(stages=[stage])["stages", 0]


@pytest.mark.parametrize(
    "targets", ["x86", ["x86"], [{"name": "x86"}], {"name": "x86"}, [{"name": "x86", "runtimes": None}]]
)
def test_target_by_bare_name_or_mapping(targets):
    assert [(t.name, t.runtimes) for t in recipe(targets=targets).targets] == [("x86", None)]


def test_budget_accepts_quantities_with_units():
    written = {"accuracy_drop": "0.5%", "latency": "2 ms", "size": "110 kB", "memory": "1.5 MB", "speedup": "5x"}
    budget = recipe(budget=written).budget
    assert (budget.accuracy_drop, budget.latency, budget.size) == (0.005, 0.002, 110_000)
    assert (budget.memory, budget.speedup) == (1_500_000, 5)
    assert recipe(budget=budget.model_dump()).budget == budget


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": "Up"}, ("name",)),
        ({"name": "../x"}, ("name",)),
        ({"name": "a--b"}, ("name",)),
        ({"name": "a" * 65}, ("name",)),
        ({"version": 2}, ("version",)),
        ({"seed": -1}, ("seed",)),
        ({"targets": []}, ("targets",)),
        ({"measure": {"rounds": 0}}, ("measure", "rounds")),
        ({"measure": {"seconds": "0 s"}}, ("measure", "seconds")),
        ({"budget": {"accuracy_drop": 5}}, ("budget", "accuracy_drop")),
        ({"budget": {"accuracy_drop": "-1%"}}, ("budget", "accuracy_drop")),
        ({"budget": {"latency": 0}}, ("budget", "latency")),
        ({"budget": {"latency": "2 MB"}}, ("budget", "latency")),
        ({"budget": {"size": float("nan")}}, ("budget", "size")),
        ({"budget": {"speedup": float("inf")}}, ("budget", "speedup")),
        ({"stages": [{"prune": {"ratio": 1}}]}, ("stages", 0, "prune", "ratio")),
        ({"stages": [{"prune": {"ratio": 0}}]}, ("stages", 0, "prune", "ratio")),
        ({"stages": [{"quantize": {"to": "int4"}}]}, ("stages", 0, "quantize", "to")),
        ({"stages": [{"prune": {"ratio": 0.5, "finetune": {"lr": 0}}}]}, ("stages", 0, "prune", "finetune", "lr")),
        ({"data": {"source": "npz", "path": ""}}, ("data", "path")),
        ({"data": {"source": "fashion-mnist", "options": {"x": {1, 2}}}}, ("data", "options", "x")),
    ],
)
def test_values_out_of_bounds_are_refused_at_their_place(change, where):
    assert list(errors(**change)) == [where]


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("key", ["epochs", "lr", "views"])
def test_true_is_no_number(key, value):
    teacher = {"architecture": "resnet", "train": {key: value}}
    assert "expected a number" in errors(teacher=teacher)["teacher", "train", key]


def test_normalize_needs_as_many_means_as_deviations():
    teacher = MINIMAL["teacher"] | {"normalize": {"mean": [0.5, 0.5], "std": [0.2]}}
    assert "2 mean but 1 std" in errors(teacher=teacher)["teacher", "normalize"]


def test_paths_are_relative_to_the_recipes_folder(tmp_path):
    placed = recipe().placed(tmp_path)
    assert placed.folder == tmp_path
    assert placed.resolve("t.safetensors") == tmp_path / "t.safetensors"
    assert placed.resolve("/elsewhere/t.safetensors") == Path("/elsewhere/t.safetensors")
    assert placed == recipe().placed(tmp_path)
    assert recipe().folder == Path()


def test_recipe_survives_a_round_trip_through_json():
    made = recipe(stages=[{"prune": {"ratio": 0.5}}, "distill", "quantize"], budget={"latency": "2 ms"})
    assert Recipe.model_validate_json(made.model_dump_json(exclude_none=True)) == made


def test_recipe_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        recipe().name = "other"
