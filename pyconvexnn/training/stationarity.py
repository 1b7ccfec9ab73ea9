"""Whether descent can go on from a network, and what its own patterns would allow."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from pyconvexnn._bits import nonzero_rows, pack, unseen, zero_rows_of
from pyconvexnn._directions import same_directions
from pyconvexnn._gates import unit_rows
from pyconvexnn._typing import ArrayLike, BitArray, BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import positive
from pyconvexnn.losses import Loss
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.patterns import PatternSet
from pyconvexnn.solvers import solve
from pyconvexnn.training.cells import cells_around
from pyconvexnn.training.task import Task, check_network

_TIE = 1e-9  # of |x| |u|: nearer to its hyperplane than that a neuron counts as on it
_SAME_LINE = 1e-9  # of unit rows: nearer to each other, or to opposites, they have one hyperplane
_ALL = 6  # hyperplanes that a neuron lies on of which every choice of sides is taken
_SOME = 128  # cells around a neuron on more of them
_CONCAVE = 12  # kinks of one neuron of which every choice of sides is tried
_TOL = 1e-8  # relative gap of the restricted program


class Stationarity(NamedTuple):
    """What :func:`stationarity` tells.

    Attributes
    ----------
    residual : float
        Norm of the least Clarke subgradient at the balanced network, over beta.
    ties : tuple of (int, int)
        (row k, neuron j) with ``|x_k.w_j| <= 1e-9 |x_k| |w_j|``, rows of positive weight that are
        not zero and neurons that contribute anything.
    program_value : float
        Optimum of the convex program over the patterns of the network's own neurons.
    is_d_stationary : bool or None
        Whether no direction leads down, to `tol`; None where that would take too long to tell.

    Examples
    --------
    >>> import pyconvexnn as cx
    >>> X, y = [[1.0, 0.0], [0.0, 1.0]], [2.0, 0.0]
    >>> net = cx.TwoLayerNetwork.from_arrays([[1.0, 0.0]], [[1.0]])  # of size y_1 - beta
    >>> residual, ties, program_value, is_d_stationary = cx.stationarity(net, X, y, beta=1.0)
    >>> residual < 1e-12, round(program_value, 6), net.objective(X, y, 1.0), is_d_stationary
    (True, 1.5, 1.5, True)
    """

    residual: float
    ties: tuple[tuple[int, int], ...]
    program_value: float
    is_d_stationary: bool | None


def stationarity(
    net: TwoLayerNetwork,
    X: ArrayLike,
    y: ArrayLike,
    beta: float,
    *,
    loss: str | Loss = "squared",
    sample_weight: ArrayLike | None = None,
    tol: float = 1e-6,
) -> Stationarity:
    r"""How far a network is from being stationary, and what its own patterns would allow.

    .. math:: F = \sum_k s_k\, \ell(f(x_k), y_k)
        + \frac\beta2 \sum_j (\|w_j\|^2 + b_{1j}^2 + a_j^2)

    is differentiable where no row lies on the hyperplane of a neuron. At the balanced network,
    with ``v_k = -s_k l'(f(x_k), y_k)`` and kappa the slope of the activation below zero, its
    subgradients are, for neuron j,

    .. math:: \beta a_j - \sum_k v_k \phi(x_k^T w_j), \qquad
        \beta w_j - a_j \sum_k v_k \xi_k x_k,

    where ``xi_k`` is 1 for ``x_k.w_j > 0``, kappa for ``x_k.w_j < 0`` and anything between at a
    tie; `residual` is the least norm of all these together, and of ``sum_k v_k`` with an output
    offset, over beta. Rows on one line through zero change sides together. This is the Clarke
    subdifferential where the lines of a neuron's ties are independent, and contains it otherwise.

    A tie is a kink of F: a convex one where ``v_k a_j (1 - kappa) < 0``, and otherwise a concave
    one, of which a smaller F lies on one side or the other: a zero subgradient does not say that
    descent has ended. The derivative of F in every direction is

    .. math:: F'(d) = \min_{\zeta \in \{0, 1\}^C} \max_{\xi \in [\kappa, 1]^T}
        g(\zeta, \xi)^T d,

    g being the subgradient with the sides zeta of the concave ties and the xi of the others, and
    ``is_d_stationary`` says whether ``F'(d) >= -tol beta`` for every d of length 1: the longest
    over zeta of the shortest g over xi decides. So a *d-stationary* network is Clarke stationary,
    not the other way round.

    ``program_value`` is the optimum of the :class:`~pyconvexnn.ReLUProblem` over the patterns of
    the neurons, at ties those of the cells on all sides: the best network of any width whose
    neurons lie in the same cells. It is no more than the network's objective. A d-stationary
    network without ties has that value: it is the best in its cells (Wang, Lacotte, Pilanci, "The
    hidden convex optimization landscape of regularized two-layer ReLU networks", ICLR 2022). A
    Clarke point that is not d-stationary need not, as the example shows; and next to ties of a
    d-stationary one the program also has neurons of the opposite sign, which may lower its value.

    Parameters
    ----------
    net : TwoLayerNetwork
        With one output. Hidden biases b_1 are weights on a column of ones, and decayed like them.
        An output offset ``b_2 != 0`` is free and not decayed; without one there is none.
    X : (n_samples, n_features) array
        Data.
    y : (n_samples,) array
        Targets; -1 and +1 for the losses of labels.
    beta : float
        Penalty, >= 1e-120.
    loss : str or Loss
        "squared", "huber", "logistic", "squared_hinge", "poisson", or a loss object. No factor
        1/n.
    sample_weight : (n_samples,) array, optional
        s_k >= 0, 1 by default; rows of weight 0 are left out.
    tol : float
        Rate of descent, over beta, that is none, > 0.

    Returns
    -------
    Stationarity
        ``residual``, ``ties``, ``program_value``, ``is_d_stationary``. Of a neuron on more than 6
        different hyperplanes the program has 128 random cells at most, and where it has more than
        12 concave ties ``is_d_stationary`` is None if no side that was tried leads down.

    Raises
    ------
    NotImplementedError
        For gated networks, networks of several outputs, and the loss "hinge".
    ValueError, TypeError
        Naming the argument, the rule and the value.

    Warns
    -----
    ConvergenceWarning
        (scikit-learn's) when the restricted program is not solved to a relative gap of 1e-8.

    Examples
    --------
    A neuron on the hyperplane of the first row, which it would rather be on both sides of:

    >>> import pyconvexnn as cx
    >>> X, y = [[0, 1], [1, -0.5]], [1, 3]
    >>> net = cx.TwoLayerNetwork.from_arrays([[2**0.5, 0]], [[2**0.5]])
    >>> report = cx.stationarity(net, X, y, beta=1.0)
    >>> report.residual < 1e-12, report.ties, report.is_d_stationary
    (True, ((0, 0),), False)
    >>> round(net.objective(X, y, 1.0), 3), round(report.program_value, 3)
    (3.0, 2.778)
    """
    check_network(net)
    if net.n_outputs != 1:
        raise NotImplementedError(
            f"`net` with several outputs is not available yet, got {net.n_outputs}"
        )
    tol = positive(tol, "tol")
    (task,), same = Task.of_network(net, X, y, beta, loss=loss, sample_weight=sample_weight)
    if not task.loss.smooth:
        raise NotImplementedError(
            f"`loss` = {task.loss.name!r} is not available yet in stationarity: it has kinks of "
            "its own"
        )
    same = same.balance()
    derivatives = _Derivatives(task, same)
    number = np.flatnonzero(task.counted)
    return Stationarity(
        derivatives.residual(),
        tuple((int(number[k]), j) for j, tied in enumerate(derivatives.ties) for k in tied.rows),
        _program_value(task, same, derivatives),
        derivatives.is_d_stationary(tol),
    )


class _Ties(NamedTuple):
    """Rows on whose hyperplanes a neuron lies, (t,), on L different lines through zero."""

    rows: IndexArray
    line: IndexArray  # of each row: 0, ..., L - 1
    along: BoolArray  # whether the row points the same way as its line


class _Neuron(NamedTuple):
    """F at a neuron's hidden weights, over beta: linear but for kinks."""

    slope: FloatArray  # (d,): gradient on the negative side of every line
    kinks: FloatArray  # (L, d): what the positive side of a line adds to it
    concave: BoolArray  # (L,)

    def shortest(self, sides: FloatArray | None = None) -> float:
        """Norm of the shortest subgradient, any of them or with the concave kinks on given sides.

        The sides (L,) are 0 and 1; of the other kinks they mean nothing.
        """
        from scipy.optimize import lsq_linear  # not needed by every program

        free = np.ones(len(self.kinks), bool) if sides is None else ~self.concave
        slope = self.slope
        if sides is not None:
            slope = slope + sides[self.concave] @ self.kinks[self.concave]
        if not free.any():
            return float(np.linalg.norm(slope))
        moves = self.kinks[free].T
        found = lsq_linear(moves, -slope, (0.0, 1.0), method="bvls", max_iter=100 * moves.shape[1])
        return float(np.linalg.norm(slope + moves @ found.x))


class _Derivatives:
    """Ties and one-sided derivatives, over beta, at a balanced network of the task's data."""

    def __init__(self, task: Task, net: TwoLayerNetwork) -> None:
        X, W, a = task.data, net.W1, net.W2[:, 0]
        lengths, Z = np.linalg.norm(X, axis=1), X @ W.T
        v = task.residual(net.predict(X)) / task.beta
        on = Z > 0.0
        near = np.abs(Z) <= _TIE * np.outer(lengths, np.linalg.norm(W, axis=1))
        near &= nonzero_rows(X)[:, np.newaxis] & (a != 0.0)
        on &= ~near
        self.on = on
        self.outer = a - v @ task.activate(Z)
        self.offset = float(np.sum(v)) if task.output_offset else 0.0
        slopes = W - a[:, np.newaxis] * ((np.where(on, 1.0, task.slope).T * v) @ X)
        units = unit_rows(X)
        self.ties: list[_Ties] = []
        self.neurons: list[_Neuron] = []
        for j, slope in enumerate(slopes):
            rows = np.flatnonzero(near[:, j])
            first = same_directions(units[rows], even=True, same=_SAME_LINE)
            first, line = np.unique(first, return_inverse=True)
            leaders = units[rows[first]]
            along = np.sum(units[rows] * leaders[line], axis=1) > 0.0
            steps = -a[j] * (1.0 - task.slope) * v[rows]
            strengths = np.zeros(len(first))
            np.add.at(strengths, line, steps * lengths[rows])
            # A row that points the other way is on where its line is on its negative side.
            slope = slope + np.where(along, 0.0, steps) @ X[rows]
            self.ties.append(_Ties(rows, line, along))
            self.neurons.append(_Neuron(slope, strengths[:, np.newaxis] * leaders, strengths < 0.0))

    def residual(self) -> float:
        """Norm of the least Clarke subgradient."""
        shortest = [neuron.shortest() for neuron in self.neurons]
        return math.hypot(self.offset, *self.outer, *shortest)

    def is_d_stationary(self, tol: float) -> bool | None:
        """Whether no derivative in a direction of length 1 is below -tol."""
        rate, sure = math.hypot(self.offset, *self.outer), True
        for neuron in self.neurons:
            n_concave = int(np.count_nonzero(neuron.concave))
            sure &= n_concave <= _CONCAVE
            worst = 0.0
            for choice in itertools.product((0.0, 1.0), repeat=min(n_concave, _CONCAVE)):
                sides = np.zeros(len(neuron.kinks))
                sides[np.flatnonzero(neuron.concave)[:_CONCAVE]] = choice
                worst = max(worst, neuron.shortest(sides))
                if math.hypot(rate, worst) > tol:
                    return False
            rate = math.hypot(rate, worst)
        if rate > tol:
            return False
        return True if sure else None


def _program_value(task: Task, net: TwoLayerNetwork, derivatives: _Derivatives) -> float:
    """Optimum of the convex program over the patterns of the neurons."""
    packed = np.concatenate(
        [
            _patterns_of(task, net.W1[j], derivatives.on[:, j], derivatives.ties[j])
            for j in np.flatnonzero(net.W2[:, 0])
        ]
        or [np.empty((0, 0), np.uint64)]
    )
    if len(packed) and task.slope == 0.0:
        packed = packed[unseen(packed, zero_rows_of(task.X)[np.newaxis])]
    if not len(packed):
        return task.objective_at_zero
    packed = packed[unseen(packed, packed[:0])]
    return solve(task.problem(PatternSet(packed, len(task.X))), tol=_TOL).objective


def _patterns_of(task: Task, w: FloatArray, on: BoolArray, ties: _Ties) -> BitArray:
    """Patterns of the cells on all sides of the lines that a neuron lies on, or of some."""
    own = on | ~nonzero_rows(task.X)
    n_lines = int(np.max(ties.line, initial=-1)) + 1
    if n_lines > _ALL:
        U = task.inside(w[np.newaxis])
        around = cells_around(task.X, U, np.random.default_rng(0), most=_SOME)
        return np.concatenate([pack(own[np.newaxis]), around])
    sides = np.array(list(itertools.product((False, True), repeat=n_lines)), bool)
    patterns = np.repeat(own[np.newaxis], len(sides), axis=0)
    patterns[:, ties.rows] = sides[:, ties.line] == ties.along
    return pack(patterns)
