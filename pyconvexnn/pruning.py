"""The fewest neurons that are sure to give the same predictions on some data."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from pyconvexnn._blocks import row_blocks
from pyconvexnn._typing import ArrayLike, FloatArray, IndexArray
from pyconvexnn._validation import as_matrix
from pyconvexnn.networks import GatedNetwork, TwoLayerNetwork
from pyconvexnn.networks.neurons import units, with_units

_MOVED = 1e-13  # of the sum of all neurons' sizes: what the outputs on X may move by in all
_NOTHING = 1e-15  # of that sum: a neuron that is no larger is rounding
_DEPENDENT = 1e-8  # of a neuron: if more of it is not in the span of others it is kept
_FRESH = 200  # deletions after which the factorisation is made anew

Net = TypeVar("Net", GatedNetwork, TwoLayerNetwork)


def prune(net: Net, X: ArrayLike) -> Net:
    r"""Return a network of few neurons with the same predictions on X and no larger objective.

    Let z_j be the outputs ``act(X u_j)`` of neuron j on the rows of X for its direction u_j, with
    the sign of its output weight, and p_j > 0 its size, so that the network's outputs are
    ``sum_j p_j z_j`` and its penalty, balanced, is ``beta sum_j p_j``. While

    .. math:: \sum_j c_j z_j = 0, \qquad \sum_j c_j \ge 0

    for some c that is not zero, which has this sign or the other, the network of the sizes
    ``p_j - t c_j`` has the same outputs and no larger a penalty for every t >= 0 up to
    ``min p_j / c_j`` over the ``c_j > 0``, where a neuron vanishes. So in the end the z_j are
    independent, and there are at most as many as their rank, itself at most n. At an optimum
    ``sum_j c_j = 0``, and the smaller network is another optimum (Mishkin and Pilanci, "Optimal
    sets and solution paths of ReLU networks", ICML 2023; the sign for any other network is ours).

    For several outputs with the penalty "decoupled" this is done for each, as ``|w_j| |a_j|_1`` is
    a sum over them: every output is that of at most rank-many neurons, and no neuron is new. With
    "weight_decay" neurons are as they are or go as a whole: the z_j are then n by K matrices, the
    outer products of the outputs of neuron j and ``a_j / |a_j|``. So do units of matrix weights,
    of penalty "frobenius", whose outputs are such matrices.

    Parameters
    ----------
    net : TwoLayerNetwork or GatedNetwork
        Any, optimal or not.
    X : (n_samples, n_features) array
        Data that the predictions stay the same on. Elsewhere they change.

    Returns
    -------
    The same kind of network
        Balanced, its directions among those of ``net.merge()``, or of `net` where merging would
        move predictions on X, whose columns are then of very different sizes. ``net.objective(X,
        ...)`` is not larger for any targets, loss, weights and penalty (without ridge and pattern
        weights). Predictions on X are moved by rounding only, 1e-13 of the sum of all neurons'
        sizes in the Euclidean norm: a neuron whose removal would move them more stays, however
        nearly it depends on others.

    Raises
    ------
    TypeError, ValueError
        If `net` is no network, or X no finite real matrix with its number of columns.

    See Also
    --------
    TwoLayerNetwork.merge : fewer neurons that have the same outputs everywhere.
    is_unique : whether there is another optimum at all.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.standard_normal((10, 3)), rng.standard_normal(10)
    >>> net = cx.TwoLayerNetwork.from_arrays(rng.standard_normal((50, 3)), np.ones((50, 1)))
    >>> small = cx.prune(net, X)
    >>> small.n_neurons <= 10, bool(np.allclose(small.predict(X), net.predict(X), rtol=1e-12))
    (True, True)
    >>> small.objective(X, y, 0.1) < net.objective(X, y, 0.1)
    True
    """
    _check_network(net)
    X = as_matrix(X, columns=net.n_features)
    merged = _merged(net, X)
    U, C = units(merged)
    if len(U) == 0:
        return merged
    Z = _outputs(merged, U, X)
    if net.n_outputs > 1 and net.penalty == "weight_decay":
        sizes = merged._outer_norms(C)[:, np.newaxis]
        ways = C / np.where(sizes > 0, sizes, 1.0)
        matrices = np.einsum("ij,jk->ikj", Z, ways).reshape(-1, len(U))
        C = ways * _independent(matrices, sizes[:, 0])[:, np.newaxis]
    else:
        C = np.column_stack([_independent(Z, column) for column in C.T])
    return with_units(merged, U, C, np.arange(len(U)))


def _check_network(net: object) -> None:
    if not isinstance(net, (GatedNetwork, TwoLayerNetwork)):
        raise TypeError(
            f"`net` must be a TwoLayerNetwork or a GatedNetwork, got {type(net).__name__}"
        )


def _merged(net: Net, X: FloatArray) -> Net:
    """``net.merge()``, unless that moves the outputs on X.

    In columns of very different units directions are next to each other that are not the same.
    """
    merged = net.merge()
    U, C = units(net)
    lengths = np.linalg.norm(_outputs(net, U, X), axis=0)
    moved = np.linalg.norm(merged.predict(X) - net.predict(X))
    if moved <= _MOVED * float(np.sum(lengths @ np.abs(C))):
        return merged
    order = np.argsort(-np.sum(np.abs(C), axis=1), kind="stable")
    return with_units(net, U[order], C[order], order)


def _outputs(net: GatedNetwork | TwoLayerNetwork, U: FloatArray, X: FloatArray) -> FloatArray:
    """Outputs of the neurons on X, (n, m), or where n > m any (m, m) with the same products.

    Of matrix weights (n K, m).
    """
    d, m = net.n_features, len(U)
    # Of matrix weights the outputs are side by side: one column of the matrices after the other.
    sides = [U] if net.W1.ndim == 2 else list(U.reshape(m, d, net.n_outputs).transpose(2, 0, 1))
    Z = np.empty((0, m))
    for part in row_blocks(len(X), m * len(sides), least=2 * m):
        rows = np.asfortranarray(X[part])
        for W in sides:
            hidden = rows @ W[:, :d].T
            if net.b1 is not None:
                hidden += W[:, d]
            net._activate(rows, hidden)
            Z = np.vstack([Z, hidden])
        if len(Z) > m:
            Z = np.asarray(np.linalg.qr(Z, mode="r"))
    return Z


def _independent(Z: FloatArray, sizes: FloatArray) -> FloatArray:
    """Sizes with the same sum ``Z @ sizes``, no larger and of the same signs, mostly zero.

    The columns of Z that keep one are independent of each other.
    """
    from scipy.linalg import qr  # not needed by every program

    lengths = np.linalg.norm(Z, axis=0)
    used = np.flatnonzero((sizes != 0) & (lengths > 0))
    out = np.zeros_like(sizes)
    if not len(used):
        return out
    costs = 1.0 / lengths[used]
    columns = np.sign(sizes[used]) * Z[:, used] * costs
    given = np.abs(sizes[used]) * lengths[used]
    # Those least dependent on each other first: they make a well-conditioned basis.
    R, order = qr(columns, mode="r", pivoting=True)
    rank = np.count_nonzero(np.abs(np.diag(R)) > _DEPENDENT)
    parts = _Basis(columns, given, costs, order[:rank]).reduce(order[rank:])
    out[used] = np.sign(sizes[used]) * parts * costs
    return out


class _Basis:
    """Independent unit columns whose parts add up to the sum of all columns, at no larger cost.

    Parameters
    ----------
    columns : (n, m) float64
        Of length 1.
    parts : (m,) float64
        How much of each there is, > 0.
    costs : (m,) float64
        What each part costs, > 0.
    members : (r,) int
        Columns that are independent of each other, to begin with.
    """

    def __init__(
        self, columns: FloatArray, parts: FloatArray, costs: FloatArray, members: IndexArray
    ) -> None:
        self._columns, self._costs = columns, costs
        self._parts = parts.copy()
        self._total = float(np.sum(parts))
        self._left = _MOVED * self._total  # by how much the sum may still be moved
        self._sum = columns @ parts
        self._cost = float(costs @ parts)
        self._members = members
        self._deletions = 0
        self._Q, self._R = np.linalg.qr(columns[:, members])

    def reduce(self, others: IndexArray) -> FloatArray:
        """Take in the other columns; return the parts, zero but for independent columns."""
        for j in others:
            while self._parts[j] > 0.0 and not self._takes(j):
                pass
        self._refine()
        return self._parts

    def _takes(self, j: int) -> bool:
        """Make column j a member, or take away as much of members and it as one of them has."""
        column = self._columns[:, j]
        inside = self._Q.T @ column
        rest = column - self._Q @ inside
        again = self._Q.T @ rest
        inside, rest = inside + again, rest - self._Q @ again
        distance = float(np.linalg.norm(rest))
        if distance <= _DEPENDENT:
            listed = np.append(self._members, j)
            c = np.append(-self._solve(inside), 1.0)
            if self._costs[listed] @ c < 0.0:
                c = -c
            falling = np.flatnonzero(c > 0.0)
            steps = self._parts[listed[falling]] / c[falling]
            step = float(np.min(steps))
            if step * distance <= self._left:
                self._left -= step * distance
                self._parts[listed] = np.maximum(self._parts[listed] - step * c, 0.0)
                self._parts[listed[falling[np.argmin(steps)]]] = 0.0
                self._drop(listed)
                return False
        self._Q = np.column_stack([self._Q, rest / distance])
        r = len(self._members)
        R = np.zeros((r + 1, r + 1))
        R[:r, :r], R[:r, r], R[r, r] = self._R, inside, distance
        self._R, self._members = R, np.append(self._members, j)
        return True

    def _drop(self, listed: IndexArray) -> None:
        """Zero what is left of columns by rounding, and forget the members of which nothing is."""
        from scipy.linalg import qr_delete

        for i in listed[self._parts[listed] <= _NOTHING * self._total]:
            if self._parts[i] <= self._left:
                self._left -= self._parts[i]
                self._parts[i] = 0.0
        gone = np.flatnonzero(self._parts[self._members] == 0.0)
        self._members = np.delete(self._members, gone)
        self._deletions += len(gone)
        if self._deletions > _FRESH:
            self._factor()
            return
        for position in gone[::-1]:
            self._Q, self._R = qr_delete(self._Q, self._R, position, which="col")
        r = len(self._members)
        self._Q, self._R = self._Q[:, :r], self._R[:r]

    def _factor(self) -> None:
        self._Q, self._R = np.linalg.qr(self._columns[:, self._members])
        self._deletions = 0

    def _solve(self, inside: FloatArray) -> FloatArray:
        from scipy.linalg import solve_triangular

        return np.asarray(solve_triangular(self._R, inside)) if len(inside) else inside

    def _refine(self) -> None:
        """Take back the rounding of all steps, unless a part or the cost would be wrong then."""
        self._factor()
        kept = self._columns[:, self._members]
        parts = self._parts[self._members]
        error = self._sum - kept @ parts
        better = parts + self._solve(self._Q.T @ error)
        if (
            np.all(better > 0.0)
            and self._costs[self._members] @ better <= self._cost
            and np.linalg.norm(self._sum - kept @ better) < np.linalg.norm(error)
        ):
            self._parts[self._members] = better
