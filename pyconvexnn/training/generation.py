"""Column generation: patterns from priced neurons until no neuron is worth its penalty.

The convex program over the patterns met so far is solved; its dual point v is priced over all
neurons, ``max_{|u| <= 1} |v' act(X u)|``; the patterns of neurons whose price exceeds beta come
in. A search finds such neurons, a rigorous engine shows that there are no more of them: any bound
M of the price proves the lower bound ``D(s v)``, s <= beta / M, of the optimum over all networks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pyconvexnn._typing import BitArray, FloatArray
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.networks.neurons import units
from pyconvexnn.pricing import Price, price
from pyconvexnn.sampling.coordinates import coordinates_of
from pyconvexnn.solvers import Solution, Status
from pyconvexnn.solvers.base import relative_gap
from pyconvexnn.training.bounds import Bound, dual_point, estimated_bound, proved_bound
from pyconvexnn.training.cells import cells_around
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.escape import best_escape
from pyconvexnn.training.master import Master
from pyconvexnn.training.rounds import Round, RoundCallback
from pyconvexnn.training.task import Task

_FIRST = 10  # random patterns at the start
RUNGS = (0.1, 0.01)  # coarse accuracies of rigorous pricing, tried before the one needed
_STARTS = (10, 50)  # random starts of searches; more when fewer find nothing
_MOST_STARTS = 200  # also the last ones, where no proof may follow that finds what was missed
_KNOWN = 16  # neurons of the last search that rigorous pricing starts with
_SURELY_PROVED = 6  # columns up to which branch and bound ends soon
_ROUNDS_WITH_DROPS = 100  # after which no pattern is dropped: none may come and go for ever
_FINEST = 1e-13  # relative gap below which no restricted program is solved
_RUNG_SHARE = 0.9  # of the time left that a coarse rung may take
_FIRST_SHARE = 0.2  # of the time limit, for a first bound, and then for the first neurons
_SMALL = 100_000  # n d up to which the program alone has a network soon
_FIRST_NEURONS = 10
_WHITENED = 2_000_000  # n d^2 up to which the random patterns are those of whitened data
_SEARCH_SHARE = 0.5  # of the time left that a search may take before something is proved
_SEARCH_SHARE_ALONE = 0.95  # where nothing is to be proved
_MOST_ADDED = 300  # neurons whose patterns come in after a round, those of the highest prices
_HOPELESS = 0.7  # relative gap of a relaxation that no seconds of boxes make much smaller
_WARM_BITS = 1 << 31  # of the patterns of a network to start from: of no more than its largest,
_FEWEST_KEPT = 100  # but of so many neurons in any case
_BOXES_PAY = 12  # columns above which boxes add nothing to a relaxation's bound in seconds


class _StopRun(Exception):  # noqa: N818  # it is no error
    """The run ends with what there is."""

    def __init__(self, status: Status) -> None:
        self.status = status


class Generation:
    """One run of column generation.

    Parameters
    ----------
    task : Task
        What is trained.
    rtol : float
        Relative gap between the best network and the best bound at which :meth:`run` ends.
    rng : Generator
        Where the randomness comes from.
    clock : Clock
        Started by the caller.
    threads : int
        The result does not depend on it.
    warm_start : TwoLayerNetwork, optional
        In the features as given: its patterns are among the first.
    method : str
        Of the rigorous pricing.
    rungs : tuple of float
        Falling accuracies of prices that are tried before the one that the gap needs; "enumeration"
        goes without.
    callback : callable, optional
        Called with every Round; returning True ends the run.
    enough : callable, optional
        Further reason to end: called with (objective, lower bound), the best so far.
    proof_limit : float, optional
        Seconds that the run may go on when a first search finds no more neurons; with 0 it ends
        there, and nothing is proved. Where boxes would not help within seconds, for the number of
        columns or for the gap that a relaxation leaves, that is all that is tried.
    max_rounds : int, optional
        Most rounds of pricing.

    Attributes
    ----------
    is_trained : bool
        Whether a search has ended because it found no more neurons worth adding.
    """

    def __init__(
        self,
        task: Task,
        *,
        rtol: float,
        rng: np.random.Generator,
        clock: Clock,
        threads: int = 1,
        warm_start: TwoLayerNetwork | None = None,
        method: str = "auto",
        rungs: tuple[float, ...] = RUNGS,
        callback: RoundCallback | None = None,
        enough: Callable[[float, float], bool] | None = None,
        proof_limit: float | None = None,
        max_rounds: int | None = None,
    ) -> None:
        self.task, self.clock = task, clock
        self._proof_limit, self._max_rounds = proof_limit, max_rounds
        self.is_trained = self._has_searched = False
        is_last_word = proof_limit is not None and task.X.size <= _SMALL
        self._starts = (*_STARTS, _MOST_STARTS) if is_last_word else _STARTS
        self._proof_began: float | None = None
        if proof_limit is not None and method == "auto" and task.X.shape[1] > _BOXES_PAY:
            method = "bound"
        self._rtol, self._rng, self._threads, self._method = rtol, rng, threads, method
        # A coarse look at all cells takes as long as a fine one.
        self._rungs = () if method == "enumeration" else rungs
        self._callback, self._enough = callback, enough
        self.history: list[Round] = []
        self.bound: Bound | None = None
        self.network = task.network(np.zeros((0, task.data.shape[1])), np.zeros((0, 1)))
        self.objective = math.inf
        self.found: Price | None = None  # the last search over all neurons
        self._consider(self._without_neurons())
        if warm_start is not None:
            self._consider(warm_start)
        self.master = Master(task, self._first_patterns(warm_start), threads)

    @property
    def lower_bound(self) -> float:
        """Best lower bound so far."""
        return -math.inf if self.bound is None else self.bound.value

    @property
    def gap(self) -> float:
        """Relative gap between the best network and the best lower bound so far."""
        return self._gap(self.objective, self.lower_bound)

    def run(self) -> Status:
        """Generate patterns until the gap is at most `rtol`, or something else ends it."""
        try:
            rung = 0
            if self.clock.is_short:
                raise _StopRun(Status.TIME_LIMIT)
            while True:
                sol = self._search()
                self._begin_proof()
                rung, closed = self._prove(sol, rung)
                if closed:
                    return Status.SOLVED
        except _StopRun as stopped:
            return Status.SOLVED if self.gap <= self._rtol else stopped.status

    @property
    def proof_seconds(self) -> float:
        """Seconds since a first search ended, 0 before."""
        return 0.0 if self._proof_began is None else self.clock.seconds - self._proof_began

    @property
    def restricted_bound(self) -> float | None:
        """Lower bound of the best over the patterns of the last program."""
        return None if self.master.solution is None else self.master.solution.dual_objective

    def ensure_bound(self) -> Bound:
        """Best bound; that of a relaxation, which is quick, where there is none yet."""
        if self.bound is None:
            sol = self.master.solution
            self._relax(self._residual_at_zero() if sol is None else self._dual(sol))
        assert self.bound is not None
        return self.bound

    def any_bound(self) -> Bound:
        """Best bound; where there is none yet the trivial one, 0, with what a search found."""
        if self.bound is None:
            assert self.found is not None
            sol = self.master.solution
            v = dual_point(self.task, self._residual_at_zero() if sol is None else self._dual(sol))
            self._take(proved_bound(self.task, v, self.found))
        assert self.bound is not None
        return self.bound

    def known_neurons(self) -> FloatArray:
        """Unit neurons (k, d) to look at first: what the last search found, the program's own."""
        known = [np.zeros((0, self.task.data.shape[1]))]
        if self.found is not None:
            known.append(self.found.neurons[:_KNOWN])
        own = self._own_neurons()
        if own is not None:
            known.append(self.task.outside(own))
        return np.concatenate(known)

    # --- the two phases ---------------------------------------------------------------------

    def _search(self) -> Solution:
        """Add patterns until a search finds none that matters."""
        part = _SEARCH_SHARE if self._proof_limit != 0.0 else _SEARCH_SHARE_ALONE
        share = self.clock.share(1 - part) or 0.0  # of the time that is to be left
        finest = max(_FINEST, 0.1 * self._rtol)
        next_tol, level = max(1e-2, finest), 0
        while True:
            tol = next_tol
            sol = self._solve(tol)
            v = self._dual(sol)
            found, prices = self._look(v, self._starts[level], self._own_neurons())
            top = float(prices.max(initial=0.0))
            estimate = estimated_bound(self.task, v, max(top, self.task.beta))
            outer = self._gap(self.objective, max(estimate, self.lower_bound))
            self._report(sol, top, "search")
            if self.clock.left is not None and self.clock.left <= share:
                return sol
            pays = prices > self.task.beta * (1 + 1e-10)
            if self._is_fine(sol) and outer <= 0.5 * self._rtol:
                pays[:] = False  # what is left of it is within what was asked for
            added = self._add(found[pays]) if pays.any() else 0
            next_tol = max(finest, min(tol, 0.1 * outer))
            if added:
                level = 0
                if len(self.history) < _ROUNDS_WITH_DROPS:
                    self.master.drop()
            elif not self._is_fine(sol) and tol > finest:
                next_tol = finest
            elif level + 1 < len(self._starts):
                level += 1
            else:
                # Neurons may pay that the program has the cells of: it is not solved well.
                self._has_searched = True
                self.is_trained = not pays.any() or outer <= self._rtol
                return sol

    def _prove(self, sol: Solution, rung: int) -> tuple[int, bool]:
        """Price rigorously, coarse to fine; (rung, True) once the gap is closed.

        (rung, False) when neurons were found on that rung which the program has yet to learn of.
        """
        if self.bound is None and self.task.X.shape[1] > _SURELY_PROVED:
            self._relax(self._dual(sol))
            hopeless = self._proof_limit is not None and self.gap > _HOPELESS
            if self.clock.is_over or hopeless:
                raise _StopRun(Status.TIME_LIMIT)
        v, beta = dual_point(self.task, self._dual(sol)), self.task.beta
        needed = self._needed(v)
        rungs = [accuracy for accuracy in self._rungs if accuracy > 4 * needed] + [needed]
        rung = min(rung, len(rungs) - 1)
        while True:
            last = rung == len(rungs) - 1
            # Below this price nobody needs to know: half of the accuracy is for it.
            half = math.sqrt(1 + rungs[rung]) - 1
            found = self._price(
                v,
                self._method,
                self.known_neurons(),
                _STARTS[0],
                self.clock.share(1.0 if last else _RUNG_SHARE),
                floor=beta * (1 + half),
                rtol=half,
            )
            self._take(proved_bound(self.task, v, found))
            U, prices = self.task.inside(found.neurons), found.values
            top = float(prices.max(initial=0.0))
            self._report(sol, top, found.method)
            if self.gap <= self._rtol:
                return rung, True
            if self.clock.is_over:
                raise _StopRun(Status.TIME_LIMIT)
            pays = prices > beta * math.sqrt(1 + needed)
            if pays.any() and self._add(U[pays]):
                return rung, False
            if found.status is Status.MAX_ITER and not self._has_searched:
                return rung, False  # there is nothing finer: the time left is for training
            if pays.any():
                self.is_trained = False  # of neurons that pay the program has the cells already
            if found.status is not Status.SOLVED:
                raise _StopRun(found.status)  # a finer rung would take longer still
            if last and sol.status is Status.TIME_LIMIT:
                return rung, False  # the program got a part of the time only: on with it
            if last:
                raise _StopRun(Status.NUMERICAL_ERROR)  # rounding is all that is left
            rung += 1

    # --- pieces -----------------------------------------------------------------------------

    def _begin_proof(self) -> None:
        """From here on the run is for the proof, which may have a time limit of its own."""
        if self._proof_limit == 0.0:
            # What pays then is of cells that the program has: rounding is in its way.
            ended = self.is_trained or not self._has_searched
            raise _StopRun(Status.TIME_LIMIT if ended else Status.NUMERICAL_ERROR)
        if self._proof_began is not None or not self._has_searched:
            return
        self._proof_began = self.clock.seconds
        if self._proof_limit is not None:
            self.clock.end_within(self._proof_limit)

    def _solve(self, tol: float) -> Solution:
        sol = self.master.solve(tol, self.clock.share(0.5))
        self._consider(self.master.network())
        return sol

    def _look(
        self, v: FloatArray, n_starts: int, starts: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """Neurons (k, r) found by a search, and their prices."""
        outside = None
        if starts is not None:
            outside = self.task.outside(starts)
            # The more neurons there are, the rarer a start that leads to one that is missing.
            n_starts = max(n_starts, min(len(starts), _MOST_STARTS))
        self.found = self._price(v, "search", outside, n_starts, self.clock.share(0.3))
        return self.task.inside(self.found.neurons), self.found.values

    def _dual(self, sol: Solution) -> FloatArray:
        """Dual point of a program; of one that had no time to find any, the network's residual."""
        if np.any(sol.dual):
            return sol.dual
        return self.task.residual(self.network.predict(self.task.data))

    def _add(self, U: FloatArray) -> int:
        U = U[:_MOST_ADDED]
        # One cell for each: with more of them the program takes longer, and rounds are no fewer.
        added = self.master.add(cells_around(self.task.X, U, self._rng, most=1))
        if not added:  # only cells that the program has: perhaps those with ties on, which are none
            added = self.master.add(cells_around(self.task.X, U, self._rng, most=32))
        return added

    def _own_neurons(self) -> FloatArray | None:
        """Unit neurons of the program's solution, in the coordinates of X."""
        sol = self.master.solution
        if sol is None or not len(sol.coef.values):
            return None
        return _unit_rows(sol.coef.values)

    def _first_patterns(self, warm_start: TwoLayerNetwork | None) -> BitArray:
        v = self._residual_at_zero()
        U = self._look(v, _STARTS[0], None)[0] if self.clock.limit is None else self._begin(v)
        if self.clock.is_short and len(U):
            # They will not be used. That of u is left out where no row is on, that of -u is not.
            return cells_around(self.task.X, np.stack([U[0], -U[0]]), self._rng)
        n, r = self.task.X.shape
        coordinates = coordinates_of(self.task.X, "whitened" if n * r * r <= _WHITENED else "raw")
        gates = coordinates.gates(self._rng.standard_normal((_FIRST, r)))
        several = [gates, -gates, U]
        if warm_start is not None:
            most = max(_FEWEST_KEPT, _WARM_BITS // n)
            first = np.argsort(-(units(warm_start)[1][:, 0] ** 2), kind="stable")[:most]
            several.append(self.task.inside(warm_start.W1[np.sort(first)]))
        G = np.concatenate(several)
        G = G[np.any(G != 0, axis=1)]
        packed = cells_around(self.task.X, G, self._rng)
        if not len(packed):  # all rows are zero: any pattern will do
            packed = cells_around(np.ones((len(self.task.X), 1)), np.ones((1, 1)), self._rng)
        return packed

    def _begin(self, v: FloatArray) -> FloatArray:
        """A bound, and a network that is better than none, before anything takes long.

        Returns neurons (k, r) like :meth:`_look`.
        """
        v = dual_point(self.task, v)
        found = self._price(v, "bound", None, _STARTS[0], self.clock.share(_FIRST_SHARE))
        self._take(proved_bound(self.task, v, found))
        self.found = found
        is_large = self.task.X.size > _SMALL
        net, several = self._without_neurons(), [found.neurons]
        end = (self.clock.share(1.0 - _FIRST_SHARE) or 0.0) if is_large else math.inf
        # One neuron after another, each as long as lowers the objective most.
        for _ in range(_FIRST_NEURONS):
            better = self._with_one_more(net, several[-1])
            if better is None:
                break
            net = better
            self._consider(net)
            if self.clock.is_over or (self.clock.left or 0.0) <= end:
                break
            v = self.task.residual(net.predict(self.task.data))
            share = self.clock.share(0.2 * _FIRST_SHARE)
            several.append(self._price(v, "search", net.W1, _STARTS[0], share).neurons)
        if is_large and len(several) > 1 and not self.clock.is_short:
            v = dual_point(self.task, self.task.residual(net.predict(self.task.data)))
            found = self._price(v, "bound", net.W1, 0, self.clock.share(_FIRST_SHARE))
            self._take(proved_bound(self.task, v, found))
        return self.task.inside(np.concatenate(several))

    def _with_one_more(self, net: TwoLayerNetwork, U: FloatArray) -> TwoLayerNetwork | None:
        """The network with the best of some unit neurons, and then its best output offset."""
        best = best_escape(self.task, net, U[:2])
        if best.neuron is None:
            return None
        u, alpha = best.neuron
        size = math.sqrt(abs(alpha))
        W1 = np.concatenate([net.W1, size * u[np.newaxis]])
        W2 = np.concatenate([net.W2, [[math.copysign(size, alpha)]]])
        f = self.task.network(W1, W2, np.zeros(1)).predict(self.task.data)
        return self.task.network(W1, W2, np.array([self.task.best_offset(f)]))

    def _price(
        self,
        v: FloatArray,
        method: str,
        starts: FloatArray | None,
        n_starts: int,
        time_limit: float | None,
        *,
        floor: float | None = None,
        rtol: float = 1e-4,
    ) -> Price:
        """Price of v over all neurons of the features as given."""
        return price(
            self.task.data,
            v,
            slope=self.task.slope,
            floor=self.task.beta if floor is None else floor,
            rtol=rtol,
            method=method,
            starts=starts,
            n_starts=n_starts,
            seed=int(self._rng.integers(1 << 62)),
            time_limit=time_limit,
            threads=self._threads,
            basis=self.task.basis,
        )

    def _without_neurons(self) -> TwoLayerNetwork:
        zero = np.zeros(len(self.task.y))
        b2 = np.array([self.task.best_offset(zero)])
        return self.task.network(self.network.W1, self.network.W2, b2)

    def _residual_at_zero(self) -> FloatArray:
        zero = np.zeros(len(self.task.y))
        return self.task.residual(zero + self.task.best_offset(zero))

    def _consider(self, net: TwoLayerNetwork) -> None:
        objective = self.task.objective(net)
        if objective < self.objective:
            self.objective, self.network = objective, net

    def _take(self, bound: Bound) -> None:
        if self.bound is None or bound.value > self.bound.value:
            self.bound = bound

    def _gap(self, objective: float, lower: float) -> float:
        return relative_gap(objective, lower, self.task.objective_at_zero)

    def _is_fine(self, sol: Solution) -> bool:
        """Whether the restricted program is solved finely enough for the gap asked for."""
        return sol.relative_gap <= 0.2 * self._rtol

    def _relax(self, v: FloatArray) -> None:
        v = dual_point(self.task, v)
        found = self._price(v, "bound", self.known_neurons(), 0, self.clock.share(0.5))
        self._take(proved_bound(self.task, v, found))

    def _needed(self, v: FloatArray) -> float:
        """Accuracy of a price bound of v, relative to beta, that closes the gap."""
        low, high = math.log(1e-12), math.log(10.0)
        for _ in range(40):
            middle = 0.5 * (low + high)
            lower = estimated_bound(self.task, v, self.task.beta * (1 + math.exp(middle)))
            if self._gap(self.objective, lower) <= 0.95 * self._rtol:
                low = middle
            else:
                high = middle
        # Where nothing closes it the program is not solved finely enough, and cannot be.
        return max(math.exp(low), 0.1 * self._rtol)

    def _report(self, sol: Solution, top: float, method: str) -> None:
        self.history.append(
            Round(
                len(self.history) + 1,
                self.objective,
                self.lower_bound,
                top / self.task.beta,
                len(self.master),
                len(sol.active),
                method,
                self.clock.seconds,
            )
        )
        if self._callback is not None and self._callback(self.history[-1]):
            raise _StopRun(Status.INTERRUPTED)
        if self._enough is not None and self._enough(self.objective, self.lower_bound):
            raise _StopRun(Status.SOLVED)
        if self._max_rounds is not None and len(self.history) >= self._max_rounds:
            raise _StopRun(Status.MAX_ITER)
        if self.clock.is_over:
            raise _StopRun(Status.TIME_LIMIT)


def _unit_rows(A: FloatArray) -> FloatArray:
    return np.asarray(A / np.linalg.norm(A, axis=1, keepdims=True))
