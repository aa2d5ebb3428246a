"""What every data source returns: four labelled splits of raw inputs, and proof that they do not overlap."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from compress.errors import DataError

SPLITS = ("train", "calibration", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Labelled samples exactly as a device would feed them.

    ``inputs``: (N, C, H, W) uint8 pixels, or float32 where the source has no pixels. ``labels``: (N,) int64.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.labels):
            raise DataError(f"{len(self.inputs)} inputs but {len(self.labels)} labels: every input needs one label")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over inputs and labels in their order: runs with the same one answered the same questions."""
        digest = hashlib.sha256(f"{self.inputs.dtype}:{self.inputs.shape}".encode())
        digest.update(np.ascontiguousarray(self.inputs))
        digest.update(np.ascontiguousarray(self.labels))
        return digest.hexdigest()

    def take(self, index: np.ndarray | slice) -> Split:
        return Split(self.inputs[index], self.labels[index])

    def hashes(self) -> np.ndarray:
        """(N,) 16-byte BLAKE2b digests of the inputs; equal inputs have equal digests whatever their label."""
        rows = np.ascontiguousarray(self.inputs)
        return np.array([hashlib.blake2b(row, digest_size=16).digest() for row in rows], dtype="V16")


@dataclass(frozen=True)
class Dataset:
    """Four splits of one task.

    ``dropped``: samples removed because a more protected split holds the same input; ``warnings`` says which.
    """

    name: str
    train: Split
    calibration: Split
    validation: Split
    test: Split
    classes: tuple[str, ...]
    licence: str = "unknown"
    dropped: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
        return self.test.inputs.shape[1:]

    @property
    def fingerprint(self) -> str:
        """SHA-256 over every split's inputs and labels: the data's part of a cache key."""
        digest = hashlib.sha256()
        for name in SPLITS:
            split: Split = getattr(self, name)
            digest.update(f"{name}:{split.inputs.dtype}:{split.inputs.shape}".encode())
            digest.update(np.ascontiguousarray(split.inputs))
            digest.update(np.ascontiguousarray(split.labels))
        return digest.hexdigest()


def carve(train: Split, *, validation: int, calibration: int, seed: int) -> tuple[Split, Split, Split]:
    """Cut a training split into (train, calibration, validation) with a seeded permutation.

    Raises :class:`DataError` when fewer than half of the samples would be left to train on.
    """
    if validation + calibration > len(train) // 2:
        raise DataError(
            f"validation={validation} and calibration={calibration} leave less than half of the {len(train)} "
            "training samples: ask for fewer"
        )
    order = np.random.default_rng(seed).permutation(len(train))
    held, rest = order[: validation + calibration], np.sort(order[validation + calibration :])
    return train.take(rest), train.take(np.sort(held[validation:])), train.take(np.sort(held[:validation]))


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sorted index of ``count`` samples drawn at random, every class in proportion (to within one sample)."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))  # where in its own class a sample comes in the random order, 0 to 1
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.sort(order[np.argsort(place[order], kind="stable")[:count]])


def make_disjoint(dataset: Dataset) -> Dataset:
    """Drop from each split what a more protected one holds too (test, then validation, calibration, train).

    Test is never touched; everything else gives way, so no reported figure rests on a sample seen before. What is
    dropped is counted and told. Raises :class:`DataError` where nothing of a split would be left.
    """
    dropped, kept, warnings = 0, {"test": dataset.test}, list(dataset.warnings)
    home = dict.fromkeys(dataset.test.hashes().tolist(), "test")  # the most protected split of every input
    for name in ("validation", "calibration", "train"):
        split: Split = getattr(dataset, name)
        hashes = split.hashes().tolist()
        found = Counter(home[h] for h in hashes if h in home)
        if found:
            also = " and ".join(f"{count:,} also in {other}" for other, count in found.items())
            fact = f"{dataset.name}: of the {len(split):,} {name} inputs, {also}"
            if found.total() == len(split):
                raise DataError(f"{fact}, so that none is left; {for_empty(name)}")
            warnings.append(f"{fact}: left out of {name}, so that no figure rests on samples seen before")
            split = split.take(np.array([h not in home for h in hashes]))
        for h in hashes:
            home.setdefault(h, name)
        dropped += found.total()
        kept[name] = split
    return replace(dataset, **kept, dropped=dataset.dropped + dropped, warnings=tuple(warnings))


def for_empty(split: str) -> str:
    """What to do about a split without samples."""
    if split in ("train", "test"):
        return "it needs samples" + " that are in no other split" * (split == "train")
    return (
        f"put samples in that are in no other split, or leave it out of the data: data.{split}, at least 1, says how "
        "many are then carved from train"
    )


def check_disjoint(dataset: Dataset) -> None:
    """Raise :class:`DataError` naming two splits that share an input."""
    hashes = {name: set(getattr(dataset, name).hashes().tolist()) for name in SPLITS}
    for i, a in enumerate(SPLITS):
        for b in SPLITS[i + 1 :]:
            if shared := len(hashes[a] & hashes[b]):
                raise DataError(f"{dataset.name}: {shared} inputs stand in both {a} and {b}: results would be too good")
