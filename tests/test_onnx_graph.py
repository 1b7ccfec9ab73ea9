"""ONNX models of networks: what two runtimes make of them against `predict`."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import Network
from tests.networks.examples import data, make

KINDS = ["gated_relu", "relu", "leaky_relu", "abs"]


def network(
    kind: str, m: int = 7, d: int = 3, K: int = 1, *, b1: bool = True, b2: bool = True
) -> Network:
    gated = make(m, d, K, biases=True)
    biases: dict[str, Any] = {"b1": gated.b1 if b1 else None, "b2": gated.b2 if b2 else None}
    if kind == "gated_relu":
        return cx.GatedNetwork.from_arrays(gated.W1, gated.W2, gated.gates, **biases)
    return cx.TwoLayerNetwork.from_arrays(gated.W1, gated.W2, activation=kind, slope=0.1, **biases)


def both(path: Path, X: FloatArray) -> list[FloatArray]:
    """Outputs (n, K) of the reference and of onnxruntime."""
    runtimes: list[Any] = [
        onnx.reference.ReferenceEvaluator(str(path)),
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]),
    ]
    return [runtime.run(None, {"X": X})[0] for runtime in runtimes]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("b1", [False, True])
@pytest.mark.parametrize("b2", [False, True])
@pytest.mark.parametrize("K", [1, 3])
def test_both_runtimes_predict_the_same(
    kind: str, b1: bool, b2: bool, K: int, tmp_path: Path
) -> None:
    net, X, path = network(kind, K=K, b1=b1, b2=b2), data(200), tmp_path / "net.onnx"
    net.to_onnx(path)
    onnx.checker.check_model(path, full_check=True)
    expected = net.predict(X).reshape(200, K)
    for outputs in both(path, X):
        assert (outputs.dtype, outputs.shape) == (np.dtype(np.float64), (200, K))
        np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("m", "n"), [(0, 4), (1, 1), (0, 1), (3, 0)])
def test_few_neurons_and_rows(kind: str, m: int, n: int, tmp_path: Path) -> None:
    net, X = network(kind, m, K=2), data(4)
    net.to_onnx(str(tmp_path / "net"))
    for outputs in both(tmp_path / "net", X[:n]):
        np.testing.assert_allclose(outputs, net.predict(X)[:n], rtol=1e-12, atol=1e-12)


def test_slopes_are_doubles(tmp_path: Path) -> None:
    # As an attribute of LeakyRelu 0.1 would be off by 1.5e-9.
    net = cx.TwoLayerNetwork.from_arrays([[1.0]], [[1.0]], activation="leaky_relu", slope=0.1)
    net.to_onnx(tmp_path / "net")
    assert [y.item() for y in both(tmp_path / "net", np.array([[-1.0]]))] == [-0.1, -0.1]


def test_a_row_on_a_gate_is_on(tmp_path: Path) -> None:
    net = cx.GatedNetwork.from_arrays([[1.0, 0.0]], [[2.0]], gates=[[1.0, -1.0]])
    net.to_onnx(tmp_path / "net")
    for outputs in both(tmp_path / "net", np.array([[3.0, 3.0], [3.0, 4.0]])):
        assert outputs.tolist() == [[6.0], [0.0]]


@pytest.mark.parametrize(
    ("kind", "operators"),
    [
        ("relu", ["Gemm", "Relu", "Gemm"]),
        ("abs", ["Gemm", "Abs", "Gemm"]),
        ("leaky_relu", ["Gemm", "Mul", "Max", "Gemm"]),
        ("gated_relu", ["Gemm", "Gemm", "GreaterOrEqual", "Where", "Gemm"]),
    ],
)
def test_the_graph_is_small_and_says_what_it_is(
    kind: str, operators: list[str], tmp_path: Path
) -> None:
    net = network(kind, b1=False, K=2)
    net.to_onnx(tmp_path / "net")
    model = onnx.load(tmp_path / "net")
    graph = model.graph
    assert [node.op_type for node in graph.node] == operators
    assert [model.producer_name, model.producer_version] == ["pyconvexnn", cx.__version__]
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)]
    sizes = [
        [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    ]
    assert sizes == [["batch", 3], ["batch", 2]]
    used = {name for node in graph.node for name in node.input}
    assert {constant.name for constant in graph.initializer} <= used


def test_an_estimator_without_its_intercept_column(tmp_path: Path) -> None:
    X = data(40)
    est = cx.ConvexMLPRegressor("relu", beta=0.1, patterns=30, intercept_scaling=3.0)
    est.fit(X, np.abs(X[:, 0]))
    net = cx.TwoLayerNetwork.from_arrays(est.coefs_[0].T, est.coefs_[1], *est.intercepts_)
    net.to_onnx(tmp_path / "net")
    for outputs in both(tmp_path / "net", X):
        np.testing.assert_allclose(outputs[:, 0], est.predict(X), rtol=1e-12, atol=1e-12)


def test_wrong_paths(tmp_path: Path) -> None:
    wrong: Any = 3
    with pytest.raises(TypeError, match="`path` must be a string or a path, got 3"):
        network("relu").to_onnx(wrong)
    with pytest.raises(FileNotFoundError):
        network("relu").to_onnx(tmp_path / "none" / "net.onnx")


def test_without_onnx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = 'to_onnx needs onnx: pip install "pyconvexnn[onnx]"'
    with pytest.raises(ImportError, match=re.escape(message)):
        network("relu").to_onnx(tmp_path / "net")
    assert not (tmp_path / "net").exists()
