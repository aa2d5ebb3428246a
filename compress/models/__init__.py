"""Networks: the architectures a recipe can name, teachers from their sources, and saving without pickle."""

from __future__ import annotations

from compress.models.architectures import ARCHITECTURES
from compress.models.spec import ModelSpec, Normalization, build, load, save
from compress.models.teacher import load_teacher

__all__ = ["ARCHITECTURES", "ModelSpec", "Normalization", "build", "load", "load_teacher", "save"]
