"""The command line ``pyconvexnn``; needs the packages of the extra ``cli``."""

from __future__ import annotations

from pyconvexnn.cli.app import run

__all__ = ["run"]
