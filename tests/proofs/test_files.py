"""Proof files of certificates: what they prove, that they can be had again, and errors."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.proofs import ProofError, check, checker, header, with_columns
from pyconvexnn.solvers.base import relative_gap
from tests.proofs.forging import some_net
from tests.training.problems import WITH_OFFSET, gaussian_task, optimum


def certified(
    file: Path, X: FloatArray, y: FloatArray, beta: float, net: Any = None, **options: Any
) -> tuple[dict[str, Any], cx.Certificate]:
    """Header of a proof that both ways of counting accept, and its certificate.

    The bound of the file uses up what `rtol` leaves and no more, see `keeps`; where neurons feed
    two outputs columns are bounded again.
    """
    net = some_net(X.shape[1]) if net is None else net
    cert = cx.certify(net, X, y, beta, proof=file, **options)
    plain = cx.certify(net, X, y, beta, **options)
    head = check(file, *_as_used(net, X, y), options.get("sample_weight"))
    assert check(file, *_as_used(net, X, y), options.get("sample_weight"), exact=True) == head
    assert head["lower_bound"] == cert.lower_bound
    assert cert.is_optimal == plain.is_optimal
    if net.penalty == "decoupled" or net.n_outputs == 1:
        keeps(plain, cert)
    return head, cert


def keeps(plain: cx.Certificate, cert: cx.Certificate) -> None:
    """Assert that a proof's bound stays where the one known without it is, as far as asked for."""
    known, bound = plain.lower_bound, cert.lower_bound
    assert 0 <= bound <= known
    assert plain.best_objective is not None
    for above in (plain.objective, plain.best_objective):
        if relative_gap(above, known, plain.objective_at_zero) <= plain.rtol:
            assert relative_gap(above, bound, plain.objective_at_zero) <= plain.rtol
            return
    assert bound >= known - 0.1001 * (plain.best_objective - known) or bound >= 0.4999 * known


def _as_used(net: Any, X: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    return (X if net.b1 is None else np.column_stack([X, np.ones(len(X))])), y


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
@pytest.mark.parametrize(
    ("loss", "offset"),
    [(loss, offset) for loss in [*WITH_OFFSET, "hinge"] for offset in (False, loss != "hinge")][
        :-1
    ],
)
def test_networks_of_all_kinds(tmp_path: Path, loss: str, offset: bool, activation: str) -> None:
    X, y, beta = gaussian_task(9, 2, 1, loss)
    weight = np.random.default_rng(2).uniform(0.5, 2.0, 9)
    weight[[3, 5]] = 0.0
    net = some_net(2, activation, **({"b2": [0.4]} if offset else {}))
    head, cert = certified(tmp_path / "a", X, y, beta, net, loss=loss, sample_weight=weight)
    on = weight > 0
    best = optimum(
        X[on],
        y[on],
        beta,
        activation=activation,
        slope=net.slope,
        output_offset=offset,
        loss=loss,
        sample_weight=weight[on],
    )
    assert best * (1 - 1.1e-4) <= cert.lower_bound <= best * (1 + 1e-8)
    told = {name: head[name] for name in ("beta", "loss", "activation", "output_offset")}
    assert told == {"beta": beta, "loss": loss, "activation": activation, "output_offset": offset}
    assert (head["samples"], head["features"], head["outputs"]) == (9, 2, 1)


def test_hidden_biases_are_a_column_of_ones(tmp_path: Path) -> None:
    X, y, beta = gaussian_task(10, 3, 0)
    net = some_net(2, b1=[0.1, 0.2, -0.3])
    head, cert = certified(tmp_path / "a", X[:, :2], y, beta, net)
    assert head["features"] == 3
    best = optimum(X, y, beta)
    assert best * (1 - 1.1e-4) <= cert.lower_bound <= best * (1 + 1e-8)


def test_huber_of_another_delta(tmp_path: Path) -> None:
    X, y, beta = gaussian_task(9, 2, 1)
    head, _ = certified(tmp_path / "a", X, y, 0.3 * beta, loss=cx.losses.Huber(0.25))
    assert head["delta"] == 0.25


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("offset", [False, True])
def test_two_outputs(tmp_path: Path, shared: bool, offset: bool) -> None:
    X, y, beta = gaussian_task(9, 2, 1)
    Y = np.column_stack([y, y[::-1]])
    W2 = np.ones((2, 2)) if shared else np.eye(2)
    extra: dict[str, Any] = {"b2": [0.1, -0.1]} if offset else {}
    net = cx.TwoLayerNetwork.from_arrays(np.eye(2), W2, **extra)
    head, cert = certified(tmp_path / "a", X, Y, beta, net)
    assert head["penalty"] == net.penalty == ("weight_decay" if shared else "decoupled")
    assert cert.best_objective is not None
    assert 0.5 * cert.best_objective < cert.lower_bound <= cert.best_objective
    # One of them may have nothing to learn.
    Y[:, 1] = 0.0
    _, cert = certified(tmp_path / "a", X, Y, beta, net)
    assert cert.lower_bound > 0


def awkward() -> dict[str, tuple[FloatArray, FloatArray, float]]:
    X, y, beta = gaussian_task(10, 3, 0)
    rng = np.random.default_rng(0)
    tiny = X.copy()
    tiny[0, 0], tiny[3, 1] = 1e-100, 5e-324  # products of these underflow
    return {
        "nothing to learn": (X, np.zeros(10), 1.0),
        "no network": (X, y, 1e5),
        "just no network": (X, y, cx.beta_max(X, y).upper_bound * (1 + 1e-9)),
        "one sample": (np.ones((1, 1)), np.ones(1), 0.1),
        "one sample of three features": (np.ones((1, 3)), np.ones(1), 0.1),
        "features": (rng.standard_normal((4, 6)), np.arange(4.0) - 1.5, 0.5),
        "dependent": (np.column_stack([X, X[:, 0] + X[:, 1]]), y, beta),
        "nearly dependent": (np.column_stack([X, X[:, 0] * (1 + 1e-13 * y)]), y, beta),
        "a zero column": (np.column_stack([X, np.zeros(10)]), y, beta),
        "zero rows": (np.vstack([X, np.zeros((3, 3))]), np.append(y, [1.0, 2.0, 3.0]), beta),
        "nothing but zeros": (np.zeros((5, 2)), np.ones(5), 0.1),
        "twice": (np.vstack([X, X]), np.append(y, y), beta),
        "tiny": (tiny, y, beta),
        "small": (1e-40 * X, y, 1e-40 * beta),
        "large": (1e40 * X, 1e40 * y, 1e80 * beta),
    }


@pytest.mark.parametrize("name", sorted(awkward()))
def test_awkward_data(tmp_path: Path, name: str) -> None:
    X, y, beta = awkward()[name]
    head, cert = certified(tmp_path / "a", X, y, beta)
    assert cert.best_objective is not None
    assert cert.is_optimal or cert.lower_bound >= cert.best_objective * (1 - 1.1e-4)
    if name == "nothing to learn":
        assert head["lower_bound"] == 0.0
        assert head["leaves"] == 0


def test_dual_points_with_tiny_entries(tmp_path: Path) -> None:
    """Of classes far apart, whose residuals are exp(-1000) or so."""
    X, _, _ = gaussian_task(14, 3, 1)
    y = np.where(X[:, 0] > 0, 1.0, -1.0)
    _, cert = certified(tmp_path / "a", 1000 * X, y, 1e-9, loss="logistic")
    assert cert.lower_bound > 0


def test_a_file_can_be_had_again(tmp_path: Path) -> None:
    X, y, beta = gaussian_task(15, 3, 0)
    files = [tmp_path / name for name in "abcd"]
    for k, file in enumerate(files):
        seed = 0 if k < 2 else np.random.default_rng(5)
        cx.certify(some_net(3), X, y, beta, proof=file, seed=seed)
    data = [file.read_bytes() for file in files]
    assert data[0] == data[1]
    assert data[2] == data[3]
    cx.certify(some_net(3), X, y, beta, proof=str(files[0]), threads=2)  # written over
    assert files[0].read_bytes() == data[0]


def test_without_improving(tmp_path: Path) -> None:
    X, y, beta = gaussian_task(10, 3, 0)
    certified(tmp_path / "a", X, y, beta, improve=False)
    for method in ("enumeration", "branch_and_bound", "bound"):
        head, _ = certified(tmp_path / method, X, y, beta, improve=False, method=method)
        assert head["method"] == method


def test_a_larger_tolerance_takes_fewer_boxes(tmp_path: Path) -> None:
    X, y, beta = gaussian_task(30, 4, 0)
    net = cx.train(X, y, beta, rtol=1e-8).network
    leaves = {}
    for rtol in (1e-1, 1e-2, 1e-6):
        head, cert = certified(tmp_path / "a", X, y, beta, net, rtol=rtol)
        assert cert.is_optimal
        assert cert.relative_gap >= 0.5 * rtol  # what it leaves is used
        leaves[rtol] = head["leaves"]
    assert leaves[1e-1] < leaves[1e-2] < 0.95 * leaves[1e-6]


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_weaker_proof_where_the_boxes_do_not_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outputs: int
) -> None:
    X, y, beta = gaussian_task(30, 4, 0)
    net = some_net(4)
    if outputs == 2:
        y = np.column_stack([y, y[::-1]])
        net = cx.TwoLayerNetwork.from_arrays(np.eye(4)[:2], np.eye(2))
    options: dict[str, Any] = {"rtol": 1e-6}
    whole = cx.certify(net, X, y, beta, proof=tmp_path / "a", **options)
    bounds = []
    for most in (200, 500):
        monkeypatch.setattr("pyconvexnn.proofs.files._MOST_BOXES", most)
        with pytest.warns(ConvergenceWarning, match="`proof`: the file proves .* only, of a lower"):
            cert = cx.certify(net, X, y, beta, proof=tmp_path / "b", **options)
        head = check(tmp_path / "b", X, y, exact=True)
        assert cert.lower_bound == head["lower_bound"]
        bounds.append(cert.lower_bound)
    assert 0.4 * whole.lower_bound < bounds[0] < bounds[1] < whole.lower_bound
    monkeypatch.setattr("pyconvexnn.proofs.files._MOST_BOXES", 10)
    with pytest.warns(ConvergenceWarning, match="`proof`: no file was written, .* boxes in"):
        cert = cx.certify(net, X, y, beta, proof=tmp_path / "c", **options)
    assert cert.lower_bound >= whole.lower_bound
    assert not (tmp_path / "c").exists()


def test_no_file_where_the_boxes_are_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyconvexnn.proofs.files._MOST_BOXES", 3)
    X, y, beta = gaussian_task(15, 3, 0)
    with pytest.warns(ConvergenceWarning, match="`proof`: no file was written.* too many$"):
        cert = cx.certify(some_net(3), X, y, beta, proof=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    plain = cx.certify(some_net(3), X, y, beta)
    assert (cert.lower_bound, cert.is_optimal) == (plain.lower_bound, plain.is_optimal)


def test_no_file_where_time_ends(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((200, 12)), rng.standard_normal(200)
    with pytest.warns(ConvergenceWarning, match="too many for the time limit"):
        cert = cx.certify(some_net(12), X, y, 5.0, proof=tmp_path / "a", time_limit=0.4)
    assert not (tmp_path / "a").exists()
    assert 0 <= cert.lower_bound <= cert.objective


def test_errors(tmp_path: Path) -> None:
    X, y, beta = gaussian_task(10, 3, 0)
    net = some_net(3)
    for wrong in (tmp_path / "nowhere" / "a", tmp_path, ""):
        with pytest.raises(ValueError, match="`proof` must be"):
            cx.certify(net, X, y, beta, proof=wrong)
    for none in (3, b"a", True):
        with pytest.raises(TypeError, match="`proof` must be"):
            cx.certify(net, X, y, beta, proof=none)  # type: ignore[arg-type]
    gated = cx.GatedNetwork.from_arrays([[1.0] * 3], [[1.0]], [[1.0] * 3])
    with pytest.raises(ValueError, match="`proof` must be None for a network with gates"):
        cx.certify(gated, X, y, beta, proof=tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_columns_of_a_table_can_be_added(tmp_path: Path) -> None:
    X, y, beta = gaussian_task(10, 3, 0)
    file = tmp_path / "a"
    cx.certify(some_net(3), X, y, beta, proof=file)
    before, columns = check(file, X, y), {"names": ["p", "\u03b2\n"], "scales": [0.1, math.pi]}
    with_columns(file, columns, file)
    after = check(file, X, y)
    assert (after.pop("columns"), header(file)["columns"]) == (columns, columns)
    assert after == before
    (tmp_path / "b").write_bytes(b"other")
    file.write_bytes(file.read_bytes()[:-1])
    text = b"\n".join([checker.MAGIC, b'{"beta": 1.0}', b""])
    (tmp_path / "c").write_bytes(text + hashlib.sha256(text).digest())
    reasons = {"b": "no proof file", "a": "damaged", "c": r"damaged: KeyError\('arrays'\)"}
    for name, reason in reasons.items():
        with pytest.raises(ProofError, match=reason):
            header(tmp_path / name)


def test_the_bound_is_that_of_the_dual_point(tmp_path: Path) -> None:
    X, y, beta = gaussian_task(10, 3, 0)
    cert = cx.certify(some_net(3), X, y, beta, proof=tmp_path / "a")
    head, arrays = checker.read(tmp_path / "a")
    np.testing.assert_array_equal(arrays["dual"], cert.dual)
    s, v = head["scale"][0], arrays["dual"]
    assert s * (v @ y) - s**2 * (v @ v) / 2 == pytest.approx(cert.lower_bound, rel=1e-13)
    assert s * head["price_bound"][0] == pytest.approx(beta, rel=1e-13)
