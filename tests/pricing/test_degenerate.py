"""Prices of degenerate data: enumeration, branch and bound, and least squares agree."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import nnls

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.pricing import price
from pyconvexnn.pricing.cells import price_cells
from tests import exact_tree
from tests.degenerate_data import instance
from tests.pricing.test_cells import value
from tests.small_data import gaussian


def integers(n: int, d: int, most: int, seed: int) -> FloatArray:
    features = np.random.default_rng(seed).integers(0, most + 1, (n, d))
    return np.column_stack([features, np.ones(n)]).astype(float)


DESIGNS = {
    "integers": integers(60, 2, 5, 0),
    "ternary": integers(40, 3, 2, 1),
    "grid": np.c_[list(itertools.product(range(4), repeat=3)), np.ones(64)].astype(float),
    "one-hot": np.c_[np.eye(3)[np.arange(45) % 3], gaussian(45, 1)],
    # As doubles these are collinear up to rounding only, and prices take them as given.
    "decimals": np.c_[0.1 * integers(60, 3, 20, 3)[:, :3], np.ones(60)],
    "repeated": np.tile(integers(12, 2, 3, 2), (5, 1)),
}


def task(name: str) -> tuple[FloatArray, FloatArray]:
    X = DESIGNS[name]
    rng = np.random.default_rng(len(X))
    X = np.c_[(X[:, :-1] - X[:, :-1].mean(axis=0)), X[:, -1:]] if name == "integers" else X
    return np.asfortranarray(X), rng.standard_normal(len(X))


@pytest.mark.parametrize("slope", [0.0, 0.2, -1.0])
@pytest.mark.parametrize("name", DESIGNS)
def test_enumeration_and_branch_and_bound_agree(name: str, slope: float) -> None:
    X, v = task(name)
    cells = price(X, v, slope=slope, method="enumeration")
    boxes = price(X, v, slope=slope, method="branch_and_bound", rtol=1e-7)
    assert cells.method == "enumeration"
    assert boxes.method == "branch_and_bound"
    assert cells.status is boxes.status is cx.Status.SOLVED
    assert cells.bound == pytest.approx(boxes.bound, rel=2e-7)
    assert cells.value == pytest.approx(boxes.value, rel=1e-9)
    assert cells.value <= cells.bound <= cells.value * (1 + 1e-9)
    top = value(X, v, slope, cells.neurons[0])
    assert top * cells.signs[0] == pytest.approx(cells.value, rel=1e-12)
    assert cells.n_nodes == cx.count_patterns(X, snap=False)


@pytest.mark.parametrize("number", range(2, 42, 4))
def test_the_price_of_degenerate_data_is_that_of_the_best_cell(number: int) -> None:
    X, exact = instance(number)
    v = np.random.default_rng(number).standard_normal(len(X))
    if np.linalg.matrix_rank(X) < X.shape[1]:  # maybe up to rounding only; prices take all digits
        X = np.asfortranarray(exact)
    best = 0.0
    for mask in exact_tree.all_cells(exact):
        S, g = np.where(mask, 1.0, -1.0)[:, np.newaxis] * X, X.T @ (mask * v)
        best = max(best, nnls(S.T, -g)[1], nnls(S.T, g)[1])
    found = price_cells(X, v)
    assert found.bound == pytest.approx(best, rel=1e-9)
    assert found.value == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("name", DESIGNS)
def test_certificates_by_enumeration_and_by_boxes_agree(name: str) -> None:
    X, noise = task(name)
    rng = np.random.default_rng(1)
    y = np.maximum(X @ rng.standard_normal(X.shape[1]), 0.0) + noise
    y -= y.mean()
    beta = 0.2 * cx.beta_max(X, y).value
    net = cx.train(X, y, beta, rtol=1e-5).network
    certs = {
        method: cx.certify(net, X, y, beta, method=method, improve=False, rtol=1e-3)
        for method in ("enumeration", "branch_and_bound")
    }
    cells, boxes = certs["enumeration"], certs["branch_and_bound"]
    assert cells.method == "enumeration"
    assert cells.is_optimal
    assert boxes.is_optimal
    assert cells.lower_bound == pytest.approx(boxes.lower_bound, rel=2e-3)
    assert cells.lower_bound <= cells.objective
    assert cells.price_bound <= boxes.price_bound * (1 + 1e-9)


@pytest.mark.slow
def test_every_cell_of_a_larger_table_is_priced() -> None:
    X = np.asfortranarray(integers(150, 3, 5, 0))
    v = np.random.default_rng(0).standard_normal(150)
    cells = price(X, v, method="enumeration")
    boxes = price(X, v, method="branch_and_bound", rtol=1e-6)
    assert cells.n_nodes == cx.count_patterns(X)
    assert cells.bound == pytest.approx(boxes.bound, rel=2e-6)
    assert cells.bound <= cells.value * (1 + 1e-9)
