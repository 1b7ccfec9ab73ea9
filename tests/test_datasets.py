"""The recipes: what their formulas say of them, and that they stay the same bits."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx

RECIPES = [cx.datasets.ar, cx.datasets.gauss]
Recipe = Callable[..., Any]


def digest(array: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("recipe", "features", "patterns", "y_norm"),
    [
        (cx.datasets.ar, "006a0e772868480d", "35b1a0621348c570", -253.5124975898329),
        (cx.datasets.gauss, "7d32ba8311fd52b0", "349cd9570ae7a649", -3524.9722085771605),
    ],
)
def test_bits_never_change(recipe: Recipe, features: str, patterns: str, y_norm: float) -> None:
    X, y, ps = recipe(130, 7, 60, seed=3)
    assert digest(X) == features
    assert digest(ps.packed) == patterns
    assert float(y @ np.arange(130)) == pytest.approx(y_norm, rel=1e-11)


@pytest.mark.parametrize("recipe", RECIPES)
def test_shapes_and_patterns(recipe: Recipe) -> None:
    X, y, ps = recipe(60, 4, 25)
    assert X.shape == (60, 4)
    assert y.shape == (60,)
    masks = ps.to_dense()
    assert masks.shape == (25, 60)
    assert len(np.unique(masks, axis=0)) == 25
    assert masks.any(axis=1).all()
    np.testing.assert_array_equal((X @ ps.gates.T >= 0).T, masks)
    assert X.flags.c_contiguous
    assert X.dtype == y.dtype == np.float64


def test_ar_marginals_and_neighbours() -> None:
    X, y, _ = cx.datasets.ar(20_000, 5, 1)
    np.testing.assert_array_equal(X[:, -1], 1.0)
    covariance = np.cov(X[:, :-1].T)
    expected = 0.5 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    np.testing.assert_allclose(covariance, expected, atol=0.04)  # 5 standard errors
    np.testing.assert_allclose([y.mean(), y.std()], [0.0, 1.0], atol=1e-12)


def test_gauss_is_standard_normal_and_nearly_noiseless() -> None:
    X, y, _ = cx.datasets.gauss(20_000, 3, 1)
    np.testing.assert_allclose(np.cov(X.T), np.eye(3), atol=0.05)
    assert y.std() == pytest.approx(np.sqrt(1.01), abs=0.01)


@pytest.mark.parametrize("recipe", RECIPES)
def test_features_are_on_the_grid(recipe: Recipe) -> None:
    X, _, _ = recipe(100, 5, 3)
    np.testing.assert_array_equal(X * 2.0**20, np.round(X * 2.0**20))
    np.testing.assert_array_equal(X, X.astype(np.float32))


@pytest.mark.parametrize("recipe", RECIPES)
def test_targets_of_every_loss(recipe: Recipe) -> None:
    X, y, _ = recipe(300, 4, 3, n_outputs=3)
    assert y.shape == (300, 3)
    for loss in ("squared", "huber"):
        np.testing.assert_array_equal(recipe(300, 4, 3, n_outputs=3, loss=loss)[1], y)
    for loss in ("logistic", "hinge", "squared_hinge"):
        signs = recipe(300, 4, 3, n_outputs=3, loss=loss)
        np.testing.assert_array_equal(signs[0], X)
        np.testing.assert_array_equal(signs[1], np.where(y >= 0, 1.0, -1.0))
    one_hot = recipe(300, 4, 3, n_outputs=3, loss="cross_entropy")[1]
    np.testing.assert_array_equal(one_hot.argmax(axis=1), y.argmax(axis=1))
    np.testing.assert_array_equal(one_hot.sum(axis=1), 1.0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_counts_have_the_rate_of_the_response(recipe: Recipe) -> None:
    _, response, _ = recipe(20_000, 3, 1)
    _, counts, _ = recipe(20_000, 3, 1, loss="poisson")
    np.testing.assert_array_equal(counts, np.round(counts))
    rate = np.exp(np.clip(response, -2, 2))
    for chosen in (response < 0, response >= 0):
        error = np.sqrt(rate[chosen].sum())  # standard deviation of the sum of counts
        assert abs(counts[chosen].sum() - rate[chosen].sum()) < 5 * error


@pytest.mark.parametrize("recipe", RECIPES)
def test_seed_decides_and_more_patterns_change_nothing_else(recipe: Recipe) -> None:
    X, y, ps = recipe(50, 4, 10, seed=7)
    again = recipe(50, 4, 30, seed=7)
    np.testing.assert_array_equal(again[0], X)
    np.testing.assert_array_equal(again[1], y)
    assert again[2][:10] == ps
    other = recipe(50, 4, 10, seed=8)
    assert not np.array_equal(other[0], X)
    generator = recipe(50, 4, 10, seed=np.random.default_rng(7))
    np.testing.assert_array_equal(generator[0], X)
    fresh = [recipe(50, 4, 2, seed=None)[0] for _ in range(2)]
    assert not np.array_equal(*fresh)


def test_teacher_has_unit_signal_and_the_noise_asked_for() -> None:
    X, clean = cx.datasets.teacher(20_000, 4, noise=0.0)
    assert X.shape == (20_000, 5)
    np.testing.assert_array_equal(X[:, -1], 1.0)
    assert clean.std() == pytest.approx(1.0, abs=1e-12)
    _, noisy = cx.datasets.teacher(20_000, 4, noise=0.3)
    assert (noisy - clean).std() == pytest.approx(0.3, rel=0.03)


def test_teacher_of_one_neuron_is_a_ridge_function() -> None:
    X, y = cx.datasets.teacher(500, 2, k=1, noise=0.0)
    active = y != 0
    w, *_ = np.linalg.lstsq(X[active], y[active], rcond=None)
    np.testing.assert_allclose(X[active] @ w, y[active], atol=1e-12)
    sign = np.sign(y[active][0])
    assert (sign * (X[~active] @ w) <= 1e-12).all()


def test_two_samples_stay_finite() -> None:
    for seed in range(30):
        for recipe in RECIPES:
            with np.errstate(all="raise"):
                X, y, _ = recipe(2, 2, 1, seed=seed)
            assert np.isfinite(X).all()
            assert np.isfinite(y).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n": 1}, "`n` must be >= 2, got 1"),
        ({"d": 1}, "`d` must be >= 2, got 1"),
        ({"P": 0}, "`P` must be >= 1, got 0"),
        ({"loss": "cubic"}, "`loss` must be one of squared, huber"),
        ({"loss": "cross_entropy"}, "`n_outputs` must be >= 2 for loss='cross_entropy', got 1"),
        ({"n_outputs": 0}, "`n_outputs` must be >= 1, got 0"),
        ({"seed": -1}, "`seed` must be >= 0, got -1"),
    ],
)
def test_wrong_arguments_of_ar(wrong: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"n": 20, "d": 3, "P": 5, **wrong}
    with pytest.raises(ValueError, match=message):
        cx.datasets.ar(arguments.pop("n"), arguments.pop("d"), arguments.pop("P"), **arguments)


def test_wrong_arguments_of_the_others() -> None:
    with pytest.raises(TypeError, match=r"`n` must be an integer, got 2\.5"):
        cx.datasets.gauss(2.5, 3, 5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`d` must be >= 1, got 0"):
        cx.datasets.gauss(5, 0, 5)
    with pytest.raises(ValueError, match=r"`noise` must be >= 0, got -1\.0"):
        cx.datasets.teacher(5, 2, noise=-1.0)
    with pytest.raises(ValueError, match="`k` must be >= 1, got 0"):
        cx.datasets.teacher(5, 2, k=0)


@pytest.mark.parametrize("name", ["ar", "gauss", "teacher"])
@pytest.mark.parametrize("argument", ["n", "d"])
def test_integers_of_numpy_do_not_overflow(name: str, argument: str) -> None:
    sizes: dict[str, Any] = {"n": 10, "d": 3} | ({} if name == "teacher" else {"P": 5})
    recipe = getattr(cx.datasets, name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MemoryError, match=f"`{argument}` must fit in memory"):
            recipe(**sizes | {argument: np.uint64(2**64 - 1)})
    for form in (np.uint8, lambda size: np.array(size, object)):
        X = recipe(**{key: form(size) for key, size in sizes.items()})[0]
        assert X.tobytes() == recipe(**sizes)[0].tobytes()
