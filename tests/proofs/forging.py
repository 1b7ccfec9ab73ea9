"""Proof files of small problems, and what a forger may make of them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.proofs import checker, files
from tests.training.problems import gaussian_task, optimum

WORDS = {"relu": 0.0, "leaky_relu": 0.2, "abs": 0.0}


def some_net(d: int, activation: str = "relu", **options: Any) -> cx.TwoLayerNetwork:
    """A network of one output, far from optimal."""
    rng = np.random.default_rng(0)
    W1, W2 = rng.standard_normal((3, d)), rng.standard_normal((3, 1))
    options |= {"activation": activation, "slope": WORDS[activation]}
    return cx.TwoLayerNetwork.from_arrays(W1, W2, **options)


@dataclasses.dataclass
class Proof:
    """A file taken apart, and the data that it is of."""

    X: FloatArray
    y: FloatArray
    weight: FloatArray
    head: dict[str, Any]
    arrays: dict[str, Any]

    @classmethod
    def of(
        cls, file: Path, X: FloatArray, y: FloatArray, weight: FloatArray | None = None
    ) -> Proof:
        head, arrays = checker.read(file)
        del head["arrays"]
        return cls(X, y, np.ones(len(X)) if weight is None else weight, head, arrays)

    def changed(self, head: Mapping[str, Any]) -> Proof:
        """The same with other entries of the header."""
        return dataclasses.replace(self, head=self.head | dict(head))

    def holding(self, arrays: Mapping[str, Any]) -> Proof:
        """The same with other arrays."""
        return dataclasses.replace(self, arrays=self.arrays | dict(arrays))

    def of_data(self, X: FloatArray, y: FloatArray) -> Proof:
        """The same, said to be of other data."""
        head = self.head | {"data": checker.digest(X, y, self.weight)}
        return dataclasses.replace(self, X=X, y=y, head=head)

    def claiming(self) -> Proof:
        """The same with the bound that its dual point has, if that is one."""
        head = self.head
        V, Y = self.arrays["dual"].reshape(-1, len(self.X)), self.y.reshape(len(self.X), -1).T
        try:
            values = [
                checker.dual_objective(head["loss"], head["delta"], v, y, self.weight, s)
                for v, y, s in zip(V, Y, head["scale"], strict=True)
            ]
        except (ValueError, ArithmeticError):
            return self
        bound = max(0.0, math.nextafter(math.fsum(values), -math.inf))
        return self.changed({"lower_bound": bound})

    def with_price(self, factor: float) -> Proof:
        """The same with prices said to be smaller by a factor, and so a larger scale."""
        beta, M = self.head["beta"], [factor * m for m in self.head["price_bound"]]
        s = float(beta / math.hypot(*M) * (1 - 1e-14))
        return self.changed({"price_bound": M, "scale": [s] * len(M)}).claiming()

    def check(self, file: Path, exact: bool = False) -> dict[str, Any]:
        """Write it, with a checksum that is right, and check that."""
        file.write_bytes(files._content(self.head, self.arrays))
        return checker.check(file, self.X, self.y, self.weight, exact)

    def refused(self, file: Path, exact: bool = False) -> str | None:
        """Why it is refused; None if it is accepted."""
        try:
            self.check(file, exact)
        except checker.ProofError as error:
            return str(error)
        return None


@functools.cache
def small_proof(
    folder: Path, n: int, r: int, loss: str, activation: str, offset: bool = False
) -> Proof:
    """A proof of `gaussian_task`."""
    X, y, beta = gaussian_task(n, r, 0, loss)
    file = folder / f"{n}-{r}-{loss}-{activation}-{offset}.cxproof"
    net = some_net(r, activation, **({"b2": [0.3]} if offset else {}))
    # Tight, so that a little less is refused.
    cx.certify(net, X, y, beta, loss=loss, rtol=1e-6, proof=file)
    return Proof.of(file, X, y)


def loose(X: FloatArray, axes: FloatArray, trees: list[int]) -> Proof:
    """A proof of so little that any boxes do."""
    n, d = X.shape
    y = v = np.ones(n)
    M = 9.0 * float(np.abs(X).sum())
    head = {"samples": n, "features": d, "outputs": 1, "beta": 1.0, "loss": "squared"}
    head |= {"delta": 0.0, "activation": "relu", "slope": 0.0, "output_offset": False}
    head |= {"penalty": "weight_decay", "scale": [(1 - 1e-14) / M], "price_bound": [M]}
    arrays: dict[str, Any] = {"dual": v, "axes0": axes.ravel()}
    for sign in "+-":
        arrays |= {f"tree0{sign}": np.array(trees, np.uint32), f"values0{sign}": np.empty(0)}
        arrays |= {f"places0{sign}": np.empty(0, np.uint32)}
    return Proof(X, y, np.ones(n), head, arrays).of_data(X, y).claiming()


def halved(r: int, depth: int) -> list[int]:
    """Trees whose boxes are all halved so often, along any coordinates that they have."""
    codes = []
    for face in range(2 * r):
        stack = [(0, face // 2)]
        while stack:
            level, own = stack.pop()
            codes.append((own + 1 + level % (r - 1)) % r if level < depth else r)
            stack += [(level + 1, own)] * 2 * (level < depth)
    return codes


def reseal(data: bytes) -> bytes:
    """A file with the checksum of what it holds."""
    return data[:-32] + hashlib.sha256(data[:-32]).digest()


_OPTIMA: dict[tuple[Any, ...], float] = {}


def true_optimum(head: dict[str, Any], X: FloatArray, y: FloatArray) -> float:
    """Optimum of what the header says that it is about; one output, weights 1."""
    loss = cx.losses.Huber(head["delta"]) if head["loss"] == "huber" else head["loss"]
    names = ("beta", "loss", "delta", "activation", "slope", "output_offset")
    key = (*(head[name] for name in names), X.tobytes(), y.tobytes())
    if key not in _OPTIMA:
        kind = {name: head[name] for name in ("activation", "output_offset")}
        slope = max(head["slope"], 0.0)
        _OPTIMA[key] = optimum(X, y, head["beta"], loss=loss, slope=slope, **kind)
    return _OPTIMA[key]


def corrupted(proof: Proof, rng: np.random.Generator) -> Proof:
    """The proof with something changed, its checksum and all digests put right."""
    arrays, head = proof.arrays, proof.head
    side = rng.choice(["0+", "0-"])
    tree, r = arrays["tree" + side], math.isqrt(len(arrays["axes0"]))
    kind = rng.integers(8)
    if kind == 0:  # a leaf less, with its multipliers or without
        leaves = np.flatnonzero(tree >= r)
        leaf = rng.choice(leaves)
        before, told = int(np.sum(tree[:leaf][tree[:leaf] >= r] - r)), int(tree[leaf] - r)
        less = {"tree" + side: np.delete(tree, leaf)}
        if rng.random() < 0.5:
            own = slice(before, before + told)
            less |= {
                name + side: np.delete(arrays[name + side], own) for name in ("places", "values")
            }
        return proof.holding(less)
    if kind == 1:  # a node twice
        node = rng.integers(len(tree))
        more = np.insert(tree, node, tree[node])
        return proof.holding({"tree" + side: more})
    if kind == 2:  # another penalty, with the same prices or the same scale
        beta = head["beta"] * rng.choice([0.5, 0.999, 1 + 1e-9, 2.0])
        if rng.random() < 0.5:
            return proof.changed({"beta": beta})
        return proof.changed({"beta": beta}).with_price(rng.choice([1.0, beta / head["beta"]]))
    if kind in (3, 4):  # other data
        X, y = proof.X.copy(), proof.y.copy()
        changed = X if kind == 3 else y
        place = rng.integers(changed.size)
        changed.ravel()[place] += rng.choice([1e-12, 1e-6, 1e-2, -1.0]) * rng.standard_normal()
        return proof.of_data(X, y).claiming()
    if kind == 5:  # a higher bound
        bound = head["lower_bound"]
        higher = [math.nextafter(bound, math.inf), bound * (1 + 1e-9), bound * 1.01]
        return proof.changed({"lower_bound": higher[rng.integers(3)]})
    if kind == 6:  # a lower price
        return proof.with_price(1 - 10.0 ** rng.uniform(-12, -1))
    name = rng.choice(sorted(arrays))  # another number
    if not arrays[name].size:
        return proof.changed({"beta": -head["beta"]})
    other = arrays[name].copy()
    place = rng.integers(other.size)
    if other.dtype.kind == "f":
        size = rng.choice([1e-12, 1e-3, 1.0, 1e300, math.inf, math.nan, 5e-324])
        with np.errstate(all="ignore"):
            other[place] = other[place] * (1 + size) if rng.random() < 0.5 else size
    else:
        other[place] = rng.integers(2**32) if rng.random() < 0.5 else rng.integers(12)
    return proof.holding({name: other}).claiming()
