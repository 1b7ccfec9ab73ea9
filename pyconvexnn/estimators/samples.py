"""What an estimator trains on: its rows, in the units and with the weights of training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from pyconvexnn._bits import distinct_rows
from pyconvexnn._typing import FloatArray, IndexArray
from pyconvexnn._validation import as_matrix
from pyconvexnn.networks import GatedNetwork, Network

_LEAST_SCALE = 1e-50  # the weights of a network have to be below 1e60


@dataclass(frozen=True, eq=False)
class Samples:
    """Rows that a network is trained on.

    Rows of weight 0 are left out. Where all weights of samples are integers, rows that are equal,
    targets included, are one of their summed weight, in an order that does not depend on theirs: a
    fit with integer weights is then one with repeated rows, bit for bit. Equal rows are of one
    class, and its weight multiplies the sum.

    Attributes
    ----------
    data : (m, d + 1) float64
        Features in the units of training, and the intercept column if there is one.
    targets : (m, K) float64
        Targets, one column for each output.
    weight : (m,) float64 or None
        Weights; None where all are 1.
    place : (n,) int64 or None
        Row of `data` that each row of X has become, -1 for none; None where all are as they were.
    given_weight : (n,) float64 or None
        Weights of the rows of X; None where all are 1.
    units : Units
        Of the features.
    """

    data: FloatArray
    targets: FloatArray
    weight: FloatArray | None
    place: IndexArray | None
    given_weight: FloatArray | None
    units: Units

    @classmethod
    def of(
        cls,
        X: FloatArray,
        targets: FloatArray,
        sample_weight: FloatArray | None,
        class_weight: FloatArray | None = None,
        *,
        intercept: float | None,
        standardise: bool,
        merge: bool,
    ) -> Samples:
        """Samples of the rows of X; `merge` is whether any may be left out or merged.

        The weight of a row is the product of its `sample_weight` and its `class_weight`, (n,) each.
        """
        place: IndexArray | None = None
        weight, kept = sample_weight, np.arange(len(X), dtype=np.int64)
        if merge:
            counts = np.ones(len(X)) if sample_weight is None else sample_weight
            used = np.flatnonzero(counts > 0)
            first = inverse = np.arange(len(used))
            if np.all(counts == np.floor(counts)):
                rows = np.column_stack([X, targets])[used]
                order, places = distinct_rows(rows)
                if len(order) < len(used) or np.any(counts[used] != 1.0):  # else as they are
                    first, inverse = order, places
            if len(first) < len(X) or np.any(first != np.arange(len(X))):
                place = np.full(len(X), -1, dtype=np.int64)
                place[used] = inverse
                kept = used[first]
                weight = np.bincount(inverse, counts[used], len(kept)).astype(np.float64)
        given = sample_weight
        if class_weight is not None:
            given = class_weight if given is None else class_weight * given
            weight = class_weight[kept] if weight is None else class_weight[kept] * weight
        if weight is not None and np.all(weight == 1.0):
            weight = None
        X = X[kept]
        units = Units.of(X, weight, intercept) if standardise else Units(intercept)
        return cls(units.data(X), targets[kept], weight, place, given, units)

    def on_rows(self, dual: FloatArray) -> FloatArray:
        """Dual point (m,) or (m, K) as one of the rows of X: equal rows share by their weights."""
        if self.place is None:
            return dual
        used = np.flatnonzero(self.place >= 0)
        counts = np.ones(len(self.place)) if self.given_weight is None else self.given_weight
        totals = np.ones(len(self.data)) if self.weight is None else self.weight
        shares = counts[used] / totals[self.place[used]]
        rows = np.zeros((len(self.place), *dual.shape[1:]))
        rows[used] = (dual[self.place[used]].T * shares).T
        return rows


@dataclass(frozen=True, eq=False)
class Units:
    """Units of the features in training: ``(x - mean) / scale``, and an intercept column.

    Attributes
    ----------
    intercept : float or None
        Value of the column appended; None for no such column.
    mean : (d,) float64 or None
        None for 0, as without an intercept, which would have to make up for it.
    scale : (d,) float64 or None
        None for 1.
    """

    intercept: float | None
    mean: FloatArray | None = None
    scale: FloatArray | None = None

    @classmethod
    def of(cls, X: FloatArray, sample_weight: FloatArray | None, intercept: float | None) -> Units:
        """Units in which columns have variance 1, and mean 0 where there is an intercept.

        Raises
        ------
        ValueError
            If a column, or what varies in it, is so small or large that weights in the units of X
            could not be told.
        """
        from sklearn.preprocessing import StandardScaler

        as_matrix(X)  # raises where its numbers are too large or too small
        scaler = StandardScaler().fit(X, sample_weight=sample_weight)
        if np.min(scaler.scale_) < _LEAST_SCALE:
            raise ValueError(
                f"`X` must have columns of standard deviation 0 or >= {_LEAST_SCALE:g} with "
                f"`scale` = 'standard', got {np.min(scaler.scale_):g}"
            )
        # The mean of equal numbers may be another: what is left of a constant column would be one
        # more that is constant, and take the intercept's place in gates.
        mean = np.where((X[0] == X).all(axis=0), X[0], scaler.mean_)
        return cls(intercept, None if intercept is None else mean, scaler.scale_)

    def data(self, X: FloatArray) -> FloatArray:
        """Features in these units with the intercept column, Fortran-ordered, read-only."""
        with np.errstate(over="ignore", invalid="ignore"):  # of a hostile file; refused below
            if self.mean is not None:
                X = X - self.mean
            if self.scale is not None:
                X = X / self.scale
        return with_intercept(X, self.intercept)

    def original(self, net: Network) -> Network:
        """Network of the features as given, and the intercept column: the same function.

        ``w.(x - mean) / scale + b c = (w / scale).x + (b - (w / scale).mean / c) c``.
        """
        return self._changed(net, 1.0 / self.scale, -1.0) if self.scale is not None else net

    def standardised(self, net: Network) -> Network:
        """Network of these units, of one of the features as given: the opposite of `original`."""
        return self._changed(net, self.scale, 1.0) if self.scale is not None else net

    def _changed(self, net: Network, factors: FloatArray, sign: float) -> Network:
        mean = np.zeros(len(factors)) if self.mean is None else self.mean

        def changed(W: FloatArray) -> FloatArray:
            if W.ndim == 3:  # matrices: column by column
                return np.stack([changed(W[:, :, k]) for k in range(W.shape[2])], axis=2)
            d = len(factors)
            weights = W[:, :d] * factors
            if self.intercept is None:
                return weights
            plain = weights if sign < 0 else W[:, :d]  # those of the features as given
            # A network refuses weights that overflow.
            with np.errstate(over="ignore", invalid="ignore"):
                bias = W[:, d] + sign * (plain @ mean) / self.intercept
            return np.column_stack([weights, bias])

        if isinstance(net, GatedNetwork):
            return dataclasses.replace(net, W1=changed(net.W1), gates=changed(net.gates))
        return dataclasses.replace(net, W1=changed(net.W1))


def with_intercept(X: FloatArray, scaling: float | None) -> FloatArray:
    """X as the network sees it: with a column of ``scaling`` appended, unless that is None."""
    data = np.empty((X.shape[0], X.shape[1] + (scaling is not None)), order="F")
    data[:, : X.shape[1]] = X
    if scaling is not None:
        data[:, -1] = scaling
    data.flags.writeable = False  # so that nobody below copies it
    return as_matrix(data, "X")
