"""The recipe's schema: what to compress, with what data, by which stages, for which targets, within which budget.

Every field is described, bounded and defaulted here and nowhere else; ``compress schema`` prints this as JSON Schema.
Reading the file, and naming the line of a mistake, is :mod:`compress.recipe_file`; mistakes that only several fields
together make are found by :mod:`compress.recipe_checks`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    PrivateAttr,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from compress.quantities import Duration, Factor, Fraction, Size
from compress.recipe_names import ARCHITECTURES, SOURCES, located

RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "litert", "onnxruntime-cuda", "aotinductor", "aotinductor-graph")
ON_REQUEST = ("litert", "onnxruntime-cuda", "aotinductor", "aotinductor-graph")
"""Runtimes that are built for only where a recipe names them: they want a converter, a compiler or a package of their
own, and no int8 file can be written for the last three."""
STAGES = ("prune", "distill", "quantize")
# `package.module:callable`: the user's own code, importable from the working folder or the recipe's folder.
CALLABLE = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"

# The same text means the same file on every system, and no run folder can leave the place it was given.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=64)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Arguments = dict[str, JsonValue]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _booleans_are_no_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        """YAML's `true` would pass for 1 epoch."""
        hint = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and hint in (int, float, int | None, float | None):
            raise ValueError(f"expected a number, not {str(value).lower()}")
        return value


class Augment(_Model):
    """Random changes to training pictures."""

    flip: bool = Field(False, description="mirror left-right with probability 1/2")
    shift: int = Field(0, ge=0, le=1024, description="move by up to so many pixels in each direction, zero filled")
    erase: float = Field(0.0, ge=0, le=1, description="probability of blanking a random rectangle with noise")


class Training(_Model):
    """One run of the training loop: the teacher's own, fine-tuning after pruning, or distillation."""

    epochs: int = Field(10, ge=1, le=100_000, description="passes over the training split")
    batch: int = Field(128, ge=2, le=65_536, description="samples in one step")
    optimizer: Literal["sgd", "adamw"] = Field("sgd", description="sgd has Nesterov momentum 0.9")
    lr: float = Field(0.1, gt=0, le=100, description="peak of the one-cycle learning rate")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="on matrices and kernels only")
    warmup: float = Field(0.15, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of each label spread over all classes")
    ema: float = Field(0.0, ge=0, lt=1, description="decay of the moving average of the weights; 0: no average")
    augment: Augment = Field(Augment(), description="random changes to the training pictures; none by default")
    views: int | None = Field(
        None, ge=1, le=100_000, description="augmented versions of the split, used in turn; null: a new one each epoch"
    )
    seed: Seed = Field(0, description="of the order of samples, their augmentation and dropout")


class FineTune(Training):
    """Training after pruning: shorter, and gentler on weights that are good already."""

    epochs: int = Field(5, ge=1, le=100_000, description="passes over the training split")
    lr: float = Field(0.02, gt=0, le=100, description="peak of the one-cycle learning rate")


class Normalize(_Model):
    """`(x * scale - mean) / std` per channel, as the model's first layer: whoever runs it feeds raw values."""

    mean: tuple[float, ...] = Field(min_length=1, description="one per channel, in the units of x * scale")
    std: tuple[Annotated[float, Field(gt=0)], ...] = Field(min_length=1, description="one per channel")
    scale: float = Field(1 / 255, gt=0, description="1/255 for pixels")

    @model_validator(mode="after")
    def _same_channels(self) -> Normalize:
        if len(self.mean) != len(self.std):
            raise ValueError(f"{len(self.mean)} mean but {len(self.std)} std: give one of each per channel")
        return self


class Teacher(_Model):
    """The model to compress: exactly one of checkpoint, huggingface, onnx or train."""

    architecture: Text | None = Field(
        None,
        description="builds the network of checkpoint or train: "
        f"one of {', '.join(ARCHITECTURES)}, or package.module:callable",
    )
    arguments: Arguments = Field({}, description="keyword arguments of the architecture")
    checkpoint: Text | None = Field(
        None, description="weights, relative to the recipe: .safetensors, or .pt, .pth, .ckpt, .bin: a plain state dict"
    )
    huggingface: Text | None = Field(
        None,
        description="an image classifier of transformers, no other kind of model: a folder relative to the recipe, "
        "or a hub id",
    )
    onnx: Text | None = Field(
        None, description="an ONNX file relative to the recipe; it can be quantized, not pruned or distilled"
    )
    train: Training | None = Field(None, description="train the teacher first, as a cached stage")
    normalize: Normalize | None = Field(None, description="input normalisation to bake into the graph")


class Data(_Model):
    """Where the samples come from, and how the held-out splits are cut."""

    source: Text = Field(description=f"one of {', '.join(SOURCES)}, or package.module:callable")
    path: Text | None = Field(None, description="the source's file or folder, relative to the recipe")
    validation: int = Field(4000, ge=1, description="samples cut from train where the source has no such split")
    calibration: int = Field(1000, ge=1, description="samples cut from train for quantization")
    seed: Seed = Field(0, description="of the cut")
    options: Arguments = Field({}, description="further keyword arguments of the source, such as size or channels")


class Prune(_Model):
    """Remove whole channels, so that the network that is left is smaller on every runtime. Give ratio or macs."""

    ratio: float | None = Field(None, gt=0, lt=1, description="share of the channels to remove")
    macs: float | None = Field(None, gt=0, lt=1, description="share of the multiply-accumulates to leave")
    iterations: int = Field(1, ge=1, le=1000, description="reach the goal in so many rounds of pruning and fine-tuning")
    importance: Literal["magnitude", "taylor", "random"] = Field(
        "magnitude",
        description="which channels go first: those of small weights (L2 norm), or of small weight x gradient "
        "(taylor); random is the control that a criterion has to beat",
    )
    scope: Literal["global", "layer"] = Field(
        "global", description="rank the channels of the whole network together, or take the same share of every layer"
    )
    round_to: int = Field(
        8, ge=1, le=256, description="a pruned layer keeps a multiple of so many channels: SIMD registers hold 8 floats"
    )
    finetune: FineTune | None = Field(
        FineTune(), description="training after each round; null: none, as when distill follows"
    )
    ignore: tuple[Text, ...] = Field((), description="names of layers whose outputs are left whole")


class Distill(_Model):
    """Train a student on the teacher's answers (Hinton et al., 2015, arXiv:1503.02531)."""

    temperature: float = Field(4.0, gt=0, le=1000, description="softens both sides' probabilities")
    weight: float = Field(0.9, ge=0, le=1, description="share of the teacher in the loss; the rest is the labels'")
    architecture: Text | None = Field(
        None, description="the student, as in teacher.architecture; null: the network as the stages before left it"
    )
    arguments: Arguments = Field({}, description="keyword arguments of the architecture")
    training: Training = Field(Training(), description="how the student is trained")


class QuantTraining(Training):
    """Training with rounding simulated: short and gentle, the weights are good already."""

    epochs: int = Field(3, ge=1, le=100_000, description="passes over the training split")
    optimizer: Literal["sgd", "adamw"] = Field("adamw", description="sgd has Nesterov momentum 0.9")
    lr: float = Field(0.0005, gt=0, le=100, description="peak of the one-cycle learning rate")


class ForcedScheme(_Model):
    """Another integer scheme than the target's own. If its sums overflow there, the loss is predicted and told."""

    activations: Literal["u8", "s8"] | None = Field(None, description="null: as the target wants")
    weight_bits: Literal[7, 8] | None = Field(None, description="null: as the target wants")


class Quantize(_Model):
    """Smaller numbers, by the scheme that suits each target. Comes after all other stages; several are alternatives,
    each made from the float network before the first of them."""

    to: Literal["int8", "mixed", "int8-weights", "int4-weights", "fp16", "bf16"] = Field(
        "int8",
        description="int8: weights and activations; mixed: int8, but in float what costs accuracy or gains no time; "
        "int8-weights, int4-weights: weights only, computed in float; fp16, bf16: 16-bit floats",
    )
    method: Literal["static", "nncf", "dynamic", "qat", "fx"] = Field(
        "static",
        description="how int8 is reached: static: ranges from calibration samples; nncf: the same by OpenVINO's own "
        "quantizer; dynamic: activations are scaled as they come (vision transformers); qat: training with rounding "
        "simulated, on the teacher's answers; fx: PyTorch's deprecated FX flow, for models prepared with it (trains "
        "where `training` is given)",
    )
    calibration: Literal["minmax", "entropy", "percentile", "mse"] = Field(
        "minmax", description="how the ranges of activations are set from the calibration split"
    )
    samples: int = Field(512, ge=1, description="calibration samples used, at most those there are")
    equalize: bool = Field(
        False, description="even out the weight ranges of neighbouring layers first (Nagel et al., 2019)"
    )
    smooth: float | None = Field(
        None, ge=0, le=1, description="SmoothQuant's alpha: move so much of the activations' spread into the weights"
    )
    bias_correction: bool = Field(True, description="take the mean error that rounding leaves out of the biases")
    rounding: Literal["nearest", "learned"] = Field(
        "nearest", description="learned: round each weight up or down as its layer's output wants (AdaRound)"
    )
    training: QuantTraining | None = Field(None, description="of qat and fx; null: the defaults for qat, none for fx")
    temperature: float = Field(4.0, gt=0, le=1000, description="of distillation while training")
    weight: float = Field(0.9, ge=0, le=1, description="share of the teacher in the loss while training")
    max_drop: Fraction | None = Field(
        None,
        description="largest loss of validation accuracy against the float parent, by the upper end of its 95 % "
        "interval: a fraction, or '0.5%'",
    )
    scheme: ForcedScheme | None = Field(None, description="force another integer scheme than the target's")
    group: Literal[16, 32, 64, 128, 256] = Field(32, description="weights that share a scale in int4-weights")


class Stage(_Model):
    """One step of the recipe: a mapping with exactly one key."""

    prune: Prune | None = Field(None, description="remove channels")
    distill: Distill | None = Field(None, description="train a student on the teacher's answers")
    quantize: Quantize | None = Field(None, description="smaller numbers; after all other stages")

    @model_validator(mode="before")
    @classmethod
    def _bare_names_mean_the_defaults(cls, value: Any) -> Any:
        """`- quantize` and `- quantize:` are `- quantize: {}`."""
        if isinstance(value, str) and value in STAGES:
            return {value: {}}
        if isinstance(value, dict) and len(value) == 1:
            return {key: {} if settings is None else settings for key, settings in value.items()}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": list(STAGES)}, handler(core) | {"minProperties": 1, "maxProperties": 1}]}

    @model_validator(mode="after")
    def _one_key(self) -> Stage:
        if len(self.model_fields_set) != 1:
            found = ", ".join(sorted(self.model_fields_set)) or "none"
            raise ValueError(f"a stage has exactly one of {', '.join(STAGES)}, not {found}: give each its own '- '")
        return self

    @property
    def kind(self) -> str:
        return next(iter(self.model_fields_set))

    @property
    def settings(self) -> Prune | Distill | Quantize:
        return getattr(self, self.kind)


class TargetChoice(_Model):
    """A hardware target, and which of its runtimes to build for. A bare name means all of them."""

    name: Text = Field(
        description="as in `compress targets`, or this-machine, or a YAML file of your own relative to the recipe"
    )
    runtimes: tuple[Text, ...] | None = Field(
        None, min_length=1, description=f"null: all the target has, except {', '.join(ON_REQUEST)}"
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(core)]}

    @model_validator(mode="before")
    @classmethod
    def _bare_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Measure(_Model):
    """How latency is measured: all variants of a runtime interleaved, block by block, in random order."""

    threads: int = Field(1, ge=1, le=1024, description="of the runtime, the same for every variant")
    batch: int = Field(1, ge=1, le=65_536, description="samples in one call")
    rounds: int = Field(40, ge=6, le=100_000, description="each round runs every variant once, as a block of calls")
    seconds: Duration = Field(20.0, description="upper bound for each group of variants compared")
    energy: bool = Field(
        False,
        description="energy of a sample too, by the sensors found (docs/energy.md): for each group of variants half a "
        "minute of rest, then five windows of 10 s a variant",
    )
    meters: list[str] = Field(
        [],
        description="external meters to read besides, as `compress bench --meter` takes them (docs/energy.md); with "
        "one, energy is measured",
    )
    model_energy: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="watts: also model energy, marked as modelled: so many watts by the time of a sample",
    )

    @property
    def measures_energy(self) -> bool:
        """Whether sensors are read."""
        return self.energy or bool(self.meters)


class Budget(_Model):
    """What the result must keep to; `compress run` exits with 3 when it does not. Each line may be left out."""

    accuracy_drop: Fraction | None = Field(
        None, description="largest loss of test accuracy against the teacher: a fraction, or '0.5%'"
    )
    latency: Duration | None = Field(None, description="largest median time of a call: seconds, or '2 ms'")
    size: Size | None = Field(None, description="largest model file: bytes, or '110 kB' (1 KiB = 1.024 kB)")
    memory: Size | None = Field(None, description="largest peak memory of the process: bytes, or '100 MB'")
    speedup: Factor | None = Field(
        None, description="smallest factor by which the teacher on the same runtime takes longer: 5, or '5x'"
    )


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str | dict) else value


_TargetList = Annotated[tuple[TargetChoice, ...], Field(min_length=1, max_length=64)]
_Targets = Annotated[_TargetList, BeforeValidator(_listed, json_schema_input_type=_TargetList | TargetChoice)]


class Recipe(_Model):
    """A recipe of `compress run`."""

    model_config = ConfigDict(title="compress recipe")

    version: Literal[1] = Field(1, description="of this format")
    name: Name = Field(description="name of the run and of its folder: small letters, digits and single hyphens")
    seed: Seed = Field(0, description="of everything random that has no seed of its own, such as first weights")
    teacher: Teacher = Field(description="the model to compress")
    data: Data = Field(description="what it is trained, calibrated and judged on")
    stages: tuple[Stage, ...] = Field((), max_length=64, description="in the order in which they are applied")
    targets: _Targets = Field((TargetChoice(name="this-machine"),), description="where the students are to run")
    measure: Measure = Field(Measure(), description="how latency is measured")
    budget: Budget = Field(Budget(), description="what the result must keep to")

    _folder: Path = PrivateAttr(default_factory=Path)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        from compress.recipe_checks import contradictions, refuse

        refuse(contradictions(self))
        return self

    @property
    def folder(self) -> Path:
        """The folder that paths in the recipe are relative to: the recipe file's own."""
        return self._folder

    def placed(self, folder: Path) -> Recipe:
        """This recipe as if its file lay in ``folder``."""
        copy = self.model_copy()
        copy._folder = folder
        return copy

    def resolve(self, path: str) -> Path:
        """A path written in the recipe (`~` allowed) as one that can be opened."""
        return located(path, self._folder)

    def target(self, choice: TargetChoice) -> str:
        """What ``load_target`` takes for a choice: a shipped name, or the path of the user's own file."""
        return str(self.resolve(choice.name)) if choice.name.endswith((".yaml", ".yml")) else choice.name
