"""Networks trained to a proved global optimum."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pyconvexnn._typing import ArrayLike, FloatArray
from pyconvexnn._validation import as_generator, describe, positive, resolve_threads
from pyconvexnn.certificates import Certificate
from pyconvexnn.losses import Loss
from pyconvexnn.networks import TwoLayerNetwork
from pyconvexnn.patterns import PatternSet
from pyconvexnn.solvers import Status
from pyconvexnn.training.bounds import certificate
from pyconvexnn.training.clock import Clock
from pyconvexnn.training.escape import best_escape
from pyconvexnn.training.generation import Generation
from pyconvexnn.training.outputs import alone, one_by_one, side_by_side, summed
from pyconvexnn.training.rounds import OutputRounds, Round, RoundCallback
from pyconvexnn.training.task import Task


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained network with the proof of its quality: what :func:`train` returns.

    Attributes
    ----------
    network : TwoLayerNetwork
        The best network found; it acts on rows like those of X.
    certificate : Certificate
        Its objective beside a rigorous lower bound over all networks.
    n_patterns : int
        Activation patterns of the last restricted program: not all that there are. For several
        outputs the sum over their programs.
    history : tuple of Round
        One entry for every round of pricing.
    status : Status
        SOLVED when ``certificate.is_optimal``; otherwise why the run ended.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> fit = cx.train(X, [-1, 1, 1, -1], beta=0.1)
    >>> fit.status.name, fit.network.n_neurons <= 4, fit.history[-1].lower_bound > 0.57
    ('SOLVED', True, True)
    """

    network: TwoLayerNetwork
    certificate: Certificate
    n_patterns: int
    history: tuple[Round, ...] = field(repr=False)
    status: Status


class Trained(NamedTuple):
    """What a run of column generation has come to: a Fit, its patterns, and how it ended.

    Attributes
    ----------
    fit : Fit
    patterns : PatternSet
        Of the last restricted program, on the rows of positive weight.
    is_trained : bool
        Whether a search found no more neurons worth adding, at `rtol`.
    proof_seconds : float
        That the run went on after a first search.
    """

    fit: Fit
    patterns: PatternSet
    is_trained: bool
    proof_seconds: float


def train(
    X: ArrayLike,
    y: ArrayLike,
    beta: float,
    *,
    activation: str = "relu",
    slope: float = 0.01,
    loss: str | Loss = "squared",
    sample_weight: ArrayLike | None = None,
    output_offset: bool = False,
    rtol: float = 1e-4,
    time_limit: float | None = None,
    warm_start: Any = None,
    threads: int | None = None,
    seed: int | np.random.Generator | None = 0,
    callback: RoundCallback | None = None,
) -> Fit:
    r"""Train a two-layer network to the global optimum of its weight-decay problem.

    .. math::

        \min_{m,\, u_j,\, \alpha_j,\, b} \;
        \sum_k s_k\, \ell\big(\sum_{j=1}^m \phi(x_k^T u_j)\, \alpha_j + b,\; y_k\big)
        + \frac\beta2 \sum_j (\|u_j\|_2^2 + \alpha_j^2)

    over networks of any width, phi being the activation. This is a convex program with two blocks
    for each activation pattern (:class:`~pyconvexnn.ReLUProblem`), of which few are needed: it is
    solved over a handful, and patterns of neurons that would lower the objective join. Its
    solution gives a residual ``v_k = -s_k loss'(f(x_k), y_k)``; a proved bound of
    ``|v' phi(X u)|`` over all neurons u of length 1 says how far v has to be scaled down to be a
    point of the dual problem, whose objective there is a lower bound of the optimum.

    Parameters
    ----------
    X : (n_samples, n_features) array
        Data. A column of ones gives the neurons biases, decayed like weights.
    y : (n_samples,) or (n_samples, K) array
        Targets; -1 and +1 for the losses of labels. K > 1 columns are K outputs, and K problems of
        their own: the losses add up, and the penalty is ``beta / 2 sum_j (||u_j||^2 +
        ||alpha_j||_1^2)``, at whose optimum every neuron feeds one output.
    beta : float
        Penalty, >= 1e-120. From :func:`beta_max` on the best network has no neurons.
    activation : {"relu", "leaky_relu", "abs"}
        phi: ``t`` for t >= 0, and 0, ``slope t`` or ``-t`` for t < 0.
    slope : float
        Of "leaky_relu", in [0, 1).
    loss : str or Loss
        "squared", "huber", "logistic", "squared_hinge", "hinge", "poisson", or a loss object. No
        factor 1/n.
    sample_weight : (n_samples,) array, optional
        s_k >= 0, 1 by default.
    output_offset : bool
        Whether b is free; otherwise it is 0.
    rtol : float
        Relative gap between network and lower bound at which the optimum counts as proved, > 0.
    time_limit : float, optional
        Seconds. Half of it at least is for proving; the best network and the bound proved by then
        are returned. There is none by default: give one where X has more than about six features,
        as a proof may take very long. The first call of a process also imports, a second or so.
    warm_start : optional
        A network that the search starts from: a TwoLayerNetwork, a Fit, arrays ``(W1, W2)``,
        ``(W1, W2, b1)`` or ``(W1, W2, b1, b2)``, or a fitted network of scikit-learn. Hidden
        biases b1 belong to a column of X that is constant, which need not be among the network's
        features if it is the last. The result is no worse than it; of several outputs, for each
        of them.
    threads : int, optional
        None is 1, -1 all cores. The result does not depend on it.
    seed : int, None or Generator
        Of the random starts.
    callback : callable, optional
        Called with a :class:`~pyconvexnn.training.Round` after every round of pricing; returning
        True ends the run with what there is. What it raises is raised here. Of several outputs,
        which are trained one after the other, it is told the sums over all of them, those to come
        being without neurons.

    Returns
    -------
    Fit
        ``network``, ``certificate``, ``n_patterns``, ``history``, ``status``. Of several outputs
        the network is those of each of them side by side, one non-zero in each row of W2, and the
        certificate holds the sums of their objectives and lower bounds.

    Raises
    ------
    ValueError, TypeError
        Naming the argument, the rule and the value.
    KeyboardInterrupt
        On Ctrl-C.

    Warns
    -----
    ConvergenceWarning
        (scikit-learn's) when the status is not SOLVED.

    Examples
    --------
    >>> import numpy as np, pyconvexnn as cx
    >>> X = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    >>> fit = cx.train(X, [-1, 1, 1, -1], beta=0.1)
    >>> round(fit.certificate.objective, 4), fit.certificate.is_optimal
    (0.5793, True)
    >>> both = cx.train(X, [[-1, 0], [1, 0], [1, 2], [-1, 0]], beta=0.1)
    >>> both.network.n_outputs, both.network.penalty, both.certificate.is_optimal
    (2, 'decoupled', True)
    """
    clock = Clock(None if time_limit is None else positive(time_limit, "time_limit"))
    if time_limit is not None:
        import sklearn.exceptions  # noqa: F401  # takes a second, which counts: for a warning
    check_callback(callback)
    rtol, threads, rng = positive(rtol, "rtol"), resolve_threads(threads), as_generator(seed)
    begun = clock.seconds
    tasks = Task.of_outputs(
        X,
        y,
        beta,
        activation=activation,
        slope=slope,
        loss=loss,
        sample_weight=sample_weight,
        output_offset=output_offset,
        time_limit=time_limit,
    )
    setup = (clock.seconds - begun) / len(tasks)
    starts = None if warm_start is None else as_starts(warm_start, tasks)
    rounds = OutputRounds([task.objective_at_zero for task in tasks], callback)

    def train_output(
        place: int, _: float | None, time_left: Callable[[], float | None]
    ) -> tuple[Fit, float]:
        # One output has the clock that has been running since the call.
        own = clock if len(tasks) == 1 else Clock(time_left())
        own.reserve(len(tasks[place].y), own.seconds - setup)
        rounds.begin()
        fit = run_generation(
            tasks[place],
            own,
            rtol=rtol,
            rng=rng,
            threads=threads,
            warm_start=None if starts is None else starts[place],
            callback=callback if len(tasks) == 1 else rounds.told,
        ).fit
        cert = fit.certificate
        rounds.end(cert.objective, cert.lower_bound, fit.n_patterns, fit.network.n_neurons)
        return fit, 0.0

    fits = one_by_one(len(tasks), train_output, seconds_left=lambda: clock.left)
    fit = fits[0] if len(fits) == 1 else _together(fits, tasks, tuple(rounds.history))
    if fit.status is not Status.SOLVED:
        _warn(fit.certificate, fit.status)
    return fit


def generate(
    clock: Clock,
    X: ArrayLike,
    y: ArrayLike,
    beta: float,
    *,
    activation: str,
    slope: float,
    loss: str | Loss,
    sample_weight: ArrayLike | None,
    output_offset: bool,
    rtol: float,
    warm_start: Any,
    threads: int | None,
    seed: int | np.random.Generator | None,
    callback: RoundCallback | None,
    proof_limit: float | None = None,
    max_rounds: int | None = None,
) -> Trained:
    """:func:`train` within the time of a clock, without a warning.

    Parameters
    ----------
    proof_limit, max_rounds
        As :class:`Generation` has them. With a limit of 0 the certificate proves nothing. With any
        the status is SOLVED when a search found no more neurons worth adding, proved or not.
    """
    check_callback(callback)
    rtol = positive(rtol, "rtol")
    begun = clock.seconds
    task = Task.of(
        X,
        y,
        beta,
        activation=activation,
        slope=slope,
        loss=loss,
        sample_weight=sample_weight,
        output_offset=output_offset,
        time_limit=clock.limit,
    )
    clock.reserve(len(task.y), begun)
    return run_generation(
        task,
        clock,
        rtol=rtol,
        rng=as_generator(seed),
        threads=resolve_threads(threads),
        warm_start=None if warm_start is None else as_starts(warm_start, [task])[0],
        callback=callback,
        proof_limit=proof_limit,
        max_rounds=max_rounds,
    )


def run_generation(
    task: Task,
    clock: Clock,
    *,
    rtol: float,
    rng: np.random.Generator,
    threads: int,
    warm_start: TwoLayerNetwork | None,
    callback: RoundCallback | None,
    proof_limit: float | None = None,
    max_rounds: int | None = None,
) -> Trained:
    """:func:`generate` for a task, with everything checked."""
    run = Generation(
        task,
        rtol=rtol,
        rng=rng,
        clock=clock,
        threads=threads,
        warm_start=warm_start,
        callback=callback,
        proof_limit=proof_limit,
        max_rounds=max_rounds,
    )
    status = run.run()
    proof = certificate(
        task,
        run.network,
        run.any_bound() if proof_limit == 0.0 else run.ensure_bound(),
        rtol,
        best=run.network,
        restricted_bound=run.restricted_bound,
        escape=best_escape(task, run.network, run.known_neurons(), clock),
    )
    out_of_rounds = max_rounds is not None and len(run.history) >= max_rounds
    if status is Status.MAX_ITER and proof_limit is not None and not out_of_rounds:
        status = Status.NUMERICAL_ERROR  # neurons pay, and the program learns no more of them
    if proof.is_optimal or (proof_limit is not None and run.is_trained):
        status = Status.SOLVED
    elif status is Status.SOLVED:
        status = Status.NUMERICAL_ERROR
    fit = Fit(run.network, proof, len(run.master), tuple(run.history), status)
    return Trained(fit, run.master.problem.patterns, run.is_trained, run.proof_seconds)


def _together(fits: Sequence[Fit], tasks: Sequence[Task], history: tuple[Round, ...]) -> Fit:
    """One Fit of outputs that were trained on their own."""
    network = side_by_side([fit.network for fit in fits])
    assert isinstance(network, TwoLayerNetwork)
    proof = summed([fit.certificate for fit in fits])
    proof = dataclasses.replace(
        proof,
        best_network=network,
        best_objective=proof.objective,
        fingerprint=tasks[0].fingerprint(
            np.column_stack([task.whole.y for task in tasks]), network.penalty
        ),
    )
    ends = [fit.status for fit in fits if fit.status is not Status.SOLVED]
    status = Status.SOLVED
    if not proof.is_optimal:
        asked = Status.INTERRUPTED in ends
        status = Status.INTERRUPTED if asked else [*ends, Status.NUMERICAL_ERROR][0]
    return Fit(network, proof, sum(fit.n_patterns for fit in fits), history, status)


def check_callback(callback: Any) -> None:
    """Raise TypeError unless it is a function or None."""
    if callback is not None and not callable(callback):
        raise TypeError(f"`callback` must be callable or None, got {describe(callback)}")


def as_starts(warm_start: Any, tasks: Sequence[Task]) -> list[TwoLayerNetwork]:
    """Networks that the runs for the outputs start from, in the features as given.

    Errors name `warm_start`.
    """
    net = warm_start.network if isinstance(warm_start, Fit) else warm_start
    if isinstance(net, (tuple, list)):
        if not 2 <= len(net) <= 4:
            raise ValueError(
                "`warm_start` must be a network or arrays (W1, W2), (W1, W2, b1) or "
                f"(W1, W2, b1, b2), got {len(net)} of them"
            )
        net = TwoLayerNetwork.from_arrays(*net)
    elif hasattr(net, "coefs_"):
        net = TwoLayerNetwork.from_sklearn(net)
    if not isinstance(net, TwoLayerNetwork):
        raise TypeError(
            "`warm_start` must be a TwoLayerNetwork, a Fit, arrays (W1, W2) or a fitted network "
            f"of scikit-learn, got {describe(warm_start)}"
        )
    if net.n_outputs != len(tasks):
        wanted = "one output" if len(tasks) == 1 else f"{len(tasks)} outputs"
        raise ValueError(f"`warm_start` must have {wanted}, got {net.n_outputs}")
    net = dataclasses.replace(net, W1=_with_biases(net, tasks[0].data), b1=None)
    return [
        task.network(part.W1, part.W2, part.b2)
        for task, part in zip(tasks, alone(net), strict=True)
    ]


def _with_biases(net: TwoLayerNetwork, X: FloatArray) -> FloatArray:
    """Weights (m, d) on the columns of X, b1 being the weights on one that is constant."""
    d, W1 = X.shape[1], net.W1
    if net.b1 is None or not net.b1.any():
        if net.n_features != d:
            raise ValueError(f"`warm_start` must have {d} features, got {net.n_features}")
        return W1
    columns = np.flatnonzero((X[0] == X).all(axis=0) & (X[0] != 0))
    if net.n_features == d - 1 and d - 1 in columns:
        return np.column_stack([W1, net.b1 / X[0, -1]])
    if net.n_features != d or not len(columns):
        raise ValueError(
            "`warm_start` must have no hidden biases, or the features of `X`, one column of which "
            f"is constant, or all but the last, which is; got {net.n_features} features for {d}"
        )
    W1 = W1.copy()
    W1[:, columns[-1]] += net.b1 / X[0, columns[-1]]
    return W1


def _warn(proof: Certificate, status: Status) -> None:
    from sklearn.exceptions import ConvergenceWarning

    advice = {
        Status.INTERRUPTED: "the callback returned True",
        Status.MAX_ITER: "raise rtol or beta (in so many dimensions a relaxation is all that "
        "bounds the prices of neurons: more time does not help)",
        Status.NUMERICAL_ERROR: "raise rtol or beta, or standardise the columns of X",
    }.get(status, "raise time_limit, rtol or beta")
    warnings.warn(
        f"train stopped with status {status.name}: relative gap {proof.relative_gap:.3g} between "
        f"the network and the lower bound over all networks, above rtol = {proof.rtol:g}; {advice}",
        ConvergenceWarning,
        stacklevel=3,
    )
