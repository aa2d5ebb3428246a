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


class DeviceError(CompressError):
    """A device cannot be reached, or what runs there did not end as it should. What came before is kept."""


class UnreachableError(DeviceError):
    """Nothing answers at a device's address."""


class HostKeyError(DeviceError):
    """A device's host key is not known here, or is not the one it had before."""


class LoginError(DeviceError):
    """A device answers and does not let this user in."""


class DevicePythonError(DeviceError):
    """A device has no Python, or none that edge-runtime runs on."""


class MismatchError(DeviceError):
    """A device is not what its target says."""


class SpaceError(DeviceError):
    """A device has no room for what the measurement needs."""


class WheelError(DeviceError):
    """A package that a device needs is not published for its platform and Python, or cannot be downloaded."""


class BusyError(DeviceError):
    """Another measurement runs on a device; both would be wrong."""


class KilledError(DeviceError):
    """What ran on a device was ended by somebody else: the kernel for want of memory, or a person."""


class LostError(DeviceError):
    """A connection to a device broke, or did not come back."""


class BenchmarkError(CompressError):
    """A benchmark cannot be made as asked: nothing has been measured."""

    exit_code = 2
