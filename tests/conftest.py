"""Versions in the header; refuses to test a compiled part older than its sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy
import sklearn

ROOT = Path(__file__).parents[1]


def pytest_report_header() -> str:
    from pyconvexnn import __version__, _core

    return (
        f"pyconvexnn {__version__} ({_core.isa_level()}), NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}, scikit-learn {sklearn.__version__}"
    )


def pytest_configure() -> None:
    from pyconvexnn import _core

    built = Path(_core.__file__).stat().st_mtime
    stale = [p for p in (ROOT / "csrc").rglob("*.[ch]*") if p.stat().st_mtime > built]
    if stale:
        raise pytest.UsageError(
            f"{stale[0].name} is newer than the compiled `_core`: run "
            "`python setup.py build_ext -i` (or `pip install -e .`)"
        )
