"""The price of a dual point over all patterns: the largest ``|v' act(X u)|`` of a unit neuron u."""

from __future__ import annotations

from pyconvexnn.pricing.price import Price, price

__all__ = ["Price", "price"]
