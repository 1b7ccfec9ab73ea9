"""From a solution of the convex program to an ordinary network."""

from __future__ import annotations

from typing import NamedTuple, overload

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import LARGEST_SCALE, SMALLEST_SCALE
from pyconvexnn.networks import GatedNetwork, TwoLayerNetwork
from pyconvexnn.problems import GatedReLUProblem, ReLUProblem
from pyconvexnn.problems.base import as_blocks, block_norms
from pyconvexnn.problems.cones import Cones, project, split, violation
from pyconvexnn.solvers import Solution

_ROUNDING = 1e-15  # of x'u / (|x| |u|): a point of a cone has no less
_SURELY_OUTSIDE = 0.05  # likewise: more than any rounding


@overload
def recover(prob: GatedReLUProblem, sol: Solution) -> GatedNetwork: ...


@overload
def recover(prob: ReLUProblem, sol: Solution) -> TwoLayerNetwork: ...


def recover(prob: GatedReLUProblem | ReLUProblem, sol: Solution) -> GatedNetwork | TwoLayerNetwork:
    """Network whose weight-decay objective equals the convex objective of a solution.

    Block u_i of a gated solution becomes the neuron with gate g_i (of pattern i), weights
    ``u_i / sqrt(||u_i||)`` and output weight ``sqrt(||u_i||)``: first and second layer balanced,
    so that ``(||w||^2 + a^2) / 2 = ||u_i||``. With K > 1 outputs block U_i (d, K) becomes a unit of
    matrix weights ``U_i / sqrt(||U_i||_F)`` and the gain ``sqrt(||U_i||_F)`` in the same way; see
    :class:`GatedNetwork`. The blocks v_i, w_i of a ReLU solution become
    neurons without gates in the same way, those of w_i with the output weight
    ``-sqrt(||w_i||)``; a block that rounding has put outside of its cone is projected on it
    first. With an output offset the solution's b becomes the network's b2, which is not decayed.

    With pattern weights p or a ridge rho the objective that is equal is
    ``net.objective(X, y, beta, pattern_weight=p[sol.active], ridge=rho)``.

    A linear part ``X c`` becomes one more unit, the last one, whose gate 0 is open to every row; in
    a network of ReLUs, ``act(t) = alpha t`` for t < 0, it becomes two, ``(act(x'c) - act(-x'c)) /
    (1 + alpha)``. The network has the fit of the solution then. Its weight decay counts that part
    like any other unit: with gates and ``skip > 0`` the formula above still holds, as p ends with
    `skip`; otherwise the objective of the program is ``sol.objective`` alone.

    Parameters
    ----------
    prob : GatedReLUProblem or ReLUProblem
        A gated one with a pattern set that has gates.
    sol : Solution
        Of that problem.

    Returns
    -------
    GatedNetwork or TwoLayerNetwork
        One neuron for each non-zero block, in their order, and those of a linear part; it acts on
        rows like those of ``prob.X``.

    Raises
    ------
    ValueError
        When the pattern set of a gated problem has no gates; ``prob.patterns.realise(prob.X)``
        finds them. When the cell of a block that is not zero is too thin for a float64 gate. For a
        linear part beside absolute values, of which no sum is linear.

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
    if not isinstance(prob, (GatedReLUProblem, ReLUProblem)):
        raise TypeError(
            "`prob` must be a GatedReLUProblem or a ReLUProblem, got " + type(prob).__name__
        )
    check_solution(prob, sol)
    return _ungated(prob, sol) if isinstance(prob, ReLUProblem) else _gated(prob, sol)


class Decomposition(NamedTuple):
    """A gated solution as a ReLU network: see :func:`decompose`.

    Attributes
    ----------
    network : TwoLayerNetwork
        With the fit of the solution.
    growth : float
        Factor by which the norms of the blocks grew, >= 1.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y, ps = cx.datasets.ar(60, 3, 40)
    >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
    >>> network, growth = cx.decompose(prob, cx.solve(prob))
    >>> growth >= 1, network.activation
    (True, 'relu')
    """

    network: TwoLayerNetwork
    growth: float


def decompose(prob: GatedReLUProblem, sol: Solution) -> Decomposition:
    r"""Turn a gated solution into a ReLU network with the same fit.

    Each block is split within the cone of its pattern, ``u_i = v_i - w_i`` with v_i, w_i in
    ``K_i = {u : (2 D_i - I) X u >= 0}``, as shortly as can be: ``||v_i|| + ||w_i||`` is minimal.
    As ``D_i X u = (X u)_+`` on K_i, the network with the neurons v_i and -w_i has the fit of the
    solution on ``prob.X``. Its objective is an upper bound of the ReLU program's optimum, whose
    lower bound is ``sol.dual_objective``; it exceeds ``sol.objective`` by
    ``beta (growth - 1) sum_i w_i ||u_i||``. Always ``||v_i|| + ||w_i|| <= (1 + 2 kappa_i)
    ||u_i||``, kappa_i being the condition number of the rows of X, divided by their lengths, that
    hold the shortest possible w_i (after Mishkin, Sahiner, Pilanci, ICML 2022).

    Parameters
    ----------
    prob : GatedReLUProblem
        Its patterns are cells: some u has every row of X that is not zero strictly on its side.
        It needs no gates.
    sol : Solution
        Of that problem.

    Returns
    -------
    Decomposition
        ``network``, its neurons balanced, those of the v_i before those of the w_i; ``growth``,
        the factor ``sum_i w_i (||v_i|| + ||w_i||) / sum_i w_i ||u_i||``, 1 for a zero solution.

    Raises
    ------
    ValueError
        When an active pattern is no cell, which the message names. When the problem has a linear
        part, which the network has not.
    NotImplementedError
        When the problem has several outputs.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    >>> prob = cx.GatedReLUProblem(X, y, cx.sample_patterns(X, 20), beta=1.0)
    >>> sol = cx.solve(prob)
    >>> dec = cx.decompose(prob, sol)
    >>> np.abs(dec.network.predict(X) - prob.fit_values(sol.coef)).max() < 1e-12
    np.True_
    >>> dec.growth >= 1
    True
    """
    if not isinstance(prob, GatedReLUProblem):
        raise TypeError(f"`prob` must be a GatedReLUProblem, got {type(prob).__name__}")
    check_one_output(prob, "decompose")
    check_solution(prob, sol)
    if prob.skip is not None:
        raise ValueError(
            f"`prob` must have no linear part to be decomposed, got `skip` = {prob.skip:g}"
        )
    cones, indices, blocks = Cones(prob.X), sol.coef.indices, sol.coef.values
    plus, minus = np.zeros_like(blocks), np.zeros_like(blocks)
    for row, i in enumerate(indices):
        parts = split(cones.normals(prob.patterns[[i]].to_dense()[0]), blocks[row])
        if parts is None:
            raise ValueError(
                "`prob.patterns` must be cells of `prob.X` to decompose a solution, got pattern "
                f"{i} without any u that has every non-zero row strictly on its side"
            )
        plus[row], minus[row] = parts
    norms = [np.linalg.norm(part, axis=1) for part in (blocks, plus, minus)]
    before, *after = (float(prob.pattern_weight[indices] @ norm) for norm in norms)
    return Decomposition(
        _network(
            np.vstack([plus, minus]),
            np.repeat([1.0, -1.0], len(indices)),
            "relu",
            0.0,
            _output_offset(prob, sol),
        ),
        sum(after) / before if before > 0 else 1.0,
    )


def check_one_output(prob: GatedReLUProblem | ReLUProblem, function: str) -> None:
    """Raise for what a function cannot do with matrix blocks."""
    if prob.n_outputs > 1:
        raise NotImplementedError(
            f"`prob` of several outputs is not available yet in {function}, got {prob.n_outputs}"
        )


def check_solution(prob: GatedReLUProblem | ReLUProblem, sol: Solution) -> None:
    """Raise unless the solution has the shape of one of the problem."""
    if not isinstance(sol, Solution):
        raise TypeError(f"`sol` must be a Solution, got {type(sol).__name__}")
    signed = isinstance(prob, ReLUProblem)
    try:
        as_blocks(
            sol.coef, len(prob.patterns), prob.n_features, n_outputs=prob.n_outputs, signed=signed
        )
    except ValueError:
        shape: tuple[int, ...] = (len(prob.patterns), prob.n_features)
        shape += (prob.n_outputs,) if prob.n_outputs > 1 else ()
        raise ValueError(
            "`sol` must be a solution of `prob`, with coefficients of shape "
            f"{(2, *shape) if signed else shape}, got {sol.coef.shape}"
        ) from None


def _gated(prob: GatedReLUProblem, sol: Solution) -> GatedNetwork:
    n_given = len(prob.given)
    active = prob.given[sol.coef.indices[sol.coef.indices < n_given]]
    gates = active.gates  # of all patterns they may take long to find
    if gates is None:
        raise ValueError(
            "`prob.patterns` must have gates to recover a network, got a set without; "
            "build the problem with `patterns.realise(X)`"
        )
    if not active.gates_fit(prob.X):
        raise ValueError(
            "`prob.patterns` must have gates that yield its patterns on `prob.X`, got gates of "
            "other data (was X changed after the patterns were drawn?)"
        )
    blocks = sol.coef.values
    if sol.linear is not None and np.any(sol.linear):
        blocks = np.concatenate([blocks, sol.linear[np.newaxis]])
    if len(blocks) > len(gates):  # x'0 >= 0
        gates = np.concatenate([gates, np.zeros((1, prob.n_features))])
    size = np.sqrt(block_norms(blocks))
    return GatedNetwork.from_arrays(
        blocks / size.reshape(-1, *[1] * (blocks.ndim - 1)),
        size[:, np.newaxis],
        gates,
        b2=_output_offset(prob, sol),
    )


def _ungated(prob: ReLUProblem, sol: Solution) -> TwoLayerNetwork:
    P, cones = len(prob.patterns), Cones(prob.X)
    pattern = sol.coef.indices % P
    signs = np.where(sol.coef.indices < P, 1.0, -1.0)
    coned = pattern < prob.n_coned
    blocks = sol.coef.values[coned].copy()
    for row, i in enumerate(pattern[coned]):
        S = cones.normals(prob.patterns[[i]].to_dense()[0])
        outside = violation(S, blocks[row])
        if outside > _SURELY_OUTSIDE:
            raise ValueError(
                "`sol` must be a solution of `prob`, with every block in the cone of its pattern, "
                f"got one {outside:.2g} of its length outside of the cone of pattern {i}"
            )
        if outside > _ROUNDING:
            blocks[row] = project(S, blocks[row])
    linear = signs[~coned] @ sol.coef.values[~coned] if sol.linear is None else sol.linear
    signs = signs[coned]
    if np.any(linear):
        if prob.slope == -1.0:
            raise ValueError(
                f"`prob` must have no linear part beside absolute values, got `skip` = {prob.skip}"
            )
        half = linear / (1.0 + prob.slope)
        blocks, signs = np.vstack([blocks, half, -half]), np.append(signs, [1.0, -1.0])
    return _network(blocks, signs, prob.activation, prob.slope, _output_offset(prob, sol))


def _network(
    blocks: FloatArray, signs: FloatArray, activation: str, slope: float, b2: list[float] | None
) -> TwoLayerNetwork:
    """Balanced network of the blocks that are not zero."""
    size = np.sqrt(np.linalg.norm(blocks, axis=1, keepdims=True))
    kept = size[:, 0] > 0
    size = size[kept]
    return TwoLayerNetwork.from_arrays(
        blocks[kept] / size,
        signs[kept, np.newaxis] * size,
        b2=b2,
        activation=activation,
        **({"slope": slope} if activation == "leaky_relu" else {}),
    )


def _output_offset(prob: GatedReLUProblem | ReLUProblem, sol: Solution) -> list[float] | None:
    if not prob.output_offset:
        return None
    # Next to data that a network may be of, what is tinier is zero.
    offsets = np.atleast_1d(sol.offset)
    if np.max(np.abs(offsets)) > LARGEST_SCALE:
        raise ValueError(
            f"`y` must be so small that the network's output offset is <= {LARGEST_SCALE:g} in "
            f"size (rescale it), got an offset of {np.max(np.abs(offsets)):g}"
        )
    return [float(b) if abs(b) >= SMALLEST_SCALE else 0.0 for b in offsets]
