"""Every compiled function against NumPy on dense features, and what it does to wrong arguments.

Python checks all arguments before these functions see them. They are the safety net: a wrong size
or dtype must raise, whatever it says, and never read foreign memory.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconvexnn import _core
from pyconvexnn._typing import BitArray, BoolArray, FloatArray

# Around the edges of words (64 rows), tiles (128 rows, 256 patterns), lanes (8 columns).
ROWS = [1, 2, 63, 64, 65, 127, 128, 129, 200]
COLUMNS = [1, 2, 7, 8, 9, 17]
PATTERNS = [1, 3, 4, 5, 255, 256, 257, 600]
SIZES = [(n, 3, 5) for n in ROWS] + [(65, d, 6) for d in COLUMNS] + [(70, 9, P) for P in PATTERNS]


def gaussian(n: int, d: int, seed: int = 0) -> FloatArray:
    return np.asfortranarray(np.random.default_rng(seed).standard_normal((n, d)))


def random_masks(P: int, n: int, seed: int = 1) -> BoolArray:
    return np.random.default_rng(seed).random((P, n)) < 0.5


def packed(masks: BoolArray) -> BitArray:
    """Row k of the data is bit k % 64 of word k // 64."""
    words = np.zeros((len(masks), -(-masks.shape[1] // 64)), dtype=np.uint64)
    for i, k in zip(*np.nonzero(masks), strict=True):
        words[i, k // 64] |= np.uint64(1) << np.uint64(k % 64)
    return words


def products_of(X: FloatArray, masks: BoolArray) -> _core.MaskedProducts:
    return _core.MaskedProducts(X, packed(masks))


# --- against NumPy ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_sign_patterns(size: tuple[int, int, int], threads: int) -> None:
    n, d, P = size
    X, G = gaussian(n, d), np.ascontiguousarray(gaussian(P, d, seed=2))
    # Features are added in order, as NumPy's own sum of a short axis does not.
    total = np.zeros((P, n))
    for j in range(d):
        total = total + np.outer(G[:, j], X[:, j])
    words = _core.sign_patterns(X, G, threads=threads)
    assert words.dtype == np.uint64
    np.testing.assert_array_equal(words, packed(total >= 0))


@given(
    X=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=70),
    G=st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=1, max_size=6),
)
@settings(deadline=None)
def test_sign_patterns_of_integers(X: list[list[int]], G: list[list[int]]) -> None:
    x, g = np.asfortranarray(X, dtype=float), np.ascontiguousarray(G, dtype=float)
    np.testing.assert_array_equal(_core.sign_patterns(x, g), packed(g @ x.T >= 0))
    # A zero of either sign is on the positive side.
    np.testing.assert_array_equal(_core.sign_patterns(-x, -g), packed(g @ x.T >= 0))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_masked_adjoint(size: tuple[int, int, int]) -> None:
    n, d, P = size
    X, masks, v = gaussian(n, d), random_masks(P, n), gaussian(n, 1, seed=3)[:, 0]
    expected = np.array([X.T @ (mask * v) for mask in masks])
    products = products_of(X, masks)
    result = products.adjoint(v)
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13)
    for threads in (2, 3):
        assert products.adjoint(v, threads=threads).tobytes() == result.tobytes()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_masked_adjoint_of_listed_patterns(size: tuple[int, int, int]) -> None:
    n, d, P = size
    X, masks, v = gaussian(n, d), random_masks(P, n), gaussian(n, 1, seed=3)[:, 0]
    listed = np.random.default_rng(4).integers(0, P, 7)  # any order, repeats
    result = products_of(X, masks).adjoint_listed(v, listed)
    expected = np.array([X.T @ (masks[i] * v) for i in listed])
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_masked_forward(size: tuple[int, int, int]) -> None:
    n, d, P = size
    X, masks = gaussian(n, d), random_masks(P, n)
    products = products_of(X, masks)
    for count in (0, 1, min(P, 3), P, 2 * P):
        listed = np.random.default_rng(count).integers(0, P, count)
        U = np.ascontiguousarray(gaussian(count, d, seed=5))
        expected = sum((masks[i] * (X @ u) for i, u in zip(listed, U, strict=True)), np.zeros(n))
        products.set_active(listed)
        result = products.active_forward(U)
        np.testing.assert_allclose(result, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_group_norm_max(size: tuple[int, int, int]) -> None:
    n, d, P = size
    X, masks, v = gaussian(n, d), random_masks(P, n), gaussian(n, 1, seed=3)[:, 0]
    w = np.random.default_rng(6).uniform(0.5, 2, P)
    expected = max(np.sqrt(np.sum((X.T @ (m * v)) ** 2)) / a for m, a in zip(masks, w, strict=True))
    result = _core.group_norm_max(X, packed(masks), v, w)
    assert result == pytest.approx(expected, rel=1e-13)
    assert _core.group_norm_max(X, packed(masks), v, w, threads=3) == result


def test_adjoint_and_forward_are_adjoint() -> None:
    X, masks, v = gaussian(150, 6), random_masks(40, 150), gaussian(150, 1, seed=3)[:, 0]
    U, products = np.ascontiguousarray(gaussian(40, 6, seed=7)), products_of(X, masks)
    products.set_active(np.arange(40))
    forward = products.active_forward(U)
    assert forward @ v == pytest.approx(np.sum(products.adjoint(v) * U))


def test_empty_and_full_masks() -> None:
    X, v = gaussian(65, 3), gaussian(65, 1)[:, 0]
    products = products_of(X, np.array([[False] * 65, [True] * 65]))
    np.testing.assert_allclose(products.adjoint(v), [np.zeros(3), X.T @ v], atol=1e-13)
    products.set_active(np.array([0]))
    np.testing.assert_array_equal(products.active_forward(np.ones((1, 3))), np.zeros(65))


def solve(**changes: Any) -> _core.GroupLassoResult:
    """Call the solver on a small problem with some arguments replaced."""
    X, masks = gaussian(30, 3), random_masks(8, 30)
    arguments: dict[str, Any] = {
        "X": X,
        "packed": packed(masks),
        "y": gaussian(30, 1, seed=8)[:, 0],
        "sample_weight": np.ones(30),
        "pattern_weight": np.ones(8),
        "beta": 0.5,
        "method": 0,
        "loss": 0,
        "loss_parameter": 0.0,
        "output_offset": False,
        "tol": 1e-9,
        "max_iter": 10_000,
        "time_limit": np.inf,
        "threads": 1,
        "indices": np.empty(0, np.int64),
        "values": np.empty((0, 3)),
        "callback": None,
    }
    return _core.solve_group_lasso(**{**arguments, **changes})


def ista(A: FloatArray, y: FloatArray, s: FloatArray, beta: float, loss: int) -> float:
    """Optimum by the plainest proximal gradient method; blocks of three columns."""
    u, step = np.zeros(A.shape[1]), 1 / np.linalg.norm(A.T * s @ A, 2)
    for _ in range(20_000):
        f = A @ u
        slope = s * (f - y if loss == 0 else -y / (1 + np.exp(y * f)))
        z = (u - step * (A.T @ slope)).reshape(-1, 3)
        sizes = np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-300)
        u = (np.maximum(1 - step * beta / sizes, 0) * z).ravel()
    f = A @ u
    value = 0.5 * (f - y) ** 2 if loss == 0 else np.log1p(np.exp(-y * f))
    return float(s @ value + beta * np.linalg.norm(u.reshape(-1, 3), axis=1).sum())


@pytest.mark.parametrize("loss", [0, 1])
@pytest.mark.parametrize("beta", [0.5, 3.0])
def test_group_lasso_is_where_proximal_gradient_ends(loss: int, beta: float) -> None:
    X, masks = gaussian(30, 3), random_masks(8, 30)
    y = gaussian(30, 1, seed=8)[:, 0]
    y = np.sign(y) if loss else y
    s = np.random.default_rng(9).uniform(0.2, 2, 30)
    result = solve(y=y, sample_weight=s, beta=beta, loss=loss)
    A = np.hstack([mask[:, np.newaxis] * X for mask in masks])
    expected = ista(A, y, s, beta, loss)
    assert result.status == 0
    assert result.objective == pytest.approx(expected, rel=1e-8)
    assert result.dual_objective == pytest.approx(expected, rel=1e-8)
    assert result.dual_objective <= result.objective


def test_fields_of_a_result() -> None:
    result = solve()
    k = len(result.indices)
    assert 0 < k <= 8
    assert result.indices.dtype == np.dtype("int64")
    assert result.values.dtype == np.dtype("float64")
    assert result.values.shape == (k, 3)
    assert result.dual.shape == (30,)
    assert result.history.shape[1] == 5
    assert result.history[-1].tolist() == [
        result.n_iter,
        result.objective,
        result.dual_objective,
        k,
        result.history[-1, 4],
    ]
    assert 0 <= result.history[-1, 4] <= result.seconds
    for name in ("indices", "objective", "status"):
        with pytest.raises(AttributeError):
            setattr(result, name, 0)
    with pytest.raises(TypeError):
        _core.GroupLassoResult()


def test_results_outlive_what_they_came_from() -> None:
    result = solve()
    values, copy = result.values, result.values.copy()
    del result
    gc.collect()
    np.testing.assert_array_equal(values, copy)


def test_the_start_is_used() -> None:
    result = solve()
    again = solve(indices=result.indices, values=result.values, tol=1e-8)
    assert again.n_iter == 0
    np.testing.assert_array_equal(again.indices, result.indices)


def test_zero_is_found_exactly_whatever_the_start() -> None:
    far = {"indices": np.arange(8), "values": np.full((8, 3), 1e-3), "tol": 1e-14}
    largest = _core.group_norm_max(
        gaussian(30, 3), packed(random_masks(8, 30)), gaussian(30, 1, seed=8)[:, 0], np.ones(8)
    )
    for beta in (largest, 2 * largest):
        result = solve(beta=beta, **far)
        assert (len(result.indices), result.n_iter, result.status) == (0, 0, 0)
    assert len(solve(beta=0.99 * largest, **{**far, "tol": 1e-9}).indices) > 0


@pytest.mark.parametrize(
    ("changes", "status"), [({"max_iter": 1}, 1), ({"max_iter": 0}, 1), ({"time_limit": 0.0}, 2)]
)
def test_limits(changes: dict[str, Any], status: int) -> None:
    assert solve(**changes).status == status


def test_callbacks() -> None:
    seen: list[tuple[Any, ...]] = []

    def callback(*state: Any) -> bool:
        seen.append(state)
        return len(seen) == 2

    result = solve(callback=callback)
    assert result.status == 3
    np.testing.assert_array_equal(seen, result.history)
    before = sys.getrefcount(callback)
    solve(callback=callback)
    assert sys.getrefcount(callback) == before

    def fails(*state: Any) -> bool:
        raise LookupError("ours")

    with pytest.raises(LookupError, match="ours"):
        solve(callback=fails)
    for wrong in (3, "text", lambda: True, lambda *state: object()):
        with pytest.raises((TypeError, RuntimeError)):
            solve(callback=wrong)


# --- wrong arguments ----------------------------------------------------------------------------

X, MASKS = gaussian(70, 3), random_masks(5, 70)
WORDS, V, W = packed(MASKS), np.ones(70), np.ones(5)
GATES, LISTED, BLOCKS = np.ones((4, 3)), np.array([0, 2]), np.ones((2, 3))

ARGUMENTS: dict[str, dict[str, Any]] = {
    "sign_patterns": {"X": X, "G": GATES},
    "MaskedProducts": {"X": X, "packed": WORDS},
    "adjoint": {"V": V},
    "adjoint_listed": {"V": V, "indices": LISTED},
    "set_active": {"indices": LISTED},
    "active_adjoint": {"V": V},
    "active_forward": {"U": BLOCKS},
    "group_norm_max": {"X": X, "packed": WORDS, "v": V, "weights": W},
    "solve_group_lasso": {
        "X": X,
        "packed": WORDS,
        "y": V,
        "sample_weight": V,
        "pattern_weight": W,
        "beta": 1.0,
        "method": 0,
        "loss": 0,
        "loss_parameter": 0.0,
        "output_offset": False,
        "tol": 1e-6,
        "max_iter": 10,
        "time_limit": 1.0,
        "threads": 1,
        "indices": LISTED,
        "values": BLOCKS,
        "callback": None,
    },
}


def compiled(function: str) -> Callable[..., Any]:
    """A function of the module, or the method of products with two active patterns."""
    if hasattr(_core, function):
        return getattr(_core, function)  # type: ignore[no-any-return]
    products = _core.MaskedProducts(X, WORDS)
    products.set_active(LISTED)
    return getattr(products, function)  # type: ignore[no-any-return]


ARRAYS = [
    (function, name)
    for function, arguments in ARGUMENTS.items()
    for name, value in arguments.items()
    if isinstance(value, np.ndarray)
]


def swapped(a: Any) -> Any:
    return a.astype(a.dtype.newbyteorder())


# What is never right, whichever array it replaces.
WRONG: dict[str, Callable[[Any], Any]] = {
    "one row more": lambda a: np.concatenate([a, a[:1]]),
    "one row less": lambda a: a[:-1].copy(order="F"),
    "one column more": lambda a: (
        np.asfortranarray(np.hstack([a, a[:, :1]])) if a.ndim == 2 else a[:, None]
    ),
    "one column less": lambda a: np.asfortranarray(a[:, :-1]) if a.ndim == 2 else a[:, None],
    "one dimension more": lambda a: a[np.newaxis],
    "a scalar": lambda a: a.dtype.type(1),
    "none": lambda a: None,
    "a list": lambda a: a.tolist(),
    "text": lambda a: "X",
    "float32": lambda a: np.asarray(a, np.float32, order="F"),
    "int32": lambda a: np.asarray(a, np.int32, order="F"),
    "complex": lambda a: np.asarray(a, complex, order="F"),
    "object": lambda a: np.asarray(a, object, order="F"),
    "bool": lambda a: np.asarray(a, bool, order="F"),
    "other bytes": swapped,
    "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
    "reversed": lambda a: a[::-1],
    "no rows": lambda a: a[:0],
    "zero dimensions": lambda a: np.array(a.ravel()[0]),
}
# These fit after all: more or fewer patterns, gates or blocks, or rows or columns of X that
# no other argument has, or that pad the same number of words.
RIGHT = {
    "sign_patterns": {
        "X": {"one row more", "one row less"},
        "G": {"one row more", "one row less", "no rows"},
    },
    "MaskedProducts": {
        "X": {"one row more", "one row less", "one column more", "one column less"},
        "packed": {"one row more", "one row less", "no rows"},
    },
    "adjoint": {"V": {"one column more", "one column less"}},  # n x 1
    "adjoint_listed": {
        "V": {"one column more", "one column less"},
        "indices": {"one row more", "one row less", "no rows"},
    },
    "set_active": {"indices": {"one row more", "one row less", "no rows"}},
    "active_adjoint": {"V": {"one column more", "one column less"}},
    "group_norm_max": {"X": {"one column more", "one column less"}},
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(("function", "name"), ARRAYS)
def test_wrong_arrays_raise(function: str, name: str, wrong: str) -> None:
    arguments = ARGUMENTS[function]
    bad = {**arguments, name: WRONG[wrong](arguments[name])}
    if wrong in RIGHT.get(function, {}).get(name, ()):
        bad[name] = np.array(bad[name], order="F" if name == "X" else "C")
        compiled(function)(**bad)
        return
    with pytest.raises((TypeError, ValueError)) as error:
        compiled(function)(**bad)
    if isinstance(error.value, ValueError):
        assert "`" in str(error.value)


@pytest.mark.parametrize(("function", "name"), [a for a in ARRAYS if a[1] == "X"])
def test_x_must_be_fortran_ordered(function: str, name: str) -> None:
    with pytest.raises(TypeError):
        compiled(function)(**{**ARGUMENTS[function], name: np.ascontiguousarray(X)})


@pytest.mark.parametrize(
    ("function", "name"),
    [("sign_patterns", "G"), ("active_forward", "U"), ("solve_group_lasso", "values")],
)
def test_rows_must_be_c_ordered(function: str, name: str) -> None:
    rows = np.asfortranarray(ARGUMENTS[function][name])
    with pytest.raises(TypeError):
        compiled(function)(**{**ARGUMENTS[function], name: rows})


@pytest.mark.parametrize("function", ["adjoint_listed", "set_active", "solve_group_lasso"])
@pytest.mark.parametrize("bad", [5, 6, -1, 2**62, -(2**63)])
def test_block_numbers_out_of_range_raise(function: str, bad: int) -> None:
    arguments = {**ARGUMENTS[function], "indices": np.array([0, bad])}
    with pytest.raises(ValueError, match="indices") as error:
        compiled(function)(**arguments)
    assert str(error.value) == f"`indices` must lie in [0, 5), got {bad}"


@pytest.mark.parametrize("function", ARGUMENTS)
def test_wrong_threads_raise(function: str) -> None:
    if function in {"MaskedProducts", "set_active"}:
        return
    for bad in (-1, 1.5, "2", None, 2**70):
        with pytest.raises(TypeError):
            compiled(function)(**{**ARGUMENTS[function], "threads": bad})
    for good in (0, 1, 1000):  # 0 and 1 are the same, and no more are started than there is work
        compiled(function)(**{**ARGUMENTS[function], "threads": good})


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("loss", 6),
        ("method", -1),
        ("method", 9),
        ("loss", -1),
        ("loss", "squared"),
        ("loss", 0.5),
        ("beta", "1"),
        ("beta", None),
        ("tol", None),
        ("max_iter", -1),
        ("max_iter", 1.5),
        ("max_iter", 2**70),
        ("time_limit", "1"),
    ],
)
def test_wrong_options_of_the_solver_raise(name: str, bad: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        solve(**{name: bad})


def test_the_hinge_with_an_offset_raises() -> None:
    with pytest.raises(ValueError, match="`output_offset` must be false for the hinge loss"):
        solve(loss=5, output_offset=True)


@pytest.mark.parametrize("name", ["X", "y", "sample_weight", "pattern_weight", "values"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308, 0.0, -1.0])
def test_meaningless_numbers_end_somehow(name: str, bad: float) -> None:
    # Nothing is said of the answer: only that there is one, soon.
    for where in (0, slice(None)):
        arguments = ARGUMENTS["solve_group_lasso"]
        array = arguments[name].copy(order="F" if name == "X" else "C")
        array[where] = bad
        result = _core.solve_group_lasso(**{**arguments, name: array})
        assert result.status in {0, 1, 2, 3, 4}
        assert result.dual.shape == (70,)


@pytest.mark.parametrize("name", ["beta", "tol", "time_limit"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, 0.0, 1e-320])
def test_meaningless_options_end_somehow(name: str, bad: float) -> None:
    assert _core.solve_group_lasso(**{**ARGUMENTS["solve_group_lasso"], name: bad}).status in range(
        5
    )


def test_repeated_block_numbers_do_no_harm() -> None:
    listed, values = np.array([1, 1, 1, 1, 1, 1, 1]), np.ones((7, 3))
    arguments = {**ARGUMENTS["solve_group_lasso"], "indices": listed, "values": values}
    result = _core.solve_group_lasso(**arguments)
    assert np.all(np.diff(result.indices) > 0)


def test_bits_beyond_the_last_row_do_no_harm() -> None:
    # 70 rows: the second word has 6 bits of meaning.
    dirty = WORDS | np.array([0, (2**64 - 1) ^ (2**6 - 1)], dtype=np.uint64)
    clean, same = (_core.MaskedProducts(X, words) for words in (WORDS, dirty))
    np.testing.assert_array_equal(same.adjoint(V), clean.adjoint(V))
    np.testing.assert_array_equal(same.adjoint_listed(V, LISTED), clean.adjoint_listed(V, LISTED))
    for products in (clean, same):
        products.set_active(LISTED)
    np.testing.assert_array_equal(same.active_forward(BLOCKS), clean.active_forward(BLOCKS))


@pytest.mark.parametrize("function", ARGUMENTS)
def test_arguments_are_not_changed(function: str) -> None:
    arguments = {
        name: value.copy(order="F" if name == "X" else "C")
        if isinstance(value, np.ndarray)
        else value
        for name, value in ARGUMENTS[function].items()
    }
    compiled(function)(**arguments)
    for value in arguments.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    compiled(function)(**arguments)  # read-only arrays will do
    for name, value in arguments.items():
        np.testing.assert_array_equal(value, ARGUMENTS[function][name])


@pytest.mark.parametrize("function", ARGUMENTS)
def test_options_go_by_keyword(function: str) -> None:
    positional = {"solve_group_lasso": 6}.get(function, len(ARGUMENTS[function]))
    values = list(ARGUMENTS[function].values())[:positional]
    with pytest.raises(TypeError):
        compiled(function)(*values, 1)
    with pytest.raises(TypeError):
        compiled(function)(*values[:-1])
