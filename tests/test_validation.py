"""Checks of arguments: what is taken, what is refused, and the very words of each refusal."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pyconvexnn import _validation as check
from pyconvexnn._typing import FloatArray

NAN, INF = float("nan"), float("inf")


@contextlib.contextmanager
def refuses(kind: type[Exception], message: str) -> Iterator[None]:
    with pytest.raises(kind) as error:
        yield
    assert type(error.value) is kind
    assert str(error.value) == message


# --- arrays -------------------------------------------------------------------------------------

MATRIX = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def kinds_of(array: FloatArray) -> dict[str, Any]:
    """The same numbers (small integers) in many forms."""
    twice = np.repeat(np.repeat(array, 2, axis=0), 3, axis=-1) if array.ndim == 2 else None
    kinds: dict[str, Any] = {
        "list": array.tolist(),
        "tuple": tuple(array.tolist()),
        "fortran": np.asfortranarray(array),
        "big endian": array.astype(">f8"),
        "reversed twice": array[::-1].copy()[::-1],
    }
    for dtype in ("f2", "f4", "f8", "longdouble", "i1", "i8", "u1", "u8"):
        kinds[dtype] = array.astype(dtype)
    read_only = array.copy()
    read_only.flags.writeable = False
    kinds["read only"] = read_only
    if twice is not None:
        kinds["strided"] = twice[::2, ::3]
        kinds["matrix subclass"] = array.view(Doubler)
    return kinds


class Doubler(np.ndarray[Any, np.dtype[np.float64]]):
    """A subclass whose arithmetic would betray itself."""

    def __array_finalize__(self, obj: object) -> None:
        self.doubled = True

    def __add__(self, other: object) -> Any:
        raise AssertionError("arithmetic of the subclass was used")


@pytest.mark.parametrize("kind", kinds_of(MATRIX))
def test_as_matrix_takes_every_kind(kind: str) -> None:
    given = kinds_of(MATRIX)[kind]
    X = check.as_matrix(given)
    assert type(X) is np.ndarray
    assert X.dtype == np.dtype("=f8")
    assert X.flags.f_contiguous
    assert not X.flags.writeable
    np.testing.assert_array_equal(X, MATRIX)


@pytest.mark.parametrize("kind", kinds_of(MATRIX[0]))
def test_as_vector_takes_every_kind(kind: str) -> None:
    y = check.as_vector(kinds_of(MATRIX[0])[kind])
    assert type(y) is np.ndarray
    assert y.dtype == np.dtype("=f8")
    assert y.flags.c_contiguous
    assert not y.flags.writeable
    np.testing.assert_array_equal(y, MATRIX[0])


@pytest.mark.parametrize("order", ["C", "F"])
def test_writeable_arrays_are_copied_and_left_alone(order: Any) -> None:
    X, y = np.array(MATRIX, order=order), MATRIX[0].copy()
    frozen, vector = check.as_matrix(X), check.as_vector(y)
    assert X.flags.writeable
    assert y.flags.writeable
    X[0, 0] = y[0] = 99.0
    assert frozen[0, 0] == 1.0
    assert vector[0] == 1.0


def test_a_read_only_view_of_a_writeable_array_is_copied() -> None:
    X = np.asfortranarray(MATRIX)
    view = X.view()
    view.flags.writeable = False
    frozen = check.as_matrix(view)
    X[0, 0] = 99.0
    assert frozen[0, 0] == 1.0


def test_what_was_frozen_is_not_copied_again() -> None:
    X, y = check.as_matrix(MATRIX), check.as_vector(MATRIX[0])
    assert np.shares_memory(check.as_matrix(X), X)
    assert np.shares_memory(check.as_vector(y), y)


def test_as_vector_takes_a_column() -> None:
    np.testing.assert_array_equal(check.as_vector([[1], [2]]), [1.0, 2.0])
    np.testing.assert_array_equal(check.as_vector([[7]]), [7.0])


def test_booleans_are_numbers() -> None:
    np.testing.assert_array_equal(check.as_matrix([[True, False]]), [[1.0, 0.0]])


def test_all_zero_arrays_are_taken() -> None:
    assert not check.as_matrix(np.zeros((2, 2))).any()
    assert not check.as_vector(np.zeros(2)).any()


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ([1.0, 2.0], ValueError, "`A` must have 2 dimensions, got shape (2,)"),
        (3.0, ValueError, "`A` must have 2 dimensions, got shape ()"),
        (np.ones((2, 3, 1)), ValueError, "`A` must have 2 dimensions, got shape (2, 3, 1)"),
        ([], ValueError, "`A` must have 2 dimensions, got shape (0,)"),
        (np.ones((0, 3)), ValueError, "`A` must have at least one row and one column, got (0, 3)"),
        (np.ones((2, 0)), ValueError, "`A` must have at least one row and one column, got (2, 0)"),
        (np.ones((2, 2)), ValueError, "`A` must have 3 columns, got shape (2, 2)"),
        ([[1.0, NAN, 2.0]], ValueError, "`A` must be finite, got NaN"),
        ([[1.0, INF, 2.0]], ValueError, "`A` must be finite, got infinity"),
        ([[1.0, -INF, 2.0]], ValueError, "`A` must be finite, got infinity"),
        ([[INF, NAN, 2.0]], ValueError, "`A` must be finite, got NaN"),
        (np.array([[1.0, 2.0, 3j]]), TypeError, "`A` must hold real numbers, got dtype complex128"),
        (
            np.array([[1, 2, 3]], dtype=object),
            TypeError,
            "`A` must hold real numbers, got dtype object",
        ),
        ([["a", "b", "c"]], TypeError, "`A` must hold real numbers, got dtype <U1"),
        (None, TypeError, "`A` must hold real numbers, got dtype object"),
        ([[None, 1.0, 2.0]], TypeError, "`A` must hold real numbers, got dtype object"),
        (
            np.array([["2020-01-01"] * 3], dtype="M8[D]"),
            TypeError,
            "`A` must hold real numbers, got dtype datetime64[D]",
        ),
        (
            np.ma.masked_array(MATRIX, MATRIX > 2),
            TypeError,
            "`A` must be an array without a mask, got a masked array",
        ),
        (
            scipy.sparse.csr_matrix(MATRIX),
            TypeError,
            "`A` must be a dense array, got a sparse csr_matrix",
        ),
        (
            scipy.sparse.coo_array(MATRIX),
            TypeError,
            "`A` must be a dense array, got a sparse coo_array",
        ),
        (
            [[1e61, 1.0, 1.0]],
            ValueError,
            "`A` must have its largest entry between 1e-60 and 1e+60 in size (rescale it), "
            "got 1e+61",
        ),
        (
            [[1e-61, -2e-61, 0.0]],
            ValueError,
            "`A` must have its largest entry between 1e-60 and 1e+60 in size (rescale it), "
            "got 2e-61",
        ),
    ],
)
def test_as_matrix_refuses(value: Any, kind: type[Exception], message: str) -> None:
    with refuses(kind, message):
        check.as_matrix(value, "A", columns=3)


def test_ragged_lists_are_refused_by_name() -> None:
    for convert in (check.as_matrix, check.as_vector):
        with pytest.raises(ValueError, match=r"^`A` must be a rectangular array of numbers: "):
            convert([[1.0, 2.0], [3.0]], "A")


def test_a_long_double_beyond_float64_is_infinite() -> None:
    huge = np.longdouble(10) ** 400
    if not np.isfinite(huge):
        pytest.skip("long double is float64 here")
    with refuses(ValueError, "`y` must be finite, got infinity"):
        check.as_vector(np.array([huge]))


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ([1.0, 2.0], ValueError, "`b` must have 3 entries, got 2"),
        ([], ValueError, "`b` must have 3 entries, got 0"),
        (1.0, ValueError, "`b` must have 1 dimension, got shape ()"),
        (MATRIX, ValueError, "`b` must have 1 dimension, got shape (2, 3)"),
        ([[1.0, 2.0, 3.0]], ValueError, "`b` must have 1 dimension, got shape (1, 3)"),
        ([1.0, NAN, 0.0], ValueError, "`b` must be finite, got NaN"),
        ([1.0, INF, 0.0], ValueError, "`b` must be finite, got infinity"),
        ([1j, 0j, 0j], TypeError, "`b` must hold real numbers, got dtype complex128"),
        (["1", "2", "3"], TypeError, "`b` must hold real numbers, got dtype <U1"),
        (b"abc", TypeError, "`b` must hold real numbers, got dtype |S3"),
        (
            [1e-70, 0.0, 0.0],
            ValueError,
            "`b` must have its largest entry between 1e-60 and 1e+60 in size (rescale it), "
            "got 1e-70",
        ),
    ],
)
def test_as_vector_refuses(value: Any, kind: type[Exception], message: str) -> None:
    with refuses(kind, message):
        check.as_vector(value, "b", length=3)


def test_as_vector_may_be_told_to_take_tiny_ones() -> None:
    np.testing.assert_array_equal(check.as_vector([1e-300], smallest=0.0), [1e-300])
    with pytest.raises(ValueError, match="between 0 and"):
        check.as_vector([1e61], smallest=0.0)


@given(hnp.arrays(np.float64, hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats()))
@settings(deadline=None)
def test_as_matrix_either_takes_the_numbers_or_names_the_matrix(array: FloatArray) -> None:
    largest = np.max(np.abs(array))
    if largest == 0 or 1e-60 <= largest <= 1e60:
        np.testing.assert_array_equal(check.as_matrix(array), array)
    else:
        with pytest.raises(ValueError, match=r"^`X` must "):
            check.as_matrix(array)


@pytest.mark.parametrize("dtype", [bool, int, float, np.float32, np.uint8])
def test_as_bool_matrix(dtype: Any) -> None:
    bits = check.as_bool_matrix(np.array([[0, 1], [1, 1]]).astype(dtype), "D")
    assert bits.dtype == np.bool_
    assert bits.flags.c_contiguous
    np.testing.assert_array_equal(bits, [[False, True], [True, True]])


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        ([True, False], ValueError, "`D` must have 2 dimensions, got shape (2,)"),
        ([[0, 2]], ValueError, "`D` must hold only 0 and 1 (or False and True), got 2"),
        ([[0.5, 1.0]], ValueError, "`D` must hold only 0 and 1 (or False and True), got 0.5"),
        ([[NAN, 1.0]], ValueError, "`D` must hold only 0 and 1 (or False and True), got nan"),
        ([["0", "1"]], TypeError, "`D` must hold real numbers, got dtype <U1"),
    ],
)
def test_as_bool_matrix_refuses(value: Any, kind: type[Exception], message: str) -> None:
    with refuses(kind, message):
        check.as_bool_matrix(value, "D")


# --- numbers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [2, 2.0, np.float32(2), np.int8(2), np.array(2.0), Fraction(2), np.array(2)]
)
def test_real_numbers(value: Any) -> None:
    for function in (check.real, check.positive, check.nonnegative):
        number = function(value, "a")
        assert type(number) is float
        assert number == 2.0


@pytest.mark.parametrize("function", [check.real, check.positive, check.nonnegative])
@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (NAN, ValueError, "`a` must be finite, got nan"),
        (INF, ValueError, "`a` must be finite, got inf"),
        (-INF, ValueError, "`a` must be finite, got -inf"),
        (10**400, ValueError, "`a` must be finite, got 1000000000"),
        (True, TypeError, "`a` must be a real number, got True"),
        (np.False_, TypeError, "`a` must be a real number, got np.False_"),
        ("1", TypeError, "`a` must be a real number, got '1'"),
        (None, TypeError, "`a` must be a real number, got None"),
        (1j, TypeError, "`a` must be a real number, got 1j"),
        (Decimal(1), TypeError, "`a` must be a real number, got Decimal('1')"),
        (
            np.ones(1),
            TypeError,
            "`a` must be a real number, got an array of shape (1,) and dtype float64",
        ),
    ],
)
def test_numbers_refused(
    function: Callable[[Any, str], float], value: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        function(value, "a")
    assert str(error.value).startswith(message)
    assert len(str(error.value)) < 200


def test_signs() -> None:
    assert check.real(-2, "a") == -2.0
    assert check.nonnegative(0, "a") == 0.0
    assert check.positive(5e-324, "a") == 5e-324
    with refuses(ValueError, "`a` must be > 0, got 0.0"):
        check.positive(0, "a")
    with refuses(ValueError, "`a` must be > 0, got -1.0"):
        check.positive(np.float32(-1), "a")
    with refuses(ValueError, "`a` must be >= 0, got -1e-300"):
        check.nonnegative(-1e-300, "a")


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_integers(value: Any) -> None:
    number = check.positive_int(value, "k")
    assert type(number) is int
    assert number == 3


def test_integers_refused() -> None:
    assert check.positive_int(10**30, "k") == 10**30
    assert check.positive_int(0, "k", minimum=0) == 0
    with refuses(ValueError, "`k` must be >= 1, got 0"):
        check.positive_int(0, "k")
    with refuses(ValueError, "`k` must be >= 0, got -1"):
        check.positive_int(-1, "k", minimum=0)
    for value, text in ((2.0, "2.0"), (True, "True"), ("2", "'2'"), (None, "None")):
        with refuses(TypeError, f"`k` must be an integer, got {text}"):
            check.positive_int(value, "k")


# --- names, threads, seeds ----------------------------------------------------------------------


def test_choice() -> None:
    assert check.choice("b", "name", ("a", "b")) == "b"
    assert check.choice("b", "name", iter(["a", "b"]), later=iter(["c"])) == "b"
    with refuses(NotImplementedError, "`name` = 'c' is not available yet; available: a, b"):
        check.choice("c", "name", ("a", "b"), later=("c",))
    with refuses(ValueError, "`name` must be one of a, b; got 'd'"):
        check.choice("d", "name", ("a", "b"), later=("c",))
    with refuses(ValueError, "`name` must be None; got 'd'"):
        check.choice("d", "name", (), later=("c",))
    with refuses(ValueError, "`name` must be one of a; got ['a']"):
        check.choice(["a"], "name", ("a",))


def test_threads() -> None:
    assert check.resolve_threads(None) == 1
    assert check.resolve_threads(np.int64(3)) == 3
    assert check.resolve_threads(-1) == check.available_cores() >= 1
    assert check.resolve_threads(10**30) == check.MAX_THREADS
    for count in (0, -2):
        with refuses(ValueError, f"`threads` must be >= 1, or -1 for all cores, got {count}"):
            check.resolve_threads(count)
    for value in (True, 1.0, "1"):
        with refuses(TypeError, f"`threads` must be an integer or None, got {value!r}"):
            check.resolve_threads(value)


def test_generators() -> None:
    rng = np.random.default_rng(0)
    assert check.as_generator(rng) is rng
    assert check.as_generator(7).random() == np.random.default_rng(7).random()
    assert check.as_generator(np.uint8(7)).random() == np.random.default_rng(7).random()
    assert check.as_generator(None).random() != check.as_generator(None).random()
    with refuses(ValueError, "`seed` must be >= 0, got -1"):
        check.as_generator(-1)
    with refuses(TypeError, "`seed` must be an integer, got 0.5"):
        check.as_generator(0.5)


def test_long_values_are_cut_in_messages() -> None:
    assert check.describe("a" * 100) == "'" + "a" * 76 + "..."
    assert check.describe([1, 2]) == "[1, 2]"
    assert check.describe(np.ones((2, 3))) == "an array of shape (2, 3) and dtype float64"


# --- what a table of wrong calls (tests/wrong_calls) has found ----------------------------------


class Unshown:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_what_looks_like_a_number_and_is_none() -> None:
    second = np.timedelta64(1, "s")  # which NumPy registers as an integer
    with refuses(TypeError, "`a` must be a real number, got np.timedelta64(1,'s')"):
        check.real(second, "a")
    with refuses(TypeError, "`k` must be an integer, got np.timedelta64(1,'s')"):
        check.positive_int(second, "k")
    with refuses(TypeError, "`threads` must be an integer or None, got np.timedelta64(1,'s')"):
        check.resolve_threads(second)
    with pytest.raises(TypeError, match=r"^`a` must be a real number, got "):
        check.real(np.ma.masked, "a")  # a 0-dimensional array of 0.0


@pytest.mark.parametrize(
    "value", [Unshown(), -(10**5000), list(range(10**6))], ids=["odd", "negative", "long"]
)
def test_values_that_cannot_be_shown(value: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^`k` must be .*, got ") as error:
        check.positive_int(value, "k")
    assert len(str(error.value)) < 300


def test_arrays_beyond_the_memory() -> None:
    for shape in ((2**50, 3), (2**62, 2**62), (10**30, 1), (10**5000, 1)):
        with pytest.raises(MemoryError, match=r"^`A` must fit in memory as float64, got shape "):
            check.room_for(shape, "A")
    with pytest.raises(MemoryError, match=r"^`A` must fit in memory as float64, got shape \(14, "):
        check.as_matrix(np.broadcast_to(1.0, (14, 2**46)), "A")
    with pytest.raises(MemoryError, match=r"^`D` must fit in memory, got shape "):
        check.as_bool_matrix(np.broadcast_to(np.True_, (2**24, 2**24)), "D")


def test_flags() -> None:
    assert check.flag(np.True_, "a") is True
    with refuses(TypeError, "`a` must be True or False, got 1"):
        check.flag(1, "a")


def test_numbers_of_any_size() -> None:
    numbers = np.array([[1e-300, 1e300]])
    assert check.as_finite(numbers, "A") is numbers
    with refuses(ValueError, "`A` must be finite, got NaN or infinity"):
        check.as_finite(np.array([np.longdouble("1e400")]), "A")


def test_choices_are_plain_strings() -> None:
    assert type(check.choice(np.str_("abs"), "a", ["abs"])) is str


@pytest.mark.parametrize("path", ["a\0b", "\ud800", pathlib.Path("a\0b")], ids=repr)
def test_names_that_no_file_can_have(path: Any) -> None:
    with pytest.raises(ValueError, match=r"^`path` must be a name that files can have, got "):
        check.as_path(path)
