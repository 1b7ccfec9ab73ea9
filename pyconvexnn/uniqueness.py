"""Whether a convex program has one optimal network or many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pyconvexnn import _core
from pyconvexnn._bits import distinct_rows, nonzero_rows, pack
from pyconvexnn._directions import same_directions
from pyconvexnn._typing import BoolArray, FloatArray, IndexArray
from pyconvexnn.losses import Hinge, Huber, SquaredHinge
from pyconvexnn.problems import GatedReLUProblem, ReLUProblem, SparseBlocks
from pyconvexnn.problems.cones import Cones, project, unit_rows
from pyconvexnn.problems.prices import held_lengths
from pyconvexnn.recovery import check_one_output, check_solution
from pyconvexnn.solvers import Solution
from pyconvexnn.solvers.base import relative_gap
from pyconvexnn.solvers.solve import solvers_of

Problem = GatedReLUProblem | ReLUProblem

_EXACT = 1e-12  # relative gap that a solution is refined to
_EQUAL = 1e-11  # relative gap of two points that are both optimal, to rounding
_ROUNDING = 1e-15  # of the objective: a gap that is smaller may be none
_ATTAINED = 1e-8  # of beta w: a price that is nearer to it attains it, if any does
_SAME = 1e-8  # of unit vectors: nearer to each other they may be one neuron
_TIE = 1e-9  # of x.u / |x|: nearer to its hyperplane than that a neuron is on it
_DEPENDENT = 1e-10  # of unit columns: a combination of them that is shorter is zero
_MOST = 4  # blocks for each row: of more than two for each neuron something is wrong
_APART = 1e-3  # of the largest neuron: by how much two networks differ that are not the same


def is_unique(prob: GatedReLUProblem | ReLUProblem, sol: Solution) -> bool | None:
    r"""Whether a convex program has only one optimal network, as far as its solution can tell.

    All optima have one dual point v, and only blocks i whose price ``||Proj_i(X^T D_i v)||``
    attains ``beta p_i`` are ever non-zero, in one direction u_i each (for gated networks Proj_i
    does nothing). So the optima are a polytope: with z_i the signed fits of these u_i,

    .. math:: \Big\{ a \ge 0 : \sum_i a_i z_i + b = f^* \Big\},

    f* being the optimal fit where the loss is strictly convex, and any in the right half-line on
    rows where Huber's loss or the hinge is linear or the squared hinge zero (Mishkin and Pilanci,
    "Optimal sets and solution paths of ReLU networks", ICML 2023). It is a single point if the z_i
    are independent, of each other and of the ones that an offset b adds. With a ridge the
    objective is strictly convex in the blocks, and it always is.

    It is the network that is unique or not, not its coefficients: a neuron on the border of two
    cells may be a block of either, or split between them. Gated neurons have their patterns,
    though: one that is zero on a row is one neuron with a gate that is on there, and another with
    a gate that is not.

    Parameters
    ----------
    prob : GatedReLUProblem or ReLUProblem
        Nothing is said about networks with other patterns than those of the problem, nor about
        what a network does on other rows.
    sol : Solution
        Of that problem. One with a relative gap above 1e-12 is refined first, from where it is.

    Returns
    -------
    bool or None
        True: the fits of all neurons that could be in any optimum are independent. What could be
        is told by the duality gap that is left: v is known to within ``sqrt(2 gap)``, as the dual
        objective is strongly concave, and prices and directions with it. To rounding, this is a
        proof. That of the hinge is not: its programs are never said to be unique.
        False: there is another network with the same fit, whose neurons differ in size by more
        than 1e-3 of the largest, and both have a relative gap of at most 1e-11.
        None: neither could be shown. The gap may be too large, a price too near to the penalty, a
        neuron's direction at a kink not safe, or optima may differ where the loss is linear only.

    Raises
    ------
    TypeError, ValueError
        If the arguments are not a problem and a solution with its shape.
    NotImplementedError
        When the problem has several outputs, or a linear part without penalty.

    See Also
    --------
    prune : a smallest network of the polytope.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> X, y = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 1.0]]), np.array([1.0, -1.0, 0.5])
    >>> prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), beta=0.1)
    >>> cx.is_unique(prob, cx.solve(prob))
    True

    Corners of a square with equal targets: two neurons along one diagonal do as well as two along
    the other.

    >>> X, y = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]), np.ones(4)
    >>> prob = cx.ReLUProblem(X, y, cx.enumerate_patterns(X), beta=0.1)
    >>> cx.is_unique(prob, cx.solve(prob))
    False
    """
    if not isinstance(prob, (GatedReLUProblem, ReLUProblem)):
        raise TypeError(
            "`prob` must be a GatedReLUProblem or a ReLUProblem, got " + type(prob).__name__
        )
    check_one_output(prob, "is_unique")
    if prob.skip is not None:
        raise NotImplementedError(
            f"`prob` with `skip` = {prob.skip:g} is not available yet in is_unique"
        )
    check_solution(prob, sol)
    if prob.ridge > 0.0:
        return True
    sol = _refined(prob, sol)
    v = sol.dual / (1.0 + prob.dual_infeasibility(sol.dual))
    lower, upper = prob.dual_objective(v), prob.objective(sol.coef)
    if not np.isfinite(lower):
        return None
    # (v - v*)' S^-1 (v - v*) <= 2 gap: the second derivative of D is -S^-1 or below.
    radius = float(np.sqrt(2.0 * (max(upper - lower, 0.0) + _ROUNDING * abs(upper))))
    reach = radius * np.sqrt(prob.sample_weight)
    neurons = _possible_neurons(prob, v, reach)
    if neurons is None:
        return None
    if prob.loss.smooth and all(neuron.safe for neuron in neurons):
        strict = _strictly_convex(prob, v, reach)
        if _independent(prob, neurons, strict):
            return True
    if relative_gap(upper, lower, prob.objective_at_zero) > _EQUAL:
        return None
    return False if _has_another(prob, sol, neurons, lower) else None


class _Neuron(NamedTuple):
    """A direction that an optimal network may have a neuron in."""

    blocks: IndexArray  # those of which it is the direction: one neuron; the cheapest first
    direction: FloatArray  # (d,), of length 1
    fit: FloatArray  # (n,), with the sign of its output weight
    price: float  # over beta p, and so is
    slack: float  # by how much it may be wrong
    safe: bool  # whether all of its blocks have the same direction at the optimal dual point too


def _refined(prob: Problem, sol: Solution) -> Solution:
    """The solution, or a better one."""
    if sol.relative_gap <= _EXACT:
        return sol
    better = solvers_of(prob)["auto"](tol=_EXACT).solve(prob, warm_start=sol.coef)
    return better if better.gap < sol.gap else sol


def _possible_neurons(prob: Problem, v: FloatArray, reach: FloatArray) -> list[_Neuron] | None:
    """Neurons whose prices may attain the penalty at a dual point near v; None if far too many.

    The optimal dual point is ``v + reach * e`` for some e of length 1 or less.
    """
    # No price, and no projection, differs by more from that at v.
    slack = float(np.linalg.norm(reach[:, np.newaxis] * prob.X, 2))
    # In units of the penalty of each block, which the prices are near.
    slacks = slack / (prob.beta * prob.pattern_weight)
    if np.any(slacks >= 1.0):  # a price of zero might attain the penalty, in any direction
        return None
    G = prob.adjoint(v) / (prob.beta * prob.pattern_weight)[:, np.newaxis]
    listed = np.flatnonzero(np.linalg.norm(G, axis=1) >= 1.0 - slacks)
    if isinstance(prob, ReLUProblem):
        return _in_cones(prob, v, reach, G, listed, slacks)
    if len(listed) > _MOST * prob.n_samples:
        return None
    counted = pack(nonzero_rows(prob.X)[np.newaxis])
    _, number = distinct_rows(prob.patterns.packed[listed] & counted)
    neurons = []
    for same in (listed[number == k] for k in range(int(np.max(number, initial=-1)) + 1)):
        best = same[np.argmin(prob.pattern_weight[same])]
        blocks = np.append(best, same[same != best])
        price = float(np.linalg.norm(G[best]))
        mask, u = prob.patterns[[best]].to_dense()[0], G[best] / price
        neurons.append(_Neuron(blocks, u, mask * (prob.X @ u), price, slacks[best], True))
    return neurons


def _in_cones(
    prob: ReLUProblem,
    v: FloatArray,
    reach: FloatArray,
    G: FloatArray,
    listed: IndexArray,
    slacks: FloatArray,
) -> list[_Neuron] | None:
    """Those among the listed patterns, by projections on their cones; blocks are 0, ..., 2 P."""
    P, packed, rows = len(prob.patterns), prob.patterns.packed, unit_rows(prob.X)
    pairs = np.stack([2 * listed, 2 * listed + 1], axis=1).ravel()
    if len(pairs):
        projections = _core.ConeProjections(np.asfortranarray(rows), packed)
        projections.project(pairs, G)
        above = held_lengths(projections, rows, packed, G, pairs)[0]
        pairs = pairs[above >= 1.0 - slacks[pairs // 2] - _DEPENDENT]
    if len(pairs) > _MOST * prob.n_samples:
        return None
    cones, even = Cones(prob.X), prob.activation == "abs"
    counted = nonzero_rows(prob.X)
    neurons = []
    for sign in (1.0, -1.0):
        patterns = pairs[pairs % 2 == (sign < 0)] // 2
        masks = prob.patterns[patterns].to_dense()
        normals = [cones.normals(mask) for mask in masks]
        points = [project(S, sign * G[i]) for S, i in zip(normals, patterns, strict=True)]
        prices = np.array([np.linalg.norm(point) for point in points])
        U = np.array([p / max(s, _DEPENDENT) for p, s in zip(points, prices, strict=True)])
        first = same_directions(U.reshape(-1, prob.n_features), even=even, same=_SAME)
        for leader in np.unique(first):
            same = np.flatnonzero(first == leader)
            slack = float(np.max(slacks[patterns[same]]))
            cells, _ = distinct_rows(pack(masks[same][:, counted]))
            weights = prob.pattern_weight[patterns[same]]
            # A pattern given twice has one projection, wherever that moves.
            safe = len(cells) == 1 or all(
                _stays_on_face(normals[k], sign * G[patterns[k]], U[k], slack) for k in same
            )
            if not safe and np.all(weights == weights[0]):
                safe = _is_one_peak(prob.X, sign * v, reach, U[leader], slack, len(cells))
            best = same[np.argmax(prices[same])]
            fit = sign * prob._factors(masks[best]) * (prob.X @ U[best])
            blocks = patterns[np.append(best, same[same != best])]
            blocks = blocks + (0 if sign > 0 else P)
            neurons.append(_Neuron(blocks, U[best], fit, float(prices[best]), slack, safe))
    return neurons


def _stays_on_face(S: FloatArray, g: FloatArray, u: FloatArray, slack: float) -> bool:
    """Whether the projection of any point near g on ``{u : S u >= 0}`` is on the face that u is on.

    On it, blocks of different cells around the face have the same projection: their g differ by
    rows that it is orthogonal to.
    """
    tied = _ties(S, u, slack)
    if tied is None or not tied.any():
        return False
    T = S[tied]
    inverse = np.linalg.pinv(T[np.unique(same_directions(T, same=_SAME))].T)
    # -g = T'a + what is orthogonal to T: it takes all a > 0, nearby too.
    a = -inverse @ g
    return bool(np.all(a > slack * np.linalg.norm(inverse, axis=1)))


def _is_one_peak(
    X: FloatArray, v: FloatArray, reach: FloatArray, u: FloatArray, slack: float, n_cells: int
) -> bool:
    """Whether ``v' act(X u)`` is surely concave around u, where there are so many known cells.

    Then it has one largest value on unit vectors there: between two it would be larger.
    """
    rows = unit_rows(X)
    nonzero = nonzero_rows(X)
    tied = _ties(rows[nonzero], u, slack)
    if tied is None:
        return False
    T = np.flatnonzero(nonzero)[tied]
    lines, place = np.unique(same_directions(rows[T], even=True, same=_SAME), return_inverse=True)
    # All the cells around u: every choice of sides of independent lines.
    if np.linalg.matrix_rank(rows[T[lines]]) < len(lines) or n_cells < 2 ** len(lines):
        return False
    bends = np.zeros(len(lines))
    np.add.at(bends, place, (v[T] + reach[T]) * np.linalg.norm(X[T], axis=1))
    return bool(np.all(bends < 0.0))


def _ties(S: FloatArray, u: FloatArray, slack: float) -> BoolArray | None:
    """Unit rows that u is orthogonal to; None if some are too near to it for being sure."""
    sides = np.abs(S @ u)
    tied = sides <= _TIE
    return None if np.any(sides[~tied] <= max(2.0 * slack, 2.0 * _SAME)) else tied


def _strictly_convex(prob: Problem, v: FloatArray, reach: FloatArray) -> BoolArray:
    """Rows on which all optima have the same fit, v being within `reach` of the optimal one."""
    counted = prob.sample_weight > 0
    if isinstance(prob.loss, Huber):
        return counted & (np.abs(v) + reach < prob.loss.delta * prob.sample_weight)
    if isinstance(prob.loss, SquaredHinge):
        return counted & (prob.y * v > reach)
    return counted


def _independent(prob: Problem, neurons: list[_Neuron], strict: BoolArray) -> bool:
    """Whether the fits at the optimal dual point are surely independent on these rows."""
    Z = _fits(prob, neurons)[strict]
    largest = float(np.linalg.norm(prob.X[strict], 2)) if strict.any() else 0.0
    # A direction moves by twice what the projection moves by, over its length.
    moves = np.array([2.0 * neuron.slack / neuron.price * largest for neuron in neurons])
    if prob.output_offset:
        Z, moves = np.column_stack([Z, np.ones(len(Z))]), np.append(moves, 0.0)
    lengths = np.linalg.norm(Z, axis=0)
    if Z.shape[1] > len(Z) or np.any(lengths <= moves):
        return bool(Z.shape[1] == 0)
    smallest = np.min(np.linalg.svd(Z / lengths, compute_uv=False), initial=1.0)
    return bool(smallest > np.linalg.norm(moves / lengths) + _DEPENDENT)


def _fits(prob: Problem, neurons: list[_Neuron]) -> FloatArray:
    return np.array([neuron.fit for neuron in neurons]).reshape(-1, prob.n_samples).T


def _has_another(prob: Problem, sol: Solution, neurons: list[_Neuron], lower: float) -> bool:
    """Whether there is a point of the polytope far from the solution, both being optimal."""
    neurons = [neuron for neuron in neurons if neuron.price >= 1.0 - _ATTAINED]
    owner = {block: k for k, neuron in enumerate(neurons) for block in neuron.blocks.tolist()}
    sizes = np.zeros(len(neurons))
    for block, length in zip(sol.active, np.linalg.norm(sol.coef.values, axis=1), strict=True):
        if int(block) in owner:
            sizes[owner[int(block)]] += length
    f = prob.fit_values(sol.coef)
    held = (prob.sample_weight > 0) & ~_on_a_line(prob, f)
    Z = _fits(prob, neurons)
    lengths = np.linalg.norm(Z, axis=0)

    def is_optimal(parts: FloatArray) -> bool:
        order = np.argsort([neuron.blocks[0] for neuron in neurons])
        rows = [neurons[k].direction * parts[k] / lengths[k] for k in order]
        indices = np.array([neurons[k].blocks[0] for k in order])
        coef = SparseBlocks(indices, np.array(rows), sol.coef.n_blocks, signed=sol.coef.signed)
        gap = relative_gap(prob.objective(coef), lower, prob.objective_at_zero)
        return gap <= _EQUAL

    parts = sizes * lengths
    if not len(parts) or not parts.any() or not is_optimal(parts):
        return False
    for c in _null_directions(Z[held] / lengths, parts, prob.output_offset):
        for step in _largest_steps(parts, c):
            # Where the loss is linear only so far, a part of the way.
            for t in step * 0.5 ** np.arange(12):
                other = np.maximum(parts + t * c, 0.0)
                apart = np.max(np.abs(other - parts) / lengths) > _APART * np.max(sizes)
                if apart and is_optimal(other):
                    return True
    return False


def _on_a_line(prob: Problem, f: FloatArray) -> BoolArray:
    """Rows on which the loss is linear around the fit f."""
    if isinstance(prob.loss, Huber):
        return np.abs(f - prob.y) > prob.loss.delta * (1.0 + _SAME)
    if isinstance(prob.loss, SquaredHinge):
        return prob.y * f > 1.0 + _SAME
    if isinstance(prob.loss, Hinge):
        return np.abs(prob.y * f - 1.0) > _SAME
    return np.zeros(len(f), bool)


def _null_directions(Z: FloatArray, parts: FloatArray, offset: bool) -> list[FloatArray]:
    """Some c with ``Z c`` zero, or constant with an offset, that are >= 0 where there is no part.

    Columns of Z have length 1, or less on fewer rows.
    """
    from scipy.optimize import nnls  # not needed by every program

    if offset:
        Z = Z - np.mean(Z, axis=0)
    there = parts > _SAME * np.max(parts)
    found = []
    _, sizes, basis = np.linalg.svd(Z[:, there])
    for c in basis[np.count_nonzero(sizes > _DEPENDENT) :]:
        found.append(np.zeros(len(parts)))
        found[-1][there] = c
    if there.all():
        return found
    inverse = np.linalg.pinv(Z[:, there], rcond=_DEPENDENT)
    rest = Z[:, ~there] - Z[:, there] @ (inverse @ Z[:, ~there])
    last = np.ones((1, rest.shape[1]))
    q = nnls(np.vstack([rest, last]), np.append(np.zeros(len(rest)), 1.0))[0]
    if q.any() and np.linalg.norm(rest @ q) <= _DEPENDENT * np.sum(q):
        c = np.zeros(len(parts))
        c[~there], c[there] = q, -inverse @ (Z[:, ~there] @ q)
        found.append(c)
    return found


def _largest_steps(parts: FloatArray, c: FloatArray) -> list[float]:
    """Largest t > 0 and t < 0 with ``parts + t c >= 0``, as far as there are any."""
    steps = []
    for sign in (1.0, -1.0):
        falling = sign * c < -_DEPENDENT * np.max(np.abs(c))
        if falling.any():
            steps.append(sign * float(np.min(parts[falling] / np.abs(c[falling]))))
    return steps
