"""Proofs for networks with gates: against all networks whose gates have the same patterns."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from pyconvexnn._two_layers import add_up
from pyconvexnn._typing import ArrayLike, FloatArray
from pyconvexnn._validation import as_matrix
from pyconvexnn.certificates import Certificate
from pyconvexnn.losses import Loss, get_loss
from pyconvexnn.networks import GatedNetwork
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems import GatedReLUProblem, SparseBlocks
from pyconvexnn.recovery import recover
from pyconvexnn.solvers import Solution
from pyconvexnn.solvers.solve import solvers_of
from pyconvexnn.training.clock import Clock

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
    has_offset = net.b2 is not None and bool(np.any(net.b2 != 0.0))
    bounds, duals, networks, at_zero = [], [], [], 0.0
    outputs = range(net.n_outputs) if apart else range(1)
    for k in outputs:
        part = _output(net, k) if apart else net
        prob, start = _program(
            part, X, targets[:, [k]] if apart else targets, beta, has_offset, options
        )
        left = clock.left
        solver = solvers_of(prob)["auto"](
            tol=max(_FINER * rtol, _FINEST),
            time_limit=None if left is None else max(left / (len(outputs) - k), 1e-9),
            threads=threads,
        )
        sol = solver.solve(prob, warm_start=start)
        bound, dual = _bound(prob, sol)
        bounds.append(bound)
        duals.append(dual)
        networks.append(_network(part, prob, sol))
        at_zero += prob.objective_at_zero
    objective = net.objective(X, targets, beta, **options)
    best, best_objective = net, objective
    if improve:
        found = _side_by_side(networks) if apart else networks[0]
        value = found.objective(X, targets, beta, **options)
        if value < objective:
            best, best_objective = found, value
    return Certificate(
        objective=objective,
        lower_bound=float(sum(bounds)),
        method="patterns",
        rtol=rtol,
        dual=np.column_stack(duals) if apart else duals[0],
        objective_at_zero=at_zero,
        best_network=best,
        best_objective=best_objective,
    )


def _program(
    net: GatedNetwork,
    X: FloatArray,
    targets: FloatArray,
    beta: float,
    has_offset: bool,
    options: dict[str, Any],
) -> tuple[GatedReLUProblem, SparseBlocks]:
    """The program over the network's patterns, each once, and the network's own blocks in it."""
    gates, blocks = net.gates, net.W1 * net.W2.reshape(-1, *[1] * (net.W1.ndim - 1))
    if net.b1 is not None:  # a weight on a column of ones, which no gate looks at
        X = np.column_stack([X, np.ones(len(X))])
        gates = np.column_stack([gates, np.zeros(len(gates))])
        blocks = np.column_stack([blocks, net.b1 * net.W2[:, 0]])
    if net.n_neurons:
        patterns = PatternSet.from_gates(X, gates)
        _, first, place = np.unique(patterns.packed, axis=0, return_index=True, return_inverse=True)
        patterns = patterns[first]
        sums, kept = add_up(blocks, place.ravel())
    else:  # one pattern that no block does anything on
        patterns = PatternSet.from_dense(np.zeros((1, len(X)), bool))
        sums, kept = blocks, np.empty(0, np.int64)
    prob = GatedReLUProblem(X, targets, patterns, beta, output_offset=has_offset, **options)
    return prob, SparseBlocks(kept, sums, len(patterns))


def _bound(prob: GatedReLUProblem, sol: Solution) -> tuple[float, FloatArray]:
    """Dual objective, recomputed in NumPy, and the feasible point that has it."""
    v = sol.dual / (1.0 + prob.dual_infeasibility(sol.dual))
    value = prob.dual_objective(v)
    # No loss is negative: D(0) = 0.
    return (value, v) if value >= 0.0 else (0.0, np.zeros_like(v))


def _network(net: GatedNetwork, prob: GatedReLUProblem, sol: Solution) -> GatedNetwork:
    """Network of a solution, in the features of `net`."""
    if not len(sol.active):
        b2 = np.atleast_1d(sol.offset) if prob.output_offset else None
        b1 = None if net.b1 is None else net.b1[:0]
        return dataclasses.replace(
            net, W1=net.W1[:0], W2=net.W2[:0], gates=net.gates[:0], b1=b1, b2=b2
        )
    found = recover(prob, sol)
    if net.b1 is None:
        return found
    return dataclasses.replace(
        found, W1=found.W1[:, :-1], gates=found.gates[:, :-1], b1=found.W1[:, -1]
    )


def _output(net: GatedNetwork, k: int) -> GatedNetwork:
    """The network of one output; all of its neurons."""
    return dataclasses.replace(net, W2=net.W2[:, [k]], b2=None if net.b2 is None else net.b2[[k]])


def _side_by_side(networks: list[GatedNetwork]) -> GatedNetwork:
    """The neurons of all, those of the k-th feeding output k."""
    W2 = np.zeros((sum(net.n_neurons for net in networks), len(networks)))
    W2[np.arange(len(W2)), np.repeat(range(len(networks)), [n.n_neurons for n in networks])] = (
        np.concatenate([net.W2[:, 0] for net in networks])
    )
    biases: dict[str, Any] = {}
    for name in ("b1", "b2"):
        parts = [getattr(net, name) for net in networks]
        biases[name] = None if parts[0] is None else np.concatenate(parts)
    return GatedNetwork(
        np.vstack([net.W1 for net in networks]),
        W2,
        np.vstack([net.gates for net in networks]),
        **biases,
    )
