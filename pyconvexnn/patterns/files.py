"""Pattern sets read from files."""

from __future__ import annotations

import os
from typing import Any

from numpy.typing import NDArray

from pyconvexnn.patterns.pattern_set import PatternSet, as_gates


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
        Equal to the one saved, gates included.

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
    return _npz.read(path, "patterns", layout, {"gates": ("<f8", 2)}, _from_file)


def _from_file(meta: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> PatternSet:
    if set(meta) != {"n_samples", "interior"} or not isinstance(meta["interior"], bool):
        raise ValueError("its JSON part must hold n_samples and interior")
    gates = arrays.get("gates")
    if gates is not None and len(gates):
        gates = as_gates(gates, "gates")
    return PatternSet(
        arrays["packed"],
        meta["n_samples"],
        gates,
        zero_rows=arrays["zero_rows"],
        interior=meta["interior"],
    )
