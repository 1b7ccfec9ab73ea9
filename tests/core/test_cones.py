"""Projections onto the cones of patterns against SciPy's NNLS and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import nnls

from pyconvexnn import _core
from pyconvexnn._typing import BitArray

Real = NDArray[np.float64]
EXACT, BELOW = 0, 1
KINDS = ["gaussian", "integers", "parallel", "one-hot", "rank-deficient", "opposite", "zero rows"]


def data(kind: str, n: int, d: int, rng: np.random.Generator) -> Real:
    X = rng.standard_normal((n, d))
    if kind == "integers":
        X = rng.integers(-2, 3, (n, d)).astype(float)
    elif kind == "parallel":
        X = X[rng.integers(0, max(1, n // 3), n)] * rng.choice([1.0, -1.0, 2.0, 0.3], (n, 1))
    elif kind == "one-hot":
        X = np.eye(d)[rng.integers(0, d, n)]
    elif kind == "rank-deficient":
        rank = max(1, d // 2)
        X = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d))
    elif kind == "opposite":
        X[n // 2 :] = -X[: n - n // 2]
    elif kind == "zero rows":
        X[::2] = 0.0
    return np.asfortranarray(X)


def signs(packed: BitArray, n: int) -> Real:
    bits = np.unpackbits(packed.view(np.uint8), axis=1, bitorder="little")[:, :n]
    return 2.0 * bits.astype(np.float64) - 1.0


def problem(kind: str, n: int, d: int, seed: int) -> tuple[Real, BitArray, Real]:
    """Two cones of gates and one of random signs, which may hold nothing but 0; X, packed, G."""
    rng = np.random.default_rng(seed)
    X = data(kind, n, d, rng)
    gates = rng.standard_normal((3, d))
    packed = _core.sign_patterns(X, gates)
    packed[2] &= rng.integers(0, 2**63, packed.shape[1], dtype=np.uint64)
    G = rng.standard_normal((3, d))
    if kind == "integers":
        G = rng.integers(-3, 4, (3, d)).astype(float)
    G[1] = gates[1] + 0.1 * G[1]
    return X, packed, G


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [1, 3, 20, 64, 150, 400])
def test_projections_agree_with_nnls(kind: str, n: int) -> None:
    compared = 0
    for d in [1, 2, 3, 5, 8, 13, 21, 30]:
        X, packed, G = problem(kind, n, d, 31 * n + d)
        cones = _core.ConeProjections(X, packed)
        blocks = np.array([3, 0, 5, 1, 4, 2])
        U, bound, violation, counts = cones.project(blocks, G)
        assert np.all(counts[:, 0] == EXACT)
        lengths = np.linalg.norm(X, axis=1)
        lengths[lengths == 0.0] = 1.0
        S = signs(packed, n)
        for t, block in enumerate(blocks):
            g = G[block // 2] * (1 - 2 * (block % 2))
            A = S[block // 2][:, None] * X
            u, size = U[t], float(np.linalg.norm(g))
            norm = float(np.linalg.norm(u))

            # Feasible, and as long as its bound: so the projection, whatever NNLS says.
            worst = max(0.0, -float(np.min(A @ u / lengths)))
            assert worst <= 2e-14 * norm
            assert violation[t] <= 1e-14 * norm
            assert norm * (1 - 1e-15) <= bound[t] <= norm + 2e-11 * size
            assert abs(g @ u - norm**2) <= 1e-13 * size**2
            rows, mu = cones.active(int(block))
            assert len(rows) <= min(n, d)
            assert np.all(mu >= 0)
            np.testing.assert_allclose(g + A[rows].T @ mu, u, rtol=0, atol=2e-11 * size)

            # SciPy's NNLS now and then stops early on rank-deficient data: skip what it leaves.
            try:
                a = nnls(A.T, -g, maxiter=100 * n + 1000)[0]
            except RuntimeError:
                continue
            reference = g + A.T @ a
            if np.min(A @ reference / lengths) >= -1e-12 * size:
                np.testing.assert_allclose(u, reference, rtol=0, atol=1e-10 * size)
                compared += 1
    assert compared >= 40


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "d"), [(7, 12), (60, 9), (500, 20)])
def test_a_warm_start_changes_nothing(kind: str, n: int, d: int) -> None:
    X, packed, G = problem(kind, n, d, 7)
    rng = np.random.default_rng(8)
    cones, blocks = _core.ConeProjections(X, packed), np.arange(6)
    for move in [0.0, 1e-6, 0.1, 1.0, 100.0, 0.0]:
        G += move * rng.standard_normal(G.shape)
        warm = cones.project(blocks, G)
        cold = _core.ConeProjections(X, packed).project(blocks, G)
        scale = np.repeat(np.linalg.norm(G, axis=1), 2)
        assert np.all(np.abs(warm[0] - cold[0]) <= 1e-12 * scale[:, None])
        assert np.all(np.abs(warm[1] - cold[1]) <= 2e-11 * scale)
        assert np.all(warm[3][:, 0] == EXACT)
        if move == 0.0 and kind == "gaussian":
            assert np.all(cones.project(blocks, G)[3][:, 2] == 0)  # no steps
    cones.forget()
    assert cones.project(blocks, G)[0].tobytes() == cold[0].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_below_the_threshold_stop_early(kind: str) -> None:
    X, packed, G = problem(kind, 300, 12, 3)
    blocks = np.arange(6)
    U, bound, _, counts = _core.ConeProjections(X, packed).project(blocks, G)
    for factor in [0.0, 0.3, 0.99, 1.01, 3.0]:
        threshold = factor * float(bound[0])
        cones = _core.ConeProjections(X, packed)
        early = cones.project(blocks, G, threshold=threshold)
        stopped = early[3][:, 0] == BELOW
        np.testing.assert_array_equal(stopped | (bound > threshold), True)
        assert np.all(early[1][stopped] <= threshold)
        assert np.all(early[1] >= np.linalg.norm(U, axis=1) * (1 - 1e-14))
        assert np.all(early[3][:, 2] <= counts[:, 2])
        assert early[0][~stopped].tobytes() == U[~stopped].tobytes()
        # What an early end leaves is a start like any other.
        again = cones.project(blocks, G)[0]
        scale = np.repeat(np.linalg.norm(G, axis=1), 2)
        assert np.all(np.abs(again - U) <= 1e-12 * scale[:, None])


@pytest.mark.parametrize("kind", ["gaussian", "integers", "parallel", "rank-deficient"])
@pytest.mark.parametrize("threshold", [-1.0, 0.7])
def test_the_bound_holds_in_exact_arithmetic(kind: str, threshold: float) -> None:
    X, packed, G = problem(kind, 40, 6, 5)
    cones = _core.ConeProjections(X, packed)
    bound = cones.project(np.arange(6), G, threshold=threshold)[1]
    S = signs(packed, 40)
    for block in range(6):
        rows, mu = cones.active(block)
        u = [Fraction(float(x)) * (1 - 2 * (block % 2)) for x in G[block // 2]]
        for k, m in zip(rows, mu, strict=True):
            for j in range(6):
                u[j] += int(S[block // 2, k]) * Fraction(float(m)) * Fraction(float(X[k, j]))
        assert sum(x * x for x in u) <= Fraction(float(bound[block])) ** 2


def test_scales_do_not_matter() -> None:
    X, packed, G = problem("gaussian", 100, 7, 2)
    blocks = np.arange(6)
    U = _core.ConeProjections(X, packed).project(blocks, G)[0]
    rows = np.exp2(np.random.default_rng(0).integers(-300, 300, (100, 1)))
    scaled = np.asfortranarray(X * rows)
    V = _core.ConeProjections(scaled, packed).project(blocks, 2.0**400 * G)[0]
    np.testing.assert_array_equal(V, 2.0**400 * U)


def test_answers_in_closed_form() -> None:
    # One row: g, or g less its part along x. X = I: the orthant of the signs.
    x, g = np.array([[3.0, 4.0]]), np.array([[1.0, 1.0]])
    one = _core.ConeProjections(np.asfortranarray(x), np.array([[1]], np.uint64))
    U = one.project(np.array([0, 1]), g)[0]
    np.testing.assert_allclose(U, np.array([[1.0, 1.0], [-0.16, 0.12]]), atol=1e-15)

    G = np.array([[1.0, -2.0, 3.0, 0.0]])
    orthant = _core.ConeProjections(np.asfortranarray(np.eye(4)), np.array([[0b0110]], np.uint64))
    U = orthant.project(np.array([0, 1]), G)[0]
    np.testing.assert_array_equal(U, [[0, 0, 3, 0], [-1, 2, 0, 0]])

    # x >= 0 and -x >= 0 leave 0 on a line; g = 0 is its own projection.
    line = np.asfortranarray([[1.0], [-2.0]])
    packed = np.array([[0b11]], np.uint64)
    U, bound, _, _ = _core.ConeProjections(line, packed).project(np.array([0]), np.ones((1, 1)))
    assert U.tolist() == [[0.0]]
    assert bound[0] <= 1e-14
    U, bound, _, _ = orthant.project(np.array([0]), np.zeros((1, 4)))
    assert U.tolist() == [[0.0] * 4]
    assert bound.tolist() == [0.0]


def test_answers_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((200, 8)))
    packed = _core.sign_patterns(X, rng.standard_normal((150, 8)))
    G = rng.standard_normal((150, 8))
    blocks = rng.permutation(300)
    runs = [_core.ConeProjections(X, packed, threads=t).project(blocks, G) for t in (1, 2, 3)]
    for run in runs[1:]:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(run, runs[0], strict=True))


def test_wrong_shapes() -> None:
    X, packed, G = problem("gaussian", 100, 7, 2)
    with pytest.raises(ValueError, match=r"`packed` must have 2 words a pattern"):
        _core.ConeProjections(X, packed[:, :1].copy())
    cones = _core.ConeProjections(X, packed)
    with pytest.raises(ValueError, match=r"`indices` must lie in \[0, 6\), got 6"):
        cones.project(np.array([6]), G)
    with pytest.raises(ValueError, match="`G` must have one column for each column of X"):
        cones.project(np.array([0]), G[:, :3].copy())
    with pytest.raises(ValueError, match="`G` must have one row for each pattern"):
        cones.project(np.array([0]), G[:2].copy())
    with pytest.raises(ValueError, match=r"`block` must lie in \[0, 6\)"):
        cones.active(6)


def lasso(A: Real, b: Real, **options: int) -> _core.NonnegativeLasso:
    """G = A'A; `b` in place of A'y."""
    problem = _core.NonnegativeLasso(**options)
    extend(problem, A, b)
    return problem


def extend(problem: _core.NonnegativeLasso, A: Real, b: Real) -> None:
    for k in range(problem.atoms, A.shape[1]):
        problem.add(np.ascontiguousarray(A[:, : k + 1].T @ A[:, k]), float(b[k]))


def assert_optimal(A: Real, b: Real, beta: float, c: Real, tolerance: float = 1e-12) -> None:
    slope = b - A.T @ (A @ c) - beta
    scale = np.abs(b) + beta + np.linalg.norm(A, axis=0) * np.linalg.norm(A @ c)
    assert np.all(c >= 0)
    assert np.all(slope <= tolerance * scale)
    assert np.all(np.abs(slope[c > 0]) <= tolerance * scale[c > 0])


@pytest.mark.parametrize("seed", range(40))
def test_lasso_agrees_with_every_support(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 11))
    A, y = rng.standard_normal((12, m)), rng.standard_normal(12)
    b, beta = A.T @ y, float(rng.choice([0.0, 0.1, 1.0]))
    best = 0.0
    for support in range(1, 2**m):
        S = [k for k in range(m) if support >> k & 1]
        c = np.linalg.solve(A[:, S].T @ A[:, S], b[S] - beta)
        if np.all(c >= 0):
            best = min(best, float(-c @ (b[S] - beta) / 2))
    c, objective, excess, outcome, _ = lasso(A, b, capacity=2).solve(beta)
    assert outcome == 0
    assert excess <= 1e-12
    assert objective == pytest.approx(best, rel=1e-11, abs=1e-13)
    assert float(np.sum((A @ c) ** 2) / 2 - b @ c + beta * np.sum(c)) == pytest.approx(
        objective, rel=1e-12, abs=1e-13
    )
    assert_optimal(A, b, beta, c)


@pytest.mark.parametrize("shape", [(60, 40), (40, 200), (200, 500)])
def test_lasso_agrees_with_nnls(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    A, y = np.maximum(rng.standard_normal(shape), 0), rng.standard_normal(shape[0])
    # beta 1'c is a linear term: y is moved so that A'y - beta stays what it is.
    problem = lasso(A, A.T @ y)
    c, objective, _, outcome, _ = problem.solve(0.0)
    assert outcome == 0
    assert objective + y @ y / 2 == pytest.approx(nnls(A, y)[1] ** 2 / 2, rel=1e-10)
    assert_optimal(A, A.T @ y, 0.0, c)
    for most_entering in (1, 5, 1000):
        other = lasso(A, A.T @ y).solve(0.0, most_entering=most_entering)
        assert other[3] == 0
        assert other[1] == pytest.approx(objective, rel=1e-11)


def test_lasso_is_warm_started_as_atoms_come_and_go() -> None:
    rng = np.random.default_rng(2)
    A, y = rng.standard_normal((150, 400)), rng.standard_normal(150)
    b = A.T @ y
    problem = _core.NonnegativeLasso()
    kept = np.arange(0)
    for last in (1, 3, 40, 41, 250, 400):
        kept = np.append(kept, np.arange(kept[-1] + 1 if kept.size else 0, last))
        extend(problem, A[:, kept], b[kept])
        for beta in (3.0, 0.5, 0.5):
            c, objective, _, outcome, rounds = problem.solve(beta)
            assert outcome == 0
            assert_optimal(A[:, kept], b[kept], beta, c)
            cold = lasso(A[:, kept], b[kept]).solve(beta)
            assert objective == pytest.approx(cold[1], rel=1e-12, abs=1e-14)
        assert rounds <= 1  # the same again
        stay = np.flatnonzero((c > 0) | (rng.random(len(c)) < 0.5))
        problem.prune(stay)
        kept = kept[stay]
        assert problem.atoms == len(kept)
        again = problem.solve(0.5)
        assert again[1] == pytest.approx(objective, rel=1e-13)
        np.testing.assert_allclose(again[0], c[stay], rtol=0, atol=1e-13)
    y = rng.standard_normal(150)
    problem.set_linear(A[:, kept].T @ y)
    assert_optimal(A[:, kept], A[:, kept].T @ y, 0.2, problem.solve(0.2)[0])


@pytest.mark.parametrize("distance", [0.0, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("seed", range(5))
def test_lasso_with_nearly_equal_atoms(distance: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = np.maximum(rng.standard_normal((100, 30)), 0)
    A = np.repeat(base, 6, axis=1)
    A += distance * rng.standard_normal(A.shape)
    y = base @ np.maximum(rng.standard_normal(30), 0) + 0.1 * rng.standard_normal(100)
    # G carries rounding of its own, 1e-16: what the conditions of optimality can be asked for.
    problem = _core.NonnegativeLasso()
    b = A.T @ y
    for first in (10, 90, 180):
        extend(problem, A[:, :first], b)
        c, objective, excess, outcome, _ = problem.solve(0.3)
        assert outcome == 0
        assert excess <= 1e-12
        assert_optimal(A[:, :first], b[:first], 0.3, c)
    f = base @ (np.add.reduceat(c, np.arange(0, 180, 6)))
    reference = lasso(base, base.T @ y).solve(0.3)[1]
    assert objective == pytest.approx(reference, rel=1e-10 + 1e2 * distance)
    assert np.linalg.norm(f - A @ c) <= 1e3 * distance + 1e-12


def test_lasso_with_more_atoms_than_rank() -> None:
    rng = np.random.default_rng(3)
    for integers in (False, True):
        A = rng.standard_normal((20, 300))
        if integers:
            A = rng.integers(-1, 2, (20, 300)).astype(float)
            A[0] = 1.0
        y = rng.standard_normal(20)
        for beta in (0.0, 1e-6, 0.1, 1.0, 1e3):
            c, objective, _, outcome, _ = lasso(A, A.T @ y).solve(beta)
            assert outcome == 0
            assert_optimal(A, A.T @ y, beta, c)
            assert objective <= 0.0
    assert np.all(c == 0)


def test_lasso_says_what_is_wrong() -> None:
    problem = _core.NonnegativeLasso()
    assert problem.solve(1.0)[0].shape == (0,)
    problem.add(np.array([2.0]), 5.0)
    c, objective, *_ = problem.solve(1.0)
    assert c.tolist() == pytest.approx([2.0])
    assert objective == pytest.approx(-4.0)
    with pytest.raises(ValueError, match="`column` must have 2 entries"):
        problem.add(np.array([1.0]), 0.0)
    with pytest.raises(ValueError, match="`column` must end with a number > 0"):
        problem.add(np.array([1.0, 0.0]), 0.0)
    with pytest.raises(ValueError, match="`keep` must hold the support"):
        problem.prune(np.array([], np.int64))
    with pytest.raises(ValueError, match="`b` must have 1 entries"):
        problem.set_linear(np.array([1.0, 2.0]))
