"""Networks as ONNX graphs: a few nodes, in double precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyconvexnn import __version__
from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import GatedNetwork, Network

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# The first operator set and file format with all that is used here, so that old runtimes read it.
_OPERATORS = 13
_FORMAT = 7


def model_of(net: Network) -> ModelProto:
    """Return the model with input X (batch, d) and output y (batch, K), both double.

    Raises
    ------
    ImportError
        If onnx is not installed.
    """
    try:
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise ImportError('to_onnx needs onnx: pip install "pyconvexnn[onnx]"') from None

    if isinstance(net, GatedNetwork):
        net = net.with_vectors()
    constants: dict[str, FloatArray] = {"W1": net.W1, "W2": net.W2}
    constants |= {name: b for name, b in [("b1", net.b1), ("b2", net.b2)] if b is not None}
    nodes = [
        helper.make_node(
            "Gemm", ["X", "W1", *(["b1"] if "b1" in constants else [])], ["z"], transB=1
        ),
        *_activation(net, constants),
        helper.make_node("Gemm", ["h", "W2", *(["b2"] if "b2" in constants else [])], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        type(net).__name__,
        [helper.make_tensor_value_info("X", TensorProto.DOUBLE, ["batch", net.n_features])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["batch", net.n_outputs])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(
        graph,
        producer_name="pyconvexnn",
        producer_version=__version__,
        ir_version=_FORMAT,
        opset_imports=[helper.make_opsetid("", _OPERATORS)],
    )


def _activation(net: Network, constants: dict[str, FloatArray]) -> list[NodeProto]:
    """Nodes from the inputs z of the neurons to their outputs h; adds the constants they use."""
    from onnx import helper

    if isinstance(net, GatedNetwork):
        constants |= {"gates": net.gates, "zero": np.array(0.0)}
        return [
            helper.make_node("Gemm", ["X", "gates"], ["side"], transB=1),
            helper.make_node("GreaterOrEqual", ["side", "zero"], ["on"]),
            helper.make_node("Where", ["on", "z", "zero"], ["h"]),
        ]
    if net.activation == "leaky_relu":
        # Not LeakyRelu: its slope is a number of single precision.
        constants["slope"] = np.array(net.slope)
        return [
            helper.make_node("Mul", ["z", "slope"], ["less"]),
            helper.make_node("Max", ["z", "less"], ["h"]),
        ]
    return [helper.make_node({"relu": "Relu", "abs": "Abs"}[net.activation], ["z"], ["h"])]
