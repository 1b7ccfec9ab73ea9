"""Gates of given patterns: whether they have them, how strictly, and how to find some."""

from __future__ import annotations

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import unpack
from pyconvexnn._gates import gate_finder, unit_rows
from pyconvexnn._typing import BitArray, FloatArray

_BLOCK_ENTRIES = 1 << 22  # entries of a temporary matrix of rows and gates


def have_patterns(gates: FloatArray | None, X: FloatArray, packed: BitArray) -> bool:
    """Whether there are gates, and their patterns on X are these."""
    return (
        gates is not None
        and gates.shape[1] == X.shape[1]
        and np.array_equal(_core.sign_patterns(X, gates), packed)
    )


def margins_of(gates: FloatArray, X: FloatArray) -> FloatArray:
    """``min_k |x_k . u| / (|x_k| |u|)`` of each gate u over the rows that are not zero."""
    rows = unit_rows(X[X.any(axis=1)])
    gates = unit_rows(gates)
    margins = np.ones(len(gates))
    step = max(1, _BLOCK_ENTRIES // len(X))
    for start in range(0, len(gates) if len(rows) else 0, step):
        part = slice(start, start + step)
        margins[part] = np.minimum(np.abs(rows @ gates[part].T).min(axis=0), 1.0)
    return margins


def find_gates(packed: BitArray, X: FloatArray) -> FloatArray:
    """Gates strictly inside the cells of these patterns, one linear program each."""
    gates = np.empty((len(packed), X.shape[1]))
    find = gate_finder(X)
    for i, words in enumerate(packed):
        gate = find(unpack(words[np.newaxis], len(X))[0])
        if gate is None or not np.array_equal(_core.sign_patterns(X, gate)[0], words):
            raise ValueError(
                f"`X` must be data on which every pattern is a cell, got pattern {i}: found no "
                "gate with every non-zero row of X strictly on its side"
            )
        gates[i] = gate[0]
    return gates
