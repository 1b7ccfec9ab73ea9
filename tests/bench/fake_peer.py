"""Methods that answer right, wrong, never, or not at all; run by the worker of the tests."""

from __future__ import annotations

import ctypes
import os
import time

import numpy as np

from bench.peers.protocol import Answer, Method, Problem, Session

KINDS = ("right", "wrong", "hangs", "crashes", "raises", "prints", "refuses")
METHODS = tuple(
    Method(kind, None, frozenset({"gated"}), frozenset({"squared"}), (1.0,)) for kind in KINDS
)


class _Fake:
    """With zero coefficients the objective is ``||y||^2 / 2``."""

    def __init__(self, method: str, problem: Problem) -> None:
        self._method, self._problem = method, problem

    def solve(self, tolerance: float) -> None:
        if self._method == "hangs":
            time.sleep(600.0)
        if self._method == "crashes":
            os.write(2, b"something went wrong\nthe last words\n")
            os._exit(7)
        if self._method == "raises":
            raise ArithmeticError(f"tolerance {tolerance:g} is too small\nand a second line")
        if self._method == "prints":
            print("junk", flush=True)  # noqa: T201 - the point of it
            os.write(1, b"more junk\n")
            libc = ctypes.CDLL(None)
            libc.puts(b"junk of C")
            libc.fflush(None)

    def answer(self) -> Answer:
        value = 0.5 * float(np.sum(self._problem.y**2))
        coef = np.full((len(self._problem.betas), *self._problem.blocks), 0.0)
        if self._method == "wrong":
            coef += 1.0
        return Answer(np.full(len(self._problem.betas), value), coef)


def prepare(method: str, problem: Problem) -> Session:
    """A session of `method`; "refuses" has none."""
    if method == "refuses":
        raise MemoryError("this needs 99 GB")
    return _Fake(method, problem)
