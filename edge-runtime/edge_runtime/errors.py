"""Every error of this package, in one place. Each message says what is wrong, where, and what to do."""

from __future__ import annotations


class EdgeRuntimeError(Exception):
    """Base of all errors raised on purpose by this package.

    ``code`` is stable: scripts and clients may compare it. ``status`` is the HTTP status of an answer that says so.
    """

    code = "error"
    status = 500


class SessionError(EdgeRuntimeError):
    """A model cannot be opened or run."""

    code = "session-failed"


class EngineMissingError(SessionError):
    """The engine that a model needs is not installed, or is installed and cannot be loaded."""

    code = "engine-missing"


class ModelFileError(SessionError):
    """A model file is missing, damaged, or not of a kind that the runtime reads."""

    code = "model-file-invalid"


class InputError(SessionError):
    """The arrays given to a session are not the ones its model takes."""

    code = "input-invalid"
    status = 400


class InputTooLargeError(InputError):
    """One input is larger than the caps in ``limits`` allow."""

    code = "input-too-large"
    status = 413


class ImageError(InputError):
    """A picture is of no kind that is read here, or damaged."""

    code = "image-unreadable"


class OutputError(SessionError):
    """A model's answer is not one that can be read as classes."""

    code = "output-invalid"


class ExtraMissingError(EdgeRuntimeError):
    """A library is not installed that this bundle's kind of input needs."""

    code = "extra-missing"


class ProbeError(EdgeRuntimeError):
    """A measurement could not be taken."""

    code = "probe-failed"


class SensorError(ProbeError):
    """A power sensor cannot be used, or did not answer."""

    code = "sensor-failed"


class SensorResetError(SensorError):
    """A counter of energy began anew, so what it had counted since the last reading is lost."""

    code = "sensor-reset"


class MeterError(SensorError):
    """An external meter is named, or answers, in a way that is not understood."""

    code = "meter-invalid"


class BundleError(EdgeRuntimeError):
    """A bundle cannot be used."""

    code = "bundle-invalid"
    status = 400


class ArchiveError(BundleError):
    """A file is not laid out as a bundle is, byte for byte."""

    code = "bundle-archive-invalid"


class BundleTooLargeError(BundleError):
    """Something in a bundle is larger than the caps in ``limits`` allow."""

    code = "bundle-too-large"
    status = 413


class ManifestError(BundleError):
    """A manifest does not say what it must, in the one way in which it must be said."""

    code = "bundle-manifest-invalid"


class SignatureError(BundleError):
    """A bundle's signature is not that of its manifest."""

    code = "bundle-signature-invalid"
    status = 403


class UnknownKeyError(SignatureError):
    """A bundle is signed with a key that this device does not trust."""

    code = "bundle-key-unknown"


class ContentError(BundleError):
    """A file of a bundle is missing, too many, or not the one that was signed."""

    code = "bundle-content-damaged"


class KeyFileError(EdgeRuntimeError):
    """A file with a key cannot be used, or should not be."""

    code = "key-file-invalid"


class SignatureLibraryError(EdgeRuntimeError):
    """The library that checks signatures is not installed."""

    code = "signature-library-missing"


class UpdateError(EdgeRuntimeError):
    """A version could not be installed, judged or gone back from. What was current still is."""

    code = "update-failed"


class HomeError(UpdateError):
    """The folder where versions live cannot be used."""

    code = "home-unusable"


class HomeBusyError(UpdateError):
    """Another process is changing the same folder of versions."""

    code = "home-busy"
    status = 409


class HomeServedError(UpdateError):
    """Another server serves what is installed in the same folder."""

    code = "home-served"


class NothingInstalledError(UpdateError):
    """There is no version to serve."""

    code = "nothing-installed"
    status = 503


class TargetError(UpdateError):
    """A bundle is made for another machine, or needs other software than is installed here."""

    code = "target-foreign"
    status = 409


class OtherModelError(UpdateError):
    """A bundle has another model's name than the one that is installed."""

    code = "other-model"
    status = 409


class DowngradeError(UpdateError):
    """A bundle's sequence number is below the floor that an earlier bundle has set."""

    code = "downgrade"
    status = 409


class NotNewerError(UpdateError):
    """A bundle's sequence number is not larger than that of the current version."""

    code = "not-newer"
    status = 409


class BadVersionError(UpdateError):
    """A version has failed here before."""

    code = "version-bad"
    status = 409


class ExpiredError(UpdateError):
    """A bundle's time is over."""

    code = "bundle-expired"
    status = 409


class ClockError(UpdateError):
    """Whether a bundle's time is over cannot be told: the clock is wrong."""

    code = "clock-wrong"
    status = 409


class SpaceError(UpdateError):
    """The file system has no room for a new version."""

    code = "no-space"
    status = 507


class SelfTestError(UpdateError):
    """A new version does not do on this device what it did where it was made."""

    code = "self-test-failed"
    status = 422


class NoWayBackError(UpdateError):
    """There is no earlier version to go back to, or none that may run."""

    code = "no-way-back"
    status = 409


class WatchError(EdgeRuntimeError):
    """Inputs and outputs cannot be watched."""

    code = "watch-failed"


class DriftReferenceError(WatchError):
    """What inputs are compared with is damaged, of another version, or made from too little."""

    code = "drift-reference-invalid"
    status = 400


class CaptureError(EdgeRuntimeError):
    """Captured inputs cannot be kept, listed or exported."""

    code = "capture-failed"


class CaptureSettingsError(CaptureError):
    """Settings of capturing are out of range."""

    code = "capture-settings-invalid"
    status = 400


class ServeError(EdgeRuntimeError):
    """Something went wrong while serving a model."""

    code = "serve-failed"


class ListenError(ServeError):
    """The server does not start as it is asked to."""

    code = "listen-refused"


class TokenFileError(ListenError):
    """A file with a token, or with a TLS key, cannot be used, or should not be."""

    code = "token-file-invalid"


class ModelUnfitError(ServeError):
    """A model cannot be served, though it can be run."""

    code = "model-unfit"


class RequestError(ServeError):
    """A request is not one that this server understands."""

    code = "request-invalid"
    status = 400


class RequestTooLargeError(RequestError):
    """A request, or something in it, is larger than the caps in ``limits`` allow."""

    code = "request-too-large"
    status = 413


class MediaTypeError(RequestError):
    """A body's media type or content encoding is none that is read here."""

    code = "media-type-unsupported"
    status = 415


class TokenError(RequestError):
    """A request comes without the token it needs, or with another."""

    code = "token-refused"
    status = 401


class AdminError(RequestError):
    """A request is for administrators, and is not one's."""

    code = "admin-refused"
    status = 403


class RouteError(RequestError):
    """A request is for an address at which there is nothing."""

    code = "address-unknown"
    status = 404


class ModelUnknownError(RequestError):
    """A request names a model, or a version of it, that is not the one served."""

    code = "model-unknown"
    status = 404


class MethodError(RequestError):
    """An address is there, but not for this method."""

    code = "method-not-allowed"
    status = 405


class HostError(RequestError):
    """A request was sent to another host than this one, as a page in a browser may be made to do."""

    code = "host-refused"
    status = 421


class BusyError(ServeError):
    """More requests wait than the queue holds. ``retry_after``: whole seconds."""

    code = "queue-full"
    status = 429

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotReadyError(ServeError):
    """No model is loaded yet, or the server is about to stop."""

    code = "not-ready"
    status = 503
    retry_after = 1


class DeadlineError(ServeError):
    """A request's time was over before its turn came."""

    code = "deadline-exceeded"
    status = 504


class NotFiniteError(ServeError):
    """A model's output holds infinities or NaN, which JSON cannot."""

    code = "output-not-finite"
