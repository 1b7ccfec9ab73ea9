"""Samples of activation patterns: one module for each way of drawing them."""

from __future__ import annotations

from pyconvexnn.sampling.sample import sample_patterns

__all__ = ["sample_patterns"]
