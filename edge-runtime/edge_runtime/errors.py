"""Every error of this package, in one place. Each message says what is wrong, where, and what to do."""

from __future__ import annotations


class EdgeRuntimeError(Exception):
    """Base of all errors raised on purpose by this package."""


class SessionError(EdgeRuntimeError):
    """A model cannot be opened or run."""


class EngineMissingError(SessionError):
    """The engine that a model needs is not installed, or is installed and cannot be loaded."""


class ModelFileError(SessionError):
    """A model file is missing, damaged, or not of a kind that the runtime reads."""


class InputError(SessionError):
    """The arrays given to a session are not the ones its model takes."""


class ProbeError(EdgeRuntimeError):
    """A measurement could not be taken."""
