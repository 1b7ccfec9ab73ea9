"""Arguments that work, small, and what is made of them: the good calls that wrong ones vary."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray

N, D = 14, 3


def data() -> FloatArray:
    X = np.random.default_rng(1).standard_normal((N, D))
    X[:, -1] = 1.0
    return X


def targets() -> FloatArray:
    return np.abs(data()[:, 0]) + 0.3 * np.random.default_rng(2).standard_normal(N)


def labels() -> FloatArray:
    return np.where(targets() > 0.7, 1.0, -1.0)


def counts() -> FloatArray:
    return np.random.default_rng(3).poisson(2.0, N).astype(np.float64)


def two_targets() -> FloatArray:
    return np.column_stack([targets(), labels()])


def weights() -> FloatArray:
    return np.random.default_rng(4).uniform(0.5, 2.0, N)


def dense() -> Any:
    return (data() @ np.random.default_rng(5).standard_normal((D, 6)) >= 0).T


@functools.cache
def patterns() -> cx.PatternSet:
    return cx.sample_patterns(data(), 8, seed=0)


@functools.cache
def every_pattern() -> cx.PatternSet:
    return cx.enumerate_patterns(data())


@functools.cache
def other_patterns() -> cx.PatternSet:
    """Of a row more."""
    return cx.PatternSet.from_dense(np.ones((3, N + 1)))


@functools.cache
def gated(loss: str = "squared", **options: Any) -> cx.GatedReLUProblem:
    y = {"squared": targets(), "logistic": labels(), "several": two_targets()}[loss]
    loss = "squared" if loss == "several" else loss
    return cx.GatedReLUProblem(data(), y, patterns(), 0.5, loss=loss, **options)


@functools.cache
def relu(**options: Any) -> cx.ReLUProblem:
    return cx.ReLUProblem(data(), targets(), patterns(), 0.5, **options)


@functools.cache
def solution(kind: str = "gated") -> cx.Solution:
    problems: dict[str, Any] = {"gated": gated, "relu": relu}
    problem = gated("several") if kind == "several" else problems[kind]()
    return cx.solve(problem, tol=1e-9)


@functools.cache
def path() -> cx.Path:
    return cx.solve_path(gated(), n_betas=3)


@functools.cache
def fit() -> Any:
    return cx.train(data(), targets(), 0.5, rtol=1e-3)


def network() -> cx.TwoLayerNetwork:
    net: cx.TwoLayerNetwork = fit().network
    return net


def two_outputs() -> cx.TwoLayerNetwork:
    rng = np.random.default_rng(6)
    W1, W2 = rng.standard_normal((4, D)), rng.standard_normal((4, 2))
    return cx.TwoLayerNetwork.from_arrays(W1, W2)


@functools.cache
def gated_network() -> cx.GatedNetwork:
    return cx.recover(gated(), solution())


@functools.cache
def regressor() -> Any:
    return cx.ConvexMLPRegressor(certify=False, beta=0.5).fit(data(), targets())


@functools.cache
def folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="wrong_calls_"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def network_file() -> Path:
    file = folder() / "network.npz"
    network().save(file)
    return file


def patterns_file() -> Path:
    file = folder() / "patterns.npz"
    patterns().save(file)
    return file
