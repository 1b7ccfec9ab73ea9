"""Activation patterns of gates on data, packed to bits.

The pattern of a gate u on data X is ``1[X u >= 0]``, one bit for each row. A gate's pattern says
which rows a gated ReLU neuron lets through; the patterns that exist are the cells of the
arrangement of hyperplanes ``x_k . u = 0``.
"""

from __future__ import annotations

from pyconvexnn.patterns.files import load_patterns
from pyconvexnn.patterns.pattern_set import PatternSet

__all__ = ["PatternSet", "load_patterns"]
