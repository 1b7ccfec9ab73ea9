"""Largest prices of blocks in cones against non-negative least squares, one cone at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _core
from pyconvexnn._typing import BitArray, BoolArray, FloatArray
from pyconvexnn.problems import prices
from pyconvexnn.problems.cones import Cones, price, project
from pyconvexnn.problems.prices import largest_price
from tests.core.test_cones import KINDS, data

ALL_KINDS = [*KINDS, "columns of all sizes", "nearly the same"]


def reference(X: FloatArray, masks: BoolArray, G: FloatArray, w: FloatArray) -> FloatArray:
    """Larger price of g_i and -g_i, over w_i, for every pattern."""
    normals = [Cones(X).normals(mask) for mask in masks]
    larger = [max(price(S, g), price(S, -g)) for S, g in zip(normals, G, strict=True)]
    return np.array(larger) / w


def problem(
    kind: str, n: int, d: int, P: int, seed: int = 0
) -> tuple[FloatArray, BoolArray, BitArray, FloatArray, FloatArray]:
    """X, patterns of random gates and a few of random signs, those packed, G, weights."""
    rng = np.random.default_rng(seed)
    if kind == "columns of all sizes":
        X = rng.standard_normal((n, d)) * np.logspace(-4, 4, d)
    elif kind == "nearly the same":
        X = np.repeat(rng.standard_normal((n, d)), 3, axis=0)[:n]
        X *= 1 + 1e-13 * rng.standard_normal((n, d))
    else:
        X = data(kind, n, d, rng)
    masks = rng.standard_normal((P, d)) @ X.T >= 0
    masks[: P // 5] = rng.random((P // 5, n)) < 0.5
    G = np.array([(mask * rng.standard_normal(n)) @ X for mask in masks])
    w = rng.uniform(0.2, 3, P)
    return np.asfortranarray(X), masks, cx.PatternSet.from_dense(masks).packed, G, w


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize(("n", "d", "P"), [(1, 4, 3), (9, 3, 40), (40, 12, 100), (6, 15, 20)])
def test_the_largest_price_is_that_of_least_squares(kind: str, n: int, d: int, P: int) -> None:
    X, masks, packed, G, w = problem(kind, n, d, P)
    expected, size = reference(X, masks, G, w), np.linalg.norm(G, axis=1) / w
    largest = float(expected.max())
    assert largest_price(X, packed, G, w, 0.0) == pytest.approx(
        largest, rel=1e-12, abs=1e-12 * size.max()
    )
    for part in (0.5, 0.999):
        assert largest_price(X, packed, G, w, part * largest) == pytest.approx(
            largest, rel=1e-12, abs=1e-12 * size.max()
        )
    if largest > 1e-9 * size.max():
        for floor in (1.001 * largest, 1e3 * largest):
            assert largest_price(X, packed, G, w, floor) == floor


@pytest.mark.parametrize("step", [1, 7])
@pytest.mark.parametrize("entries", [1, 1000])
def test_rounds_and_pieces_change_nothing(
    step: int, entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = problem("gaussian", 30, 5, 60)
    X, _, packed, G, w = arguments
    whole = largest_price(X, packed, G, w, 0.0)
    monkeypatch.setattr(prices, "_FIRST", step)
    monkeypatch.setattr(prices, "_ENTRIES", entries)
    assert largest_price(X, packed, G, w, 0.0) == whole


def test_any_scale() -> None:
    X, _, packed, G, w = problem("gaussian", 30, 5, 60)
    plain = largest_price(X, packed, G, w, 0.0)
    for exponent in (-900, -200, 200, 900):
        scaled = np.ldexp(G, exponent)
        assert largest_price(X, packed, scaled, w, 0.0) == np.ldexp(plain, exponent)
        assert largest_price(np.ldexp(X, exponent), packed, G, w, 0.0) == plain
        assert largest_price(X, packed, G, np.ldexp(w, exponent), 0.0) == np.ldexp(plain, -exponent)
        assert largest_price(X, packed, scaled, np.ldexp(w, exponent), 0.0) == plain
    weights = w.copy()
    weights[20:25] = 1e-300
    assert largest_price(X, packed, G, weights, 0.0) > 1e299
    assert largest_price(X, packed, 1e60 * G, weights, 0.0) == np.inf
    weights[:] = 1e300
    weights[20] = 1e-300  # the others' quotients vanish
    only = largest_price(X, packed[20:21], G[20:21], np.ones(1), 0.0)
    assert largest_price(X, packed, G, weights, 0.0) == pytest.approx(only * 1e300, rel=1e-13)
    assert largest_price(X, packed, 0.0 * G, w, 0.0) == 0.0
    for tiny in (0.0, 5e-324, 1e-310):
        assert largest_price(X, packed, tiny * G, w, 2.5) == 2.5


class Liar:
    """Projections that say what they like, of which some multipliers are negative or wild."""

    seed = 0

    def __init__(self, X: FloatArray, packed: BitArray) -> None:
        self._rng, self._n = np.random.default_rng(self.seed), len(X)

    def project(self, blocks: Any, G: FloatArray, *, threshold: float) -> tuple[Any, ...]:
        counts = np.zeros((len(blocks), 4), np.int64)
        counts[:, 0] = self._rng.integers(0, 3, len(blocks))
        return np.zeros((len(blocks), G.shape[1])), np.zeros(len(blocks)), None, counts

    def active(self, block: int) -> tuple[Any, Any]:
        count = self._rng.integers(0, 4)
        return self._rng.integers(0, self._n, count), self._rng.standard_normal(count)


@pytest.mark.parametrize("seed", range(5))
def test_wrong_multipliers_understate_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    X, masks, packed, G, w = problem("gaussian", 20, 4, 50, seed)
    largest = float(reference(X, masks, G, w).max())
    monkeypatch.setattr(Liar, "seed", seed)
    monkeypatch.setattr(_core, "ConeProjections", Liar)
    for floor in (0.0, 0.9 * largest):
        # Nor is it overstated, as what is no projection is looked at again.
        assert largest_price(X, packed, G, w, floor) == pytest.approx(largest, rel=1e-12)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
@pytest.mark.parametrize("offset", [False, True])
def test_beta_max_to_rounding(activation: str, offset: bool) -> None:
    X, y, patterns = cx.datasets.ar(80, 6, 50)
    w, s = np.random.default_rng(0).uniform(0.5, 2, (2, 80))
    prob = cx.ReLUProblem(
        X,
        y,
        patterns,
        1.0,
        activation=activation,
        slope=0.3,
        loss="huber",
        sample_weight=s,
        pattern_weight=w[: len(patterns)],
        output_offset=offset,
    )
    zero = np.zeros((2, len(prob.patterns), 6))
    v = -prob.loss.gradient(prob.fit_values(zero), prob.y, prob.sample_weight)
    # Not below: the dual point of zero is feasible. Not above: a unit vector of a cone has it.
    assert prob.with_beta(prob.beta_max).dual_infeasibility(v) <= 1e-14
    reached = 0.0
    for mask, weight in zip(prob.patterns.to_dense(), prob.pattern_weight, strict=True):
        S, g = Cones(prob.X).normals(mask), prob.X.T @ (np.where(mask, 1.0, prob.slope) * v)
        for sign in (1.0, -1.0):
            u = project(S, sign * g)
            size = float(np.linalg.norm(u))
            if size > 1e-9 * np.linalg.norm(g):  # else it is rounding
                assert np.min(S @ u) >= -1e-15 * size
                reached = max(reached, sign * float(g @ u) / size / weight)
    assert prob.beta_max == pytest.approx(reached, rel=1e-13)
