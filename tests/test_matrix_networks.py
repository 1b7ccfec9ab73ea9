"""Gated networks of matrix weights, against formulas written out in NumPy, and their recovery."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn import _blocks, _npz
from pyconvexnn._typing import FloatArray
from pyconvexnn.plots.common import costs

LOSSES = ["squared", "huber", "logistic", "squared_hinge", "hinge", "poisson", "cross_entropy"]


def make(m: int = 5, d: int = 3, K: int = 2, *, offset: bool = False, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return cx.GatedNetwork.from_arrays(
        rng.standard_normal((m, d, K)),
        rng.standard_normal(m),
        rng.standard_normal((m, d)),
        b2=rng.standard_normal(K) if offset else None,
    )


def data(n: int = 40, d: int = 3) -> FloatArray:
    return np.random.default_rng(9).standard_normal((n, d))


def outputs(net: cx.GatedNetwork, X: FloatArray) -> FloatArray:
    """The formula, unit by unit."""
    total = np.zeros((len(X), net.n_outputs))
    for U, a, g in zip(net.U, net.a, net.gates, strict=True):
        total += (X @ g >= 0)[:, np.newaxis] * (X @ U) * a
    return total if net.b2 is None else total + net.b2


def targets(loss: str, n: int, K: int, seed: int = 1) -> FloatArray:
    rng = np.random.default_rng(seed)
    if loss == "cross_entropy":
        Y = np.eye(K)[rng.integers(0, K, n)]
        Y[:K] = np.eye(K)
        return Y
    if loss in ("logistic", "squared_hinge", "hinge"):
        return rng.choice([-1.0, 1.0], (n, K))
    if loss == "poisson":
        return rng.poisson(2.0, (n, K)).astype(np.float64)
    return 2.0 * rng.standard_normal((n, K))


def assert_same(a: cx.GatedNetwork, b: Any) -> None:
    assert type(a) is type(b)
    for name in ("W1", "W2", "gates", "b2"):
        one, two = getattr(a, name), getattr(b, name)
        assert (one is None) == (two is None)
        if one is not None:
            np.testing.assert_array_equal(one, two, strict=True)
            assert not two.flags.writeable
    assert b.b1 is None


# --- the network --------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize(("m", "d", "K"), [(5, 3, 2), (1, 1, 3), (0, 3, 2), (70, 2, 4)])
def test_predict_is_the_formula(
    m: int, d: int, K: int, offset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, X = make(m, d, K, offset=offset), data(100, d)
    assert (net.n_neurons, net.n_features, net.n_outputs) == (m, d, K)
    assert (net.U.shape, net.a.shape, net.penalty) == ((m, d, K), (m,), "frobenius")
    assert repr(net) == (
        f"GatedNetwork(n_neurons={m}, n_features={d}, n_outputs={K}, penalty='frobenius')"
    )
    expected = outputs(net, X)
    for entries in (1 << 20, 3 * m + 1):
        monkeypatch.setattr(_blocks, "BLOCK_ENTRIES", entries)
        np.testing.assert_allclose(net.predict(X), expected, rtol=1e-12, atol=1e-12)
    flat = net.with_vectors()
    assert (flat.n_neurons, flat.n_outputs, flat.penalty) == (m * K, K, "decoupled")
    np.testing.assert_allclose(flat.predict(X), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("K", [2, 3])
def test_objective_is_the_formula(loss: str, K: int) -> None:
    net, X, Y = make(K=K, offset=True), data(), targets(loss, 40, K)
    rng = np.random.default_rng(2)
    s, p = rng.random(40), 0.5 + rng.random(5)
    s[3] = 0
    f = outputs(net, X)
    r = np.abs(f - Y)
    each = {
        "squared": r**2 / 2,
        "huber": np.where(r <= 1.35, r**2 / 2, 1.35 * r - 1.35**2 / 2),
        "logistic": np.log1p(np.exp(-Y * f)),
        "squared_hinge": np.maximum(1 - Y * f, 0) ** 2 / 2,
        "hinge": np.maximum(1 - Y * f, 0),
        "poisson": np.exp(f) - Y * f + Y * np.log(np.maximum(Y, 1)) - Y,
        "cross_entropy": (np.log(np.exp(f).sum(axis=1)) - np.sum(Y * f, axis=1))[:, np.newaxis],
    }[loss]
    norms = np.array([np.linalg.norm(U) for U in net.U])
    expected = s @ each.sum(axis=1) + 0.3 / 2 * p @ (norms**2 + net.a**2)
    expected += 0.7 / 2 * np.sum((norms * net.a) ** 2)
    value = net.objective(X, Y, 0.3, loss=loss, sample_weight=s, ridge=0.7, pattern_weight=p)
    assert value == pytest.approx(expected, rel=1e-12)
    if loss == "cross_entropy":
        numbers = np.argmax(Y, axis=1)
        options: dict[str, Any] = {"loss": loss, "sample_weight": s, "ridge": 0.7}
        again = net.objective(X, numbers, 0.3, **options, pattern_weight=p)
        assert again == value


def test_class_numbers_and_networks_of_other_kinds() -> None:
    X, rng = data(), np.random.default_rng(0)
    few = np.zeros(40)  # of three classes the data may have one
    net = make(K=3)
    hot = np.tile([1.0, 0.0, 0.0], (40, 1))
    assert net.objective(X, few, 1.0, loss="cross_entropy") == net.objective(
        X, hot, 1.0, loss="cross_entropy"
    )
    with pytest.raises(ValueError, match=r"`y` must be class numbers 0 to 2, or .* from 0 to 3"):
        net.objective(X, few + np.r_[3, few[1:]], 1.0, loss="cross_entropy")
    with pytest.raises(ValueError, match="`y` must hold one 1 in each row"):
        net.objective(X, hot + 1, 1.0, loss="cross_entropy")
    plain = cx.TwoLayerNetwork.from_arrays(rng.standard_normal((4, 3)), rng.random((4, 3)))
    f = plain.predict(X)
    expected = np.sum(np.log(np.exp(f).sum(axis=1)) - f[:, 0])
    assert plain.objective(X, few, 0.0, loss="cross_entropy") == pytest.approx(expected)
    one = cx.TwoLayerNetwork.from_arrays(plain.W1, plain.W2[:, :1])
    with pytest.raises(
        ValueError, match="`loss` = 'cross_entropy' must be of a network of several"
    ):
        one.objective(X, few, 0.0, loss="cross_entropy")


def test_balance_merge_and_prune() -> None:
    net, X = make(m=12, K=2, offset=True, seed=3), data(30)
    gates = np.array(net.gates)
    gates[6:9] = gates[0]
    net = replace(net, gates=gates)
    Y = targets("squared", 30, 2)
    even = net.balance()
    np.testing.assert_allclose(even.predict(X), net.predict(X), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(even.U, axis=(1, 2)), np.abs(even.a), rtol=1e-12)
    merged = net.merge()
    assert (merged.n_neurons, merged.penalty) == (9, "frobenius")
    np.testing.assert_allclose(merged.predict(X), net.predict(X), atol=1e-12)
    small = cx.prune(net, X[:3])
    assert small.n_neurons <= 6  # numbers in the outputs on three rows
    np.testing.assert_allclose(small.predict(X[:3]), net.predict(X[:3]), atol=1e-10)
    values = [one.objective(X[:3], Y[:3], 0.5) for one in (net, even, merged, small)]
    assert values == sorted(values, reverse=True)
    np.testing.assert_allclose(np.sort(costs(even)), np.sort(even.a**2))
    zero = replace(net, W1=np.zeros_like(net.W1))
    assert zero.merge().U.shape == (0, 3, 2)
    assert not zero.balance().a.any()


def test_one_output_is_an_ordinary_network() -> None:
    rng = np.random.default_rng(0)
    U, a, gates = rng.random((4, 3, 1)), rng.random(4), rng.random((4, 3))
    net = cx.GatedNetwork.from_arrays(U, a, gates)
    assert (net.W1.shape, net.W2.shape, net.penalty) == ((4, 3), (4, 1), "weight_decay")
    np.testing.assert_array_equal(net.U, U)
    np.testing.assert_array_equal(net.a, a)
    assert net.with_vectors() is net
    several = cx.GatedNetwork.from_arrays(U[:, :, 0], rng.random((4, 2)), gates)
    with pytest.raises(AttributeError, match="of 2 outputs without matrix weights has no `U`"):
        _ = several.U
    assert not hasattr(several, "a")


@pytest.mark.parametrize(
    ("changed", "kind", "message"),
    [
        ({"b1": np.ones(2)}, ValueError, "`b1` must be None with matrices `W1`, here of shape"),
        ({"W2": np.ones((2, 4))}, ValueError, r"`W2` must have 1 columns, got shape \(2, 4\)"),
        ({"W2": np.ones(3)}, ValueError, r"`W2` must have 2 rows, got shape \(3, 1\)"),
        ({"W1": np.ones((2, 3, 0))}, ValueError, "`W1` must have at least one row and one column"),
        ({"W1": np.ones((2, 0, 4))}, ValueError, "`W1` must have at least one row and one column"),
        ({"W1": np.ones((2, 3, 4, 1))}, ValueError, "`W1` must have 2 dimensions"),
        ({"W1": np.full((2, 3, 4), np.nan)}, ValueError, "`W1` must be finite, got NaN"),
        ({"W1": [[["a"]]]}, TypeError, "`W1` must hold real numbers"),
        ({"gates": np.ones((2, 12))}, ValueError, r"`gates` must have 3 columns"),
        ({"b2": np.ones(1)}, ValueError, "`b2` must have 4 entries, got 1"),
    ],
)
def test_wrong_weights(changed: dict[str, Any], kind: type[Exception], message: str) -> None:
    good: dict[str, Any] = {"W1": np.ones((2, 3, 4)), "W2": np.ones(2), "gates": np.ones((2, 3))}
    with pytest.raises(kind, match=message):
        cx.GatedNetwork.from_arrays(**{**good, **changed})


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("m", [0, 5])
def test_copies_and_files(m: int, offset: bool, tmp_path: Path) -> None:
    net = make(m, offset=offset)
    for again in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert_same(net, again)
    net.save(tmp_path / "net")
    loaded = cx.load_network(tmp_path / "net")
    assert_same(net, loaded)
    np.testing.assert_array_equal(loaded.predict(data()), net.predict(data()))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"U": None}, "member 'W1' is missing"),
        ({"W1": np.ones((5, 3))}, "member 'U' is there without use"),
        ({"U": np.ones((5, 6))}, "U.npy must have dtype <f8 and 3 dimensions"),
        ({"U": np.ones((4, 3, 2))}, "`W2` must have 4 rows, got shape (5, 1)"),
        ({"U": np.ones((5, 3, 0))}, "`W1` must have at least one row and one column"),
        ({"U": np.ones((0, 3, 0))}, "`W1` must have at least one row and one column"),
        ({"U": np.full((5, 3, 2), np.nan)}, "U.npy must be finite"),
        ({"W2": np.ones((5, 2))}, "`W2` must have 1 columns, got shape (5, 2)"),
        ({"b1": np.ones(5)}, "`b1` must be None with matrices"),
        ({"b2": np.ones(3)}, "`b2` must have 2 entries, got 3"),
        ({"gates": None}, "member 'gates' is missing"),
    ],
)
def test_damaged_files_are_refused(arrays: dict[str, Any], reason: str, tmp_path: Path) -> None:
    net, path = make(), tmp_path / "net"
    good = {"U": net.U, "W2": net.W2, "gates": net.gates} | arrays
    held = {name: array for name, array in good.items() if array is not None}
    _npz.write(path, "network", {"activation": "gated_relu", "extra": {}}, held)
    with pytest.raises(ValueError, match="`path` must be a pyconvexnn network file") as caught:
        cx.load_network(path)
    assert reason in str(caught.value)


def test_matrices_without_gates_are_refused(tmp_path: Path) -> None:
    net, meta = make(), {"activation": "relu", "slope": 0.01, "extra": {}}
    _npz.write(tmp_path / "net", "network", meta, {"U": net.U, "W2": net.W2})
    with pytest.raises(ValueError, match="member 'U' is there without use"):
        cx.load_network(tmp_path / "net")


def test_onnx_has_the_same_outputs(tmp_path: Path) -> None:
    reference = pytest.importorskip("onnx.reference")
    net, X = make(offset=True), data()
    net.to_onnx(tmp_path / "net.onnx")
    model = reference.ReferenceEvaluator(str(tmp_path / "net.onnx"))
    np.testing.assert_allclose(model.run(None, {"X": X})[0], net.predict(X), rtol=1e-12)


def test_torch_has_the_same_outputs() -> None:
    torch = pytest.importorskip("torch")
    net, X = make(offset=True), data()
    found = net.to_torch()(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(found, net.predict(X), rtol=1e-12)


# --- recovery -----------------------------------------------------------------------------------


def problem(loss: str, K: int, **options: Any) -> cx.GatedReLUProblem:
    X = data(30)
    Y = targets(loss, 30, K)
    prob = cx.GatedReLUProblem(X, Y, cx.sample_patterns(X, 20), 1.0, loss=loss, **options)
    return prob.with_beta(0.2 * prob.beta_max)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_network_has_the_objective_of_the_solution(loss: str, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    offset = weighted and loss != "hinge"  # which has none
    options: dict[str, Any] = {"output_offset": offset}
    if weighted:
        options |= {"sample_weight": rng.uniform(0.2, 2, 30), "ridge": 0.4}
        options |= {"pattern_weight": rng.uniform(0.5, 2, 20)}
    prob = problem(loss, 3, **options)
    sol = cx.solve(prob, tol=1e-7)
    net = cx.recover(prob, sol)
    assert net.n_neurons == len(sol.active) > 0
    assert (net.penalty, net.b2 is not None) == ("frobenius", offset)
    value = net.objective(
        prob.X,
        prob.y,
        prob.beta,
        loss=loss,
        sample_weight=prob.sample_weight,
        ridge=prob.ridge,
        pattern_weight=prob.pattern_weight[sol.active],
    )
    assert value == pytest.approx(sol.objective, rel=1e-12)
    # Which of the best offsets it is, is free: the cross entropy does not see what all share.
    fitted = prob.fit_values(sol.coef) - prob.best_offset(sol.coef) + sol.offset
    np.testing.assert_allclose(net.predict(prob.X), fitted, atol=1e-12)
    np.testing.assert_allclose(net.U * net.a[:, None, None], sol.coef.values, rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(net.U, axis=(1, 2)), net.a, rtol=1e-12)


def test_a_solution_without_blocks_and_one_of_another_shape() -> None:
    prob = problem("squared", 2)
    zero = cx.solve(prob.with_beta(2 * prob.beta_max))
    net = cx.recover(prob, zero)
    assert net.U.shape == (0, 3, 2)
    assert net.penalty == "frobenius"
    assert net.objective(prob.X, prob.y, 1.0) == pytest.approx(zero.objective)
    message = r"`sol` must be a solution of `prob`, with .* shape \(20, 3, 2\), got \(20, 3, 3\)"
    with pytest.raises(ValueError, match=message):
        cx.recover(prob, cx.solve(problem("squared", 3)))


@pytest.mark.parametrize("function", [cx.decompose, cx.is_unique])
def test_what_is_for_one_output_only(function: Any) -> None:
    prob = problem("squared", 2)
    message = f"`prob` of several outputs is not available yet in {function.__name__}, got 2"
    with pytest.raises(NotImplementedError, match=message):
        function(prob, cx.solve(prob))


def test_a_linear_part_is_refused() -> None:
    X = data(30)
    prob = cx.GatedReLUProblem(X, X[:, 0], cx.sample_patterns(X, 20), 1.0, skip=0.0)
    sol = cx.solve(prob)
    with pytest.raises(ValueError, match="`prob` must have no linear part"):
        cx.decompose(prob, sol)
    with pytest.raises(NotImplementedError, match="`prob` with `skip` = 0 is not available yet"):
        cx.is_unique(prob, sol)
