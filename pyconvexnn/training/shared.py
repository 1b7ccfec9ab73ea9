r"""Networks of several outputs whose neurons may feed all of them: bounds, and how to better them.

Over all of them the weight decay problem has the dual

.. math:: \max_V D(V) \quad \text{s.t.} \quad \max_{\|u\| \le 1} \|V^T \phi(X u)\|_2 \le \beta,

and scalar prices M_k of the columns of V Q, Q orthogonal, bound the norm by
``M = (sum_k M_k^2)^(1/2)`` (:mod:`pyconvexnn.pricing.columns`). What that can prove at most is

.. math:: \max_{\sum_k \beta_k^2 = \beta^2} \sum_k p_k(\beta_k)
    = \min \; \ell + \beta \Big(\sum_k R_k^2\Big)^{1/2},

p_k being the scalar optimum for column k of the targets and R_k the penalty of its network: at the
best split the beta_k are as the R_k. It is below the optimum, as lengths of sums are below sums of
lengths; for the squared loss, which the same Q can be taken in, often by a few parts of a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyconvexnn._rounding import up
from pyconvexnn._typing import FloatArray
from pyconvexnn.certificates import Certificate
from pyconvexnn.losses import Squared
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.networks.neurons import units
from pyconvexnn.pricing import Price, price
from pyconvexnn.pricing.columns import (
    Columns,
    columns,
    found_prices,
    largest_first,
    price_bound,
    rotation,
)
from pyconvexnn.solvers.base import relative_gap
from pyconvexnn.training.bounds import Bound, bound_of_price, certificate, dual_point
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.descent import descend
from pyconvexnn.training.duals import dual_of
from pyconvexnn.training.escape import best_escape
from pyconvexnn.training.generation import Generation
from pyconvexnn.training.outputs import alone, side_by_side
from pyconvexnn.training.shared_task import SharedTask
from pyconvexnn.training.task import Task

_ROUNDS = 5  # trainings by which the penalty is split
_COARSE = 1e-3  # relative gap of these
_SAME = 0.05  # relative change of the split that is none: what it is worth is of second order
_STEP = 2.0  # factor by which one part changes at most from one training to the next
_LEAST = 1e-3  # of the penalty: no part is smaller
_LOOSE = 0.02  # of what the columns' inequality loses anyway: no price has to be finer
_FLOOR = 0.1  # of sqrt(rtol) beta: smaller prices of columns need not be known
_KEPT = 16  # neurons of a search
_SPLIT_SHARE = 0.4  # of the time left, for the trainings
_APART_SHARE = 0.1  # of the time left then, for trainings at the whole penalty
_DESCENT_SHARE = 0.3  # of the time left then, for descent
_PROOF_SHARE = 0.8  # of the time left then, for their proofs
_QUICK_SHARE = 0.1  # of the time limit, for a first bound


class Options(NamedTuple):
    """What :func:`pyconvexnn.certify` was asked for; meanings as there."""

    method: str
    rtol: float
    improve: bool
    threads: int
    rng: np.random.Generator


def certify_shared(
    task: SharedTask,
    net: TwoLayerNetwork,
    clock: Clock,
    options: Options,
) -> Certificate:
    """Certificate of a network of several outputs, in the features and columns of the task.

    Its `best_network` is that one, or where it is better one of trainings for single outputs, or
    the one that descent leads to from the best of these.
    """
    prover, rng = _Prover(task, clock, options), options.rng
    # How neurons feed outputs, in units of their penalty.
    turns = [rotation(units(net)[1], rng), np.eye(task.n_outputs)]
    best, bound, begun = net, prover.nothing(), clock.seconds
    if clock.limit is not None:
        bound = prover.of_network(net, turns[:1], bound, quick=True)
    once = clock.seconds - begun  # all that follows takes several times as long, or less
    if options.improve and not clock.ends_within(once):
        split = prover.split(net, turns)
        best = min(net, split.network, prover.apart(net), key=task.objective)
        down = descend(task, best, Clock(clock.share(_DESCENT_SHARE)), rng)
        if task.objective(down) < task.objective(best) * (1.0 - options.rtol):
            best = down
            again = rotation(units(best)[1], rng)
            split = max(split, prover.split(best, [again]), key=lambda one: one.value)
            turns.insert(0, again)
        if not clock.ends_within(once):
            bound = max(bound, prover.of_split(split, best), key=lambda known: known.value)
    for candidate in [net] if best is net else [best, net]:
        if not clock.ends_within(2.0 * once):
            bound = prover.of_network(candidate, turns, bound)
    U, own = prover.neurons, task.residual(net.predict(task.data))
    order = np.argsort(-found_prices(task.data, own, U, task.slope)[1], kind="stable")
    escape = best_escape(task, net, U[order], clock)
    return certificate(task, net, bound, options.rtol, best=best, escape=escape)


class Split(NamedTuple):
    """Trainings for the columns of the targets, turned by Q, at parts of the penalty.

    Attributes
    ----------
    Q : (K, K) float64
        Orthogonal.
    parts : list of Task
        One for each column of ``Y Q``, of a penalty of its own; the squares of these add up to no
        more than that of beta.
    networks : list of TwoLayerNetwork
        Of these, to 1e-3 or so.
    value : float
        Sum of their objectives: no more can be proved.
    network : TwoLayerNetwork
        All of them, as one of K outputs.
    """

    Q: FloatArray
    parts: list[Task]
    networks: list[TwoLayerNetwork]
    value: float
    network: TwoLayerNetwork


class _Prover:
    """Lower bounds for a task, from dual points of several kinds.

    Attributes
    ----------
    neurons : (k, d) float64
        Unit neurons that were found on the way.
    """

    def __init__(self, task: SharedTask, clock: Clock, options: Options) -> None:
        self._task, self._clock = task, clock
        self._method, self._rtol, _, self._threads, self._rng = options
        self.neurons = np.zeros((0, task.data.shape[1]))

    def nothing(self) -> Bound:
        """The bound 0: no loss is negative."""
        v = np.zeros_like(self._task.y)
        return bound_of_price(self._task, v, math.inf, 0.0, "bound")

    def search(self, V: FloatArray, net: TwoLayerNetwork, seconds: float | None) -> list[Price]:
        """Neurons of large prices of the columns of V, those of a network among the starts."""
        starts = net.W1[np.any(net.W1 != 0, axis=1)]
        share = None if seconds is None else seconds / V.shape[1]
        return [self._price(v, "search", starts, share) for v in V.T]

    def of_network(
        self, net: TwoLayerNetwork, turns: Sequence[FloatArray], known: Bound, quick: bool = False
    ) -> Bound:
        """Bound of the dual point of a network, at its best offsets; or the known one, if better.

        The better of some Q is found by a search; what would be no better bound is not proved.
        """
        task, clock = self._task, self._clock
        V = self._dual_of(net)
        turned = [columns(V, Q) for Q in turns]
        share = clock.share(_QUICK_SHARE / len(turned))
        searched = [self.search(one.turned, net, share) for one in turned]
        sizes = [math.hypot(*(found.value for found in prices)) for prices in searched]
        least = int(np.argmin(sizes))
        # What one neuron can have of all columns, and the inequality makes of it.
        U, values = largest_first(task.data, V, searched[least], task.slope)
        self.neurons = np.concatenate([self.neurons, U[:_KEPT]])
        top = float(values.max(initial=0.0))
        loose = sizes[least] / top - 1.0 if top > 0.0 else 0.0
        estimate = bound_of_price(task, V, sizes[least], sizes[least], "search")
        if estimate.value <= known.value:
            return known
        prices = []
        for k, (z, found) in enumerate(zip(turned[least].turned.T, searched[least], strict=True)):
            prices.append(
                self._price(
                    z,
                    "bound" if quick else self._method,
                    found.neurons[:_KEPT],
                    clock.share((_QUICK_SHARE if quick else 1.0) / (task.n_outputs - k)),
                    rtol=max(0.5 * self._rtol, _LOOSE * loose),
                )
            )
        bounds = [found.bound for found in prices]
        return self._better(known, V, turned[least], bounds, None, prices)

    def _dual_of(self, net: TwoLayerNetwork) -> FloatArray:
        """The residual, or where the loss has kinks, duals of single outputs at a split penalty."""
        task = self._task
        f = net.predict(task.data)
        V = dual_point(task, task.residual(f + task.best_offset(f)))
        if not task.loss.smooth:
            networks = alone(net)
            for k, (part, one) in enumerate(zip(task.at(_shares(networks)), networks, strict=True)):
                share = Clock(self._clock.share(_QUICK_SHARE))
                V[:, k] = dual_of(part, one, self._rng, share, self._threads)
        return V

    def split(self, net: TwoLayerNetwork, turns: Sequence[FloatArray]) -> Split:
        """Train for single columns, at the parts of the penalty that prove most.

        The targets can be turned where their loss is the squared one; otherwise they stay.
        """
        if not isinstance(self._task.loss, Squared):
            turns = [np.eye(self._task.n_outputs)]
        end = Clock(self._clock.share(_SPLIT_SHARE))
        tried: list[Split] = []
        for i, Q in enumerate(turns):
            if tried and end.ends_within(end.seconds):
                break
            tried.append(self._split(net, Q, Clock(end.share(1.0 / (len(turns) - i)))))
        return max(tried, key=lambda split: split.value)

    def _split(self, net: TwoLayerNetwork, Q: FloatArray, clock: Clock) -> Split:
        task = self._task if np.array_equal(Q, np.eye(len(Q))) else self._task.turned(Q)
        b2 = None if net.b2 is None else net.b2 @ Q
        networks = alone(self._task.network(net.W1, net.W2 @ Q, b2))
        share = _shares(networks)
        for i in range(_ROUNDS):
            begun = clock.seconds
            parts = task.at(share)
            end = Clock(clock.share(1.0 if i == _ROUNDS - 1 else 0.5))
            runs = self._trained(parts, networks, end)
            networks = [run.network for run in runs]
            sizes = np.array([_size(one) for one in networks])
            if clock.ends_within(clock.seconds - begun) or not np.any(sizes):
                break
            # At the best split the parts are as the sizes, which fall where a part grows.
            wanted = np.sqrt(share * np.maximum(_normed(sizes), _LEAST))
            wanted = _normed(np.clip(wanted, share / _STEP, share * _STEP))
            if np.max(np.abs(wanted - share)) <= _SAME * np.max(share) or i == _ROUNDS - 1:
                break
            share = wanted
        whole = self._together(networks, Q)
        return Split(Q, parts, networks, sum(run.objective for run in runs), whole)

    def apart(self, net: TwoLayerNetwork) -> TwoLayerNetwork:
        """Network of outputs that were trained alone, each at the whole penalty."""
        end = Clock(self._clock.share(_APART_SHARE))
        runs = self._trained(self._task.parts, alone(net), end)
        return self._together([run.network for run in runs], np.eye(self._task.n_outputs))

    def _trained(
        self, parts: Sequence[Task], starts: Sequence[TwoLayerNetwork], clock: Clock
    ) -> list[Generation]:
        """Runs for single columns, of which nothing is proved."""
        return [
            self._run(part, start, Clock(clock.share(1.0 / (len(parts) - k))), _COARSE, 0.0)
            for k, (part, start) in enumerate(zip(parts, starts, strict=True))
        ]

    def _together(self, networks: Sequence[TwoLayerNetwork], Q: FloatArray) -> TwoLayerNetwork:
        """Networks of single columns as one of K outputs, turned back."""
        together = side_by_side(networks)
        assert isinstance(together, TwoLayerNetwork)
        b2 = None if together.b2 is None else together.b2 @ Q.T
        return self._task.network(together.W1, together.W2 @ Q.T, b2).merge()

    def of_split(self, split: Split, best: TwoLayerNetwork) -> Bound:
        """Bound of the dual points of trainings for single columns, each of them proved."""
        task, clock = self._task, self._clock
        gap = relative_gap(task.objective(best), split.value, task.objective_at_zero)
        rtol = max(0.2 * self._rtol, _LOOSE * gap)
        end = Clock(clock.share(_PROOF_SHARE))
        bounds, prices = [], []
        for k, (part, start) in enumerate(zip(split.parts, split.networks, strict=True)):
            run = self._run(part, start, Clock(end.share(1.0 / (len(split.parts) - k))), rtol, None)
            bounds.append(run.ensure_bound())
            prices.append(run.found)
        t = [bound.scale for bound in bounds]
        turned = Columns(np.column_stack([bound.dual for bound in bounds]), split.Q)
        V = dual_point(task, np.einsum("ik,k,jk->ij", turned.turned, t, split.Q))
        limits = [bound.price_bound if bound.scale > 0.0 else 0.0 for bound in bounds]
        found = [one for one in prices if one is not None]
        return self._better(self.nothing(), V, turned, limits, t, found)

    def _better(
        self,
        known: Bound,
        V: FloatArray,
        turned: Columns,
        bounds: Sequence[float],
        sizes: Sequence[float] | None,
        prices: Sequence[Price],
    ) -> Bound:
        """The bound of V, from the price bounds of its columns, or the known one."""
        task = self._task
        M = price_bound(task.data, V, turned, bounds, sizes)
        U, values = largest_first(task.data, V, prices, task.slope)
        self.neurons = np.concatenate([self.neurons, U[:_KEPT]])
        bound = bound_of_price(task, V, M, float(values.max(initial=0.0)), "bound")
        return max(known, bound, key=lambda one: one.value)

    def _run(
        self,
        part: Task,
        start: TwoLayerNetwork,
        clock: Clock,
        rtol: float,
        proof_limit: float | None,
    ) -> Generation:
        run = Generation(
            part,
            rtol=rtol,
            rng=self._rng,
            clock=clock,
            threads=self._threads,
            warm_start=start,
            method=self._method,
            proof_limit=proof_limit,
        )
        run.run()
        return run

    def _price(
        self,
        v: FloatArray,
        method: str,
        starts: FloatArray,
        seconds: float | None,
        *,
        rtol: float = 1e-4,
    ) -> Price:
        task = self._task
        return price(
            task.data,
            v,
            slope=task.slope,
            floor=_FLOOR * math.sqrt(self._rtol / task.n_outputs) * task.beta,
            rtol=rtol,
            method=method,
            starts=starts,
            seed=int(self._rng.integers(1 << 62)),
            time_limit=seconds,
            threads=self._threads,
            basis=task.first.basis,
        )


def _size(net: TwoLayerNetwork) -> float:
    """Penalty of a network of one output, balanced, over beta."""
    return float(np.sum(np.abs(units(net)[1])))


def _shares(networks: Sequence[TwoLayerNetwork]) -> FloatArray:
    """Parts of the penalty as the sizes of networks of one output, none of them nothing."""
    sizes = np.array([_size(one) for one in networks])
    return _normed(np.maximum(sizes, _LEAST * sizes.max()) if np.any(sizes) else sizes + 1.0)


def _normed(sizes: FloatArray) -> FloatArray:
    """The same direction, no longer than 1."""
    length = up(math.hypot(*sizes)) if np.any(sizes) else 1.0
    return np.asarray(sizes / length)
