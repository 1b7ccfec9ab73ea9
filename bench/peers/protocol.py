"""What the harness and the peers' processes say to each other; imported on both sides.

Runs in every peer's environment: only NumPy (>= 1.26) and the standard library here.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Problem:
    """One convex program, for one penalty or a path of them, in plain arrays.

    ``sum_k loss(f_k, y_k) + beta sum_i ||block_i||``, losses as the package defines them
    (summed, not averaged), with ``f = sum_i D_i X u_i`` (gated; blocks u_i, (d,) or (d, K) with the
    Frobenius norm) or ``f = sum_i D_i X (v_i - w_i)``, ``(2 D_i - I) X v_i >= 0``, the same for
    w_i (relu; blocks v_i and w_i).
    """

    name: str
    program: str  # "gated" | "relu"
    loss: str  # the package's names
    X: FloatArray  # (n, d)
    y: FloatArray  # (n,), (n, K); labels -1, +1; one-hot rows for cross_entropy
    masks: BoolArray  # (P, n): the diagonals of D_i
    betas: FloatArray  # (B,), decreasing
    single: bool = False  # whether X is of float32 values, and may be given as such

    @property
    def blocks(self) -> tuple[int, ...]:
        """Shape of the coefficients for one penalty."""
        shape = (len(self.masks), self.X.shape[1], *self.y.shape[1:])
        return (2, *shape) if self.program == "relu" else shape

    def save(self, path: Path) -> None:
        """One .npz file, masks packed."""
        arrays = dataclasses.asdict(self)
        arrays["masks"] = np.packbits(self.masks, axis=1)
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> Problem:
        """What `save` wrote."""
        with np.load(path) as file:
            arrays: dict[str, Any] = {key: file[key] for key in file.files}
        for key in ("name", "program", "loss"):
            arrays[key] = str(arrays[key])
        arrays["single"] = bool(arrays["single"])
        bits = np.unpackbits(arrays["masks"], axis=1, count=len(arrays["X"]))
        arrays["masks"] = bits.astype(bool)
        return cls(**arrays)


@dataclass(frozen=True)
class Answer:
    """What a peer returned for each penalty, in our notation, before anyone judged it."""

    objective: FloatArray  # (B,) its own claim, by its own formula, times the constant of its docs
    coef: FloatArray | None = None  # (B, *problem.blocks); None from a non-convex method
    hidden: FloatArray | None = None  # (B, m, d) rows u_j of a network sum_j act(X u_j) alpha_j
    output: FloatArray | None = None  # (B, m) alpha_j
    dual: FloatArray | None = None  # (B, *y.shape), if the peer gives one (any scaling)
    seconds: float | None = None  # the solver's own time, where only that is charged
    iterations: int | None = None
    note: str = ""  # a status other than solved, in the peer's words

    def save(self, path: Path) -> None:
        """One .npz file without the fields that are None."""
        np.savez(path, **{k: v for k, v in dataclasses.asdict(self).items() if v is not None})

    @classmethod
    def load(cls, path: Path) -> Answer:
        """What `save` wrote."""
        with np.load(path) as file:
            arrays: dict[str, Any] = {key: file[key] for key in file.files}
        arrays["note"] = str(arrays.get("note", ""))
        for key, kind in (("seconds", float), ("iterations", int)):
            if key in arrays:
                arrays[key] = kind(arrays[key])
        return cls(**arrays)


class Session(Protocol):
    """One problem, loaded: matrices built, compilers warm. What `solve` does is timed."""

    def solve(self, tolerance: float) -> None:
        """Solve from a cold start, for every penalty."""

    def answer(self) -> Answer:
        """The last solution in our notation; not timed."""


@dataclass(frozen=True)
class Method:
    """One row of the table: what it can be given, and the tolerances that are tried."""

    name: str
    requirements: str | None  # a file beside this one; None: the harness's own environment
    programs: frozenset[str]
    losses: frozenset[str]
    tolerances: tuple[float, ...]  # loose to tight, in the peer's own units
    outputs: bool = False  # several outputs with Frobenius blocks
    convex: bool = True  # False: trains the network itself, no guarantee
    torch: bool = False  # installed only when asked for
    threads: int = 1  # with more it is charged the seconds on the wall
