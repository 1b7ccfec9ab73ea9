"""The problems of the comparison are what their names say."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

import pyconvexnn as cx
from bench.compare import cases
from bench.compare.cases import SETS, Case


@pytest.mark.parametrize("name", SETS)
def test_names_are_unique_and_sets_grow(name: str) -> None:
    names = [case.name for case in SETS[name]()]
    assert len(set(names)) == len(names)
    assert {case.name for case in SETS["standard"]()} <= {case.name for case in SETS["full"]()}


def test_large_problems_may_have_two_threads() -> None:
    cases = {case.name: case for case in SETS["full"]()}
    assert cases["gated ar(20000,100,2000) squared 0.1"].threads == 2
    assert {case.threads for case in SETS["standard"]()} == {1}
    single = {case.shape for case in cases.values() if case.single}
    assert single == {(60000, 784, 1000)}
    problem = Case("ar", "gated", (0.1,), (30, 4, 10), single=True).build(None)
    assert problem.single
    np.testing.assert_array_equal(problem.X.astype(np.float32), problem.X)


def test_penalty_refers_to_the_gated_beta_max_for_relu_as_well() -> None:
    X, y, patterns = cx.datasets.ar(50, 5, 30)
    ours = cx.GatedReLUProblem(X, y, patterns, 1.0).beta_max
    for program in ("gated", "relu"):
        case = Case("ar", program, (0.5, 0.1), (50, 5, 30))
        problem = case.build(None)
        np.testing.assert_allclose(problem.betas, [0.5 * ours, 0.1 * ours], rtol=1e-12)
        np.testing.assert_array_equal(problem.masks, patterns.to_dense())
        np.testing.assert_array_equal(problem.X, X)
        np.testing.assert_array_equal(problem.y, y)
        assert problem.name == case.name == f"{program} ar(50,5,30) squared path2"


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge", "poisson"])
def test_losses_of_recipes(loss: str) -> None:
    X, y, patterns = cx.datasets.gauss(40, 3, 10, loss=loss)
    problem = Case("gauss", "gated", (0.1,), (40, 3, 10), loss=loss).build(None)
    np.testing.assert_array_equal(problem.y, y)
    gradient = {"logistic": -y / 2, "squared_hinge": -y, "poisson": 1 - y}[loss]
    norms = [np.linalg.norm(X.T @ (mask * gradient)) for mask in patterns.to_dense()]
    np.testing.assert_allclose(problem.betas, 0.1 * max(norms), rtol=1e-12)


def test_table_is_standardised_and_the_largest_class_is_told_from_the_rest() -> None:
    problem = Case("wine", "gated", (0.1,), loss="logistic").build(None)
    np.testing.assert_allclose(problem.X[:, :-1].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(problem.X[:, :-1].std(axis=0), 1)
    np.testing.assert_array_equal(problem.X[:, -1], 1)
    assert problem.X.shape == (178, 14)
    assert (problem.y == 1).sum() == 71  # class 1 of wine has 71 of 178
    assert problem.masks.shape == (356, 178)


def test_relu_program_on_a_table_has_two_hundred_patterns() -> None:
    (case,) = [case for case in SETS["standard"]() if case.name == "relu wine squared 0.1"]
    problem = case.build(None)
    assert problem.masks.shape == (200, 178)
    np.testing.assert_allclose([problem.y.mean(), problem.y.std()], [0, 1], atol=1e-12)


def test_csv_with_text_and_idx_files(tmp_path: Path) -> None:
    (tmp_path / "abalone.csv").write_text("M,1.5,7\nF,2.5,9\nM,3.5,8\n")
    X, y = cases.load_table("abalone", tmp_path)
    np.testing.assert_array_equal(sorted(X.T.tolist()), [[0, 1, 0], [1, 0, 1], [1.5, 2.5, 3.5]])
    np.testing.assert_array_equal(y, [7, 9, 8])
    images = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, *range(6)])
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 2, 4, 7])
    for name, content in (("images-idx3", images), ("labels-idx1", labels)):
        (tmp_path / f"t10k-{name}-ubyte.gz").write_bytes(gzip.compress(content))
    X, y = cases.load_table("mnist", tmp_path)
    np.testing.assert_array_equal(X, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(y, [4, 7])


def test_constant_columns_are_dropped() -> None:
    X = np.array([[1.0, 5.0], [3.0, 5.0]])
    np.testing.assert_array_equal(cases.standardised(X), [[-1, 1], [1, 1]])


def test_files_need_a_folder() -> None:
    with pytest.raises(ValueError, match="`data` must be the folder of sonar, got None"):
        cases.load_table("sonar", None)


def test_time_limits() -> None:
    case = Case("ar", "gated", (0.1,), (50, 5, 30), target=10.0)
    assert case.limit(None) == 120.0
    assert case.limit(0.01) == 2.0
    assert case.limit(1.0) == 12.0
    assert case.limit(100.0) == 120.0
