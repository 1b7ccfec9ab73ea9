"""The configuration report."""

from __future__ import annotations

import numpy as np
import scipy

import pyconvexnn as cx
from pyconvexnn import _core


def test_show_config() -> None:
    config = cx.show_config()
    assert config["version"] == cx.__version__
    assert config["instruction_set"] == _core.isa_level()
    assert config["cores"] >= 1
    assert (config["numpy"], config["scipy"]) == (np.__version__, scipy.__version__)
    assert "blas" not in config  # the kernels call none
