"""Versions in the header; refuses to test a compiled part older than its sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process: exit code, stdout, stderr."""
    from pyconvexnn import __main__

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        code = __main__.main([str(argument) for argument in arguments])
        return code, *capfd.readouterr()

    return call
