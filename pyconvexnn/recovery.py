"""From a solution of the convex program to an ordinary network."""

from __future__ import annotations

import numpy as np

from pyconvexnn._validation import SMALLEST_SCALE
from pyconvexnn.networks import GatedNetwork
from pyconvexnn.problems import GatedReLUProblem
from pyconvexnn.solvers import Solution


def recover(prob: GatedReLUProblem, sol: Solution) -> GatedNetwork:
    """Network whose weight-decay objective equals the convex objective of a solution.

    Block u_i of the solution becomes the neuron with gate g_i (of pattern i), weights
    ``u_i / sqrt(||u_i||)`` and output weight ``sqrt(||u_i||)``: first and second layer balanced,
    so that ``(||w||^2 + a^2) / 2 = ||u_i||``. With an output offset the solution's b becomes the
    network's b2, which is not decayed.

    Parameters
    ----------
    prob : GatedReLUProblem
        With a pattern set that has gates.
    sol : Solution
        Of that problem.

    Returns
    -------
    GatedNetwork
        One neuron for each non-zero block; it acts on rows like those of ``prob.X``.

    Raises
    ------
    ValueError
        When the pattern set has no gates; ``prob.patterns.realise(prob.X)`` finds them.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    >>> prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 20), beta=1.0)
    >>> sol = cx.solve(prob)
    >>> net = cx.recover(prob, sol)
    >>> bool(np.isclose(net.objective(X, y, 1.0), sol.objective, rtol=1e-9))
    True
    """
    if not isinstance(prob, GatedReLUProblem):
        raise TypeError(f"`prob` must be a GatedReLUProblem, got {type(prob).__name__}")
    if not isinstance(sol, Solution):
        raise TypeError(f"`sol` must be a Solution, got {type(sol).__name__}")
    expected = (len(prob.patterns), prob.n_features)
    if sol.coef.shape != expected:
        raise ValueError(
            f"`sol` must be a solution of `prob`, with coefficients of shape {expected}, "
            f"got {sol.coef.shape}"
        )
    gates = prob.patterns.gates
    if gates is None:
        raise ValueError(
            "`prob.patterns` must have gates to recover a network, got a set without; "
            "build the problem with `patterns.realise(X)`"
        )
    active = prob.patterns[sol.coef.indices]
    if not active.gates_fit(prob.X):
        raise ValueError(
            "`prob.patterns` must have gates that yield its patterns on `prob.X`, got gates of "
            "other data (was X changed after the patterns were drawn?)"
        )
    size = np.sqrt(np.linalg.norm(sol.coef.values, axis=1, keepdims=True))
    b2 = None
    if prob.output_offset:  # next to data that a network may be of, what is tinier is zero
        b2 = [sol.offset if abs(sol.offset) >= SMALLEST_SCALE else 0.0]
    return GatedNetwork.from_arrays(sol.coef.values / size, size, gates[sol.coef.indices], b2=b2)
