"""What problems have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyconvexnn._typing import BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import as_array, as_finite, as_real_array, describe, flag, positive_int
from pyconvexnn.patterns import PatternSet

BLOCK_ENTRIES = 1 << 22  # of the (patterns, n) arrays that a NumPy reference unpacks at a time


@dataclass(frozen=True, eq=False, repr=False)
class SparseBlocks:
    """Coefficients of which most blocks are zero.

    Parameters
    ----------
    indices : (k,) int64
        The blocks that are stored, ascending.
    values : (k, d) float64, or (k, d, K) for K outputs
        Their coefficients.
    n_blocks : int
        Number of all blocks: P, or 2 P with `signed`.
    signed : bool
        Whether there are two blocks for each of P patterns, as in a ReLUProblem: block i is v_i,
        block P + i is w_i.

    Raises
    ------
    ValueError
        When `indices` are not ascending numbers in [0, n_blocks), `values` not finite or not
        (k, d), or `n_blocks` not even with `signed`.
    TypeError
        When `n_blocks` is not an integer, or `signed` not a boolean.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> cx.SparseBlocks(np.array([1]), np.array([[5.0, 6.0]]), 3).to_dense().tolist()
    [[0.0, 0.0], [5.0, 6.0], [0.0, 0.0]]
    >>> cx.SparseBlocks(np.array([1]), np.array([[5.0, 6.0]]), 2, signed=True).to_dense().tolist()
    [[[0.0, 0.0]], [[5.0, 6.0]]]
    """

    indices: IndexArray
    values: FloatArray
    n_blocks: int
    signed: bool = False

    def __post_init__(self) -> None:
        n_blocks = positive_int(self.n_blocks, "n_blocks", minimum=0)
        signed = flag(self.signed, "signed")
        if signed and n_blocks % 2:
            raise ValueError(f"`n_blocks` must be even for signed blocks, got {n_blocks}")
        indices = as_array(self.indices, "indices")
        if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
            raise ValueError(f"`indices` must be 1-D integers, got {describe(indices)}")
        if len(indices) > n_blocks:
            raise ValueError(
                f"`indices` must be at most {n_blocks} numbers, as there are `n_blocks`, "
                f"got {len(indices)}"
            )
        # Compared, not subtracted: differences of unsigned integers are never negative.
        if indices.size and not (
            indices[0] >= 0 and indices[-1] < n_blocks and np.all(indices[:-1] < indices[1:])
        ):
            raise ValueError(
                f"`indices` must be ascending numbers in [0, {n_blocks}), "
                f"got {describe(indices.tolist())}"
            )
        values = as_array(self.values, "values")
        if (
            values.ndim not in (2, 3)
            or len(values) != len(indices)
            or values.dtype.kind not in "fiu"
        ):
            raise ValueError(
                f"`values` must be real numbers, one row for each of the {len(indices)} `indices`, "
                f"got {describe(values)}"
            )
        values = as_finite(values, "values")
        object.__setattr__(self, "indices", np.ascontiguousarray(indices, dtype=np.int64))
        object.__setattr__(self, "values", np.ascontiguousarray(values, dtype=np.float64))
        object.__setattr__(self, "n_blocks", n_blocks)
        object.__setattr__(self, "signed", signed)

    def __repr__(self) -> str:
        return f"SparseBlocks({len(self.indices)} of {self.n_blocks} blocks, shape {self.shape})"

    @property
    def shape(self) -> tuple[int, ...]:
        """(P, d) or (P, d, K), or (2, P, d) with `signed`: the shape of `to_dense()`."""
        width = self.values.shape[1:]
        return (2, self.n_blocks // 2, *width) if self.signed else (self.n_blocks, *width)

    def to_dense(self) -> FloatArray:
        """All blocks as an array of shape `shape`; (v, w) with `signed`."""
        dense = np.zeros((self.n_blocks, *self.values.shape[1:]))
        dense[self.indices] = self.values
        return dense.reshape(self.shape)

    @classmethod
    def from_dense(cls, dense: FloatArray, *, signed: bool | None = None) -> SparseBlocks:
        """Keep the blocks of an array of their dense shape that are not zero.

        Three dimensions are taken as (2, P, d), unless `signed` is False: (P, d, K) then.

        Raises
        ------
        ValueError, TypeError
            When `dense` is not a finite array of such a shape, or `signed` not a boolean.
        """
        dense = as_finite(as_real_array(dense, "dense"), "dense")
        signed = dense.ndim == 3 if signed is None else flag(signed, "signed")
        if dense.ndim not in ((3, 4) if signed else (2, 3)) or 0 in dense.shape[-1:]:
            raise ValueError(
                f"`dense` must have {'3 or 4' if signed else '2 or 3'} dimensions, "
                f"the last not of length 0, got shape {dense.shape}"
            )
        rows = dense.reshape(-1, *dense.shape[2:]) if signed else dense
        indices = np.flatnonzero(np.any(rows != 0, axis=tuple(range(1, rows.ndim))))
        return cls(indices, rows[indices], rows.shape[0], signed=signed)


def as_blocks(
    coef: Any,
    n_patterns: int,
    width: int,
    name: str = "coef",
    *,
    n_outputs: int = 1,
    signed: bool = False,
) -> SparseBlocks:
    """Coefficients given as SparseBlocks or as an array of their dense shape, checked.

    That is (P, d), for K > 1 outputs (P, d, K), or with `signed` (2, P, d); SparseBlocks of 2 P
    blocks are taken as signed then.
    """
    block = (width,) if n_outputs == 1 else (width, n_outputs)
    shape: tuple[int, ...] = (2, n_patterns, *block) if signed else (n_patterns, *block)
    if isinstance(coef, SparseBlocks):
        if coef.shape == shape:
            return coef
        if signed and coef.shape == (2 * n_patterns, *block):
            return SparseBlocks(coef.indices, coef.values, coef.n_blocks, signed=True)
        raise ValueError(f"`{name}` must have shape {shape}, got {coef.shape}")
    dense = as_real_array(coef, name)
    if dense.shape != shape:
        raise ValueError(f"`{name}` must have shape {shape}, got {dense.shape}")
    return SparseBlocks.from_dense(as_finite(dense, name), signed=signed)


def block_norms(values: FloatArray) -> FloatArray:
    """Euclidean or Frobenius norms of blocks (k, d) or (k, d, K)."""
    return np.asarray(np.linalg.norm(values, axis=1 if values.ndim == 2 else (1, 2)))


def unpacked(patterns: PatternSet, indices: IndexArray) -> Iterator[tuple[slice, BoolArray]]:
    """The listed patterns as (c, n) booleans, a block at a time, with their positions."""
    step = max(1, BLOCK_ENTRIES // patterns.n_samples)
    for start in range(0, len(indices), step):
        part = slice(start, min(start + step, len(indices)))
        yield part, patterns[indices[part]].to_dense()
