"""Proofs for networks with gates: against all networks whose gates have the same patterns."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pyconvexnn._bits import distinct_rows
from pyconvexnn._rounding import freivalds
from pyconvexnn._typing import ArrayLike, FloatArray
from pyconvexnn._validation import as_matrix
from pyconvexnn.certificates import Certificate
from pyconvexnn.losses import Loss, get_loss
from pyconvexnn.networks import GatedNetwork, Network
from pyconvexnn.networks.neurons import add_up
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems import GatedReLUProblem, SparseBlocks
from pyconvexnn.recovery import recover
from pyconvexnn.solvers import Solution
from pyconvexnn.solvers.solve import solvers_of
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.outputs import one_by_one, side_by_side

GATED_METHODS = ("auto", "patterns")
_FINER = 0.1  # of rtol: how finely the program is solved
_FINEST = 1e-14


def certify_gated(
    net: GatedNetwork,
    X: ArrayLike,
    y: ArrayLike,
    beta: float,
    *,
    loss: str | Loss,
    sample_weight: ArrayLike | None,
    rtol: float,
    improve: bool,
    clock: Clock,
    threads: int,
) -> Certificate:
    """Certificate of a network over the gates that it has; arguments are those of `certify`.

    The networks of any width with these gates, and with the penalty of this one, are the blocks of
    a convex program, whose dual point is the bound. With the penalty "decoupled" every output is a
    program of its own.
    """
    X, loss = as_matrix(X, columns=net.n_features), get_loss(loss)
    targets = net._as_targets(y, len(X), loss)
    apart = net.penalty == "decoupled"
    if apart and loss.joint:
        raise NotImplementedError(
            f"`loss` = {loss.name!r} of a network with the penalty 'decoupled' is not available "
            "yet in certify: its outputs are no programs of their own"
        )
    options: dict[str, Any] = {"loss": loss, "sample_weight": sample_weight}
    objective = _Checked.of(net).objective(X, targets, beta, **options)
    has_offset = net.b2 is not None and bool(np.any(net.b2 != 0.0))
    same = _without_biases(net)
    if net.b1 is not None:
        X = as_matrix(np.column_stack([X, np.ones(len(X))]))
    parts = [_output(same, k) for k in range(net.n_outputs)] if apart else [same]
    columns = list(targets.T) if apart else [targets]

    def solve_part(
        place: int, _: float | None, time_left: Callable[[], float | None]
    ) -> tuple[_Part, float]:
        prob, start = _program(
            parts[place], X, columns[place], beta, output_offset=has_offset, **options
        )
        solver = solvers_of(prob)["auto"](
            tol=max(_FINER * rtol, _FINEST), time_limit=time_left(), threads=threads
        )
        sol = solver.solve(prob, warm_start=start)
        network = _network(parts[place], prob, sol)
        return _Part(network, *_bound(prob, sol), prob.objective_at_zero), 0.0

    solved = one_by_one(len(parts), solve_part, seconds_left=lambda: clock.left)
    best, best_objective = net, objective
    if improve:
        found = side_by_side([part.network for part in solved])
        value = _Checked.of(found).objective(X, targets, beta, **options)
        if value < objective:
            best, best_objective = _with_biases_of(net, found), value
    return Certificate(
        objective=objective,
        lower_bound=math.fsum(part.bound for part in solved),
        method="patterns",
        rtol=rtol,
        dual=np.column_stack([part.dual for part in solved]) if apart else solved[0].dual,
        objective_at_zero=sum(part.objective_at_zero for part in solved),
        best_network=best,
        best_objective=best_objective,
        penalty=net.penalty,
    )


class _Checked(GatedNetwork):
    """A network in whose outputs no product of this machine is taken on trust."""

    @classmethod
    def of(cls, net: Network) -> _Checked:
        """The same network."""
        assert isinstance(net, GatedNetwork)
        return cls(net.W1, net.W2, net.gates, net.b1, net.b2)

    def _product(self, A: FloatArray, B: FloatArray) -> FloatArray:
        C = super()._product(A, B)
        freivalds(A, B, C)
        return C


class _Part(NamedTuple):
    """What solving the program of one output, or of all, came to."""

    network: Network
    bound: float
    dual: FloatArray
    objective_at_zero: float


def _program(
    net: GatedNetwork, X: FloatArray, targets: FloatArray, beta: float, **options: Any
) -> tuple[GatedReLUProblem, SparseBlocks]:
    """The program over the network's patterns, each once, and the network's own blocks in it."""
    blocks = net.W1 * net.W2.reshape(-1, *[1] * (net.W1.ndim - 1))
    if net.n_neurons:
        patterns = PatternSet.from_gates(X, net.gates)
        first, place = distinct_rows(patterns.packed)
        patterns = patterns[first]
        blocks, kept = add_up(blocks, place)
    else:  # one pattern that no block does anything on
        patterns, kept = PatternSet.from_dense(np.zeros((1, len(X)), bool)), np.arange(0)
    prob = GatedReLUProblem(X, targets, patterns, beta, **options)
    return prob, SparseBlocks(kept, blocks, len(patterns))


def _bound(prob: GatedReLUProblem, sol: Solution) -> tuple[float, FloatArray]:
    """Dual objective, recomputed in NumPy, and the feasible point that has it."""
    v = sol.dual / (1.0 + prob.dual_infeasibility(sol.dual))
    value = prob.dual_objective(v)
    # No loss is negative: D(0) = 0.
    return (value, v) if value >= 0.0 else (0.0, np.zeros_like(v))


def _network(net: GatedNetwork, prob: GatedReLUProblem, sol: Solution) -> GatedNetwork:
    """Network of a solution; where that is zero, `net` without neurons."""
    if len(sol.active):
        return recover(prob, sol)
    b2 = np.atleast_1d(sol.offset) if prob.output_offset else None
    return dataclasses.replace(net, W1=net.W1[:0], W2=net.W2[:0], gates=net.gates[:0], b2=b2)


def _output(net: GatedNetwork, k: int) -> GatedNetwork:
    """The network of one output; all of its neurons."""
    return dataclasses.replace(net, W2=net.W2[:, [k]], b2=None if net.b2 is None else net.b2[[k]])


def _without_biases(net: GatedNetwork) -> GatedNetwork:
    """The network with its biases as weights on a last column of ones, which no gate looks at."""
    if net.b1 is None:
        return net
    W1 = np.column_stack([net.W1, net.b1])
    gates = np.column_stack([net.gates, np.zeros(net.n_neurons)])
    return dataclasses.replace(net, W1=W1, gates=gates, b1=None)


def _with_biases_of(net: GatedNetwork, found: Network) -> GatedNetwork:
    """A network of the columns of `_without_biases` in the features of `net`."""
    assert isinstance(found, GatedNetwork)
    if net.b1 is None:
        return found
    W1, gates = found.W1, found.gates
    return dataclasses.replace(found, W1=W1[:, :-1], gates=gates[:, :-1], b1=W1[:, -1])
