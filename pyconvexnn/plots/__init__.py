"""Pictures; each function returns matplotlib Axes. matplotlib is imported when one is drawn."""

from __future__ import annotations

from pyconvexnn.plots.cells import arrangement
from pyconvexnn.plots.functions import neurons
from pyconvexnn.plots.histories import certificate, path

__all__ = ["arrangement", "certificate", "neurons", "path"]
