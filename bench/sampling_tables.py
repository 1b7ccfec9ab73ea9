"""The tables of ``sample_patterns``: python -m bench.sampling_tables (a few minutes)."""

from __future__ import annotations

from bench import one_thread  # noqa: F401

# isort: split

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

import pyconvexnn as cx
from pyconvexnn import _core
from pyconvexnn._bits import as_keys
from pyconvexnn._typing import BitArray, FloatArray
from pyconvexnn.sampling.coordinates import coordinates_of
from pyconvexnn.sampling.draws import Sampler
from pyconvexnn.sampling.gaussian import Gaussian
from pyconvexnn.sampling.sweep import Sweep
from pyconvexnn.sampling.uniform import uniform
from pyconvexnn.sampling.vertex import Vertex

Make = Callable[[FloatArray, np.random.Generator], Sampler]
SAMPLERS: dict[str, Make] = {
    "gaussian": lambda X, rng: Gaussian(X, coordinates_of(X, "whitened"), rng),
    "sweep": lambda X, rng: Sweep(X, coordinates_of(X, "whitened"), rng),
    "vertex": Vertex,
    "uniform": uniform,
}
COUNTS = (10, 30, 100, 300, 1000)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def coverage(n: int, d: int, per_cell: tuple[float, ...]) -> None:
    """Share of all cells met after so many draws for each cell there is."""
    X = np.asfortranarray(np.random.default_rng(0).standard_normal((n, d)))
    n_cells = cx.count_patterns(X)
    say(f"\nGaussian data, n = {n}, d = {d}: {n_cells} cells; draws per cell: {per_cell}")
    for name, make in SAMPLERS.items():
        sampler = make(X, np.random.default_rng(1))
        known: BitArray = np.empty((0, -(-n // 64)), np.uint64)
        parts: list[BitArray] = []
        drawn, shares, spent = 0, [], 0.0
        for share in per_cell:
            start = time.process_time()
            while drawn < share * n_cells and (draws := sampler.draw()) is not None:
                parts.append(draws.packed)
                drawn += draws.n_draws
            spent += time.process_time() - start
            known = np.concatenate([known, *parts])
            known = known[np.unique(as_keys(known), return_index=True)[1]]
            parts = []
            shares.append(len(known) / n_cells)
        row = " ".join(f"{share:6.3f}" for share in shares)
        say(f"  {name:10s} {row}   ({1e6 * spent / drawn:.1f} us a draw, without gates)")


def teacher(n: int, d: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Gaussian features with a column of ones, five ReLU neurons, 30 % noise."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.standard_normal((n, d - 1)), np.ones(n)])
    y = np.maximum(X @ rng.standard_normal((d, 5)), 0) @ rng.standard_normal(5)
    return X, y / y.std() + 0.3 * rng.standard_normal(n)


def solved(X: FloatArray, y: FloatArray, ps: cx.PatternSet, beta: float) -> cx.Solution:
    return cx.solve(cx.GatedReLUProblem(X, y, ps, beta), tol=1e-5)


def around_those_in_use(
    X: FloatArray, y: FloatArray, beta: float, count: int, seed: int
) -> cx.PatternSet:
    """Half Gaussian, then as many around the gates that the optimum uses."""
    first = cx.sample_patterns(X, count // 2, seed=seed)
    assert first.gates is not None
    used = first.gates[solved(X, y, first, beta).active]
    more = cx.sample_patterns(X, count, method="local", around=used, seed=seed)
    return (first | more)[: max(count, 1)]


def objectives(n: int, d: int, n_seeds: int) -> None:
    """Gap of the gated program restricted to samples, beta = 0.02 beta_max, in percent."""
    gaps: dict[str, list[list[float]]] = {}
    cells = 0
    for seed in range(n_seeds):
        X, y = teacher(n, d, seed)
        every = cx.enumerate_patterns(X)
        cells = len(every)
        beta = 0.02 * cx.GatedReLUProblem(X, y, every, 1.0).beta_max
        best = solved(X, y, every, beta).objective
        for name in [*SAMPLERS, "gaussian, raw", "half local"]:
            row = []
            for count in COUNTS:
                if name == "half local":
                    ps = around_those_in_use(X, y, beta, count, seed)
                else:
                    method, _, raw = name.partition(", ")
                    ps = cx.sample_patterns(
                        X, count, method=method, coordinates=raw or "whitened", seed=seed
                    )
                row.append(100 * (solved(X, y, ps, beta).objective / best - 1))
            gaps.setdefault(name, []).append(row)
    say(f"\nTeacher data, n = {n}, d = {d}, {cells} cells: gap in %, mean of {n_seeds}")
    say("  patterns           " + " ".join(f"{count:7d}" for count in COUNTS))
    for name, rows in gaps.items():
        say(f"  {name:18s} " + " ".join(f"{gap:7.2f}" for gap in np.mean(rows, axis=0)))


def relu_solved(
    X: FloatArray, y: FloatArray, ps: cx.PatternSet, beta: float
) -> tuple[float, FloatArray, FloatArray]:
    """Optimum of the cone-constrained ReLU program, residuals, and the norm of each pattern."""
    import cvxpy as cp

    D = ps.to_dense().T.astype(float)
    V, W = cp.Variable((X.shape[1], len(ps))), cp.Variable((X.shape[1], len(ps)))
    rest = y - cp.sum(cp.multiply(D, X @ (V - W)), axis=1)
    norms = cp.norm(V, 2, axis=0) + cp.norm(W, 2, axis=0)
    cones = [cp.multiply(2 * D - 1, X @ U) >= 0 for U in (V, W)]
    prob = cp.Problem(cp.Minimize(cp.sum_squares(rest) / 2 + beta * cp.sum(norms)), cones)
    value = prob.solve(solver="CLARABEL")
    return float(value), np.asarray(rest.value), np.asarray(norms.value)


def relu_optimum(X: FloatArray, y: FloatArray, every: cx.PatternSet, beta: float) -> float:
    """Over all cells: patterns are added until the best direction of no cell improves it."""
    ps = cx.sample_patterns(X, 60)
    products = _core.MaskedProducts(np.asfortranarray(X), every.packed)
    while True:
        value, rest, norms = relu_solved(X, y, ps, beta)
        new = []
        for sign in (1.0, -1.0):
            U = products.adjoint(sign * rest)
            U /= np.linalg.norm(U, axis=1, keepdims=True) + 1e-300
            prices = np.concatenate(
                [sign * rest @ np.maximum(X @ part.T, 0) for part in np.array_split(U, 50)]
            )
            best = np.argsort(-prices)[:50]
            new.append(U[best[prices[best] > beta * (1 + 1e-4)]])
        more = np.concatenate(new)
        if not len(more):
            return value
        ps = ps[norms > 1e-6 * norms.max()] | cx.PatternSet.from_gates(X, more)[:60]


def relu_objectives(n: int, d: int, n_seeds: int) -> None:
    """Gap of the ReLU program restricted to samples, beta = 0.02 beta_max, in percent."""
    gaps: dict[str, list[list[float]]] = {}
    counts = COUNTS[:4]
    for seed in range(n_seeds):
        X, y = teacher(n, d, seed)
        every = cx.enumerate_patterns(X)
        beta = 0.02 * cx.GatedReLUProblem(X, y, every, 1.0).beta_max
        best = relu_optimum(X, y, every, beta)
        for name in [*SAMPLERS, "gaussian, raw"]:
            method, _, raw = name.partition(", ")
            options = {"method": method, "coordinates": raw or "whitened", "seed": seed}
            ps = cx.sample_patterns(X, counts[-1], **options)  # type: ignore[arg-type]
            row = [100 * (relu_solved(X, y, ps[:count], beta)[0] / best - 1) for count in counts]
            gaps.setdefault(name, []).append(row)
    say(f"\nTeacher data, n = {n}, d = {d}: gap of the ReLU program in %, mean of {n_seeds}")
    say("  patterns           " + " ".join(f"{count:7d}" for count in counts))
    for name, rows in gaps.items():
        say(f"  {name:18s} " + " ".join(f"{gap:7.2f}" for gap in np.mean(rows, axis=0)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    coverage(50, 3, (0.1, 1, 10))
    coverage(100, 4, (0.1, 1, 10))
    objectives(100, 4, 10)
    objectives(40, 6, 10)
    relu_objectives(100, 4, 10)
