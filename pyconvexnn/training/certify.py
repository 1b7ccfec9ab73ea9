"""Proofs for networks trained elsewhere."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pyconvexnn._rounding import up
from pyconvexnn._typing import ArrayLike
from pyconvexnn._validation import (
    as_generator,
    choice,
    describe,
    flag,
    new_file,
    positive,
    resolve_threads,
)
from pyconvexnn.certificates import Certificate
from pyconvexnn.losses import Loss
from pyconvexnn.networks import GatedNetwork, Network, TwoLayerNetwork
from pyconvexnn.pricing import METHODS, price
from pyconvexnn.solvers.base import relative_gap
from pyconvexnn.training.bounds import certificate, proved_bound
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.duals import dual_of
from pyconvexnn.training.escape import best_escape
from pyconvexnn.training.gated import GATED_METHODS, certify_gated
from pyconvexnn.training.generation import RUNGS, Generation
from pyconvexnn.training.outputs import alone, one_by_one, side_by_side, summed
from pyconvexnn.training.shared import Options, certify_shared
from pyconvexnn.training.shared_task import SharedTask
from pyconvexnn.training.task import Task, check_network

_METHODS = tuple(method for method in METHODS if method != "search")  # a search proves nothing
_PROOF_SHARE = 0.25  # of the time limit, for a file
_GIVEN = 0.9  # of what a proof may use up of the relative gap; the rest is for rounding
_GIVEN_OF_GAP = 0.1  # of a gap that is larger than what was asked for
_SHORT = 1e-9  # relative: a bound that much below its aim is not said to be
_LARGEST = 1e150  # objective: squares of residuals do not overflow
_FINER = 0.1  # of rtol: how fine a proof may have to be that a nearly optimal network passes


def certify(
    net: Network,
    X: ArrayLike,
    y: ArrayLike,
    beta: float,
    *,
    loss: str | Loss = "squared",
    sample_weight: ArrayLike | None = None,
    method: str = "auto",
    rtol: float = 1e-4,
    improve: bool = True,
    time_limit: float | None = None,
    threads: int | None = None,
    seed: int | np.random.Generator | None = 0,
    proof: str | os.PathLike[str] | None = None,
) -> Certificate:
    r"""Prove how far a network is from the best of any width, whoever trained it.

    .. math:: \text{objective} = \sum_k s_k\, \ell(f(x_k), y_k)
        + \frac\beta2 \sum_j (\|w_j\|^2 + b_{1j}^2 + \|a_j\|_2^2)

    for ``f(x) = sum_j act(x'w_j + b_1j) a_j + b_2``. Any v with a bound ``M >= |v' act(X u)|`` over
    all neurons u of length 1 proves that no network is below ``D(t v)``, D being the objective of
    the dual problem and ``0 <= t <= beta / M``. The network's own residual ``v_k = -s_k loss'(f)``
    is such a v, but a poor one unless the network is optimal: with `improve` better ones come from
    training on, and a better network with them. Of the hinge, whose residual is poor at the optimum
    too, v is without `improve` that of the best network with the same cells.

    A network of K > 1 outputs is compared with those of the same :attr:`TwoLayerNetwork.penalty`.
    Where each neuron feeds one output, "decoupled", that is K problems of their own, and the
    certificate the sum of theirs. Otherwise neurons may feed all outputs: v has K columns, and M
    is at least ``||v' act(X u)||_2``, the root of the sum of the squares of scalar bounds, one for
    each column of v or of v times an orthogonal matrix, found by `method`; that of the certificate
    is "bound". Such bounds are lower than the optimum, by a tenth or so, whatever time they have:
    `improve` finds the best of them, and a better network by descent, of the same width or that of
    K separate outputs.

    A network with gates is compared with those of any width whose gates have the same patterns on
    X, and with the same :attr:`GatedNetwork.penalty`: method "patterns". They are the blocks of a
    :class:`GatedReLUProblem`, which is solved to a tenth of `rtol`; D(v) is recomputed in NumPy.

    Parameters
    ----------
    net : TwoLayerNetwork or GatedNetwork
        Hidden biases b_1 are weights on a column of ones, and decayed like them. With an output
        offset ``b_2 != 0`` the network is compared with those that have one, not decayed;
        otherwise with those without.
    X : (n_samples, n_features) array
        Data.
    y : (n_samples,) or (n_samples, K) array
        Targets; -1 and +1 for the losses of labels. The latter for K > 1 outputs, whose losses add
        up.
    beta : float
        Penalty, >= 1e-120.
    loss : str or Loss
        "squared", "huber", "logistic", "squared_hinge", "hinge", "poisson", or a loss object; for
        matrix weights "cross_entropy" too. No factor 1/n.
    sample_weight : (n_samples,) array, optional
        s_k >= 0, 1 by default.
    method : {"auto", "enumeration", "branch_and_bound", "bound", "patterns"}
        How M is found. "auto": the cheapest of the others that is tight enough. "enumeration":
        by pricing every cell of the data, degenerate or not. "branch_and_bound": by cutting the
        ball of neurons into boxes. "bound": by a relaxation, fast and loose, far too loose where
        the others can be had. "patterns": the one that there is with gates, and only there.
    rtol : float
        Relative gap up to which the network counts as optimal, > 0.
    improve : bool
        Whether to train on from the network, until the gap between the best network and the lower
        bound is `rtol` or time ends.
    time_limit : float, optional
        Seconds. What is proved by then is returned.
    threads : int, optional
        None is 1, -1 all cores. The result does not depend on it.
    seed : int, None or Generator
        Of random starts.
    proof : str or path, optional
        File for a proof of `lower_bound` that others can check, with ``pyconvexnn verify`` or with
        the module :mod:`pyconvexnn.proofs.checker` alone. The bound is then the one that the file
        proves, which may use up what `rtol` leaves: a looser bound takes fewer boxes. Where `rtol`
        is not met, it is lower by up to a tenth of the gap; of several outputs whose neurons may
        feed all of them, by more. Where time ends before, or the boxes are too many, the file
        proves less, and where that is not half of the bound, none is written; a ConvergenceWarning
        says so. A quarter of a time limit is kept for it.

    Returns
    -------
    Certificate
        ``objective`` of the network as given, ``lower_bound`` over all networks, ``is_optimal``.
        ``best_network`` is the best one met, with the features of `net`, and ``best_objective`` its
        objective: `net` itself and its own without `improve`, or where nothing better was found.
        ``escape_neuron`` is a tuple ``(u, alpha)``, or None where none is known: adding
        ``alpha act(x'u)``, ``|u| = 1``, lowers the objective of `net`; for several outputs alpha
        is a vector (K,). Where `net` has hidden biases, the last entry of u is the weight on the
        column of ones.

    Raises
    ------
    NotImplementedError
        For the cross entropy of a network without matrix weights.
    ValueError, TypeError
        Naming the argument, the rule and the value. ValueError too for "enumeration" of data that
        :func:`enumerate_patterns` cannot list with ``snap=False``: columns that depend on each
        other up to rounding only, or far too many cells.
    WrongProductError
        If this machine multiplies matrices wrongly: a RuntimeError.
    KeyboardInterrupt
        On Ctrl-C.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> y = np.array([-1, 1, 1, -1])
    >>> net = cx.TwoLayerNetwork.from_arrays([[0.5, -0.5, 0.0]], [[0.7]])
    >>> cert = cx.certify(net, X, y, beta=0.1)
    >>> cert.is_optimal, round(cert.best_objective, 4), cert.escape_neuron is not None
    (False, 0.5793, True)
    >>> cert.lower_bound >= cert.best_objective * (1 - 1e-4)
    True
    """
    whole = Clock(None if time_limit is None else positive(time_limit, "time_limit"))
    clock = whole if proof is None else Clock(whole.share(1.0 - _PROOF_SHARE))
    gated = isinstance(net, GatedNetwork)
    if not gated:
        check_network(net)
    file = None if proof is None else new_file(proof, "proof")
    if gated and file is not None:
        raise ValueError(
            f"`proof` must be None for a network with gates, got {describe(proof)}: its bound is "
            "one over its own patterns only"
        )
    choice(method, "method", GATED_METHODS if gated else _METHODS)
    improve = flag(improve, "improve")
    rtol, threads = positive(rtol, "rtol"), resolve_threads(threads)
    rng = as_generator(seed)
    if isinstance(net, GatedNetwork):
        return certify_gated(
            net,
            X,
            y,
            beta,
            loss=loss,
            sample_weight=sample_weight,
            rtol=rtol,
            improve=improve,
            clock=clock,
            threads=threads,
        )
    begun = clock.seconds
    tasks, same = Task.of_network(
        net, X, y, beta, loss=loss, sample_weight=sample_weight, time_limit=time_limit
    )
    clock.reserve(len(tasks) * len(tasks[0].y), begun)
    objective = SharedTask(tuple(tasks)).objective(same)
    if objective > _LARGEST:
        raise ValueError(
            f"`net` must have an objective <= {_LARGEST:g}, got {objective:.3g}: rescale `X`, `y` "
            "or the weights"
        )
    options = Options(method, rtol, improve, threads, rng)
    if same.penalty == "decoupled":
        cert = _certify_apart(tasks, same, clock, options)
    elif len(tasks) > 1:
        cert = certify_shared(SharedTask(tuple(tasks)), same, clock, options)
    else:
        cert = _certify_one(tasks[0], same, clock, options)
    if file is not None:
        cert = _with_proof(file, tasks, cert, whole, int(rng.integers(1 << 62)))
    assert isinstance(cert.best_network, TwoLayerNetwork)
    best = net if cert.best_network is same else _with_biases_of(net, cert.best_network)
    return dataclasses.replace(cert, best_network=best)


def _with_proof(
    file: Path, tasks: Sequence[Task], cert: Certificate, clock: Clock, seed: int
) -> Certificate:
    """The certificate with the bound that a file proves, which is written."""
    from pyconvexnn.proofs import Claim, prove  # its imports are needed for files only

    whole = tasks[0].whole
    claim = Claim(
        X=whole.X,
        y=whole.y if len(tasks) == 1 else SharedTask(tuple(tasks)).targets,
        weight=whole.sample_weight,
        beta=whole.beta,
        loss=whole.loss,
        activation=whole.activation,
        slope=whole.slope,
        output_offset=whole.output_offset,
        penalty=cert.penalty,
        dual=cert.dual,
        price_bound=cert.price_bound,
        method=cert.method,
    )
    begun = clock.seconds

    def seconds_left() -> float:
        return math.inf if clock.limit is None else clock.limit - clock.seconds

    aim = functools.partial(_aim, cert)
    bound, wanted, boxes = prove(file, claim, aim=aim, seconds_left=seconds_left, seed=seed)
    if bound is None or bound < wanted * (1.0 - _SHORT):
        from sklearn.exceptions import ConvergenceWarning  # takes a second: for the warning only

        told = "no file was written" if bound is None else f"the file proves {bound:.6g} only"
        warnings.warn(
            f"`proof`: {told}, of a lower bound of {cert.lower_bound:.6g}: {boxes} boxes in "
            f"{clock.seconds - begun:.2g} seconds did not do; more are too many"
            + (" for the time limit" if clock.limit is not None else ""),
            ConvergenceWarning,
            stacklevel=3,
        )
    return cert if bound is None else dataclasses.replace(cert, lower_bound=bound)


def _aim(cert: Certificate, known: float) -> float:
    """The least lower bound that a file should prove, where `known` can be proved.

    What is within `rtol` stays there; otherwise a part of the gap is given away.
    """
    best = cert.objective if cert.best_objective is None else cert.best_objective
    for above in (cert.objective, best):
        spare = known - (above - cert.rtol * max(above, 1e-10 * cert.objective_at_zero))
        if spare >= 0.0:
            return known - _GIVEN * spare
    return known - _GIVEN_OF_GAP * (best - known)


def _certify_one(task: Task, net: TwoLayerNetwork, clock: Clock, options: Options) -> Certificate:
    """Certificate of a network of one output, in the features and columns of the task."""
    method, rtol, improve, threads, rng = options
    f = net.predict(task.data)
    own = task.residual(f)
    searched = price(
        task.data,
        own,
        slope=task.slope,
        floor=task.beta,
        method="search",
        starts=net.W1[np.any(net.W1 != 0, axis=1)],
        seed=int(rng.integers(1 << 62)),
        time_limit=clock.share(0.2),
        threads=threads,
        basis=task.basis,
    )
    neurons = searched.neurons
    if improve:
        given = task.objective(net)
        run = Generation(
            task,
            rtol=_FINER * rtol,
            rng=rng,
            clock=clock,
            threads=threads,
            warm_start=net,
            method=method,
            rungs=(*RUNGS, 0.5 * rtol),
            enough=_verdict(task, given, rtol),
        )
        run.run()
        best, bound, restricted = run.network, run.ensure_bound(), run.restricted_bound
    else:
        v = dual_of(task, net, rng, clock, threads)
        found = price(
            task.data,
            v,
            slope=task.slope,
            floor=task.beta,
            rtol=0.5 * rtol,
            method=method,
            starts=neurons[:16],
            seed=int(rng.integers(1 << 62)),
            time_limit=clock.left,
            threads=threads,
            basis=task.basis,
        )
        best, bound, restricted = net, proved_bound(task, v, found), None
        neurons = np.concatenate([found.neurons[:4], neurons])
    return certificate(
        task,
        net,
        bound,
        rtol,
        best=best,
        restricted_bound=restricted,
        escape=best_escape(task, net, neurons, clock),
    )


def _certify_apart(
    tasks: Sequence[Task], net: TwoLayerNetwork, clock: Clock, options: Options
) -> Certificate:
    """The sum of the certificates of the outputs, each of whose neurons feeds one of them."""
    parts = alone(net)

    def certify_output(
        place: int, _: float | None, time_left: Callable[[], float | None]
    ) -> tuple[Certificate, float]:
        own = Clock(time_left())
        return _certify_one(tasks[place], parts[place], own, options), 0.0

    found = one_by_one(len(tasks), certify_output, seconds_left=lambda: clock.left)
    best = [cert.best_network or part for cert, part in zip(found, parts, strict=True)]
    whole = SharedTask(tuple(tasks))
    cert = summed(found)
    if all(one is part for one, part in zip(best, parts, strict=True)):
        together, best_objective = net, cert.objective
    else:
        network = side_by_side(best)
        assert isinstance(network, TwoLayerNetwork)
        together = network
        best_objective = up(math.fsum(one.best_objective or 0.0 for one in found))
    return dataclasses.replace(
        cert,
        best_network=together,
        best_objective=best_objective,
        fingerprint=whole.first.fingerprint(whole.targets, net.penalty),
    )


def _with_biases_of(net: TwoLayerNetwork, found: TwoLayerNetwork) -> TwoLayerNetwork:
    """A network of the task's columns in the features of `net`."""
    if net.b1 is None:
        return found
    return dataclasses.replace(found, W1=found.W1[:, :-1], b1=found.W1[:, -1])


def _verdict(task: Task, given: float, rtol: float) -> Callable[[float, float], bool]:
    """When training may end: whether the network as given is optimal is known, or cannot be."""

    def enough(objective: float, lower: float) -> bool:
        if relative_gap(given, lower, task.objective_at_zero) <= 0.98 * rtol:
            return True
        far = given - objective > rtol * abs(given)
        return far and relative_gap(objective, lower, task.objective_at_zero) <= rtol

    return enough
