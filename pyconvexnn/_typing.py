"""Names for the array types that cross module borders."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
"""Any float64 array; its shape is given where it is used."""

BitArray: TypeAlias = NDArray[np.uint64]
"""Packed patterns, (P, ceil(n / 64)): row k of the data is bit k % 64 of word k // 64."""

BoolArray: TypeAlias = NDArray[np.bool_]
IndexArray: TypeAlias = NDArray[np.int64]

__all__ = ["ArrayLike", "BitArray", "BoolArray", "FloatArray", "IndexArray"]
