"""Gates that prove their cells: signs that rounding cannot have turned."""

from __future__ import annotations

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray

_BLOCK = 1 << 14


def check_witnesses(X: FloatArray, ps: cx.PatternSet, least: float = 1e-12) -> None:
    """Every gate has a margin of at least `least`, and its pattern whatever rounding does.

    ``|fl(x_k . u)| > gamma_d |x_k| |u|`` for every row that is not zero.
    """
    gates = ps.gates
    assert gates is not None
    nonzero = X.any(axis=1)
    rows = X[nonzero]
    lengths = np.linalg.norm(rows, axis=1)
    unit = np.finfo(float).eps / 2
    terms = X.shape[1] + 2  # and the lengths are rounded
    gamma = terms * unit / (1 - terms * unit)
    dense = ps.to_dense()
    for start in range(0, len(ps), _BLOCK):
        part = slice(start, start + _BLOCK)
        products = np.einsum("kj,ij->ik", rows, gates[part])
        sizes = np.outer(np.linalg.norm(gates[part], axis=1), lengths)
        assert (np.abs(products) > gamma * sizes).all()
        assert (np.abs(products) >= (least - 1e-15) * sizes).all()
        np.testing.assert_array_equal(products > 0, dense[part][:, nonzero])
