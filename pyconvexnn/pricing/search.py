"""Neurons of large price by local search from many starts. It finds; it proves nothing."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from pyconvexnn import _core
from pyconvexnn._blocks import row_blocks
from pyconvexnn._typing import BoolArray, FloatArray
from pyconvexnn.networks import activate
from pyconvexnn.pricing.rows import SignedRows

_SAME = 1e-9  # 1 - cosine of neurons that are taken for one
_MANY = 8192  # rows above which the first climb is over some of them
_SOME = 4096  # how many
_PASSES = 1e9  # operations a second of products with vectors, at the least
_ROUNDS = 10  # of these a climb takes, at the least
_FEWEST = 4  # climbs, however little time there is
_MOST_GIVEN = 512  # neurons that climbs start from because they were given
_FINISHED = 8  # climbs that are then finished over all rows, for each sign


class LocalMaxima(NamedTuple):
    """Local maxima of ``|v' act(X u)|`` over the unit sphere, distinct, by falling value."""

    neurons: FloatArray
    """(k, d), of length 1."""
    signs: FloatArray
    """(k,), +1 or -1: signs of v' act(X u)."""
    values: FloatArray
    """(k,), positive: ``|v' act(X u)|``, computed from X and v themselves."""


def search(
    X: FloatArray,
    v: FloatArray,
    rows: SignedRows,
    *,
    slope: float = 0.0,
    starts: FloatArray | None = None,
    n_starts: int = 50,
    rng: np.random.Generator,
    time_limit: float | None = None,
    threads: int = 1,
) -> LocalMaxima:
    r"""Climb from random and from obvious neurons to local maxima of either sign.

    Parameters
    ----------
    X : (n, d) float64
    v : (n,) float64
    rows : SignedRows
        Those of X, v and the slope.
    slope : float
        Slope of the activation left of zero.
    starts : (k, d) float64, optional
        Further neurons to climb from, and from their opposites, to maxima of the sign that they
        have themselves; zero ones are left out.
    n_starts : int
        Random starts for each sign: half of them Gaussian, half such that X u is.
    rng : numpy.random.Generator
    time_limit : float, optional
        Seconds after which every climb ends where it is.
    threads : int
        The result does not depend on it, but where time runs out.

    Returns
    -------
    LocalMaxima
        None if v' act(X u) is zero for all u.
    """
    begun = time.monotonic()
    limit = 1e300 if time_limit is None else time_limit
    found = [np.zeros((0, rows.rank))]
    if rows.rank > 0:
        obvious, others = _starts(rows, n_starts, rng)
        given, is_positive = _given(X, v, rows, slope, starts)
        for side, own in ((rows, given[is_positive]), (rows.swapped(), given[~is_positive])):
            if len(side.plus):
                left = max(limit - (time.monotonic() - begun), 0.0)
                # Half of the time for each sign.
                share = left / 2 if side is rows else left
                # The most promising come first: time may be for a few only.
                W = np.concatenate([obvious, own, -own, others])
                found.append(_climb(side, W, rng, share, threads))
    return distinct(X, v, rows.neurons(np.concatenate(found)), slope)


def distinct(X: FloatArray, v: FloatArray, U: FloatArray, slope: float = 0.0) -> LocalMaxima:
    """Sort unit neurons by their values; leave out repetitions and those of value 0."""
    prices = raw_prices(X, v, U, slope)
    order = np.argsort(-np.abs(prices), kind="stable")
    order = order[prices[order] != 0.0]
    U, prices = U[order], prices[order]
    kept: list[int] = []
    cosines = U @ U.T
    for i in range(len(U)):
        if not np.any(cosines[i, kept] > 1.0 - _SAME):
            kept.append(i)
    return LocalMaxima(U[kept], np.sign(prices[kept]), np.abs(prices[kept]))


def raw_prices(X: FloatArray, v: FloatArray, U: FloatArray, slope: float = 0.0) -> FloatArray:
    """``v' act(X u)`` of the rows u of U, as it stands."""
    values = np.zeros(len(U))
    for part in row_blocks(len(X), len(U)):
        T = X[part] @ U.T
        activate(T, slope)
        values += v[part] @ T
    return values


def _starts(
    rows: SignedRows, n_starts: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Starts (k, r) in principal coordinates: obvious ones; random ones and axes."""
    r = rows.rank
    if r == 1:
        return np.array([[1.0], [-1.0]]), np.zeros((0, 1))
    sides = (rows.plus, rows.minus)
    sizes = np.sqrt(sum(np.einsum("kj,kj->j", side, side) for side in sides))
    Z = rng.standard_normal((n_starts, r))
    # Noise of the smallest singular values, or a column of zeros, is no direction to start in.
    there = sizes > 1e-14 * np.max(sizes)
    Z[n_starts // 2 :] *= np.where(there, 1.0 / np.where(there, sizes, 1.0), 0.0)
    obvious = []
    for side in sides:
        if len(side):
            longest = np.argsort(-np.einsum("kj,kj->k", side, side), kind="stable")[:2]
            obvious += [np.sum(side, axis=0, keepdims=True), side[longest]]
    axes = np.eye(min(r, 3), r)
    return _scaled(np.concatenate(obvious)), _scaled(np.concatenate([Z, axes, -axes]))


def _given(
    X: FloatArray, v: FloatArray, rows: SignedRows, slope: float, U: FloatArray | None
) -> tuple[FloatArray, BoolArray]:
    """Neurons (k, d) in principal coordinates, without zero ones, and whose price is >= 0.

    Of very many those of the largest prices.
    """
    if U is None:
        return np.zeros((0, rows.rank)), np.zeros(0, bool)
    U = U[np.any(rows.inside(U) != 0.0, axis=1)]
    prices = raw_prices(X, v, U, slope)
    if len(U) > _MOST_GIVEN:
        first = np.sort(np.argsort(-np.abs(prices), kind="stable")[:_MOST_GIVEN])
        U, prices = U[first], prices[first]
    return _scaled(rows.inside(U)), prices >= 0.0


def _scaled(W: FloatArray) -> FloatArray:
    """Rows of largest entry 1; without zero ones."""
    largest = np.max(np.abs(W), axis=1, keepdims=True)
    kept = largest[:, 0] > 0.0
    return np.asarray(W[kept] / largest[kept])


def _climb(
    rows: SignedRows, W: FloatArray, rng: np.random.Generator, limit: float, threads: int
) -> FloatArray:
    """Where the starts W lead to; of very many rows, where the best of them lead to."""
    total = len(rows.plus) + len(rows.minus)
    passes = limit * _PASSES / (4.0 * min(total, _MANY) * rows.rank)
    W = W[: max(_FEWEST, int(min(passes / _ROUNDS, 1e9)))]
    if total > _MANY:
        begun = time.monotonic()
        plus, minus = (
            np.asfortranarray(side[np.sort(rng.permutation(len(side))[: _share(side, total)])])
            for side in (rows.plus, rows.minus)
        )
        near, values = _core.ascend(plus, minus, W, time_limit=limit / 2, threads=threads)
        before = sum_of_positive(plus, W) - sum_of_positive(minus, W)
        before /= np.linalg.norm(W, axis=1)
        W = _best(np.concatenate([near, W]), np.concatenate([values, before]))
        limit = max(limit - (time.monotonic() - begun), 0.0)
    found, values = _core.ascend(rows.plus, rows.minus, W, time_limit=limit, threads=threads)
    return np.asarray(found[values > 0.0])


def _share(side: FloatArray, total: int) -> int:
    return -(-len(side) * _SOME // total)


def _best(W: FloatArray, values: FloatArray) -> FloatArray:
    """The few of W of largest value, no two of them close."""
    W = W / np.linalg.norm(W, axis=1, keepdims=True)
    kept: list[int] = []
    for i in np.argsort(-values, kind="stable"):
        if len(kept) < _FINISHED and not np.any(W[kept] @ W[i] > 1.0 - 1e-3):
            kept.append(int(i))
    return np.ascontiguousarray(W[kept])


def sum_of_positive(side: FloatArray, W: FloatArray) -> FloatArray:
    """``sum_k (row_k . w)_+`` of the rows w of W."""
    sums = np.zeros(len(W))
    for part in row_blocks(len(side), len(W)):
        sums += np.sum(np.maximum(side[part] @ W.T, 0.0), axis=0)
    return sums
