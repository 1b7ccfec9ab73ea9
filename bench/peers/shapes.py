"""Other shapes: the n x (P d) matrix of all D_i X, a tiny copy for warming up, balanced units."""

from __future__ import annotations

import dataclasses

import numpy as np

from bench.peers.protocol import FloatArray, Problem

LARGEST = 8e9  # bytes


def stacked(problem: Problem) -> FloatArray:
    """``[D_1 X ... D_P X]`` in Fortran order; refused before it is allocated when too large."""
    n, d = problem.X.shape
    P = len(problem.masks)
    refuse_above(8.0 * n * P * d, "the matrix of all D_i X")
    matrix = np.empty((n, P * d), order="F")
    for i, mask in enumerate(problem.masks):
        np.multiply(problem.X, mask[:, None], out=matrix[:, i * d : (i + 1) * d])
    return matrix


def refuse_above(size: float, what: str) -> None:
    """MemoryError when an array of `size` bytes is more than a peer may have."""
    if size > LARGEST:
        raise MemoryError(f"{what} needs {size / 1e9:.0f} GB, the limit is 8 GB")


def balanced(hidden: FloatArray, output: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same function, each unit scaled so that its decay is least: ``||u_j|| = |a_j|``.

    What trained without decay of some weights, or not to the end, would be charged for units
    that are out of scale.
    """
    norms, sizes = np.linalg.norm(hidden, axis=1), np.abs(output)
    used = (norms > 0) & (sizes > 0)
    scale = np.sqrt(np.divide(sizes, norms, where=used, out=np.zeros_like(norms)))
    back = np.divide(1.0, scale, where=used, out=np.zeros_like(norms))
    return hidden * scale[:, None], output * back


def tiny(problem: Problem) -> Problem:
    """Two patterns, 20 rows, one penalty of `problem`: loads lazy imports, wakes compilers."""
    rows = min(len(problem.X), 20)
    beta = 0.1 * problem.betas[:1] * rows / len(problem.X)
    return dataclasses.replace(
        problem,
        X=problem.X[:rows],
        y=problem.y[:rows],
        masks=problem.masks[:2, :rows],
        betas=beta,
    )
