"""A hardware target: what a device is, what runs on it, and whether this machine can stand for it.

1. Every target is one YAML file in ``devices/``; a person's own board is such a file of their own.
2. ``load_target`` takes the name of the one or the path of the other; ``this-machine`` is filled in by looking.
3. ``Target.measurable_here`` decides whether times taken here are times of the target. If not, nothing is measured
   for it: a figure from other hardware would be worse than none.

Figures of a device come from the documents listed in ``source``; what no document states is left out.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from compress.errors import TargetError
from compress.packages import version
from compress.suggest import did_you_mean
from compress.targets.address import parse_address
from edge_runtime.cpu import FEATURES
from edge_runtime.machine import Machine, detect

DEVICES = Path(__file__).parent / "devices"
THIS_MACHINE = "this-machine"
SUFFIXES = (".yaml", ".yml")
MODULES = {
    "litert": "ai_edge_litert",
    "onnxruntime-cuda": "onnxruntime",
    "pytorch-cuda": "torch",
    "aotinductor": "torch",
    "aotinductor-graph": "torch",
}
"""Import names of runtimes that are called otherwise."""


def _known(features: tuple[str, ...]) -> tuple[str, ...]:
    for feature in features:
        if feature not in FEATURES:
            raise ValueError(f"unknown instruction set '{feature}'; {did_you_mean(feature, FEATURES)}")
    return features


Runtime = Literal[
    "onnxruntime",
    "openvino",
    "tensorrt",
    "litert",
    "onnxruntime-cuda",
    "aotinductor",
    "aotinductor-graph",
    "pytorch-cuda",
]
NVIDIA = ("tensorrt", "onnxruntime-cuda", "aotinductor", "aotinductor-graph", "pytorch-cuda")
"""Runtimes whose sessions run on an NVIDIA GPU. Those that a recipe builds for are in ``compress.recipe.RUNTIMES``; the
others are for ``compress bench``, and files that are already there."""
Features = Annotated[tuple[str, ...], AfterValidator(_known)]


def _reachable(address: str) -> str:
    try:
        parse_address(address)
    except TargetError as error:
        raise ValueError(str(error)) from error
    return address


class Target(BaseModel):
    """One kind of device."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="what recipes call it; the file's name")
    title: str = Field(description="what people call it")
    arch: str = Field(description="instruction set architecture: x86_64 or aarch64")
    features: Features = Field((), description="instruction sets it has, of those that matter to int8 arithmetic")
    lacks: Features = Field((), description="instruction sets it must not have: runtimes would use them and be faster")
    runtimes: tuple[Runtime, ...] = Field(
        min_length=1, description="what executes a model file there; the first is the usual choice"
    )
    on_gpu: tuple[Runtime, ...] = Field((), description="those that use its GPU; the others run on the processor")
    precisions: tuple[Literal["fp32", "fp16", "bf16", "int8"], ...] = Field(
        min_length=1, description="number formats that its runtimes compute in"
    )
    cpu: str | None = Field(None, description="name of the processor")
    cores: int | None = Field(None, ge=1, description="physical processor cores")
    threads: int | None = Field(None, ge=1, description="threads worth giving to one model, where fewer than cores")
    clock: float | None = Field(None, gt=0, description="highest processor clock, in Hz")
    memory: int | None = Field(None, gt=0, description="main memory, of the smallest variant, in bytes")
    memory_bandwidth: float | None = Field(None, gt=0, description="peak memory bandwidth, in bytes per second")
    accelerators: tuple[str, ...] = Field((), description="GPUs and NPUs, with what their makers claim for them")
    tops: float | None = Field(None, gt=0, description="the maker's peak int8 figure, in 1e12 operations per second")
    power_sensors: tuple[str, ...] = Field((), description="what can measure power there; empty: a meter is needed")
    boards: tuple[str, ...] = Field((), description="how the device tree's model begins on such a board")
    connect: Annotated[str, AfterValidator(_reachable)] | None = Field(
        None, description="where such a device is, for `compress bench`: ssh://[user@]host[:port]"
    )
    system: str | None = Field(None, description="usual operating system")
    python: str | None = Field(None, description="Python that comes with it")
    source: tuple[str, ...] = Field(min_length=1, description="documents the figures are from")
    notes: tuple[str, ...] = Field((), description="what to know before believing a figure")

    def measurable_here(self, machine: Machine) -> tuple[bool, str]:
        """Whether times taken on ``machine`` are times of this target, and why (not), in words."""
        obstacle = self._obstacle(machine)
        here = machine.gpu[0] if self._on_gpu_only and machine.gpu else machine.model or machine.cpu
        return obstacle is None, obstacle or f"{here} is such a machine"

    def missing_here(self, runtime: str) -> str | None:
        """What this environment lacks to run ``runtime`` on the target's GPU, in words; None where nothing is missing,
        and for runtimes on its processor. Whether the driver fits is found out when a model is opened."""
        if runtime not in self.on_gpu:
            return None
        module = MODULES.get(runtime, runtime)
        if not find_spec(module):
            return f"{module} is not installed here: python -m pip install {module}"
        if runtime == "onnxruntime-cuda" and not version("onnxruntime-gpu"):
            return (
                "the onnxruntime installed here has no CUDA provider: python -m pip uninstall onnxruntime, then "
                "python -m pip install 'onnxruntime-gpu[cuda,cudnn]'"
            )
        if module == "torch" and (version("torch") or "").endswith("+cpu"):
            return "the PyTorch installed here is built for the processor only: install one that is built for CUDA"
        return None

    @property
    def _on_gpu_only(self) -> bool:
        return set(self.runtimes) <= set(self.on_gpu)

    def _obstacle(self, machine: Machine) -> str | None:
        here = machine.model or machine.cpu
        if self._on_gpu_only:
            if not set(self.runtimes) & set(NVIDIA):
                return "a model runs on its GPU, and the sessions here run on the processor"
            if not machine.gpu:
                return f"this machine has no NVIDIA GPU that its driver shows, and {self.title} is one"
        if self.boards and not (machine.model or "").startswith(self.boards):
            return f"this machine is {here}, not {self.title}"
        if self.arch != machine.arch:
            return f"its architecture is {self.arch}, this machine's is {machine.arch}"
        if missing := [f for f in self.features if f not in machine.features]:
            return f"this machine lacks {', '.join(missing)}"
        if extra := [f for f in self.lacks if f in machine.features]:
            return f"this machine has {', '.join(extra)}, which the runtimes would use: its times would flatter"
        return None


def load_target(name: str) -> Target:
    """The target called ``name``, or described by the YAML file of that path.

    Raises :class:`TargetError` for an unknown name or a file that does not describe a target.
    """
    if name.endswith(SUFFIXES):
        return _read(Path(name))
    if name not in names():
        raise TargetError(
            f"unknown target '{name}'; {did_you_mean(name, names())}; or give the path of a YAML file of your own"
        )
    return this_machine() if name == THIS_MACHINE else _read(DEVICES / f"{name}.yaml")


def list_targets() -> list[Target]:
    """Every target that ships with this package, this machine first."""
    return [load_target(name) for name in names()]


@cache
def names() -> tuple[str, ...]:
    """Names of the targets, this machine first."""
    shipped = sorted(path.stem for path in DEVICES.glob("*.yaml"))
    return (THIS_MACHINE, *(name for name in shipped if name != THIS_MACHINE))


def this_machine(machine: Machine | None = None) -> Target:
    """The machine this runs on (or ``machine``): its file says which runtimes may be used, the rest is detected."""
    machine = machine or detect()
    known = _yaml(DEVICES / f"{THIS_MACHINE}.yaml")
    detected = {
        "title": machine.model or machine.cpu,
        "arch": machine.arch,
        "features": machine.features,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "memory": machine.memory,
        "accelerators": machine.gpu,
        "power_sensors": machine.sensors,
        "system": machine.os,
        "python": machine.python,
        "runtimes": tuple(runtime for runtime in known["runtimes"] if find_spec(MODULES.get(runtime, runtime))),
    }
    return _target(known | detected, DEVICES / f"{THIS_MACHINE}.yaml")


def _read(path: Path) -> Target:
    if not path.is_file():
        raise TargetError(f"{path}: no such file; shipped targets are {', '.join(names())}")
    return _target(_yaml(path), path)


def _yaml(path: Path) -> dict[str, Any]:
    try:
        found = YAML(typ="safe").load(path.read_text("utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise TargetError(f"{path}: not YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(found, dict):
        raise TargetError(f"{path}: a target is a mapping of keys to values; see {DEVICES} for examples")
    return found


def _target(values: dict[str, Any], path: Path) -> Target:
    try:
        return Target.model_validate(values)
    except ValidationError as error:
        raise TargetError("\n".join(f"{path}: {_words(problem)}" for problem in error.errors())) from error


def _words(problem: dict[str, Any]) -> str:
    where = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        return f"unknown key '{where}'; {did_you_mean(where, Target.model_fields)}"
    return f"{where}: {problem['msg']}"
