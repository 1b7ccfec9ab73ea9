r"""Checks a proof file with NumPy and the standard library, and no other line of the package.

A file proves that no network of its kind has an objective below L on some data: with its v and s

.. math:: L \le D(s v), \qquad s \max_{\|u\| \le 1} |v^T \phi(X u)| \le s M \le \beta .

M is proved by trees, one for v and one for -v. A neuron ``u = S w + z``, z orthogonal to the axes
S, goes through a face of the cube of w; faces are halved until the boxes are small. With
``W_k = (1 - slope) v_k`` and ``p_k = S'x_k``, a leaf proves ``v' act(X S w) <= theta |S w|`` by

- ``(t)_+ <= m t + max(-m l, (1 - m) h)`` for l <= t <= h and ``-(t)_+ <= -m t``, any m in [0, 1];
- ``|S w| >= g'S w`` for any ``|g| <= 1``:

a linear function is left, whose maximum over a box is plain. The m and g are the file's or follow
from the centre of the box; as any are valid, wrong ones prove less, and never more.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import sys
from collections.abc import Iterator
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"pyconvexnn proof 1"
LEAF, TOLD, FIRST = 0, 1, 2  # codes in a tree; from 2 on the coordinates that are halved
exactly = np.vectorize(Fraction, otypes=[object])


class ProofError(ValueError):
    """The file proves nothing: it is damaged, of other data, or wrong."""


def digest(X: Any, y: Any, weight: Any) -> str:
    """SHA-256 of the data: shapes and the very numbers."""
    out = hashlib.sha256(repr((X.shape, y.shape)).encode())
    for array in (X, y, weight):
        out.update(np.ascontiguousarray(array, dtype="<f8"))
    return out.hexdigest()


def read(path: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of a file: a line, a line of JSON, the arrays' bytes, a checksum."""
    data = Path(path).read_bytes()
    magic, _, rest = data[:-32].partition(b"\n")
    text, _, rest = rest.partition(b"\n")
    if magic != MAGIC or hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise ProofError("it is no proof file, or damaged")
    head, arrays, at = json.loads(text), {}, 0
    for name, dtype, count in head["arrays"]:
        arrays[name] = np.frombuffer(rest, {"u4": "<u4", "f8": "<f8"}[dtype], count, at)
        at += arrays[name].nbytes
    if at != len(rest) or not all(np.isfinite(array).all() for array in arrays.values()):
        raise ProofError("its arrays are not those of its header")
    return head, arrays


def dual_objective(loss: str, delta: float, v: Any, y: Any, weight: Any, scale: float) -> float:
    """A number below D(scale v), the same on every machine: in 60 decimal digits."""
    with localcontext(Context(prec=60, Emin=-99999, Emax=99999)):
        total = size = Decimal(0)
        for v_k, y_k, s_k in zip(v.tolist(), y.tolist(), weight.tolist(), strict=True):
            t, b, s = Fraction(scale) * Fraction(v_k), Fraction(y_k), Fraction(s_k)
            if t == 0:
                continue
            if loss == "poisson":
                inside, parts = t <= s * b, (-t,)
                logs = [(b - t / s, -s), (b, s)] if s else []
            else:
                bounds = {"squared": (-math.inf, math.inf), "squared_hinge": (0, math.inf)}
                bounds |= {"huber": (-delta, delta), "hinge": (0, 1), "logistic": (0, 1)}
                p = t if loss in ("squared", "huber") else t * b
                inside = all(
                    math.isinf(end) or (p - Fraction(end) * s) * sign >= 0
                    for end, sign in zip(bounds[loss], (1, -1), strict=True)
                )
                square = Fraction(0) if loss == "hinge" or not s else t * t / (2 * s)
                parts = () if loss == "logistic" else (t * b, -square)
                logs = [(p / s, -s), (1 - p / s, -s)] if loss == "logistic" and s else []
            if not inside or s == 0:
                raise ProofError("its dual point is outside of the domain")
            terms = [decimal(x) for x in parts]
            terms += [decimal(factor * x) * decimal(x).ln() for x, factor in logs if x > 0]
            total, size = total + sum(terms), size + sum(map(abs, terms))
        return math.nextafter(float(total - size * Decimal("1e-40")), -math.inf)


def decimal(x: Fraction) -> Decimal:
    """To the digits of the context."""
    return Decimal(x.numerator) / Decimal(x.denominator)


class Side:
    """What the leaves of a tree are about: rows, v or -v, axes; in floats, or in rationals."""

    def __init__(self, X: Any, v: Any, S: Any, slope: float, M: float, exact: bool) -> None:
        self.to = exactly if exact else np.asarray
        self.exact, self.plus, self.floats = exact, v > 0, (product(X, S), S)
        X_, v_, self.S = self.to(X), self.to(v), self.to(S)
        self.P, self.W = product(X_, self.S), v_ * (1 - self.to(slope))
        self.linear = np.einsum("k,kr->r", v_ * self.to(slope), self.P)
        # x.z is at most |z| times the distance from x to S, the length of x - S c for any c.
        missed = np.einsum("k,kd->", np.abs(v_), np.abs(X_ - product(self.P, self.S.T)))
        self.margin = self.to(0.0)
        if not exact:  # what all roundings can do, sums of so many terms of these sizes
            sizes = product(np.abs(X), np.abs(S))
            unit = 8 * (len(v) + 2 * sum(S.shape) + 50) * 2.0**-53
            again = np.abs(X) + product(sizes, np.abs(S).T)
            missed = missed + unit * np.einsum("k,kd->", np.abs(v), again) + 1e-290
            whole = 3 * np.einsum("k,kr->", np.abs(v), sizes) + M * np.abs(S).sum()
            self.margin = unit * whole + 1e-290
        self.theta = self.to(M) - missed

    def multipliers(self, low: Any, high: Any) -> Any:
        """From the centres of b boxes: (b, n + r), the m and the w of ``g = S w``, made shorter."""
        centre, P = (low + high) / 2, self.floats[0]
        mid, reach = product(centre, P.T), product((high - low) / 2, np.abs(P).T)
        m = np.where(reach > 0, 0.5 + 0.5 * mid / np.where(reach > 0, reach, 1), mid > 0)
        return np.hstack([np.clip(m, 0.0, 1.0), centre])

    def worst(self, low: Any, high: Any, multipliers: Any) -> Any:
        """Largest ``v' act(X S w) - theta |S w|`` on b boxes, or more: proved where <= 0."""
        n, (_, S) = len(self.plus), self.floats
        g = product(multipliers[:, n:], S.T)
        length = np.sqrt((g * g).sum(axis=1)) * (1 + (len(S) + 16) * 2.0**-51)
        g = g / np.maximum(length, 1e-300)[:, np.newaxis]
        m = self.to(np.clip(multipliers[:, :n], 0.0, 1.0))
        C, H = self.to((low + high) / 2), self.to((high - low) / 2)  # dyadic, without rounding
        mid, reach = product(C, self.P.T), product(H, np.abs(self.P).T)
        over = self.W * np.maximum(m * (reach - mid), (1 - m) * (reach + mid))
        over = np.where(self.plus, over, self.to(0.0)).sum(axis=1)
        G = product(self.W * m, self.P) + self.linear - self.theta * product(self.to(g), self.S)
        return (G * C + np.abs(G) * H).sum(axis=1) + over + self.margin


def product(A: Any, B: Any) -> Any:
    """A B, without a linear algebra library."""
    return np.einsum("ij,jk->ik", A, B)


def leaves(tree: Any, r: int) -> Iterator[tuple[list[float], list[float], bool]]:
    """Ends of the leaves' boxes, and whether their multipliers are told."""
    codes = iter(tree.tolist())
    for face in range(2 * r):
        low, high, path, more = [-1.0] * r, [1.0] * r, [], True
        low[face // 2] = high[face // 2] = 1.0 - 2 * (face % 2)
        while more:
            code = next(codes, -1)
            if code < LEAF or code >= FIRST + r or len(path) > 2000:
                raise ProofError("its tree is none, or leaves are missing")
            k = code - FIRST
            if k >= 0:
                if high[k] - low[k] < 2.0**-44:
                    raise ProofError("it halves what is too small")
                path.append((k, low[k], high[k]))
                high[k] = (low[k] + high[k]) / 2
                continue
            yield low.copy(), high.copy(), code == TOLD
            more = False
            while path and not more:  # to the second half of the last halving that has one left
                k, first, last = path[-1]
                more = low[k] == first
                low[k], high[k] = (high[k], last) if more else (first, last)
                if not more:
                    path.pop()
    if next(codes, None) is not None:
        raise ProofError("it has more leaves than regions")


def check_tree(side: Side, tree: Any, counts: Any, places: Any, values: Any) -> int:
    """Number of leaves, every one of them checked; `counts` of the multipliers that are told."""
    (n, r), told, done, found = side.P.shape, 0, 0, leaves(tree, side.P.shape[1])
    ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    while batch := list(itertools.islice(found, max(1, min(512, (1 << 19) // (n + r))))):
        low, high = (np.array([leaf[end] for leaf in batch]) for end in (0, 1))
        multipliers, rows = side.multipliers(low, high), np.flatnonzero([leaf[2] for leaf in batch])
        own = slice(ends[told], ends[told + len(rows)])
        rows = np.repeat(rows, counts[told : told + len(rows)])
        multipliers[rows, places[own]] = values[own]
        if not np.all(side.worst(low, high, multipliers) <= 0):
            raise ProofError("a leaf does not prove what it should")
        told, done = told + sum(leaf[2] for leaf in batch), done + len(batch)
    if not told == len(counts) or not ends[-1] == len(places) == len(values):
        raise ProofError("it has multipliers without a leaf")
    return done


def check(path: Any, X: Any, y: Any, weight: Any = None, exact: bool = False) -> dict[str, Any]:
    """Header of a proof that holds for these data, its `leaves` counted; ProofError otherwise."""
    X, y = np.asarray(X, float), np.asarray(y, float)
    weight = np.ones(len(X)) if weight is None else np.asarray(weight, float)
    try:
        head, arrays = read(path)
        with np.errstate(all="ignore"):
            return head | {"leaves": _check(head, arrays, X, y, weight, exact)}
    except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ProofError(str(error) if isinstance(error, ProofError) else repr(error)) from error


def _check(head: Any, arrays: Any, X: Any, y: Any, weight: Any, exact: bool) -> int:
    if head["data"] != digest(X, y, weight):
        raise ProofError("it is of other data")
    V, Y, beta = arrays["dual"].reshape(-1, len(X)), y.reshape(len(X), -1).T, Fraction(head["beta"])
    scale, M = ([float(x) for x in head[name]] for name in ("scale", "price_bound"))
    if not (len(scale) == len(M) == len(V) == len(Y) and min(scale + M) >= 0) or beta <= 0:
        raise ProofError("its numbers do not belong together")
    # s M is beta, to 1e-12 so that it says which: of each output, or of all that a neuron feeds.
    parts, joint = range(len(V)), head["penalty"] == "weight_decay"
    for group in [parts] if joint else [[k] for k in parts]:
        used = sum((Fraction(scale[k]) * Fraction(M[k]) / beta) ** 2 for k in group)
        if used > 1 or (used < 1 - 1e-12 and any(scale)) or (joint and len(set(scale)) > 1):
            raise ProofError("its scale is not beta over the bound of the price")
    if head["output_offset"] and any(math.fsum(v.tolist()) != 0 for v in V):
        raise ProofError("its dual points do not sum to zero")
    loss, delta, done = head["loss"], head["delta"], 0
    values = [dual_objective(loss, delta, V[k], Y[k], weight, scale[k]) for k in parts]
    if head["lower_bound"] != math.nextafter(math.fsum(values), -math.inf):
        raise ProofError("the bound that it claims is not that of its dual point")
    for k in [k for k in parts if scale[k] > 0]:
        S, slope = arrays[f"axes{k}"].reshape(X.shape[1], -1), float(head["slope"])
        if not -1 <= slope < 1:
            raise ProofError("its activation is none")
        for name, v in ((f"{k}+", V[k]), (f"{k}-", -V[k])):
            tree = [arrays[part + name] for part in ("tree", "counts", "places", "values")]
            done += check_tree(Side(X, v, S, slope, M[k], exact), *tree)
    return done


def main(arguments: list[str]) -> int:
    """FILE.cxproof X.npy y.npy [weights.npy] [--exact]; exit code 0 where the proof holds."""
    try:
        paths = [a for a in arguments if a != "--exact"]
        data = [np.load(path, allow_pickle=False) for path in paths[1:]]
        head = check(paths[0], *data, exact="--exact" in arguments)
        sys.stdout.write(f"proved: no objective is below {head['lower_bound']!r}\n")
        return 0
    except (OSError, ValueError) as error:
        sys.stdout.write(f"not proved: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
