"""A bundle's model, ready to answer: from a picture, a text or an array to a label, as its manifest says.

    from edge_runtime import open_model

    with open_model("boots.edge") as model:
        answer = model.predict(Path("boot.png"))
    print(answer.label, answer.confidence)

A bundle's signature is always checked, and every file's hash: a model is parsed by a large native library, and whoever
can hand it any file can do more than give wrong answers. There is no switch to leave the check out. A model that nobody
signed is a plain file, which ``edge_runtime.open_session`` opens on the responsibility of whoever calls it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime import limits, machine, preprocess
from edge_runtime.bundle import archive, contents, signature
from edge_runtime.bundle.contents import Contents
from edge_runtime.bundle.manifest import MANIFEST, SIGNATURE, Manifest, Tensor
from edge_runtime.bundle.signature import PublicKey
from edge_runtime.errors import (
    BundleError,
    ContentError,
    InputError,
    InputTooLargeError,
    ManifestError,
    OutputError,
    SpaceError,
    TargetError,
    UnknownKeyError,
)
from edge_runtime.places import default_home
from edge_runtime.sessions.base import Session, TensorSpec
from edge_runtime.sessions.registry import open_session
from edge_runtime.update import checks
from edge_runtime.update.home import Home

TOP = 5
"""Classes that a prediction names, the likeliest first."""


@dataclass(frozen=True)
class Prediction:
    """``confidence`` is the softmax share of class ``index``, 0 to 1; ``label`` is None where the bundle has no labels.

    ``top``: the likeliest classes as (label, or the index as text; confidence), falling, at most five.
    """

    label: str | None
    index: int
    confidence: float
    top: tuple[tuple[str, float], ...]


class Model:
    """A loaded model with what prepares its input and reads its output. Safe to call from several threads.

    ``contents``: an unpacked bundle that has been verified, by ``open_model`` or by an installation. ``threads``: how
    many one call may use. Raises SessionError when the engine is missing or refuses the file, ManifestError when the
    manifest is not that of its model, ExtraMissingError when a library for its kind of input is not installed.
    """

    def __init__(self, contents: Contents, threads: int = 1) -> None:
        self.contents = contents
        manifest = contents.manifest
        self._labels = manifest.labels
        self._prepare = preprocess.make(contents)
        self.session = open_session(contents.file(manifest.model), manifest.runtime, threads)
        self._remove: Callable[[], object] = _nothing
        try:
            _check(manifest, self.session)
        except ManifestError:
            self.session.close()
            raise

    def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All outputs by name, as the engine gives them. Raises InputError, or SessionError when the engine fails."""
        return self.session.run(inputs)

    def prepare(self, item: Any) -> np.ndarray:
        """One sample (1, ...) of the input's dtype.

        Of a picture: the bytes of its file, or raw pixels in any form of an array. Of a text: str, or bytes in
        UTF-8. Of an array: numpy's, a nested list, JSON text, or the bytes of a ``.npy`` file. Of each, a pathlib.Path
        to a file that holds it; a str is never taken for a path. Raises InputError.
        """
        return self._prepare(_content(item) if isinstance(item, os.PathLike) else item)

    def interpret(self, outputs: np.ndarray) -> list[Prediction]:
        """One prediction for every row of logits (N, classes). Raises OutputError for another shape, or for NaN."""
        logits = np.asarray(outputs, np.float64)
        if logits.ndim != 2 or logits.shape[1] == 0:
            raise OutputError(f"{self._name}: an answer of shape {logits.shape} is not (samples, classes); call infer")
        if self._labels and logits.shape[1] != len(self._labels):
            raise OutputError(f"{self._name}: {logits.shape[1]} classes, and {len(self._labels)} labels; call infer")
        if not np.isfinite(logits).all():
            raise OutputError(f"{self._name}: the answer is not finite; the input is far from what the model knows")
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        # By logits, which can differ where shares are equal; stable, so that among equals the first comes first.
        order = np.argsort(-logits, axis=1, kind="stable")[:, :TOP]
        ranked = shares[np.arange(len(shares))[:, None], order]
        return [self._prediction(*row) for row in zip(order.tolist(), ranked.tolist(), strict=True)]

    def predict(self, item: Any) -> Prediction:
        """What the model says of one item; see ``prepare`` for what that can be. Raises InputError and SessionError."""
        return self.interpret(self.session.predict(self.prepare(item)))[0]

    def close(self) -> None:
        """Let go of the model; calling it twice does no harm."""
        self.session.close()
        self._remove()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        manifest = self.contents.manifest
        return f"<Model {manifest.name} {manifest.sequence}, {self.session!r}>"

    @property
    def _name(self) -> str:
        return self.contents.manifest.name

    def _prediction(self, order: list[int], shares: list[float]) -> Prediction:
        names = [self._labels[index] if self._labels else str(index) for index in order]
        label = names[0] if self._labels else None
        return Prediction(label, order[0], shares[0], tuple(zip(names, shares, strict=True)))


def open_model(path: str | os.PathLike[str], *, keys: Iterable[PublicKey] | None = None, threads: int = 1) -> Model:
    """Open a bundle, or the folder of an unpacked one, once its signature and all its files are verified.

    A bundle is unpacked into a private temporary folder ($TMPDIR), which goes when the model is closed. ``keys``: whom
    to trust; None for those of this device, in ``keys/*.pub`` of $EDGE_RUNTIME_HOME or /var/lib/edge-runtime. Raises
    BundleError (UnknownKeyError with the way to trust a key), SpaceError when that folder's disk is full, TargetError
    for a bundle made for other machines, and what ``Model`` raises.
    """
    path, home = Path(path), default_home()
    trusted = Home(home).trusted_keys() if keys is None else list(keys)
    try:
        if path.is_dir():
            return _fitting(_verified(path, trusted), threads)
        return _unpacked(path, trusted, threads)
    except UnknownKeyError as error:
        if keys is not None:
            raise UnknownKeyError(f"{path}: {error}") from None
        raise UnknownKeyError(f"{path}: {error} --home {home}") from None


def _unpacked(path: Path, keys: list[PublicKey], threads: int) -> Model:
    folder = Path(tempfile.mkdtemp(prefix="edge-runtime-"))  # which nobody else may read or enter
    try:
        model = _fitting(archive.unpack(path, folder, keys), threads)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise SpaceError(
                f"{path}: there is no room to unpack it in {folder.parent} ({error.strerror}); free some space there, "
                "or name another folder by TMPDIR"
            ) from error
        raise
    # Also when the model is forgotten without being closed, and when the interpreter leaves.
    model._remove = weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    return model


def _fitting(found: Contents, threads: int) -> Model:
    """The model, if it is made for this machine and this engine. Raises TargetError."""
    checks.check_target(found.manifest, machine.detect())
    model = Model(found, threads)
    try:
        checks.check_engine_version(found.manifest, model.session.version)
    except TargetError:
        model.close()
        raise
    return model


def _verified(folder: Path, keys: list[PublicKey]) -> Contents:
    """The bundle unpacked in ``folder``, held to what a bundle's file is held to."""
    try:
        with (folder / MANIFEST).open("rb") as stream:
            message = stream.read(limits.MANIFEST_BYTES + 1)
        with (folder / SIGNATURE).open("rb") as stream:
            signed = stream.read(signature.SIGNATURE_BYTES + 1)
    except OSError as error:
        raise BundleError(
            f"{folder}: not the folder of an unpacked bundle: {error.strerror}: {error.filename}"
        ) from None
    signature.verify(archive.PURPOSE + message, signed, keys)
    found = contents.load(folder)
    if found.id != hashlib.sha256(message).hexdigest():
        raise ContentError(f"{folder}: {MANIFEST} changes while it is read; wait until whoever writes there is done")
    found.verify()
    return found


def _check(manifest: Manifest, session: Session) -> None:
    """Raise ManifestError unless the manifest describes this model."""
    for kind in ("inputs", "outputs"):
        stated, found = getattr(manifest, kind), getattr(session, kind)
        if len(stated) != len(found) or not all(map(_describes, stated, found)):
            raise ManifestError(
                f"{manifest.name}: the manifest's {kind} are {'; '.join(map(str, stated))}, and its model's "
                f"{'; '.join(map(str, found))}; make the bundle again"
            )
    axes = manifest.outputs[0].shape
    if manifest.labels and len(axes) == 2 and axes[1] not in (None, len(manifest.labels)):
        raise ManifestError(
            f"{manifest.name}: {len(manifest.labels)} labels for {axes[1]} classes; make the bundle with one for each"
        )


def _describes(stated: Tensor, found: TensorSpec) -> bool:
    """Whether each size stated is the model's, or one that the model leaves open."""
    return (stated.name, stated.dtype, len(stated.shape)) == (found.name, found.dtype, len(found.shape)) and all(
        not isinstance(b, int) or a == b for a, b in zip(stated.shape, found.shape, strict=True)
    )


def _content(path: os.PathLike[str]) -> bytes:
    """What a file holds, if that is not too much. Raises InputError."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would wait for one
        with open(handle, "rb") as stream:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise InputError(f"{os.fspath(path)}: is not a file; name files")
            data = stream.read(limits.INPUT_BYTES + 1)
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None
    if len(data) > limits.INPUT_BYTES:
        raise InputTooLargeError(f"{os.fspath(path)}: more than {limits.INPUT_BYTES} bytes; make it smaller")
    return data


def _nothing() -> None:
    """What there is to remove of a model that was not unpacked for the occasion."""
