"""Arrays in .npy files (numpy's NEP 1), read without evaluating anything.

numpy's own reader hands the header to Python's parser and tokenizer, believes its sizes when it takes memory, and
unpickles when told to. Files here are written by ``np.save`` of plain arrays, whose header has one form: it is matched
as text, and must fit the file's length exactly.

Files of clients are read here too. Theirs may be big-endian, or in Fortran's order as ``np.save`` keeps it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge_runtime import limits

if TYPE_CHECKING:
    import numpy as np

BEGIN = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    rb"\{'descr': '([<>|][biuf][1248])', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,12}, ?)*\d{0,12}),?\), \} *\n"
)


def load(content: bytes, *, any_order: bool = False) -> np.ndarray:
    """The array, read-only, over the same bytes. Raises ValueError that says what is wrong.

    ``any_order``: of its axes and of its numbers' bytes; otherwise it is little-endian and in C's order.
    """
    import numpy as np

    start = len(BEGIN) + 2
    if not content.startswith(BEGIN) or len(content) < start:
        raise ValueError("it does not begin as an .npy file of version 1.0 does")
    length = int.from_bytes(content[len(BEGIN) : start], "little")
    if length > limits.NPY_HEADER_BYTES:
        raise ValueError(f"its header has {length} bytes, where {limits.NPY_HEADER_BYTES} are allowed")
    found = HEADER.fullmatch(content[start : start + length])
    if not found or not (any_order or (found[2] == b"False" and not found[1].startswith(b">"))):
        raise ValueError("its header is not that of a plain array of numbers" + ("" if any_order else " in C order"))
    shape = tuple(int(axis) for axis in found[3].split(b",") if axis.strip())
    if len(shape) > limits.AXES:
        raise ValueError(f"it has {len(shape)} axes, where {limits.AXES} are allowed")
    try:
        dtype = np.dtype(found[1].decode())
    except TypeError:
        raise ValueError(f"its numbers are {found[1].decode()}, of which there are none") from None
    size = dtype.itemsize
    for axis in shape:
        size *= axis
    if size != len(content) - start - length:
        raise ValueError(f"its header makes {size} bytes of numbers, and it has {len(content) - start - length}")
    order = "F" if found[2] == b"True" else "C"
    return np.frombuffer(content, dtype, offset=start + length).reshape(shape, order=order)
