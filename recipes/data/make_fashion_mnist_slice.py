"""Make ``fashion-mnist-slice.npz``: enough of Fashion-MNIST (MIT licence, see beside) to run the recipes offline.

From the splits that ``source: fashion-mnist`` makes with its defaults: 6,000 of the 55,000 training pictures, 1,500 of
validation and 500 of calibration, every class in proportion, and the whole test split. A teacher trained on the full
data has therefore seen none of the slice's held-out pictures. LZMA inside an ordinary zip makes the file 14 % smaller
than np.savez_compressed; np.load reads both.

    python recipes/data/make_fashion_mnist_slice.py
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from compress.data import fashion_mnist
from compress.data.dataset import SPLITS, Split, make_disjoint, stratified

OUT = Path(__file__).with_name("fashion-mnist-slice.npz")
COUNTS = {"train": 6000, "validation": 1500, "calibration": 500}


def main() -> None:
    dataset = make_disjoint(fashion_mnist.load(validation=4000, calibration=1000, seed=0))
    arrays = {"classes": np.array(dataset.classes), "licence": np.array(dataset.licence)}
    for name in SPLITS:
        split: Split = getattr(dataset, name)
        if name in COUNTS:
            split = split.take(stratified(split.labels, COUNTS[name], seed=0))
        arrays[f"x_{name}"], arrays[f"y_{name}"] = split.inputs, split.labels.astype(np.uint8)
        print(f"{name}: {len(split)} pictures, per class {np.bincount(split.labels).tolist()}")
    with zipfile.ZipFile(OUT, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980: the same data make the same file, byte for byte
            entry.compress_type = zipfile.ZIP_LZMA
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    print(f"{OUT.name}: {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
