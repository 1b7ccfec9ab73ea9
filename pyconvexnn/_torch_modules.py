"""PyTorch modules as networks, and networks as PyTorch modules. Importing this needs torch."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from pyconvexnn._typing import FloatArray
from pyconvexnn._validation import describe
from pyconvexnn.networks import GatedNetwork, Network

# What torch.fx calls a function: itself, or the name of a method of tensors.
_RELU = {nn.functional.relu, torch.relu, torch.relu_, "relu", "relu_"}
_ABS = {torch.abs, torch.abs_, operator.abs, "abs", "abs_"}
_SQUEEZE = {torch.squeeze, "squeeze"}
_PASSED_OVER = (nn.Identity, nn.Dropout, nn.Flatten)


class GatedModule(nn.Module):  # type: ignore[misc]  # torch may be missing
    """Gated ReLU network: ``f(x) = sum_j 1[x.g_j >= 0] (x.w_j + b_1j) a_j + b_2``.

    Parameters
    ----------
    hidden, output : torch.nn.Linear
        With the w_j and b_1, and the a_j and b_2.
    gates : (n_neurons, n_features) tensor
        The g_j; a buffer, as they are not trained.
    """

    gates: Any

    def __init__(self, hidden: nn.Linear, gates: torch.Tensor, output: nn.Linear) -> None:
        super().__init__()
        self.hidden, self.output = hidden, output
        self.register_buffer("gates", gates)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return the outputs (n_samples, n_outputs) for the rows of X."""
        return self.output(torch.where(X @ self.gates.T >= 0, self.hidden(X), 0.0))


def module_of(net: Network) -> nn.Module:
    """Return the network as a module of doubles; see TwoLayers.to_torch."""
    if isinstance(net, GatedNetwork):
        net = net.with_vectors()
    hidden, output = _linear(net.W1, net.b1), _linear(net.W2.T, net.b2)
    if isinstance(net, GatedNetwork):
        return GatedModule(hidden, torch.tensor(net.gates), output)
    slope = {"relu": None, "leaky_relu": net.slope, "abs": -1.0}[net.activation]
    return nn.Sequential(hidden, nn.ReLU() if slope is None else nn.LeakyReLU(slope), output)


def weights_of(module: Any) -> dict[str, Any]:
    """Arguments of TwoLayerNetwork for a module; see TwoLayerNetwork.from_torch."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"`module` must be a torch.nn.Module, got {describe(module)}")
    if any(part._forward_hooks or part._forward_pre_hooks for part in module.modules()):
        raise NotImplementedError("`module` must have no hooks: they may change what it computes")
    steps = _steps(module)
    if steps[-1:] == ["squeeze"] and getattr(steps[-2], "out_features", 0) == 1:
        steps.pop()  # (n, 1) to (n,)
    match steps:
        case [nn.Linear() as hidden, dict() as activation, nn.Linear() as output]:
            return {
                "W1": _array(hidden.weight),
                "W2": _array(output.weight).T,
                "b1": None if hidden.bias is None else _array(hidden.bias),
                "b2": None if output.bias is None else _array(output.bias),
                **activation,
            }
    raise NotImplementedError(
        "`module` must be a chain of Linear, ReLU (or LeakyReLU of a slope in [0, 1), or abs) and "
        f"Linear, got {', '.join(map(_name, steps)) or 'nothing'}"
    )


def _steps(module: nn.Module) -> list[Any]:
    """Layers that the module puts its input through, one after the other, as `_step` reads them."""
    try:
        graph = fx.Tracer().trace(module)
    except Exception as error:  # of any kind: it runs the module's own code
        raise NotImplementedError(
            f"`module` must be a chain of layers that torch.fx can trace, got "
            f"{type(module).__name__}: {error}"
        ) from error
    modules = dict(module.named_modules())
    start, *nodes, end = graph.nodes
    steps, last = [], start
    for node in nodes:
        if node.all_input_nodes != [last]:
            raise NotImplementedError(
                f"`module` must put one input through one layer after the other, got {node} "
                f"of {', '.join(map(str, node.all_input_nodes)) or 'nothing'}"
            )
        steps.append(_step(node, modules))
        last = node
    if end.args != (last,):
        raise NotImplementedError(f"`module` must return its last layer's output, got {end.args}")
    return [step for step in steps if step is not None]


def _step(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Linear | dict[str, Any] | str | None:
    """Read a node: a Linear, the activation of a network, None to pass over, or what else it is."""
    # A target is also the name of a layer, which may be "relu" whatever it does.
    layer = modules[node.target] if node.op == "call_module" else None
    function = node.target if layer is None else None
    if isinstance(layer, nn.Linear):
        return layer
    if isinstance(layer, _PASSED_OVER):
        return None
    if isinstance(layer, nn.ReLU) or function in _RELU:
        return {"activation": "relu"}
    if function in _ABS:
        return {"activation": "abs"}
    if isinstance(layer, nn.LeakyReLU):
        return _leaky(layer.negative_slope)
    if function is nn.functional.leaky_relu:
        return _leaky([*node.args[1:2], node.kwargs.get("negative_slope", 0.01)][0])
    if function in _SQUEEZE:
        return "squeeze"
    return type(layer).__name__ if layer is not None else _name(function)


def _leaky(slope: float) -> dict[str, Any] | str:
    if slope == -1.0:
        return {"activation": "abs"}
    if 0.0 <= slope < 1.0:
        return {"activation": "leaky_relu", "slope": slope}
    return f"LeakyReLU({slope})"


def _name(step: Any) -> str:
    """Text of a step for an error message."""
    if isinstance(step, dict):
        return str(step["activation"])
    if isinstance(step, nn.Linear):
        return "Linear"
    return step if isinstance(step, str) else getattr(step, "__name__", str(step))


def _array(tensor: torch.Tensor) -> FloatArray:
    return np.asarray(tensor.detach().cpu().double().numpy())


def _linear(weight: FloatArray, bias: FloatArray | None) -> nn.Linear:
    """Layer of these weights, copied; no random numbers are drawn."""
    with warnings.catch_warnings():
        # A network without neurons has layers without weights, which torch finds worth a warning.
        warnings.simplefilter("ignore", UserWarning)
        layer = nn.utils.skip_init(
            nn.Linear, weight.shape[1], weight.shape[0], bias=bias is not None, dtype=torch.double
        )
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer
