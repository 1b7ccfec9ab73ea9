"""Branch and bound against linear programs: every cell found by them, every cell priced."""

from __future__ import annotations

import math

import numpy as np
import pytest

from pyconvexnn import _core
from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing import price
from pyconvexnn.pricing.rows import SignedRows
from pyconvexnn.problems import cones
from pyconvexnn.solvers import Status
from tests import lp_tree

KINDS = ["plain", "integers", "duplicates", "zero rows", "intercept"]
SLOPES = [0.0, 0.25, -1.0]
STOPS = [1, 10, 100, 1000, 10_000]
RTOL = 1e-6


def data(kind: str, n: int, r: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, r))
    if kind == "integers":
        X = rng.integers(-2, 3, (n, r)).astype(float)
    elif kind == "duplicates":
        X[n // 2 :] = X[: n - n // 2] * rng.choice([1.0, -1.0, 2.0], (n - n // 2, 1))
    elif kind == "zero rows":
        X[rng.choice(n, 2, replace=False)] = 0.0
    elif kind == "intercept":
        X[:, -1] = 1.0
    return X


class Oracle:
    """Prices of the cells of one data set, by linear programs and least squares."""

    def __init__(self, X: FloatArray) -> None:
        self.X, self.masks = X, lp_tree.all_cells(X)
        self.normals = [cones.Cones(X).normals(mask) for mask in self.masks]

    def largest(self, v: FloatArray, slope: float) -> float:
        """Largest |v' act(X u)| over the unit ball."""
        G = (np.where(self.masks, 1.0, slope) * v) @ self.X
        largest = 0.0
        for S, g in zip(self.normals, G, strict=True):
            if np.linalg.norm(g) > largest:
                largest = max(largest, cones.price(S, g), cones.price(S, -g))
        return largest


def least_price(X: FloatArray, v: FloatArray, slope: float) -> FloatArray:
    """Of some random unit neurons, that of the least price: a bad one to begin with."""
    U = np.random.default_rng(0).standard_normal((20, X.shape[1]))
    U /= np.linalg.norm(U, axis=1, keepdims=True)
    T = U @ X.T
    return U[[np.argmin(np.abs(np.where(T > 0, T, slope * T) @ v))]]


def boxes(
    rows: SignedRows, start: FloatArray, most: int, floor: float = 0.0
) -> tuple[float, float, Status]:
    """Bound (inflated), value and status of the boxes alone: no local search, no relaxation."""
    W = np.ascontiguousarray(start @ rows.basis)
    W = W[np.linalg.norm(W, axis=1) > 1e-8]
    W /= np.linalg.norm(W, axis=1, keepdims=True)
    unit = math.ldexp(1.0, rows.exponent)
    bound, rounding, value, _, _, _, code = _core.branch_and_bound(
        rows.plus,
        rows.minus,
        W,
        floor=floor / unit,
        rtol=RTOL,
        ceilings=(1e300, 1e300),
        max_nodes=most,
        time_limit=1e300,
    )
    assert rounding <= 1e-9 * bound
    return rows.bound(bound + rounding), value * unit, Status(code)


def check(kind: str, n: int, r: int, seed: int, n_points: int) -> None:
    """The price is the oracle's, and no stop leaves a bound below it."""
    X = data(kind, n, r, seed)
    oracle, rng = Oracle(X), np.random.default_rng(seed)
    for point in range(n_points):
        v, slope = rng.standard_normal(n) * (rng.random(n) < 0.9), SLOPES[point % 3]
        if point % 4 == 3:
            v = np.sign(v)  # prices of which many are equal
        true = oracle.largest(v, slope)
        rows = SignedRows.of(X, v, slope)
        if rows.rank == 0:
            assert true == 0.0
            continue
        start, least = least_price(X, v, slope), true * (1 - 1e-13)
        for most in [*STOPS, 1 << 40]:
            bound, value, status = boxes(rows, start, most)
            assert least <= bound
            assert value <= true * (1 + 1e-12)
            if status is Status.SOLVED:
                break
        assert status is Status.SOLVED
        assert value == pytest.approx(true, rel=1.1 * RTOL)
        assert bound <= true * (1 + 1.1 * RTOL)
        above, _, status = boxes(rows, start, 1 << 40, floor=1.5 * true)
        assert status is Status.SOLVED
        assert least <= above <= 1.5 * true * (1 + 1.1 * RTOL)
        found = price(
            X, v, slope=slope, rtol=RTOL, method="branch_and_bound", starts=start, n_starts=0
        )
        assert found.status is Status.SOLVED
        assert least <= found.bound <= found.value * (1 + RTOL) + found.rounding
        assert found.value == pytest.approx(true, rel=1.1 * RTOL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "r", "n_points"), [(7, 2, 4), (6, 3, 4)])
def test_the_price_is_the_oracles(kind: str, n: int, r: int, n_points: int) -> None:
    check(kind, n, r, 0, n_points)  # 40 in all


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("n", "r", "n_points"), [(1, 4, 4), (3, 4, 8), (12, 2, 12), (8, 3, 16), (12, 3, 12), (12, 4, 8)]
)
def test_the_price_is_the_oracles_on_larger_data(kind: str, n: int, r: int, n_points: int) -> None:
    if kind == "zero rows" and n < 3:
        kind = "plain"
    check(kind, n, r, 1, n_points)  # 300 in all


@pytest.mark.parametrize("slope", SLOPES)
def test_stopped_searches_bound_the_price_by_enumeration(slope: float) -> None:
    rng = np.random.default_rng(8)
    X, v = rng.standard_normal((40, 4)), rng.standard_normal(40)
    true = price(X, v, slope=slope, method="enumeration").value
    for most in STOPS:
        found = price(X, v, slope=slope, method="branch_and_bound", max_nodes=most, n_starts=0)
        assert true <= found.bound
        assert found.value <= true * (1 + 1e-12)
        assert found.n_nodes <= most + 100
        assert found.status in (Status.SOLVED, Status.MAX_ITER)
    for limit in (1e-3, 1e-2):
        found = price(X, v, slope=slope, method="branch_and_bound", time_limit=limit)
        assert true <= found.bound
        assert found.value <= true * (1 + 1e-12)


def test_repeated_rows_cost_no_more_boxes() -> None:
    # Residuals of the two halves have opposite signs.
    rng = np.random.default_rng(0)
    X, v = rng.standard_normal((16, 4)), rng.standard_normal(16)
    e = rng.standard_normal(16)
    once = price(X, v, method="branch_and_bound", rtol=1e-4)
    twice = price(
        np.vstack([X, X]), np.concatenate([v + e, -e]), method="branch_and_bound", rtol=1e-4
    )
    assert twice.bound == pytest.approx(once.bound, rel=2e-4)
    assert twice.n_nodes <= 1.5 * once.n_nodes
