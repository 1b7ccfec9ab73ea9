"""The programs over activation patterns stated in cvxpy, which is imported only when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyconvexnn._bits import nonzero_rows

if TYPE_CHECKING:
    import cvxpy

    from pyconvexnn.problems.gated_relu import GatedReLUProblem
    from pyconvexnn.problems.masked import PatternProblem
    from pyconvexnn.problems.relu import ReLUProblem


def of_gated_relu(prob: GatedReLUProblem) -> cvxpy.Problem:
    """Return what :meth:`GatedReLUProblem.to_cvxpy` does: the variable U (P, d K)."""
    cp = _import_cvxpy()
    masks = prob.patterns.to_dense().T.astype(float)
    d, K = prob.n_features, prob.n_outputs
    U = cp.Variable((len(prob.patterns), d * K), name="U")
    fits = [
        cp.sum(cp.multiply(masks, prob.X @ U[:, k * d : (k + 1) * d].T), axis=1) for k in range(K)
    ]
    f = fits[0] if prob.y.ndim == 1 else cp.vstack(fits).T
    return _program(prob, f, [cp.norm2(U, axis=1)])


def of_relu(prob: ReLUProblem) -> cvxpy.Problem:
    """Return what :meth:`ReLUProblem.to_cvxpy` does: variables V, W (P, d) in their cones."""
    cp = _import_cvxpy()
    masks = prob.patterns.to_dense()
    shape = (len(prob.patterns), prob.n_features)
    V, W = cp.Variable(shape, name="V"), cp.Variable(shape, name="W")
    f = cp.sum(cp.multiply(prob._factors(masks).T, prob.X @ (V - W).T), axis=1)
    counted = nonzero_rows(prob.X)
    rows, signs = prob.X[counted], np.where(masks, 1.0, -1.0).T[counted]
    n_coned = prob.n_coned
    cones = [
        cp.multiply(signs[:, :n_coned], rows @ U[:n_coned].T) >= 0 for U in (V, W) if len(rows)
    ]
    return _program(prob, f, [cp.norm2(V, axis=1), cp.norm2(W, axis=1)], cones)


def _program(
    prob: PatternProblem, f: Any, norms: Sequence[Any], constraints: Sequence[Any] = ()
) -> cvxpy.Problem:
    """Return the program of a fit f without its free part and the norms (P,) of blocks."""
    import cvxpy as cp

    shape = () if prob.y.ndim == 1 else (prob.n_outputs,)
    if prob.output_offset:
        f = f + _over_rows(cp.Variable(shape, name="b"), prob.n_samples)
    if prob.skip == 0.0:
        f = f + prob.X @ cp.Variable((prob.n_features, *shape), name="C")
    weight = prob.sample_weight if prob.loss.joint else prob._entry_weight
    fit = cp.sum(cp.multiply(weight, _losses(prob, f)))
    penalty = sum(cp.sum(cp.multiply(prob.pattern_weight, norm)) for norm in norms)
    squares = sum(cp.sum_squares(norm) for norm in norms) if prob.ridge > 0 else 0.0
    objective = fit + prob.beta * penalty + 0.5 * prob.ridge * squares
    return cp.Problem(cp.Minimize(objective), list(constraints))


def _losses(prob: PatternProblem, f: Any) -> Any:
    """Losses of the fit f, of the shape of y; a joint loss has one for each row."""
    import cvxpy as cp

    y = prob.y
    match prob.loss.name:
        case "squared":
            return cp.square(f - y) / 2
        case "huber":
            return cp.huber(f - y, prob.loss.parameter) / 2
        case "squared_hinge":
            return cp.square(cp.pos(1 - cp.multiply(y, f))) / 2
        case "hinge":
            return cp.pos(1 - cp.multiply(y, f))
        case "poisson":
            rest = y * np.log(np.where(y > 0, y, 1.0)) - y
            return cp.exp(f) - cp.multiply(y, f) + rest
        case "cross_entropy":
            return cp.log_sum_exp(f, axis=1) - cp.sum(cp.multiply(y, f), axis=1)
        case _:
            return cp.logistic(-cp.multiply(y, f))


def _over_rows(b: Any, n: int) -> Any:
    """Variable b or (K,) as it is added to n rows."""
    return b if b.ndim == 0 else np.ones((n, 1)) @ b[np.newaxis, :]


def _import_cvxpy() -> Any:
    try:
        import cvxpy
    except ImportError:
        raise ImportError('to_cvxpy needs cvxpy: pip install "pyconvexnn[reference]"') from None
    return cvxpy
