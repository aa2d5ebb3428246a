"""A teacher from Hugging Face ``transformers``: an image classifier from a local folder, or from the hub by its id.

The classifier is wrapped so that it maps inputs to a plain logits tensor. Its image processor's rescaling and
normalisation become the first layer (:class:`~compress.models.normalize.Normalized`), so raw pixels go in. Resizing and
cropping stay with the data source. Saved again, it is its config (JSON) and safetensors, and loads offline.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from compress import quiet
from compress.errors import ModelError
from compress.models.spec import HUGGINGFACE, ModelSpec, Normalization
from compress.recipe_names import located


class Classifier(nn.Module):
    """(N, C, H, W) normalised inputs to (N, classes) logits, by the ``transformers`` model inside."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(pixel_values=x).logits


def load(name: str, folder: Path, normalize: Normalization | None, pixels: bool) -> tuple[Classifier, ModelSpec]:
    """The classifier, without its normalisation, and its spec with it.

    ``name``: a folder relative to the recipe's ``folder``, else an id on the hub. ``normalize``: overrules the image
    processor. ``pixels``: the data are uint8, so a normalisation must be known. Raises :class:`ModelError`.
    """
    transformers = _transformers()
    local = located(name, folder)
    source = str(local) if local.is_dir() else name
    try:
        with quiet.pytorch(), quiet.transformers():  # the first model imports torchao
            model, report = transformers.AutoModelForImageClassification.from_pretrained(
                source, trust_remote_code=False, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        hint = "" if local.is_dir() else f" (there is no folder {local} either)"
        raise ModelError(f"teacher.huggingface: {source}: cannot be loaded{hint}: {_first_line(error)}") from error
    if untrained := sorted(report["missing_keys"]):
        raise ModelError(
            f"teacher.huggingface: {source} has no weights for {len(untrained)} tensors, the first is {untrained[0]}; "
            "it is not a trained image classifier"
        )
    if normalize is None:
        normalize = _processor_normalization(source, pixels)
    model.float()  # from checkpoints kept in half precision: everything after this computes in float32
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()  # out of the memory-mapped file, where tensors lie unaligned
    return Classifier(model), ModelSpec(HUGGINGFACE, _plain(model.config), normalize)


def from_config(config: dict[str, Any]) -> Classifier:
    """A freshly initialised network of a saved config. Raises :class:`ModelError`."""
    transformers = _transformers()
    try:
        settings = transformers.AutoConfig.for_model(**config)
        with quiet.pytorch():
            return Classifier(transformers.AutoModelForImageClassification.from_config(settings).float())
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"transformers cannot build the saved {config.get('model_type')} config: {error}") from error


def label_names(config: dict[str, Any]) -> list[str]:
    """Names of the outputs in order, such as "LABEL_0" where the config has no better."""
    names = config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(int(config.get("num_labels", 2)))}
    return [names[key] for key in sorted(names, key=int)]


def _processor_normalization(source: str, pixels: bool) -> Normalization | None:
    """Rescaling and normalisation of the image processor's config, as one affine step per channel."""
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        config, _ = ImageProcessingMixin.get_image_processor_dict(source)
    except OSError as error:
        if not pixels:
            return None
        raise ModelError(
            f"teacher.huggingface: {source} has no preprocessor_config.json; give teacher.normalize (mean, std, scale)"
        ) from error
    if config.get("do_flip_channel_order"):
        raise ModelError(f"teacher.huggingface: {source} wants blue, green, red pixels, which no data source gives")
    scale = float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
    image_std = _listed(config.get("image_std"), 1.0)
    mean, std = [0.0] * len(image_std), [1.0] * len(image_std)
    if config.get("do_normalize", True):
        mean, std = _listed(config.get("image_mean"), 0.0), image_std
    if config.get("rescale_offset"):  # EfficientNet: x * scale - 1 comes before the mean
        mean = [m + 1.0 for m in mean]
    if config.get("include_top"):  # EfficientNet: divides by std once more
        std = [s * again for s, again in zip(std, image_std, strict=True)]
    return Normalization(tuple(mean), tuple(std), scale)


def _listed(value: float | list[float] | None, default: float) -> list[float]:
    values = value if isinstance(value, list | tuple) else [default if value is None else value]
    return [float(v) for v in values]


def _plain(config: Any) -> dict[str, Any]:
    """The config as JSON, without where it was loaded from."""
    content = json.loads(config.to_json_string(use_diff=False))
    return {key: value for key, value in content.items() if not key.startswith("_") and key != "transformers_version"}


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ModelError("this teacher needs the package transformers: pip install compress[huggingface]") from error
    return transformers


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
