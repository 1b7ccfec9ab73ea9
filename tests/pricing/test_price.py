"""One function, several engines: bounds that hold, values that are attained, the rule of "auto"."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing import Price, price
from tests.exact_prices import largest_price_squared
from tests.pricing.test_cells import KINDS, instance, value

PROVING = ("enumeration", "branch_and_bound", "bound")


def gaussian(n: int, d: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    return np.asfortranarray(rng.standard_normal((n, d))), rng.standard_normal(n)


@pytest.mark.parametrize("slope", [0.0, 0.2, -1.0])
def test_engines_agree(slope: float) -> None:
    X, v = gaussian(14, 3)
    prices = {m: price(X, v, slope=slope, method=m, rtol=1e-7) for m in (*PROVING, "search")}
    cells, boxes = prices["enumeration"], prices["branch_and_bound"]
    assert cells.bound == pytest.approx(boxes.bound, rel=2e-7)
    assert prices["bound"].bound >= cells.value
    for method, found in prices.items():
        assert found.method == method
        assert found.value == pytest.approx(cells.value, rel=1e-9)
        np.testing.assert_allclose(np.linalg.norm(found.neurons, axis=1), 1.0, rtol=1e-12)
        top = value(X, v, slope, found.neurons[0])
        assert top * found.signs[0] == pytest.approx(found.value, rel=1e-12)
    assert cells.status is boxes.status is cx.Status.SOLVED
    assert prices["bound"].status is cx.Status.MAX_ITER
    assert prices["search"].bound == np.inf


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["branch_and_bound", "bound"])
def test_bounds_hold_in_exact_arithmetic(method: str, kind: str) -> None:
    for seed in range(8):
        X, _, v = instance(kind, seed)
        # No box is closed by the accuracy asked for, only by what rounding allows.
        found = price(X, v, method=method, rtol=1e-15, max_nodes=3000)
        try:
            exact = largest_price_squared(X, v, Fraction(found.value) ** 2 / 2)
        except ValueError:  # columns that depend on each other up to rounding
            continue
        assert Fraction(found.bound) ** 2 >= exact
        assert Fraction(found.value) ** 2 <= exact * (1 + Fraction(1, 10**9)) or kind != "plain"


def test_stopped_anywhere_the_bound_holds() -> None:
    X, v = gaussian(25, 4)
    exact = price(X, v, method="enumeration").value
    bounds = []
    for most in (1, 10, 100, 1000, None):
        found = price(X, v, method="branch_and_bound", rtol=1e-4, max_nodes=most)
        assert found.bound >= exact
        unfinished = most is not None and most <= found.n_nodes
        assert found.status is (cx.Status.MAX_ITER if unfinished else cx.Status.SOLVED)
        bounds.append(found.bound)
    assert price(X, v, method="branch_and_bound", max_nodes=1).status is cx.Status.MAX_ITER
    assert bounds[-1] <= exact * (1 + 1.1e-4)
    assert bounds[0] > bounds[-1]


def test_below_the_floor_nothing_is_refined() -> None:
    X, v = gaussian(25, 4)
    whole = price(X, v, method="branch_and_bound", rtol=1e-3)
    found = price(X, v, method="branch_and_bound", rtol=1e-3, floor=1.3 * whole.value)
    assert found.n_nodes < whole.n_nodes
    assert found.bound <= 1.3 * whole.value * (1 + 1.1e-3)
    assert found.status is cx.Status.SOLVED


def test_auto_counts_cells_and_dimensions() -> None:
    assert price(*gaussian(12, 3)).method == "enumeration"
    assert price(*gaussian(60, 4), rtol=1e-2).method == "branch_and_bound"
    assert price(*gaussian(30, 4), rtol=1e-9).method == "enumeration"
    assert price(*gaussian(60, 45), rtol=1e-2).method == "bound"


@pytest.mark.parametrize("slope", [0.0, 0.2, -1.0])
def test_auto_counts_cells_of_distinct_rows(slope: float) -> None:
    """Copies of few rows have few cells, degenerate or not."""
    corners = np.array(list(itertools.product((0.0, 1.0, 2.0), (0.0, 1.0), (1.0,))))
    for X in (corners, gaussian(8, 3)[0]):
        copies = np.asfortranarray(np.tile(X, (40, 1)))
        v = gaussian(len(copies), 1)[1]
        found = price(copies, v, slope=slope, rtol=1e-4)
        assert found.method == "enumeration"
        assert found.n_nodes == cx.count_patterns(X)
        assert found.status is cx.Status.SOLVED
        boxes = price(copies, v, slope=slope, rtol=1e-6, method="branch_and_bound")
        assert found.bound == pytest.approx(boxes.bound, rel=2e-6)
    # One row more than once among many, and columns dependent up to rounding: boxes.
    many = np.asfortranarray(np.vstack([gaussian(60, 4)[0]] * 2))
    assert price(many, gaussian(120, 1)[1], slope=slope, rtol=1e-2).method == "branch_and_bound"
    tenths = 0.1 * np.arange(12).reshape(6, 2)
    twin = np.asfortranarray(np.tile(np.c_[tenths, 3 * tenths[:, 0] / 7 * 7], (40, 1)))
    assert price(twin, gaussian(240, 1)[1], slope=slope, rtol=1e-4).status is cx.Status.SOLVED


def test_threads_and_seeds() -> None:
    X, v = gaussian(60, 5)

    def run(**settings: object) -> Price:
        return price(X, v, method="branch_and_bound", rtol=1e-2, **settings)  # type: ignore[arg-type]

    one, two = run(), run(threads=2)
    assert (one.bound, one.value, one.n_nodes) == (two.bound, two.value, two.n_nodes)
    np.testing.assert_array_equal(one.neurons, two.neurons)
    assert run(seed=5).bound == pytest.approx(one.bound, rel=1e-2)


def test_a_callback_follows_and_stops() -> None:
    X, v = gaussian(200, 7)
    seen: list[tuple[int, float, float]] = []

    def follow(nodes: int, bound: float, best: float) -> bool:
        seen.append((nodes, bound, best))
        return len(seen) == 3

    found = price(X, v, method="branch_and_bound", rtol=1e-6, callback=follow)
    assert found.status is cx.Status.INTERRUPTED
    assert len(seen) == 3
    assert seen[0][0] < seen[2][0]
    assert all(bound >= found.value >= 0.999 * best for _, bound, best in seen)
    assert found.bound <= seen[0][1] * (1 + 1e-9)


def test_no_weights_no_price() -> None:
    X, v = gaussian(6, 2)
    for method in (*PROVING, "auto"):
        found = price(X, 0.0 * v, method=method, floor=1.0)
        assert found.value == 0.0
        assert found.bound <= 1.0
        assert found.neurons.shape == (0, 2)


def test_unknown_methods_are_named() -> None:
    X, v = gaussian(6, 2)
    with pytest.raises(ValueError, match="`method` must be one of auto, enumeration"):
        price(X, v, method="guess")
