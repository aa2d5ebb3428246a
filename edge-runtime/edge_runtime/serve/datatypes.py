"""The protocol's names of element types, and numpy's."""

from __future__ import annotations

import numpy as np

NUMPY = {
    "BOOL": np.dtype("bool"),
    "UINT8": np.dtype("uint8"),
    "UINT16": np.dtype("uint16"),
    "UINT32": np.dtype("uint32"),
    "UINT64": np.dtype("uint64"),
    "INT8": np.dtype("int8"),
    "INT16": np.dtype("int16"),
    "INT32": np.dtype("int32"),
    "INT64": np.dtype("int64"),
    "FP16": np.dtype("float16"),
    "FP32": np.dtype("float32"),
    "FP64": np.dtype("float64"),
}
"""The protocol also has BYTES, which no model of this package takes."""

NAMES = {dtype.name: name for name, dtype in NUMPY.items()}

OF_DTYPE = {dtype: name for name, dtype in NUMPY.items()}
"""By numpy's own object: its ``name`` takes longer to ask for than the rest of an answer to write."""
