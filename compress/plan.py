"""From a recipe to the steps of its run, in order, each with the key of what it makes. Knows nothing about torch.

1. The teacher, then the recipe's stages in their order; each gives a network, which is exported at once for every
   runtime asked for, so that a network that cannot be exported fails before the next training.
2. Quantization, each alternative once for every runtime and distinct scheme of the targets.
3. Only then the test split: every file is evaluated once, and every target that this machine can stand for is measured.
4. The report.

A step's key covers its settings, its inputs' keys, the data, and the versions of its code and libraries: the same key
means the same artifact.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from compress import isolated
from compress import plan_keys as keys
from compress import plan_words as words
from compress.plan_keys import Facts
from compress.quantize import method
from compress.recipe import ON_REQUEST, RUNTIMES, Quantize, Recipe, Stage, TargetChoice
from compress.store import Store
from compress.targets.scheme import Scheme, scheme
from compress.targets.target import Target, load_target

FORMATS = {
    "onnxruntime": "onnx", "openvino": "openvino", "tensorrt": "onnx", "litert": "litert", "onnxruntime-cuda": "onnx",
    "aotinductor": "aotinductor", "aotinductor-graph": "aotinductor",
}  # fmt: skip
PACKAGES = {"aotinductor": "cpu", "aotinductor-cuda": "cuda"}
"""Native code, compiled on the machine that runs it: what such files are called, and the kind of device each is for."""
REFERENCES = ("pytorch", "pytorch-cuda")
"""Runtimes of the PyTorch teacher, which takes part in every measurement: on the processor, or where the others run."""
SHARING = ("tensorrt", "onnxruntime-cuda", "aotinductor-graph", "pytorch-cuda")
"""Runtimes that read what is another's file too; each answers for itself."""
Settings = TypeVar("Settings", bound=BaseModel)

__all__ = ["Facts", "Plan", "Step", "VariantPlan", "plan"]


@dataclass(frozen=True)
class Step:
    """One thing to do.

    ``inputs``: labels of earlier steps by the role they play here. ``settings``: JSON, for the executor and the key.
    ``words``, ``work``: what it does and how much that is, for people. ``where``: what in the recipe asks for it, for
    errors. ``facts``: part of the key only. ``stored``: its result is an artifact of the store. ``key``: None where it
    needs data that is not read yet.
    """

    label: str
    kind: str
    inputs: dict[str, str]
    settings: dict[str, Any]
    words: str
    work: str = ""
    where: str = ""
    needs_data: bool = True
    facts: dict[str, Any] = field(default_factory=dict)
    stored: bool = True
    key: str | None = None

    def options(self, model: type[Settings]) -> Settings:
        """The settings as the recipe's own type."""
        return model.model_validate({k: v for k, v in self.settings.items() if k in model.model_fields})


@dataclass(frozen=True)
class VariantPlan:
    """One row of the answer: a model on a target and runtime.

    ``parent``: id of the row one stage before. ``file``, ``evaluate`` and ``measure`` are labels of steps; where this
    machine cannot stand for the target, the last two are None and ``not_measured`` says why. So is ``file`` where it
    could be made on the target alone.
    """

    id: str
    stage: str
    order: int
    parent: str | None
    target: str
    runtime: str
    precision: str
    file: str | None
    evaluate: str | None
    measure: str | None
    not_measured: str | None


@dataclass(frozen=True)
class Plan:
    """``steps`` in order of execution; ``variants`` in order of the rows: by target, runtime, stage."""

    steps: tuple[Step, ...]
    variants: tuple[VariantPlan, ...]

    def step(self, label: str) -> Step:
        """The step of that label. Raises KeyError."""
        return {step.label: step for step in self.steps}[label]


def plan(recipe: Recipe, facts: Facts | None = None) -> Plan:
    """Plan ``recipe``. Without the data's fingerprint in ``facts`` the keys that depend on it are None."""
    return _Planner(recipe, facts or Facts()).plan()


@dataclass(frozen=True)
class _Place:
    """A target of the recipe with the runtimes to build for; ``obstacles``: why this machine cannot stand for it, for
    each runtime that cannot be measured here."""

    target: Target
    runtimes: tuple[str, ...]
    obstacles: dict[str, str]

    @classmethod
    def of(cls, recipe: Recipe, choice: TargetChoice, facts: Facts) -> _Place:
        target = load_target(recipe.target(choice))
        built = [runtime for runtime in target.runtimes if runtime in RUNTIMES]
        runtimes = choice.runtimes or [runtime for runtime in built if runtime not in ON_REQUEST]
        measurable, reason = target.measurable_here(facts.machine)
        # On a GPU's machine everything may be there but one of the GPU's engines, which its owner may not want.
        found = {runtime: target.missing_here(runtime) if measurable else reason for runtime in runtimes}
        return cls(target, tuple(runtimes), {runtime: why for runtime, why in found.items() if why})

    @property
    def measured(self) -> tuple[str, ...]:
        """The runtimes that can be measured here."""
        return tuple(runtime for runtime in self.runtimes if runtime not in self.obstacles)

    def written(self, runtime: str) -> str | None:
        """What the runtime's files are called among a network's exports; None where they cannot be made here."""
        name = FORMATS[runtime]
        if name not in PACKAGES:
            return name
        if runtime in self.obstacles:
            return None
        return f"{name}-cuda" if runtime in self.target.on_gpu else name

    def reference(self, runtime: str) -> str:
        """How the PyTorch teacher runs beside ``runtime``."""
        on_gpu = runtime in self.target.on_gpu and "pytorch-cuda" in self.target.on_gpu
        return "pytorch-cuda" if on_gpu and not self.target.missing_here("pytorch-cuda") else "pytorch"


class _Planner:
    def __init__(self, recipe: Recipe, facts: Facts) -> None:
        self._recipe, self._facts = recipe, facts
        self._steps: dict[str, Step] = {}
        self._places = [_Place.of(recipe, choice, facts) for choice in recipe.targets]
        self._wanted = {place.written(runtime) for place in self._places for runtime in place.runtimes}
        self._networks: list[str] = []  # labels of the steps that give a network, in order
        self._alternatives = [(i, stage.quantize) for i, stage in enumerate(recipe.stages) if stage.quantize]
        self._has_torch = recipe.teacher.onnx is None

    def plan(self) -> Plan:
        self._teacher()
        for place, stage in enumerate(self._recipe.stages):
            if stage.prune or stage.distill:
                self._network(stage, f"stages.{place}.{stage.kind}")
        variants = [v for place in self._places for v in self._rows(place)]
        for network in self._networks if self._has_torch else ():
            self._evaluate(network, "pytorch")
        for file, runtime in dict.fromkeys((v.file, v.runtime) for v in variants if v.evaluate):
            self._evaluate(file, runtime)
        for place in self._places:
            for runtime in place.measured:
                self._measure(place, runtime, [v for v in variants if v.target == place.target.name])
        found = {label: label for label, step in self._steps.items() if step.kind in ("evaluate", "measure")}
        self._add(Step("report", "report", found, {}, "tables, verdicts and the budget", stored=False))
        return Plan(tuple(self._steps.values()), tuple(variants))

    def _teacher(self) -> None:
        teacher, recipe = self._recipe.teacher, self._recipe
        settings = teacher.model_dump(mode="json")
        for key in ("checkpoint", "onnx", "huggingface"):
            path = getattr(teacher, key)
            if path and recipe.resolve(path).exists():
                settings["sha256"] = keys.content(recipe.resolve(path))
        settings["code"] = keys.code(teacher.architecture, recipe.folder)
        if teacher.train:
            settings["seed"] = recipe.seed
        told = words.teacher(teacher, self._facts.samples)
        needs_data = teacher.train is not None
        self._add(Step("teacher", "teacher", {}, settings, *told, where="teacher", needs_data=needs_data))
        self._exports("teacher")

    def _network(self, stage: Stage, where: str) -> None:
        count = sum(label.split("-")[0] == stage.kind for label in self._networks)
        label = f"{stage.kind}-{count + 1}" if count else stage.kind
        current, samples = self._networks[-1], self._facts.samples
        settings = stage.settings.model_dump(mode="json") | {"seed": self._recipe.seed}
        inputs = {"model": current}
        if stage.prune:
            told = words.prune(stage.prune, samples)
        else:
            own = stage.distill.architecture
            inputs = {"teacher": "teacher"} if own else {"teacher": "teacher", "model": current}
            settings["code"] = keys.code(own, self._recipe.folder)
            told = words.distill(stage.distill, samples, current)
        self._add(Step(label, stage.kind, inputs, settings, *told, where=where))
        self._exports(label)

    def _exports(self, network: str) -> None:
        self._networks.append(network)
        self._export(network, "onnx", network)
        if "openvino" in self._wanted:
            self._export(network, "openvino", f"{network}/onnx")
        if "litert" in self._wanted:
            self._export(network, "litert", network, converter=keys.content(isolated.LISTS / "litert.txt"))
        for name in [name for name in PACKAGES if name in self._wanted]:
            self._export(network, name, network, self._facts.identity(), device=PACKAGES[name])

    def _export(
        self, network: str, name: str, source: str, facts: dict[str, Any] | None = None, **settings: str
    ) -> None:
        told = words.export(network, name)
        where = f"{self._steps[network].where}, written for {name}"
        label, settings = f"{network}/{name}", {"format": name.removesuffix("-cuda"), **settings}
        self._add(Step(label, "export", {"model": source}, settings, *told, where=where, facts=facts or {}))

    def _rows(self, place: _Place) -> list[VariantPlan]:
        """The rows of one target. PyTorch's teacher is one where the target is measured: the reference."""
        rows = []
        if place.measured and self._has_torch:
            group = place.measured[0]
            rows.append(self._row(place, place.reference(group), "teacher", 0, None, "teacher", group))
        for runtime in place.runtimes:
            parent, written = None, place.written(runtime)
            for order, network in enumerate(self._networks):
                file = written and f"{network}/{written}"
                rows.append(self._row(place, runtime, network, order, parent, file, runtime))
                parent = rows[-1].id
            for index, (number, settings) in enumerate(self._alternatives):
                name = f"quantize-{index + 1}" if index else "quantize"
                where = f"stages.{number}.quantize ({settings.to})"
                file = written and self._quantize(name, where, settings, place, runtime)
                row = self._row(place, runtime, name, len(self._networks) + index, parent, file, runtime)
                rows.append(replace(row, precision=words.precision(settings)))
        return rows

    def _row(
        self, place: _Place, runtime: str, stage: str, order: int, parent: str | None, file: str | None, group: str
    ) -> VariantPlan:
        target, obstacle = place.target.name, place.obstacles.get(group)
        if file is None:
            obstacle = f"{obstacle}; a package is compiled where it runs, so there is no file either"
        return VariantPlan(
            id=f"{stage}/{target}/{runtime}",
            stage=stage,
            order=order,
            parent=parent,
            target=target,
            runtime=runtime,
            precision="fp32",
            file=file,
            evaluate=None if obstacle else _evaluation(file, runtime),
            measure=None if obstacle else f"measure/{target}/{group}",
            not_measured=obstacle,
        )

    def _quantize(self, name: str, where: str, settings: Quantize, place: _Place, runtime: str) -> str:
        """Add the step that makes this file, unless another target has the same one; return its label."""
        asked = method(settings)
        if place.written(runtime) in PACKAGES:
            return self._quantize_package(name, where, settings, place, runtime)
        if not asked.integer:
            return self._quantize_step(f"{name}/{runtime}/{settings.to}", where, settings, runtime, None)
        forced = settings.scheme.model_dump() if settings.scheme else {}
        chosen = scheme(place.target, runtime, **forced)
        label, here = f"{name}/{runtime}/{chosen.name}", {}
        if asked.measures or settings.max_drop is not None:
            # What pays is found out on the target: the file, or what is told of it, is no other target's.
            label += f"/{place.target.name}"
            here = self._facts.identity() if runtime not in place.obstacles else {}
        trained = None
        if asked.trains and runtime == "openvino":  # one training for both: OpenVINO reads the trained ONNX file
            twin = replace(chosen, runtime="onnxruntime")
            trained = label.replace("/openvino/", "/onnxruntime/")
            plain = settings if "onnxruntime" in place.runtimes else settings.model_copy(update={"max_drop": None})
            self._quantize_step(trained, where, plain, "onnxruntime", twin, here)
        return self._quantize_step(label, where, settings, runtime, chosen, here, trained)

    def _quantize_step(
        self,
        label: str,
        where: str,
        settings: Quantize,
        runtime: str,
        chosen: Scheme | None,
        here: dict[str, Any] | None = None,
        trained: str | None = None,
    ) -> str:
        network = self._networks[-1]
        if trained:
            inputs = {"model": f"{network}/{FORMATS[runtime]}", "trained": trained}
        else:
            inputs = {"model": f"{network}/{FORMATS[runtime]}", "onnx": f"{network}/onnx"}
            inputs |= {"network": network, "teacher": "teacher"} if method(settings).trains else {}
            inputs |= {"network": network} if runtime in method(settings).rewrites else {}
        told = words.quantize(settings, runtime, chosen and chosen.name, self._facts.samples)
        dumped = settings.model_dump(mode="json") | {"runtime": runtime, "measurable": bool(here)}
        # The scheme in full, not its name: the file changes with what the name stands for.
        dumped["arithmetic"] = chosen and asdict(chosen)
        if label not in self._steps:
            where = f"{where}, {runtime}"
            self._add(Step(label, "quantize", inputs, dumped, *told, where=where, facts=here or {}))
        return label

    def _quantize_package(self, name: str, where: str, settings: Quantize, place: _Place, runtime: str) -> str:
        """Add the step that compiles the network in another number format; one for both sessions of packages."""
        network, written = self._networks[-1], place.written(runtime)
        label = f"{name}/{written}/{settings.to}"
        if label not in self._steps:
            inputs = {"model": f"{network}/{written}", "onnx": f"{network}/onnx", "network": network}
            dumped = settings.model_dump(mode="json") | {"runtime": FORMATS[runtime], "device": PACKAGES[written]}
            told = words.quantize(settings, FORMATS[runtime], None, self._facts.samples)
            where, facts = f"{where}, {runtime}", self._facts.identity()
            self._add(Step(label, "quantize", inputs, dumped, *told, where=where, facts=facts))
        return label

    def _evaluate(self, file: str, runtime: str) -> None:
        label = _evaluation(file, runtime)
        if label not in self._steps:
            told = words.evaluate(runtime, self._facts.samples)
            where, facts = f"{self._steps[file].where}, evaluated", self._facts.instructions()
            self._add(Step(label, "evaluate", {"model": file}, {"runtime": runtime}, *told, where=where, facts=facts))

    def _measure(self, place: _Place, runtime: str, rows: list[VariantPlan]) -> None:
        label = f"measure/{place.target.name}/{runtime}"
        inputs = {"torch": "teacher"} if self._has_torch else {}
        inputs |= {row.id: row.file for row in rows if row.runtime == runtime}
        settings = keys.measurement(self._recipe.measure) | {"runtime": runtime, "seed": self._recipe.seed}
        if (reference := place.reference(runtime)) != "pytorch":
            settings["reference"] = reference
        told = words.measure(len(inputs), self._recipe.measure)
        where = f"measure, {place.target.name}, {runtime}"
        self._add(Step(label, "measure", inputs, settings, *told, where=where, facts=self._facts.identity()))

    def _add(self, step: Step) -> None:
        """Append the step with its key: None when the data, or the key of an input, is not known."""
        inputs = {role: self._steps[label].key for role, label in step.inputs.items()}
        data = self._facts.data if step.needs_data else "none"
        if step.stored and data is not None and None not in inputs.values():
            settings = {"settings": step.settings, "facts": step.facts, "data": data}
            versions = keys.libraries(step.kind, step.settings.get("runtime") or step.settings.get("format") or "")
            step = replace(step, key=Store.key(step.kind, keys.VERSIONS[step.kind], settings, inputs, versions))
        self._steps[step.label] = step


def _evaluation(file: str, runtime: str) -> str:
    """Label of the step in which ``runtime`` answers from ``file``."""
    return f"evaluate/{file}/{runtime}" if runtime in SHARING else f"evaluate/{file}"
