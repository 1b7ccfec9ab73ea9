"""Checks a proof file with NumPy and the standard library, and no other line of the package.

It proves that no network of its kind has an objective below ``L <= max(D(s v), 0)``, by trees of
boxes that show ``|v' act(X u)| <= M |u|`` for all u, ``s M <= beta``. For neurons ``S w + z``, z
orthogonal to the axes S, w in a box, t_k = x_k'S w and W_k = (1 - slope) v_k, a leaf uses
``(t)_+ <= m t + max(-m l, (1 - m) h)`` for l <= t <= h where W_k > 0, ``-(t)_+ <= -m t`` where not,
any m in [0, 1], and ``|S w| >= g'S w``, any |g| <= 1: what is left is linear in w.
"""

import functools
import hashlib
import json
import math
import sys
from decimal import Context, Decimal, Inexact, localcontext
from pathlib import Path
from typing import Any

import numpy as np

MAGIC = b"pyconvexnn proof 1"
CLAIM = ("beta", "loss", "delta", "activation", "slope", "output_offset", "penalty")
exactly = np.vectorize(Decimal, otypes=[object])  # floats are finite decimals,
EXACT = Context(prec=99999, Emin=-(10**9), Emax=10**9, traps=[Inexact])  # and so are their products
product = functools.partial(np.einsum, "ij,jk->ik")  # without a linear algebra library


class ProofError(ValueError):
    """The file proves nothing: it is damaged, of other data, or wrong."""


def need(holds: Any, otherwise: str) -> None:
    """Raise ProofError unless it holds."""
    if not holds:
        raise ProofError(otherwise)


def digest(X: Any, y: Any, weight: Any) -> str:
    """SHA-256 of the data: shapes and the very numbers."""
    numbers = [np.asarray(array, dtype="<f8").tobytes() for array in (X, y, weight)]
    return hashlib.sha256(b"".join([repr((X.shape, y.shape)).encode(), *numbers])).hexdigest()


def read(path: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and arrays of a file: a line, a line of JSON, the arrays' bytes, a checksum."""
    need(Path(path).is_file() or not Path(path).exists(), "it is no file")  # but a pipe, a device
    data = Path(path).read_bytes()
    need(data.startswith(MAGIC + b"\n"), "it is no proof file")
    need(hashlib.sha256(memoryview(data)[:-32]).digest() == data[-32:], "it is damaged")
    head, arrays = json.loads(data[len(MAGIC) : (at := data.index(b"\n", len(MAGIC) + 1) + 1)]), {}
    for name, _, count in head["arrays"]:
        arrays[name] = np.frombuffer(data, {"t": "<u4", "p": "<u4"}.get(name[0], "<f8"), count, at)
        at += arrays[name].nbytes
    need(at == len(data) - 32, "its arrays are not those of its header")
    return head, arrays


def dual_objective(loss: str, delta: float, v: Any, y: Any, weight: Any, scale: float) -> float:
    """A number below D(scale v), the same on every machine: by 28 decimal digits."""
    rows = np.stack([v, y, weight], axis=1)[(v != 0) | (weight != 0)]  # all of its targets
    need(np.isfinite(rows).all() and rows[:, 2].all(), "v must be finite, 0 where a weight is")
    times, minus = EXACT.multiply, EXACT.subtract  # for what is compared, or may cancel
    with localcontext(Context(prec=28, Emin=-99999, Emax=99999)):
        total = size = Decimal(0)
        for t, b, s in (map(Decimal, row) for row in rows.tolist()):
            p, t, sb = times(b, t := times(Decimal(scale), t)), t, times(s, b)
            inside, terms, logs = {  # q of terms q ln |q / s|; s - s: for the size of their errors
                "squared": (True, [p, -t * t / (2 * s)], []),
                "huber": (t.copy_abs() <= times(Decimal(delta), s), [p, -t * t / (2 * s)], []),
                "squared_hinge": (p >= 0 and abs(b) == 1, [p, -t * t / (2 * s)], []),
                "hinge": (0 <= p <= s and abs(b) == 1, [p], []),
                "logistic": (0 <= p <= s and abs(b) == 1, [s, -s], [-p, minus(p, s)]),
                "poisson": (t <= sb >= 0, [-t, sb, -sb], [sb, minus(t, sb)]),
            }[loss]
            need(inside, "its dual point is outside of the domain of the loss")
            parts = terms + [q * abs(q / s).ln() for q in logs if q != 0]
            total, size = total + sum(parts), size + sum(map(abs, parts))
        return math.nextafter(float(total - size * Decimal("1e-20")), -math.inf)


class Side:
    """What the leaves of a tree are about: rows, v or -v, axes; in floats, or in rationals."""

    def __init__(self, X: Any, v: Any, S: Any, slope: float, M: float, exact: bool) -> None:
        self.to = exactly if exact else np.asarray
        rows = np.asarray(X + 0.0, "<f8", order="C").view(f"V{8 * X.shape[1]}").ravel()
        _, first, same = np.unique(rows, True, True)  # equal rows: one, with the sum of their v
        n, X, S, v_ = len(X), X[first], S.reshape(X.shape[1], -1), self.to(np.zeros(len(first)))
        np.add.at(v_, same, self.to(v))
        v, self.plus, self.floats = np.bincount(same, np.abs(v)), v_ > 0, (product(X, S), S)
        X_, self.S, self.margin = self.to(X), self.to(S), self.to(0.0)
        self.P, self.W = product(X_, self.S), v_ * (1 - self.to(slope))
        self.linear = np.einsum("k,kr->r", v_ * self.to(slope), self.P)
        # x.z is at most |z| times the distance from x to S, the length of x - S c for any c.
        missed = (np.abs(v_) * np.abs(X_ - product(self.P, self.S.T)).sum(axis=1)).sum()
        if not exact:  # what roundings of such sums of these sizes, and underflow, can do
            tiny = 2.0**-1000 * (1 + M) * (1 + sum(np.abs(part).sum() for part in (X, v, S))) ** 3
            unit, sizes = 8 * (n + 2 * sum(S.shape) + 50) * 2.0**-53, product(abs(X), abs(S))
            missed += unit * np.einsum("k,kd->", v, abs(X) + product(sizes, abs(S).T)) + tiny
            self.margin = unit * (3 * np.einsum("k,kr->", v, sizes) + M * np.abs(S).sum()) + tiny
        self.theta = self.to(M) - missed

    def multipliers(self, low: Any, high: Any) -> Any:
        """From the centres of b boxes: (b, n + r), the m and the w of ``g = S w``, made shorter."""
        centre, P = (low + high) / 2, self.floats[0]
        mid, reach = product(centre, P.T), product((high - low) / 2, np.abs(P).T)
        m = np.where(reach > 0, 0.5 + 0.5 * mid / np.where(reach > 0, reach, 1), mid > 0)
        return np.hstack([np.clip(m, 0.0, 1.0), centre])

    def worst(self, low: Any, high: Any, multipliers: Any) -> Any:
        """Largest ``v' act(X S w) - theta |S w|`` on b boxes, or more: proved where <= 0."""
        m, g = np.split(multipliers, [len(self.plus)], axis=1)
        g = product(g, self.floats[1].T)
        g = g / np.maximum(np.abs(g).max(axis=1, keepdims=True), 2.0**-1074)  # no underflow
        g = g / np.maximum(np.sqrt((g * g).sum(axis=1, keepdims=True)), 1.0)
        g, m = self.to(g * (1 - (len(self.S) + 16) * 2.0**-51)), self.to(np.clip(m, 0.0, 1.0))
        C, H = self.to((low + high) / 2), self.to((high - low) / 2)  # dyadic, without rounding
        mid, reach = product(C, self.P.T), product(H, np.abs(self.P).T)
        over = np.maximum(m * (reach - mid), (1 - m) * (reach + mid)) * np.maximum(self.W, 0)
        G = product(self.W * m, self.P) + self.linear - self.theta * product(g, self.S)
        return (G * C + np.abs(G) * H).sum(axis=1) + over.sum(axis=1) + self.margin

    def check(self, tree: Any, places: Any, values: Any) -> int:
        """Number of leaves, every one of them checked."""
        (n, r), used, codes = self.P.shape, 0, iter(tree.tolist())
        size = (1 << (13 if self.to is exactly else 19)) // (n + r + len(self.S))  # for memory
        need(self.theta >= 0, "its axes miss too much of the data")
        faces = [(one, x) for one in np.eye(r, dtype=bool)[::-1] for x in (-1.0, 1.0)]
        boxes = [[np.where(one, x, end).tolist() for end in (-1.0, 1.0)] for one, x in faces]
        while boxes:
            batch: list[Any] = []  # leaves, and how many multipliers are told
            while boxes and len(batch) < min(max(size, 1), 512):
                low, high = boxes.pop()
                if (k := next(codes, 1 << 40)) < r:
                    need(high[k] - low[k] > 2.0**-44, "it halves what is too small")
                    halves = high.copy(), low.copy()
                    halves[0][k] = halves[1][k] = (low[k] + high[k]) / 2
                    boxes += [halves[1], high], [low, halves[0]]
                else:
                    batch.append((low, high, k - r))
            low, high, told = (np.array(part) for part in zip(*batch, strict=True))
            own, used = slice(used, used + int(told.sum())), used + int(told.sum())
            need(used <= len(values), "it lacks leaves or multipliers")
            multipliers = self.multipliers(low, high)
            multipliers[np.repeat(np.arange(len(told)), told), places[own]] = values[own]
            need(np.all(self.worst(low, high, multipliers) <= 0), "a leaf proves too little")
        need(used == len(values) == len(places) and next(codes, -1) < 0, "it has too many parts")
        return int(np.sum(tree >= r))


def check(
    path: Any, X: Any, y: Any, weight: Any = None, exact: bool = False, patient: bool = False
) -> dict[str, Any]:
    """Header of a proof that holds for these data, and its `leaves`; ProofError, floats first."""
    X, y, s = (np.asarray(a, float) for a in (X, y, np.ones(len(X)) if weight is None else weight))
    try:
        with np.errstate(all="ignore"), localcontext(EXACT):
            head, parts = read(path)
            need(len(y) == len(X) and head["data"] == digest(X, y, s), "it is of other data")
            return head | {"leaves": sum(_leaves(head, parts, X, y, s, exact, patient))}
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as bad:
        raise ProofError(bad if isinstance(bad, ProofError) else f"it is damaged: {bad!r}") from bad


def _leaves(head: Any, arrays: Any, X: Any, y: Any, weight: Any, exact: bool, patient: bool) -> Any:
    V, Y = arrays["dual"].reshape(-1, len(X)), y.reshape(len(X), -1).T
    beta, loss, delta, activation, slope, offset, penalty = (head[name] for name in CLAIM)
    scale, M, parts = head["scale"], head["price_bound"], range(len(V))
    good = all(type(x) is float and abs(x) < math.inf for x in [beta, delta, slope, *scale, *M])
    good &= len(scale) == len(M) == len(V) == len(Y) and min(*scale, *M, *weight, delta) >= 0 < beta
    good &= {"relu": slope == 0, "leaky_relu": 0 <= slope < 1, "abs": slope == -1}[activation]
    good &= [head[name] for name in ("samples", "features", "outputs")] == [*X.shape, len(Y)]
    need(good and type(offset) is bool and np.isfinite(X).all(), "its numbers do not fit")
    # s M is beta, to 1e-12 so that it says which: of each output, or of all that a neuron feeds.
    used, whole = (exactly(scale) * exactly(M)) ** 2, Decimal(beta) ** 2
    for part in {"weight_decay": [used.sum()], "decoupled": used}[penalty]:
        need(part <= whole and (not part or (whole - part) * 10**12 < whole), "its scale is wrong")
    need(not (offset and any(map(math.fsum, V))), "its dual points do not sum to zero")
    sides = [(k, sign) for k in parts if scale[k] > 0 and V[k].any() for sign in "+-"]
    bits = abs(np.frexp(np.hstack([X.ravel(), slope, *scale, *M, *arrays.values()]))[1]).max()
    (n, d), steps, unit = X.shape, 9.0 * V.size * bits, 4 + exact * (80 + bits) ** 2 / 30  # ns
    for r, tree in [(arrays[f"axes{k}"].size // d, arrays[f"tree{k}{sign}"]) for k, sign in sides]:
        need(r <= d, "it has more axes than there are features")
        steps += (n * d * (r + 10) + (n + d) * (len(tree) + 2 * r) * (r + 3)) * unit
    need(patient or steps < 5e8, f"its check takes {steps:.0e} steps: ask it to be patient")
    D = math.fsum(dual_objective(loss, delta, V[k], Y[k], weight, scale[k]) for k in parts)
    need(head["lower_bound"] == max(0.0, math.nextafter(D, -math.inf)), "it claims another bound")
    for e, (k, sign) in [(e, side) for e in {False, bool(exact)} for side in sides]:
        side = Side(X, V[k] if sign == "+" else -V[k], arrays[f"axes{k}"], slope, M[k], e)
        yield (not e) * side.check(*(arrays[f"{a}{k}{sign}"] for a in ("tree", "places", "values")))


if __name__ == "__main__":
    try:
        how = {word[2:]: True for word in sys.argv if word.startswith("--")}
        file, *data = [word for word in sys.argv[1:] if not word.startswith("--")]
        proved = check(file, *map(np.load, data), **how)
    except (LookupError, TypeError, ValueError, OSError, EOFError) as error:
        sys.exit(f"{error!r}; usage: checker.py FILE X.npy y.npy [weights.npy] [--exact --patient]")
    sys.stdout.write(json.dumps({name: proved[name] for name in ("lower_bound", *CLAIM)}) + "\n")
