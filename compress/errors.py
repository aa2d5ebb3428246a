"""Every error a user can meet, in one place. Each message says what is wrong, where, and what to do."""


class CompressError(Exception):
    """Base of all expected errors; the command line prints it without a traceback and exits with ``exit_code``."""

    exit_code = 1


class RecipeError(CompressError):
    """The recipe cannot be run as written: nothing has been started or written."""

    exit_code = 2


class DataError(CompressError):
    """The data cannot be used: missing, malformed or overlapping splits."""


class ModelError(CompressError):
    """A model cannot be built, loaded or changed as asked."""


class ExportError(CompressError):
    """A model could not be exported to a runtime's format, or the export differs from the model."""


class QuantizationError(CompressError):
    """A model cannot be quantized as asked, or the quantized file is not what was asked for."""


class ToolError(CompressError):
    """A tool that lives in an environment of its own is not installed there, or failed."""


class StoreError(CompressError):
    """The artifact store is damaged or cannot be written."""


class TargetError(CompressError):
    """A hardware target is unknown or described wrongly."""

    exit_code = 2


class BundlingError(CompressError):
    """A run's model cannot be made into a bundle as asked."""


class RunError(CompressError):
    """A folder or file is not a finished run's, or two runs have nothing to compare."""

    exit_code = 2
