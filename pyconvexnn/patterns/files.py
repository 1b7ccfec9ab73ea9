"""Pattern sets in files, which may come from anybody."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyconvexnn._validation import as_matrix, positive_int
from pyconvexnn._witness import CellGates, LazyGates
from pyconvexnn.patterns.packed import check_arrays
from pyconvexnn.patterns.pattern_set import PatternSet


def load_patterns(path: str | os.PathLike[str]) -> PatternSet:
    """Read a pattern set written by :meth:`PatternSet.save`.

    Nothing in the file is trusted: it may come from anybody.

    Parameters
    ----------
    path : str or path
        File.

    Returns
    -------
    PatternSet
        Equal to the one saved, with its gates or (:meth:`PatternSet.save`) what finds them; never
        ``is_complete``.

    Raises
    ------
    ValueError
        If the file is not a pattern set, in whatever way.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyconvexnn as cx
    >>> ps = cx.PatternSet.from_dense([[1, 0, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ps.save(pathlib.Path(folder, "patterns.npz"))
    ...     cx.load_patterns(pathlib.Path(folder, "patterns.npz")) == ps
    True
    """
    from pyconvexnn import _npz  # its imports (zipfile, json) are needed by files only

    layout = {"packed": ("<u8", 2), "zero_rows": ("<u8", 1)}
    optional = {"gates": ("<f8", 2), "data": ("<f8", 2)}
    return _npz.read(path, "patterns", layout, optional, _from_file)


def write(ps: PatternSet, path: str | os.PathLike[str]) -> None:
    """Write what :func:`load_patterns` reads."""
    from pyconvexnn import _npz

    arrays: dict[str, NDArray[Any]] = {"packed": ps._packed, "zero_rows": ps._zero_rows}
    gates, missing = ps.gates_found()
    lazy = ps._lazy_gates
    if gates is not None and not missing.size:
        arrays["gates"] = gates
    elif lazy is not None and type(lazy.finder) is CellGates and lazy.packed is ps._packed:
        arrays["data"] = lazy.finder.X
    meta = {"n_samples": ps.n_samples, "interior": ps._interior}
    _npz.write(path, "patterns", meta, arrays)


def _from_file(meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> PatternSet:
    if set(meta) != {"n_samples", "interior"} or not isinstance(meta["interior"], bool):
        raise ValueError("its JSON part must hold n_samples and interior")
    n_samples = positive_int(meta["n_samples"], "n_samples")
    packed, zero_rows = arrays["packed"], arrays["zero_rows"]
    gates, data = arrays.get("gates"), arrays.get("data")
    check_arrays(packed, n_samples, gates, zero_rows)
    if gates is not None and len(gates):
        gates = np.ascontiguousarray(as_matrix(gates, "gates"))
    lazy = None
    if data is not None:
        if gates is not None or len(data) != n_samples:
            raise ValueError(f"`data` must have {n_samples} rows, and there must be no gates then")
        lazy = LazyGates(CellGates(as_matrix(data, "data")), packed)
    return PatternSet.of_arrays(
        packed,
        n_samples,
        gates,
        zero_rows=zero_rows,
        interior=meta["interior"],
        lazy_gates=lazy,
    )
