"""The gated program's formulas against a dense feature matrix, and its checks of arguments."""

from __future__ import annotations

import copy
import dataclasses
import math
import pickle
import re
import sys
from typing import Any

import cvxpy
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import pyconvexnn as cx
from pyconvexnn._typing import BoolArray, FloatArray
from tests.vertex_method import DATA, every_pattern

LOSSES = ["squared", "logistic", "huber", "squared_hinge", "poisson", "hinge"]
WITH_OFFSET = LOSSES[:-1]  # the hinge is refused with one
OFFSETS = [(loss, offset) for loss in LOSSES for offset in (False, loss in WITH_OFFSET)][:-1]
LABELS = ("logistic", "squared_hinge", "hinge")
HUBER = 1.35


@dataclasses.dataclass
class Data:
    """One random problem: everything that enters it, and its features [D_1 X ... D_P X]."""

    X: FloatArray
    y: FloatArray
    masks: BoolArray
    s: FloatArray
    w: FloatArray
    beta: float
    loss: str

    @property
    def features(self) -> FloatArray:
        return np.hstack([mask[:, np.newaxis] * self.X for mask in self.masks])

    def problem(self, **changes: Any) -> cx.GatedReLUProblem:
        settings = {"loss": self.loss, "sample_weight": self.s, "pattern_weight": self.w, **changes}
        patterns = cx.PatternSet.from_dense(self.masks)
        return cx.GatedReLUProblem(self.X, self.y, patterns, self.beta, **settings)


def random_data(loss: str, seed: int = 0, n: int = 9, d: int = 3, P: int = 5) -> Data:
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(n)
    return Data(
        X=rng.standard_normal((n, d)),
        y=targets_of(loss, y),
        masks=rng.random((P, n)) < 0.6,
        s=rng.uniform(0.1, 3, n),
        w=rng.uniform(0.1, 3, P),
        beta=0.7,
        loss=loss,
    )


def targets_of(loss: str, y: FloatArray) -> FloatArray:
    """Numbers as the loss wants them."""
    if loss == "poisson":
        return np.abs(y)
    return np.sign(y) if loss in LABELS else y


def loss_of(loss: str, f: FloatArray, y: FloatArray) -> FloatArray:
    if loss == "squared":
        return 0.5 * (f - y) ** 2
    if loss == "huber":
        r = np.abs(f - y)
        return np.asarray(np.where(r <= HUBER, 0.5 * r**2, HUBER * (r - 0.5 * HUBER)))
    if loss == "squared_hinge":
        return np.asarray(0.5 * np.maximum(1 - y * f, 0) ** 2)
    if loss == "hinge":
        return np.maximum(1 - y * f, 0)
    if loss == "poisson":
        return np.asarray(np.exp(f) - y * f + y * np.log(y) - y)
    return np.log1p(np.exp(-y * f))


def slope_of(loss: str, f: FloatArray, y: FloatArray) -> FloatArray:
    if loss == "squared":
        return f - y
    if loss == "huber":
        return np.clip(f - y, -HUBER, HUBER)
    if loss == "squared_hinge":
        return -y * np.maximum(1 - y * f, 0)
    if loss == "hinge":
        return np.where(y * f < 1, -y, 0.0)
    if loss == "poisson":
        return np.asarray(np.exp(f) - y)
    return np.asarray(-y / (1 + np.exp(y * f)))


def gaussian_blocks(P: int, d: int, seed: int = 5) -> FloatArray:
    return np.random.default_rng(seed).standard_normal((P, d))


# --- formulas -----------------------------------------------------------------------------------

SHAPES = [(1, 1, 1), (9, 3, 5), (64, 2, 3), (65, 4, 300)]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_objective_fit_and_gradient_are_those_of_the_features(
    loss: str, shape: tuple[int, int, int]
) -> None:
    n, d, P = shape
    data = random_data(loss, n=n, d=d, P=P)
    prob, U = data.problem(), gaussian_blocks(P, d) / P
    U[::2] = 0.0 if P > 1 else U[::2]
    fit = data.features @ U.ravel()
    penalty = sum(w * math.sqrt(u @ u) for w, u in zip(data.w, U, strict=True))
    expected = data.s @ loss_of(loss, fit, data.y) + data.beta * penalty
    slope = slope_of(loss, fit, data.y)
    for coef in (U, cx.SparseBlocks.from_dense(U), U.tolist()):
        np.testing.assert_allclose(prob.fit_values(coef), fit, rtol=1e-12, atol=1e-12)
        assert prob.objective(coef) == pytest.approx(expected, rel=1e-13)
        gradient = prob.gradient(coef)
        assert gradient.shape == (P, d)
        expected_gradient = (data.features.T @ (data.s * slope)).reshape(P, d)
        np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_the_slope_of_the_loss_part(loss: str) -> None:
    prob = random_data(loss).problem()
    U = gaussian_blocks(5, 3)
    gradient, h = prob.gradient(U), 1e-6

    def loss_part(V: FloatArray) -> float:
        penalty = prob.beta * np.sum(prob.pattern_weight * np.linalg.norm(V, axis=1))
        return prob.objective(V) - float(penalty)

    for i, j in np.ndindex(U.shape):
        step = np.zeros_like(U)
        step[i, j] = h
        slope = (loss_part(U + step) - loss_part(U - step)) / (2 * h)
        assert gradient[i, j] == pytest.approx(slope, abs=1e-7)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_adjoint_beta_max_and_infeasibility(loss: str, shape: tuple[int, int, int]) -> None:
    n, d, P = shape
    data = random_data(loss, n=n, d=d, P=P)
    prob = data.problem()
    v = np.random.default_rng(3).standard_normal(n)
    expected = (data.features.T @ v).reshape(P, d)
    np.testing.assert_allclose(prob.adjoint(v), expected, rtol=1e-11, atol=1e-13)

    largest = max(np.linalg.norm(row) / w for row, w in zip(expected, data.w, strict=True))
    assert prob.dual_infeasibility(v) == pytest.approx(max(0.0, largest / data.beta - 1), abs=1e-12)
    assert prob.dual_infeasibility(v * data.beta / largest * 0.999) == 0.0
    assert prob.dual_infeasibility(v * data.beta / largest * 1.001) == pytest.approx(1e-3)

    v0 = -data.s * slope_of(loss, np.zeros(n), data.y)
    prices = np.linalg.norm((data.features.T @ v0).reshape(P, d), axis=1) / data.w
    assert prob.beta_max == pytest.approx(prices.max(), rel=1e-13)


@pytest.mark.parametrize("name", ["F1", "F2", "F3", "F4"])
def test_beta_max_of_the_known_data(name: str) -> None:
    X, y, _, beta_max, _ = DATA[name]
    prob = cx.GatedReLUProblem(X, y, every_pattern(X), 1.0)
    assert prob.beta_max == pytest.approx(beta_max, abs=1e-9)


def test_beta_max_without_targets_is_zero() -> None:
    data = random_data("squared")
    data.y = np.zeros(9)
    assert data.problem().beta_max == 0.0


def test_dual_objective_formulas() -> None:
    data = random_data("squared")
    v = np.random.default_rng(1).standard_normal(9)
    expected = v @ data.y - np.sum(v**2 / (2 * data.s))
    assert data.problem().dual_objective(v) == pytest.approx(expected, rel=1e-13)

    data = random_data("logistic")
    p = np.linspace(0, 1, 9)
    inner = p[1:-1]
    entropy = -(inner * np.log(inner) + (1 - inner) * np.log(1 - inner))
    prob, v = data.problem(), data.s * data.y * p
    assert prob.dual_objective(v) == pytest.approx(data.s[1:-1] @ entropy, rel=1e-12)
    assert prob.dual_objective(-v) == -np.inf
    assert prob.dual_objective(v * 1.01) == -np.inf


@given(st.integers(0, 10**6), st.sampled_from(LOSSES), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_weak_duality(seed: int, loss: str, scale: float) -> None:
    data = random_data(loss, seed)
    prob, rng = data.problem(), np.random.default_rng(seed + 1)
    v = data.s * data.y * rng.random(9)  # inside the domains, and so is every multiple below it
    if loss == "huber":
        v = np.clip(v, -HUBER * data.s, HUBER * data.s)
    v *= scale * min(1.0, 1 / (1 + prob.dual_infeasibility(v)))
    U = rng.standard_normal((5, 3)) * 10 ** rng.uniform(-3, 1)
    assert prob.dual_objective(v) <= prob.objective(U) * (1 + 1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_to_cvxpy_states_the_same_problem(loss: str) -> None:
    prob = random_data(loss).problem()
    program = prob.to_cvxpy()
    assert isinstance(program, cvxpy.Problem)
    assert program.is_dcp()
    (U,) = program.variables()
    assert U.name() == "U"
    assert U.shape == (5, 3)
    for seed in range(5):
        U.value = gaussian_blocks(5, 3, seed)
        assert program.objective.value == pytest.approx(prob.objective(U.value), rel=1e-12)


def test_to_cvxpy_without_cvxpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cvxpy", None)
    with pytest.raises(ImportError) as error:
        random_data("squared").problem().to_cvxpy()
    assert str(error.value) == 'to_cvxpy needs cvxpy: pip install "pyconvexnn[reference]"'


# --- output offset -------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", WITH_OFFSET)
@pytest.mark.parametrize("seed", range(3))
def test_an_offset_is_the_best(loss: str, seed: int) -> None:
    data = random_data(loss, seed)
    prob, U = data.problem(output_offset=True), gaussian_blocks(5, 3, seed) / 2
    b, alone = prob.best_offset(U), data.features @ U.ravel()
    np.testing.assert_allclose(prob.fit_values(U), alone + b, atol=1e-13)
    penalty = data.beta * float(data.w @ np.linalg.norm(U, axis=1))
    values = [data.s @ loss_of(loss, alone + b + t, data.y) for t in (0, -1e-4, 1e-4, -1.0, 1.0)]
    assert prob.objective(U) == pytest.approx(values[0] + penalty, rel=1e-13)
    assert min(values[1:]) >= values[0] * (1 - 1e-14)
    expected = data.features.T @ (data.s * slope_of(loss, alone + b, data.y))
    np.testing.assert_allclose(prob.gradient(U).ravel(), expected, atol=1e-11)
    assert data.problem().best_offset(U) == 0.0

    v0 = -data.s * slope_of(loss, np.full(9, prob.best_offset(0 * U)), data.y)
    prices = np.linalg.norm((data.features.T @ v0).reshape(5, 3), axis=1) / data.w
    assert prob.beta_max == pytest.approx(prices.max(), rel=1e-12)
    assert prob.objective_at_zero == prob.objective(0 * U)
    program = prob.to_cvxpy()
    assert program.is_dcp()
    variables = {v.name(): v for v in program.variables()}
    variables["U"].value, variables["b"].value = U, b
    assert program.objective.value == pytest.approx(prob.objective(U), rel=1e-12)


@given(st.integers(0, 10**6), st.sampled_from(WITH_OFFSET), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_weak_duality_with_an_offset(seed: int, loss: str, scale: float) -> None:
    data = random_data(loss, seed)
    data.y[:2] = (1.0, 0.0 if loss == "poisson" else -1.0)
    prob, rng = data.problem(output_offset=True), np.random.default_rng(seed + 1)
    # -gradient at some point sums to zero, and is inside the domain with all smaller multiples.
    V = rng.standard_normal((5, 3)) * 10 ** rng.uniform(-3, 1)
    v = -data.s * slope_of(loss, prob.fit_values(V), data.y)
    v *= scale * min(1.0, 1 / (1 + prob.dual_infeasibility(v)))
    if abs(v.sum()) > 1e-13 * np.abs(v).sum():  # next to no dual point at all
        return
    U = rng.standard_normal((5, 3)) * 10 ** rng.uniform(-3, 1)
    assert prob.dual_objective(v) <= prob.objective(U) * (1 + 1e-12)


def test_a_dual_point_that_does_not_sum_to_zero_is_infeasible() -> None:
    data = random_data("squared")
    v = np.zeros(9)
    v[:2] = 1e-3, -1e-3 * (1 + 1e-9)
    assert data.problem().dual_infeasibility(v) == 0.0
    prob = data.problem(output_offset=True)
    assert prob.dual_infeasibility(v) == pytest.approx(5e-10, rel=1e-6)
    assert prob.dual_objective(v) == -math.inf
    v[1] = -1e-3
    assert prob.dual_infeasibility(v) == 0.0
    assert prob.dual_objective(v) == pytest.approx(data.problem().dual_objective(v))
    assert prob.dual_objective(np.zeros(9)) == 0.0


def test_one_class_is_bounded_for_the_squared_hinge() -> None:
    data = random_data("squared_hinge")
    data.y[:] = -1.0
    prob = data.problem(output_offset=True)
    assert prob.objective_at_zero == 0.0
    assert prob.beta_max == 0.0
    assert prob.best_offset(np.zeros((5, 3))) <= -1.0


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "offset"), OFFSETS)
def test_integer_sample_weights_are_repeated_rows(loss: str, offset: bool) -> None:
    data = random_data(loss)
    counts = np.array([1, 2, 0, 3, 1, 0, 1, 5, 1])
    rows = np.repeat(np.arange(9), counts)
    patterns = cx.PatternSet.from_dense(data.masks)
    weighted = data.problem(sample_weight=counts, output_offset=offset)
    repeated = cx.GatedReLUProblem(
        data.X[rows],
        data.y[rows],
        patterns.restrict(rows),
        data.beta,
        loss=loss,
        pattern_weight=data.w,
        output_offset=offset,
    )
    U = gaussian_blocks(5, 3)
    assert weighted.objective(U) == pytest.approx(repeated.objective(U), rel=1e-13)
    np.testing.assert_allclose(weighted.gradient(U), repeated.gradient(U), atol=1e-12)
    assert weighted.beta_max == pytest.approx(repeated.beta_max, rel=1e-13)
    # The dual point of a weighted row is shared out among its copies.
    share = 0.3 * data.y
    if offset:  # then it must sum to zero
        share = -slope_of(loss, weighted.fit_values(U), data.y)
    assert weighted.dual_objective(counts * share) == pytest.approx(
        repeated.dual_objective(share[rows]), rel=1e-12
    )


@pytest.mark.parametrize("loss", LOSSES)
def test_a_row_of_weight_zero_must_carry_no_dual(loss: str) -> None:
    data = random_data(loss)
    data.s[4] = 0.0
    v = 0.2 * data.s * data.y
    assert np.isfinite(data.problem().dual_objective(v))
    v[4] = 1e-300
    assert data.problem().dual_objective(v) == -np.inf


def test_pattern_weights_scale_the_penalty() -> None:
    data, U = random_data("squared"), gaussian_blocks(5, 3)
    plain = data.problem(pattern_weight=None)
    np.testing.assert_array_equal(plain.pattern_weight, np.ones(5))
    uniform = data.problem(pattern_weight=np.full(5, 2.0))
    penalty = data.beta * np.sum(np.linalg.norm(U, axis=1))
    assert uniform.objective(U) - plain.objective(U) == pytest.approx(penalty)
    assert uniform.beta_max == pytest.approx(plain.beta_max / 2, rel=1e-14)
    assert data.problem(sample_weight=None).objective(U) == data.problem(
        sample_weight=np.ones(9)
    ).objective(U)


# --- the object ---------------------------------------------------------------------------------


def test_sizes_and_text() -> None:
    prob = random_data("logistic").problem()
    assert (prob.n_samples, prob.n_features, len(prob.patterns)) == (9, 3, 5)
    assert prob.loss.name == "logistic"
    assert repr(prob) == "GatedReLUProblem(n=9, d=3, P=5, beta=0.7, loss='logistic')"
    assert repr(random_data("squared").problem(output_offset=True)).endswith(
        "loss='squared', output_offset=True)"
    )
    assert (prob.ridge, prob.output_offset, prob.skip) == (0.0, False, None)


def test_a_problem_is_frozen_and_keeps_its_own_data() -> None:
    data, U = random_data("squared"), gaussian_blocks(5, 3)
    before = copy.deepcopy(data)
    prob = data.problem()
    objective = prob.objective(U)
    for name in ("X", "y", "s", "w", "masks"):  # construction changed nothing
        np.testing.assert_array_equal(getattr(data, name), getattr(before, name))
    for array in (data.X, data.y, data.s, data.w, data.masks):
        array[...] = 1
    assert prob.objective(U) == objective
    assert prob.beta_max == before.problem().beta_max
    with pytest.raises(dataclasses.FrozenInstanceError):
        prob.beta = 2.0  # type: ignore[misc]
    for array in (prob.X, prob.y, prob.sample_weight, prob.pattern_weight):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5.0


def test_methods_do_not_change_their_arguments() -> None:
    prob = random_data("logistic").problem()
    U, v = gaussian_blocks(5, 3), 0.1 * prob.y
    copies = U.copy(), v.copy()
    prob.objective(U)
    prob.gradient(U)
    prob.dual_objective(v)
    prob.dual_infeasibility(v)
    np.testing.assert_array_equal(U, copies[0])
    np.testing.assert_array_equal(v, copies[1])
    assert v.flags.writeable


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda p: pickle.loads(pickle.dumps(p))]
)
def test_copies_and_pickles_are_the_same_problem(again: Any) -> None:
    prob = random_data("huber").problem(output_offset=True, loss=cx.losses.Huber(0.3))
    prob.beta_max  # noqa: B018  # cached, and still right in the copy
    other = again(prob)
    U = gaussian_blocks(5, 3)
    assert other.objective(U) == prob.objective(U)
    assert other.beta_max == prob.beta_max
    assert other.patterns == prob.patterns
    assert other.loss == prob.loss == cx.losses.Huber(0.3)
    assert other.output_offset
    assert other.X.flags.f_contiguous
    for name in ("X", "y", "sample_weight", "pattern_weight"):
        assert not getattr(other, name).flags.writeable, name


@pytest.mark.parametrize("kind", ["float32", "int", "list", "strided", "fortran", "read-only"])
def test_kinds_of_input(kind: str) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.integers(-4, 5, (12, 3)).astype(float), rng.integers(-4, 5, 12).astype(float)
    s = rng.integers(1, 4, 12).astype(float)
    patterns = cx.sample_patterns(X, 5)
    expected = cx.GatedReLUProblem(X, y, patterns, 2.0, sample_weight=s)
    form: dict[str, Any] = {
        "float32": lambda a: a.astype(np.float32),
        "int": lambda a: a.astype(int),
        "list": lambda a: a.tolist(),
        "strided": lambda a: (
            np.repeat(np.repeat(a, 2, 0), 2, -1)[::2, ::2] if a.ndim == 2 else np.repeat(a, 2)[::2]
        ),
        "fortran": np.asfortranarray,
        "read-only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
    }
    change = form[kind]
    prob = cx.GatedReLUProblem(
        change(X),
        change(y)[:, None] if kind == "int" else change(y),
        patterns,
        2,
        sample_weight=change(s),
    )
    U = gaussian_blocks(5, 3)
    assert prob.objective(U) == expected.objective(U)
    assert prob.beta_max == expected.beta_max


# --- wrong arguments ----------------------------------------------------------------------------

X_GOOD, Y_GOOD = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([1.0, -1.0, 1.0])
PS_GOOD = cx.PatternSet.from_dense([[1, 0, 1], [0, 1, 1]])
NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"X": [1.0, 2.0, 3.0]}, ValueError, "`X` must have 2 dimensions, got shape (3,)"),
        (
            {"X": np.ones((0, 2))},
            ValueError,
            "`X` must have at least one row and one column, got (0, 2)",
        ),
        (
            {"X": np.ones((3, 0))},
            ValueError,
            "`X` must have at least one row and one column, got (3, 0)",
        ),
        ({"X": X_GOOD * NAN}, ValueError, "`X` must be finite, got NaN"),
        ({"X": X_GOOD + np.inf}, ValueError, "`X` must be finite, got infinity"),
        ({"X": X_GOOD * 1j}, TypeError, "`X` must hold real numbers, got dtype complex128"),
        ({"X": X_GOOD.astype(object)}, TypeError, "`X` must hold real numbers, got dtype object"),
        (
            {"X": scipy.sparse.csr_array(X_GOOD)},
            TypeError,
            "`X` must be a dense array, got a sparse csr_array",
        ),
        ({"X": X_GOOD[:2]}, ValueError, "`y` must have 2 entries, got 3"),
        ({"y": Y_GOOD[:2]}, ValueError, "`y` must have 3 entries, got 2"),
        ({"y": 1.0}, ValueError, "`y` must have 1 dimension, got shape ()"),
        ({"y": []}, ValueError, "`y` must have 3 entries, got 0"),
        ({"y": None}, TypeError, "`y` must hold real numbers, got dtype object"),
        ({"y": ["a", "b", "c"]}, TypeError, "`y` must hold real numbers, got dtype <U1"),
        ({"y": [1.0, NAN, 0.0]}, ValueError, "`y` must be finite, got NaN"),
        ({"y": Y_GOOD * 1j}, TypeError, "`y` must hold real numbers, got dtype complex128"),
        ({"y": Y_GOOD[np.newaxis]}, ValueError, "`y` must have 3 rows, got 1"),
        (
            {"y": scipy.sparse.csr_array(X_GOOD)},
            TypeError,
            "`y` must be a dense array, got a sparse csr_array",
        ),
        ({"y": X_GOOD[:2]}, ValueError, "`y` must have 3 rows, got 2"),
        ({"y": X_GOOD * NAN}, ValueError, "`y` must be finite, got NaN"),
        (
            {"y": X_GOOD, "loss": "logistic"},
            ValueError,
            "`y` must hold only -1 and +1 for loss 'logistic', got 0.0",
        ),
        (
            {"y": X_GOOD, "loss": "cross_entropy"},
            ValueError,
            "`y` must hold one 1 in each row and 0 else for loss 'cross_entropy'",
        ),
        (
            {"loss": "cross_entropy"},
            ValueError,
            "`y` must be class numbers 0 to K - 1, or one-hot rows, for loss 'cross_entropy', got "
            "numbers from -1 to 1",
        ),
        (
            {"loss": "cross_entropy", "y": [0, 0, 0]},
            ValueError,
            "`y` must hold at least two classes for loss 'cross_entropy'",
        ),
        (
            {"loss": "cross_entropy", "y": [1, 2, 3]},
            ValueError,
            "`y` must hold each class from 0 to 3 for loss 'cross_entropy', got none of class 0; "
            "one-hot rows may lack some",
        ),
        (
            {"loss": "cross_entropy", "y": np.eye(3)[[0, 2, 2]], "output_offset": True},
            ValueError,
            "`y` must hold every class among the rows of positive weight for loss "
            "'cross_entropy' with `output_offset` = True, got none of class 1",
        ),
        ({"beta": 0}, ValueError, "`beta` must be > 0, got 0.0"),
        ({"beta": -1}, ValueError, "`beta` must be > 0, got -1.0"),
        ({"beta": float("inf")}, ValueError, "`beta` must be finite, got inf"),
        ({"beta": NAN}, ValueError, "`beta` must be finite, got nan"),
        ({"beta": "1"}, TypeError, "`beta` must be a real number, got '1'"),
        ({"beta": None}, TypeError, "`beta` must be a real number, got None"),
        (
            {"beta": np.ones(2)},
            TypeError,
            "`beta` must be a real number, got an array of shape (2,) and dtype float64",
        ),
        (
            {"patterns": PS_GOOD.to_dense()},
            TypeError,
            "`patterns` must be a PatternSet, got ndarray",
        ),
        (
            {"patterns": cx.PatternSet.from_dense([[1, 0]])},
            ValueError,
            "`patterns` must be of the 3 rows of `X`, got patterns of 2 rows",
        ),
        (
            {"patterns": PS_GOOD[:0]},
            ValueError,
            "`patterns` must hold at least one pattern, got none",
        ),
        (
            {"loss": "logistic", "y": [0, 1, 1]},
            ValueError,
            "`y` must hold only -1 and +1 for loss 'logistic', got 0.0",
        ),
        (
            {"loss": "l2"},
            ValueError,
            "`loss` must be one of squared, logistic, huber, squared_hinge, poisson, hinge, "
            "cross_entropy; got 'l2'",
        ),
        ({"sample_weight": [1.0, 2.0]}, ValueError, "`sample_weight` must have 3 entries, got 2"),
        ({"sample_weight": 2.0}, ValueError, "`sample_weight` must have 1 dimension, got shape ()"),
        ({"sample_weight": [1, NAN, 1]}, ValueError, "`sample_weight` must be finite, got NaN"),
        (
            {"sample_weight": [1.0, -0.5, 2.0]},
            ValueError,
            "`sample_weight` must be >= 0 and not all 0, got minimum -0.5 and maximum 2.0",
        ),
        (
            {"sample_weight": np.zeros(3)},
            ValueError,
            "`sample_weight` must be >= 0 and not all 0, got minimum 0.0 and maximum 0.0",
        ),
        ({"pattern_weight": np.ones(3)}, ValueError, "`pattern_weight` must have 2 entries, got 3"),
        ({"pattern_weight": [1.0, 0.0]}, ValueError, "`pattern_weight` must be > 0, got 0.0"),
        ({"pattern_weight": [1.0, -2.0]}, ValueError, "`pattern_weight` must be > 0, got -2.0"),
        ({"ridge": -0.5}, ValueError, "`ridge` must be >= 0, got -0.5"),
        ({"ridge": "a"}, TypeError, "`ridge` must be a real number, got 'a'"),
        ({"ridge": 1e-130}, ValueError, "`ridge` must be 0 or >= 1e-120, got 1e-130"),
        ({"output_offset": 1}, TypeError, "`output_offset` must be True or False, got 1"),
        (
            {"output_offset": True, "loss": "logistic", "sample_weight": [1.0, 0.0, 2.0]},
            ValueError,
            "`y` must hold both -1 and +1 among the rows of positive weight for loss 'logistic' "
            "with `output_offset` = True, got only 1.0",
        ),
        ({"skip": -0.1}, ValueError, "`skip` must be >= 0, got -0.1"),
        (
            {"skip": X_GOOD},
            TypeError,
            "`skip` must be a real number, got an array of shape (3, 2) and dtype float64",
        ),
        (
            {"skip": 0.0, "loss": "logistic", "X": [[1.0], [-1.0], [2.0]]},
            ValueError,
            "`skip` must be above 0, or None, where the linear part separates `y`: loss 'logistic' "
            "falls for ever without a penalty on it",
        ),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], kind: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"X": X_GOOD, "y": Y_GOOD, "patterns": PS_GOOD, "beta": 1.0}
    with pytest.raises(kind) as error:
        cx.GatedReLUProblem(**(arguments | changes))
    assert type(error.value) is kind
    assert str(error.value) == message


def test_defaults_said_aloud_are_taken() -> None:
    cx.GatedReLUProblem(
        X_GOOD, Y_GOOD, PS_GOOD, 1.0, ridge=0, output_offset=False, skip=None, sample_weight=None
    )


def test_settings_go_by_keyword() -> None:
    with pytest.raises(TypeError, match="positional"):
        cx.GatedReLUProblem(X_GOOD, Y_GOOD, PS_GOOD, 1.0, "logistic")  # type: ignore[call-arg]


@pytest.mark.parametrize("method", ["objective", "gradient", "fit_values"])
def test_wrong_coefficients(method: str) -> None:
    function = getattr(cx.GatedReLUProblem(X_GOOD, Y_GOOD, PS_GOOD, 1.0), method)
    with pytest.raises(ValueError, match=r"^`coef` must have shape \(2, 2\), got \(2, 3\)$"):
        function(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"^`coef` must be finite, got NaN or infinity$"):
        function(np.full((2, 2), NAN))
    with pytest.raises(TypeError, match=r"^`coef` must hold real numbers, got dtype object$"):
        function(None)
    with pytest.raises(ValueError, match=r"^`coef` must be small .* not overflow, got 1e\+308$"):
        function(np.full((2, 2), 1e308))


def test_an_objective_that_overflows_is_refused() -> None:
    prob = cx.GatedReLUProblem(X_GOOD, Y_GOOD, PS_GOOD, 1.0)
    with pytest.raises(ValueError, match="the objective does not overflow"):
        prob.objective(np.full((2, 2), 1e200))
    assert np.isfinite(prob.gradient(np.full((2, 2), 1e200))).all()


@pytest.mark.parametrize("method", ["adjoint", "dual_objective", "dual_infeasibility"])
def test_wrong_dual_points(method: str) -> None:
    function = getattr(cx.GatedReLUProblem(X_GOOD, Y_GOOD, PS_GOOD, 1.0), method)
    with pytest.raises(ValueError, match=r"^`v` must have 3 entries, got 2$"):
        function(np.ones(2))
    with pytest.raises(ValueError, match=r"^`v` must be finite, got NaN$"):
        function(np.full(3, NAN))
    with pytest.raises(TypeError, match=r"^`v` must hold real numbers, got dtype complex128$"):
        function(np.full(3, 1j))
    function(np.full(3, 1e-200))  # a dual point beside a tiny beta is tiny


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 1e-190}, "`beta` must be >= 1e-120, got 1e-190"),
        ({"sample_weight": [1e60]}, "`sample_weight` must be <= 1e+20, got 1e+60"),
    ],
)
def test_sizes_whose_squares_leave_float64_are_refused(
    options: dict[str, Any], message: str
) -> None:
    arguments: dict[str, Any] = {"beta": 1.0, **options}
    with pytest.raises(ValueError, match=re.escape(message)):
        cx.GatedReLUProblem([[1.0]], [1.0], cx.PatternSet.from_dense([[1]]), **arguments)
