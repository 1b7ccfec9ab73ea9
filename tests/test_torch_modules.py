"""Networks from PyTorch and back: the same outputs, and refusals by name."""

from __future__ import annotations

import copy
import doctest
import io
import warnings
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.networks import Network
from tests.networks.examples import data
from tests.test_onnx_graph import KINDS, network

torch: Any = pytest.importorskip("torch")
nn: Any = torch.nn

X = data(200)
ACTIVATIONS = {
    "relu": lambda: nn.ReLU(),
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "abs": lambda: nn.LeakyReLU(-1.0),
}


def outputs(module: Any, rows: Any = X) -> Any:
    with torch.no_grad():
        return module(torch.tensor(rows)).numpy()


def chain(activation: Any, *, bias: bool = True, K: int = 1) -> Any:
    return nn.Sequential(nn.Linear(3, 6, bias), activation, nn.Linear(6, K, bias)).double()


def assert_same(net: Network, module: Any) -> None:
    expected = outputs(module).reshape(len(X), -1)
    found = net.predict(X).reshape(len(X), -1)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


# --- from_torch -----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("K", [1, 3])
def test_predictions_of_chains(activation: str, bias: bool, K: int) -> None:
    module = chain(ACTIVATIONS[activation](), bias=bias, K=K)
    net = cx.TwoLayerNetwork.from_torch(module)
    assert_same(net, module)
    assert (net.n_neurons, net.n_features, net.n_outputs, net.activation) == (6, 3, K, activation)
    assert (net.b1 is None) == (net.b2 is None) == (not bias)
    assert activation != "leaky_relu" or net.slope == 0.2


class Written(nn.Module):  # type: ignore[misc]
    """A module of one's own: two layers and what `between` and `after` do."""

    def __init__(self, between: Any, after: Any = lambda z: z, *, K: int = 1) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(3, 6).double(), nn.Linear(6, K).double()
        self.between, self.after = between, after

    def forward(self, X: Any) -> Any:
        return self.after(self.two(self.between(self.one(X))))


@pytest.mark.parametrize(
    ("between", "activation", "slope"),
    [
        (torch.relu, "relu", None),
        (nn.functional.relu, "relu", None),
        (lambda z: z.relu(), "relu", None),
        (torch.abs, "abs", None),
        (abs, "abs", None),
        (lambda z: z.abs(), "abs", None),
        (nn.functional.leaky_relu, "leaky_relu", 0.01),
        (lambda z: nn.functional.leaky_relu(z, 0.3), "leaky_relu", 0.3),
        (lambda z: nn.functional.leaky_relu(z, negative_slope=0.4), "leaky_relu", 0.4),
        (lambda z: nn.functional.leaky_relu(z, -1.0), "abs", None),
        (lambda z: nn.functional.relu(z, inplace=True), "relu", None),
    ],
)
def test_predictions_of_modules_of_ones_own(between: Any, activation: str, slope: Any) -> None:
    module = Written(between)
    net = cx.TwoLayerNetwork.from_torch(module)
    assert_same(net, module)
    assert net.activation == activation
    assert slope is None or net.slope == slope


def test_layers_that_do_nothing_in_evaluation_are_passed_over() -> None:
    inner = nn.Sequential(nn.Identity(), nn.Linear(3, 6), nn.Sequential(nn.ReLU(), nn.Dropout(0.5)))
    module = nn.Sequential(nn.Flatten(), inner, nn.Linear(6, 2)).double()
    net = cx.TwoLayerNetwork.from_torch(module)  # as it is trained, where Dropout does something
    assert_same(net, module.eval())
    squeezed = Written(torch.relu, lambda z: z.squeeze(-1))
    assert_same(cx.TwoLayerNetwork.from_torch(squeezed), squeezed)


def test_weights_are_widened_and_copied() -> None:
    module = chain(nn.ReLU()).float()
    net = cx.TwoLayerNetwork.from_torch(module)
    assert net.W1.dtype == np.float64
    before = net.predict(X)
    np.testing.assert_allclose(before, outputs(module, X.astype(np.float32))[:, 0], atol=1e-5)
    with torch.no_grad():
        module[0].weight.zero_()
    np.testing.assert_array_equal(net.predict(X), before)
    half = cx.TwoLayerNetwork.from_torch(chain(nn.ReLU()).to(torch.bfloat16))
    assert half.W1.dtype == np.float64


def test_parametrised_layers_are_read_as_they_act() -> None:
    module = chain(nn.ReLU())
    nn.utils.parametrizations.weight_norm(module[0])
    with torch.no_grad():
        module[0].parametrizations.weight.original0.mul_(3.0)
    assert_same(cx.TwoLayerNetwork.from_torch(module), module)


class Wrong(nn.Module):  # type: ignore[misc]
    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.one, self.two, self.relu = nn.Linear(3, 3), nn.Linear(3, 1), nn.Tanh()
        self.weight = nn.Parameter(torch.ones(3))
        self.wrong = forward

    def forward(self, X: Any) -> Any:
        return self.wrong(self, X)


@pytest.mark.parametrize(
    ("module", "kind", "message"),
    [
        (nn.ReLU, TypeError, "`module` must be a torch.nn.Module, got <class"),
        (np.eye(2), TypeError, "`module` must be a torch.nn.Module, got an array of shape (2, 2)"),
        (chain(nn.Tanh()), NotImplementedError, "and Linear, got Linear, Tanh, Linear"),
        (chain(nn.ReLU())[:2], NotImplementedError, "and Linear, got Linear, relu"),
        (nn.Sequential(), NotImplementedError, "and Linear, got nothing"),
        (chain(nn.LeakyReLU(1.5)), NotImplementedError, "got Linear, LeakyReLU(1.5), Linear"),
        (chain(nn.Sequential(nn.ReLU(), nn.ReLU())), NotImplementedError, "Linear, relu, relu, "),
        (nn.Sequential(chain(nn.ReLU()), nn.Sigmoid()), NotImplementedError, "Linear, Sigmoid"),
        (Written(torch.tanh), NotImplementedError, "got Linear, tanh, Linear"),
        (Written(torch.relu, torch.squeeze, K=2), NotImplementedError, "relu, Linear, squeeze"),
        # A layer's name says nothing of what it does.
        (Wrong(lambda m, x: m.two(m.relu(m.one(x)))), NotImplementedError, "Linear, Tanh, Linear"),
        (Wrong(lambda m, x: m.two(torch.relu(m.one(x) + x))), NotImplementedError, "after the"),
        (Wrong(lambda m, x: m.two(torch.relu(m.one(x) + 1))), NotImplementedError, "Linear, add, "),
        (Wrong(lambda m, x: m.two(torch.relu(x * m.weight))), NotImplementedError, "after the"),
        (Wrong(lambda m, x: (m.two(torch.relu(m.one(x))), x)), NotImplementedError, "must return"),
        (Wrong(lambda m, x: m.two(m.one(x) if x.sum() > 0 else x)), NotImplementedError, "trace"),
        (network("gated_relu").to_torch(), NotImplementedError, "after the other"),
    ],
)
def test_wrong_modules_are_refused_by_name(
    module: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        cx.TwoLayerNetwork.from_torch(module)
    assert str(caught.value).startswith("`module` must ")
    assert message in str(caught.value)


def test_hooks_are_refused() -> None:
    module = chain(nn.ReLU())
    module[0].register_forward_hook(lambda *_: None)
    with pytest.raises(NotImplementedError, match="`module` must have no hooks"):
        cx.TwoLayerNetwork.from_torch(module)


def test_weights_that_are_not_finite_are_refused() -> None:
    module = chain(nn.ReLU())
    with torch.no_grad():
        module[2].weight[0, 1] = np.nan
    with pytest.raises(ValueError, match="`W2` must be finite, got NaN"):
        cx.TwoLayerNetwork.from_torch(module)


def test_the_objective_is_what_is_trained_with_weight_decay() -> None:
    module, y = chain(nn.ReLU(), bias=False), torch.tensor(X[:, :1] ** 2)
    rows, decay = torch.tensor(X), 0.03
    squares = sum((weights**2).sum() for weights in module.parameters())
    squared = nn.functional.mse_loss(module(rows), y) + decay / 2 * squares
    labels = (y > 1).double()
    logistic = nn.functional.binary_cross_entropy_with_logits(module(rows), labels)
    logistic = logistic + decay / 2 * squares
    net, n = cx.TwoLayerNetwork.from_torch(module), len(X)
    assert net.objective(X, y[:, 0].numpy(), n * decay / 2) == pytest.approx(n / 2 * squared.item())
    signs = 2 * labels[:, 0].numpy() - 1
    found = net.objective(X, signs, n * decay, loss="logistic")
    assert found == pytest.approx(n * logistic.item())


# --- to_torch -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("b1", [False, True])
@pytest.mark.parametrize("b2", [False, True])
@pytest.mark.parametrize("K", [1, 3])
def test_modules_predict_the_same(kind: str, b1: bool, b2: bool, K: int) -> None:
    net = network(kind, K=K, b1=b1, b2=b2)
    module = net.to_torch()
    assert outputs(module).shape == (200, K)
    assert_same(net, module)
    assert {p.dtype for p in module.state_dict().values()} == {torch.float64}
    if isinstance(net, cx.TwoLayerNetwork):
        again = cx.TwoLayerNetwork.from_torch(module)
        assert repr(again) == repr(net)
        for name in ("W1", "W2", "b1", "b2"):
            np.testing.assert_array_equal(getattr(again, name), getattr(net, name))


@pytest.mark.parametrize("kind", KINDS)
def test_modules_without_neurons(kind: str) -> None:
    assert_same(network(kind, m=0, K=2), network(kind, m=0, K=2).to_torch())


def test_gates_are_not_trained_and_all_else_is() -> None:
    net = network("gated_relu")
    assert isinstance(net, cx.GatedNetwork)
    module = net.to_torch()
    assert {name for name, _ in module.named_parameters()} == {
        f"{layer}.{part}" for layer in ("hidden", "output") for part in ("weight", "bias")
    }
    np.testing.assert_array_equal(module.gates.numpy(), net.gates)
    module(torch.tensor(X)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_modules_are_copied_saved_and_loaded(kind: str) -> None:
    net = network(kind)
    module = net.to_torch()
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for other in (copy.deepcopy(module), torch.load(file, weights_only=False)):
        np.testing.assert_array_equal(outputs(other), outputs(module))
    with torch.no_grad():
        for weights in module.parameters():
            weights.zero_()
    assert np.abs(net.W1).min() > 0  # the network keeps its own


def test_no_random_numbers_are_drawn_and_nothing_is_said() -> None:
    state = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network("relu").to_torch()
        network("relu", m=0).to_torch()
    assert torch.equal(state, torch.get_rng_state())


def test_examples_of_the_docstrings() -> None:
    for method in (cx.TwoLayerNetwork.from_torch, cx.TwoLayerNetwork.to_torch):
        text = (method.__doc__ or "").replace("# doctest: +SKIP", "")
        example = doctest.DocTestParser().get_doctest(text, {}, method.__name__, None, 0)
        assert len(example.examples) >= 3
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        assert runner.run(example).failed == 0
