"""Tables of integers and decimals with many equal rows: all cells, and certificates by them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import nnls
from sklearn.datasets import load_iris, load_wine

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray
from tests.cell_counts import count_cells
from tests.small_data import n_distinct

# Haberman's survival data are not part of the project: they are tested where the file is at hand.
FOLDER = Path(os.environ.get("PYCONVEXNN_DATA", Path(__file__).parents[2] / "shared" / "data"))
HABERMAN = FOLDER / "haberman.csv"


def table(name: str) -> FloatArray:
    """Columns of features."""
    if name == "iris":
        return np.asarray(load_iris().data)  # cm, to one decimal
    if name == "wine":
        return np.asarray(load_wine().data)  # the first three columns to two decimals
    return np.loadtxt(HABERMAN, delimiter=",")[:, :3]  # whole numbers


def first_columns(name: str, count: int) -> FloatArray:
    """Some features and a column of ones."""
    features = table(name)[:, :count]
    return np.column_stack([features, np.ones(len(features))])


def meant(name: str, X: FloatArray) -> FloatArray:
    """The whole numbers that the decimals stand for, in other units."""
    return np.rint(X * {"iris": 10, "wine": 100, "haberman": 1}[name])


# Features, rows, distinct rows, cells of the first features and ones.
COUNTS = {
    ("iris", 2): (150, 117, 10_768),
    ("iris", 3): (150, 144, 898_532),
    ("wine", 2): (178, 178, 31_246),
    ("wine", 3): (178, 178, 1_847_892),
    ("haberman", 3): (306, 283, 5_808_146),
}


CASES = [
    ("iris", 2),
    ("wine", 2),
    pytest.param("iris", 3, marks=pytest.mark.slow),
    pytest.param("wine", 3, marks=pytest.mark.slow),
]
if HABERMAN.exists():
    CASES.append(pytest.param("haberman", 3, marks=pytest.mark.slow))


@pytest.mark.parametrize(("name", "features"), CASES)
def test_the_cells_of_tables_by_deletion_and_restriction(name: str, features: int) -> None:
    X = first_columns(name, features)
    whole = meant(name, X)
    np.testing.assert_allclose(whole / whole[0, -1], X, rtol=1e-12)
    rows, distinct, count = COUNTS[name, features]
    assert X.shape == (rows, features + 1)
    assert len(np.unique(whole, axis=0)) == distinct
    assert count_cells(whole) == count


@pytest.mark.parametrize(("name", "features"), CASES)
def test_every_cell_of_tables(name: str, features: int) -> None:
    X = first_columns(name, features)
    _, _, count = COUNTS[name, features]
    ps = cx.enumerate_patterns(X, verify=True)
    assert len(ps) == n_distinct(ps) == count == cx.count_patterns(X)
    assert ps.is_complete
    assert ps.proof
    # Other units, and offsets, are the same cells; so are the cells that random gates meet.
    X[:, :features] = X[:, :features] / X[:, :features].std(axis=0)
    assert cx.count_patterns(X) == count
    gates = np.random.default_rng(0).standard_normal((2000, features + 1))
    gates[:, -1] -= gates[:, :-1] @ X[:, :-1].mean(axis=0)
    assert len(ps | cx.PatternSet.from_gates(X, gates)) == count


# ---------------------------------------------------------------------------- certificates


def largest_price(X: FloatArray, v: FloatArray, cells: BoolArray, floor: float) -> float:
    """Largest price of all cells and signs, by NNLS; cells surely below the floor are skipped."""
    largest = 0.0
    G = cells @ (v[:, np.newaxis] * X)
    for mask, g in zip(cells, G, strict=True):
        if np.linalg.norm(g) > floor:
            S = np.where(mask, 1.0, -1.0)[:, np.newaxis] * X
            largest = max(largest, *(nnls(S.T, -sign * g)[1] for sign in (1.0, -1.0)))
    return largest


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.3, 0.03])
@pytest.mark.parametrize("name", ["iris", "wine"])
def test_no_cell_of_a_table_has_a_neuron_that_pays(name: str, share: float) -> None:
    X = first_columns(name, 2)
    X[:, :2] = (X[:, :2] - X[:, :2].mean(axis=0)) / X[:, :2].std(axis=0)
    y = table(name)[:, 2]
    y = (y - y.mean()) / y.std()
    beta = share * cx.beta_max(X, y).value
    fit = cx.train(X, y, beta, rtol=1e-6)
    cert = fit.certificate
    assert cert.is_optimal
    assert cert.dual is not None
    cells = cx.enumerate_patterns(X)
    assert len(cells) == COUNTS[name, 2][2]
    s, v = cert.scale, cert.dual
    price = largest_price(X, s * v, cells.to_dense(), beta)
    assert price <= beta * (1 + 1e-9)
    assert price > 0.999 * beta  # some neuron of the network has a price of beta
    assert price <= s * cert.price_bound * (1 + 1e-9)
    # With no price above beta, D(s v) bounds the objective of every network.
    assert cert.lower_bound == pytest.approx(s * (v @ y) - s**2 * (v @ v) / 2, rel=1e-12)
    assert cert.lower_bound <= cert.objective <= cert.lower_bound * (1 + 1e-6)
    assert fit.network.objective(X, y, beta) == pytest.approx(cert.objective, rel=1e-12)
