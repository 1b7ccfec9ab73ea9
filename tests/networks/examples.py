"""Networks of random weights, with and without gates, and when two of them are the same."""

from __future__ import annotations

import numpy as np

from pyconvexnn._typing import FloatArray
from pyconvexnn.networks import GatedNetwork, Network, TwoLayerNetwork

SIZES = [(5, 3, 1), (5, 3, 2), (1, 1, 1), (0, 3, 1), (0, 3, 2), (70, 2, 3)]  # m, d, K
SLOPES = {"relu": 0.0, "leaky_relu": 0.25, "abs": -1.0}


def make(
    m: int = 5, d: int = 3, K: int = 1, *, biases: bool = False, seed: int = 0
) -> GatedNetwork:
    rng = np.random.default_rng(seed)
    b1, b2 = (rng.standard_normal(m), rng.standard_normal(K)) if biases else (None, None)
    return GatedNetwork.from_arrays(
        rng.standard_normal((m, d)),
        rng.standard_normal((m, K)),
        rng.standard_normal((m, d)),
        b1,
        b2,
    )


def data(n: int = 40, d: int = 3) -> FloatArray:
    return np.random.default_rng(9).standard_normal((n, d))


def ungated(activation: str = "relu", m: int = 5, K: int = 1, seed: int = 0) -> TwoLayerNetwork:
    gated = make(m, 3, K, biases=True, seed=seed)
    return TwoLayerNetwork.from_arrays(
        gated.W1, gated.W2, gated.b1, gated.b2, activation=activation, slope=0.25
    )


def assert_same(a: Network, b: Network) -> None:
    assert type(a) is type(b)
    assert (a.activation, getattr(a, "slope", None)) == (b.activation, getattr(b, "slope", None))
    for name in ("W1", "W2", "gates", "b1", "b2"):
        one, two = getattr(a, name, None), getattr(b, name, None)
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            np.testing.assert_array_equal(one, two, strict=True)
            assert not two.flags.writeable
