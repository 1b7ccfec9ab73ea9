"""A process whose products are wrong now and then: ``python -m`` this, RUNS PERIOD SEED, preloaded.

With ``wrong_blas.cpp`` preloaded: each case is certified without a fault, finely; then RUNS times
with one wrong entry among all of its products (PERIOD 0), or one in PERIOD. No lower bound may be
above the best objective known, no objective below what its network's is, and no price bound below
a price that was found. Prints for each case
how often it was certified, refused with WrongProductError, or ended otherwise.
"""

from __future__ import annotations

import ctypes
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import pyconvexnn as cx
from pyconvexnn._rounding import WrongProductError


class Claim(NamedTuple):
    """A certificate, its network, and the objective of a network as anybody may compute it."""

    certificate: cx.Certificate
    network: Any
    objective: Callable[[Any], float]


class Case(NamedTuple):
    """What is claimed, the best objective known, and what was claimed without a fault."""

    claim: Callable[[], Claim]
    best: float
    sound: cx.Certificate


def cases() -> dict[str, Callable[[], Case]]:
    """Cases by name, each made without a fault."""
    methods = ("enumeration", "branch_and_bound", "bound")
    made: dict[str, Callable[[], Case]] = {
        f"certify {method}": partial(_certify, 24, 3, method) for method in methods
    }
    made["certify bound of many features"] = lambda: _certify(30, 12, "bound")
    made["certify logistic"] = lambda: _certify(24, 3, "auto", "logistic")
    made["train"] = lambda: _train(30, 3, 1)
    made["train two outputs"] = lambda: _train(14, 2, 2)
    made["gated"] = lambda: _gated(40, 3)
    return made


def _data(n: int, d: int, loss: str = "squared", K: int = 1) -> tuple[Any, Any, float]:
    X, y = cx.datasets.teacher(n, d - 1)
    if loss == "logistic":
        y = np.where(y > np.median(y), 1.0, -1.0)
    beta = 0.2 * cx.beta_max(X, y, loss=loss).value
    return X, y if K == 1 else np.column_stack([y, np.roll(y, 3)]), beta


def _certify(n: int, d: int, method: str, loss: str = "squared") -> Case:
    """A network near the optimum, whose own residual is the dual point: the bound is tight."""
    X, y, beta = _data(n, d, loss)
    net = cx.train(X, y, beta, loss=loss, rtol=1e-8, time_limit=1.0).network

    def claim() -> Claim:
        cert = cx.certify(net, X, y, beta, loss=loss, method=method, improve=False, time_limit=5.0)
        return Claim(cert, net, lambda network: network.objective(X, y, beta, loss=loss))

    return Case(claim, net.objective(X, y, beta, loss=loss), claim().certificate)


def _train(n: int, d: int, K: int) -> Case:
    X, y, beta = _data(n, d, K=K)

    def claim(rtol: float = 1e-3) -> Claim:
        fit = cx.train(X, y, beta, rtol=rtol, time_limit=1.0)
        return Claim(fit.certificate, fit.network, lambda network: network.objective(X, y, beta))

    sound = claim(1e-8).certificate
    return Case(claim, sound.objective, sound)


def _gated(n: int, d: int) -> Case:
    X, y, beta = _data(n, d)
    rng = np.random.default_rng(0)
    net = cx.GatedNetwork.from_arrays(
        rng.standard_normal((6, d)), 0.2 * np.ones((6, 1)), rng.standard_normal((6, d))
    )

    def claim(rtol: float = 1e-3) -> Claim:
        cert = cx.certify(net, X, y, beta, rtol=rtol)
        return Claim(cert, net, lambda network: network.objective(X, y, beta))

    sound = claim(1e-9).certificate
    assert sound.best_objective is not None
    return Case(claim, sound.best_objective, sound)


class Products:
    """The preloaded library."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.disarm.restype = ctypes.c_int64

    def arm(self, entry: int, period: int, seed: int) -> None:
        """Make an entry wrong, and one in `period` after it."""
        numbers = ctypes.c_int64(entry), ctypes.c_int64(period), ctypes.c_uint64(seed)
        self._library.arm(*numbers)

    def disarm(self) -> int:
        """Entries computed since."""
        return int(self._library.disarm())


def mislead(case: Case, products: Products, runs: int, period: int, seed: int) -> Counter[str]:
    """Certify with wrong products; how that ended."""
    products.arm(0, 0, 0)
    case.claim()
    count = products.disarm()
    ends: Counter[str] = Counter()
    rng = np.random.default_rng(seed)
    for run in range(runs):
        entry = int(rng.integers(1, (count if period == 0 else min(period, count)) + 1))
        products.arm(entry, period, run)
        try:
            claim = case.claim()
        except WrongProductError:
            ends["refused"] += 1
        except Exception as error:  # what was not a number elsewhere: no certificate either
            ends[type(error).__name__] += 1
        else:
            products.disarm()
            ends[_judged(claim, case)] += 1
        finally:
            products.disarm()
    return ends


def _judged(claim: Claim, case: Case) -> str:
    """A word; in capitals where the certificate is wrong."""
    cert, truth = claim.certificate, claim.objective(claim.network)
    if not cert.lower_bound <= case.best * (1 + 1e-12):
        return "BOUND"
    if not cert.objective >= truth * (1 - 1e-12):
        return "OBJECTIVE"
    same = np.array_equal(cert.dual, case.sound.dual)
    if same and cert.price_bound < case.sound.price_found * (1 - 1e-12):  # NaN proves nothing
        return "PRICE"
    return "certified"


def main() -> None:
    warnings.simplefilter("ignore")
    runs, period, seed = map(int, sys.argv[1:])
    products, wrong = Products(), 0
    products.arm(0, 0, 0)
    if (np.ones((3, 2)) @ np.ones((2, 5))).size != products.disarm():
        print("not interposed")  # noqa: T201
        return
    for name, make in cases().items():
        ends = mislead(make(), products, runs, period, seed)
        wrong += sum(count for end, count in ends.items() if end.isupper())
        print(name, dict(ends), flush=True)  # noqa: T201
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
