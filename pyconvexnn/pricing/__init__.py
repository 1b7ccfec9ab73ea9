"""The price of a dual point over all patterns: the largest ``|v' act(X u)|`` of a unit neuron u."""

from __future__ import annotations

from pyconvexnn.pricing.price import METHODS, Price, price

__all__ = ["METHODS", "Price", "price"]
