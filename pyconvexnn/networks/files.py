"""Networks in files, which may come from anybody."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

from numpy.typing import NDArray

from pyconvexnn._validation import choice
from pyconvexnn.networks.activations import ACTIVATIONS
from pyconvexnn.networks.gated import GatedNetwork
from pyconvexnn.networks.two_layer import TwoLayerNetwork

Network: TypeAlias = GatedNetwork | TwoLayerNetwork


def load_network(path: str | os.PathLike[str]) -> Network:
    """Read a network written by its method `save`, or by the command line.

    Nothing in the file is trusted: it may come from anybody.

    Parameters
    ----------
    path : str or path
        File.

    Returns
    -------
    GatedNetwork or TwoLayerNetwork
        Its predictions are those of the one saved, bit for bit.

    Raises
    ------
    ValueError
        If the file is not a network, in whatever way.
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import pyconvexnn as cx
    >>> net = cx.GatedNetwork.from_arrays([[2.0]], [[3.0]], gates=[[1.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(pathlib.Path(folder, "net.npz"))
    ...     cx.load_network(pathlib.Path(folder, "net.npz")).predict([[1.0], [-1.0]])
    array([6., 0.])
    """
    return read_network(path)[0]


def write_network(path: str | os.PathLike[str], net: Network, extra: dict[str, Any]) -> None:
    """Write a network and a JSON object that belongs to it.

    Raises
    ------
    TypeError, ValueError
        If `extra` is not JSON: strings, booleans, None, finite numbers, lists and dicts of these.
    OSError
        If the file cannot be written.
    """
    from pyconvexnn import _npz  # its imports (zipfile, json) are needed by files only

    matrices = isinstance(net, GatedNetwork) and net.has_matrices
    arrays = {"U" if matrices else "W1": net.W1, "W2": net.W2}
    arrays |= {name: b for name, b in [("b1", net.b1), ("b2", net.b2)] if b is not None}
    meta: dict[str, Any] = {"activation": net.activation, "extra": extra}
    if isinstance(net, GatedNetwork):
        arrays["gates"] = net.gates
    else:
        meta["slope"] = net.slope
    _npz.write(path, "network", meta, arrays)


def read_network(path: str | os.PathLike[str]) -> tuple[Network, dict[str, Any]]:
    """Read what :func:`write_network` wrote, with :func:`load_network`'s checks and errors.

    The JSON object is somebody's: only its syntax is checked.
    """
    from pyconvexnn import _npz  # its imports (zipfile, json) are needed by files only

    others = {"W1": ("<f8", 2), "U": ("<f8", 3), "gates": ("<f8", 2)}
    others |= {"b1": ("<f8", 1), "b2": ("<f8", 1)}
    return _npz.read(path, "network", {"W2": ("<f8", 2)}, others, _from_file)


def _from_file(
    meta: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> tuple[Network, dict[str, Any]]:
    extra, slope = meta.get("extra"), meta.pop("slope", None)
    if set(meta) != {"activation", "extra"} or not isinstance(extra, dict):
        raise ValueError("its JSON part must hold activation and the object extra")
    activation = choice(meta["activation"], "activation", [GatedNetwork.activation, *ACTIVATIONS])
    gated = activation == GatedNetwork.activation
    if gated != ("gates" in arrays):
        raise ValueError(f"member 'gates' is {'missing' if gated else 'there without use'}")
    if "W1" not in arrays and "U" not in arrays:
        raise ValueError("member 'W1' is missing")
    if "U" in arrays and (not gated or "W1" in arrays):
        raise ValueError("member 'U' is there without use")
    if gated != (slope is None):
        raise ValueError(f"its JSON part must hold {'no' if gated else 'a'} slope")
    if gated:
        arrays |= {"W1": arrays.pop("U")} if "U" in arrays else {}
        return GatedNetwork(**arrays), extra
    return TwoLayerNetwork(**arrays, activation=activation, slope=slope), extra
