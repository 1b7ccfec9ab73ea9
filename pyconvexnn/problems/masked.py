"""What the programs over activation patterns share: data, fit, loss, offset, dual objective."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from pyconvexnn._bits import nonzero_rows, pack
from pyconvexnn._typing import ArrayLike, BoolArray, FloatArray, IndexArray
from pyconvexnn._validation import (
    LARGEST_SCALE,
    SMALLEST_SCALE,
    as_matrix,
    as_real_array,
    as_vector,
    flag,
    nonnegative,
    positive,
)
from pyconvexnn.losses import Loss, get_loss
from pyconvexnn.patterns import PatternSet
from pyconvexnn.problems.base import SparseBlocks, block_norms, unpacked
from pyconvexnn.problems.free_part import (
    best_free_part,
    best_offsets,
    columns,
    imbalance,
    orthonormal,
)

# Prices, which are compared with beta, are square roots of sums that vanish below 1e-308.
SMALLEST_BETA = 1e-120
# Prices are products of X, y and s, and are squared.
LARGEST_WEIGHT = 1e20
# With an offset sum_k v_k is zero: |sum v| / sum |v| is at most that, in any order of summation.
BALANCED = 1e-12

Problem = TypeVar("Problem", bound="PatternProblem")


@dataclass(frozen=True, eq=False, init=False, repr=False)
class PatternProblem(ABC):
    r"""A loss of ``f = sum_b D_b X c_b + b + X c`` and ``beta w_b ||c_b|| + ridge ||c_b||^2 / 2``.

    A block b belongs to one of the patterns; subclasses say to which, with which sign and factors
    D_b, and what the blocks must satisfy beside. The offset b and, with ``skip = 0``, the linear
    part c are free: all that takes blocks means them with the best of these. With ``skip > 0`` c
    is the block of one more pattern, the last one, all of whose bits are set; `given` are the
    patterns as they were given, without it.
    """

    X: FloatArray
    y: FloatArray
    patterns: PatternSet
    beta: float
    loss: Loss
    sample_weight: FloatArray
    pattern_weight: FloatArray
    ridge: float
    output_offset: bool
    skip: float | None
    given: PatternSet = field(init=False)  # no argument of a constructor

    def _set(
        self,
        X: ArrayLike,
        y: ArrayLike,
        patterns: PatternSet,
        beta: float,
        *,
        loss: str | Loss,
        sample_weight: ArrayLike | None,
        pattern_weight: ArrayLike | None,
        ridge: float,
        output_offset: bool,
        skip: float | None,
    ) -> None:
        """Check the arguments of a constructor and set the fields."""
        X = as_matrix(X)
        n = X.shape[0]
        loss = get_loss(loss)
        y = self._as_targets(y, loss, n)
        _check_patterns(patterns, n)
        given = patterns
        beta = _as_beta(beta)
        sample_weight = _as_weights(sample_weight, "sample_weight", n)
        if sample_weight.min() < 0 or sample_weight.max() <= 0:
            raise ValueError(
                "`sample_weight` must be >= 0 and not all 0, got minimum "
                f"{sample_weight.min()} and maximum {sample_weight.max()}"
            )
        if sample_weight.max() > LARGEST_WEIGHT:
            raise ValueError(
                f"`sample_weight` must be <= {LARGEST_WEIGHT:g}, got {sample_weight.max()}"
            )
        pattern_weight = _as_weights(pattern_weight, "pattern_weight", len(patterns))
        if pattern_weight.min() <= 0:
            raise ValueError(f"`pattern_weight` must be > 0, got {pattern_weight.min()}")
        ridge = nonnegative(ridge, "ridge")
        if 0.0 < ridge < SMALLEST_BETA:
            raise ValueError(f"`ridge` must be 0 or >= {SMALLEST_BETA:g}, got {ridge!r}")
        if skip is not None:
            skip = nonnegative(skip, "skip")
            if skip > 0.0 and not SMALLEST_SCALE <= skip <= LARGEST_SCALE:
                raise ValueError(
                    f"`skip` must be 0 or between {SMALLEST_SCALE:g} and {LARGEST_SCALE:g}, "
                    f"got {skip!r}"
                )
            if skip > 0.0:
                patterns = _with_linear_part(patterns, X)
                pattern_weight = as_vector(np.append(pattern_weight, skip), "pattern_weight")
        if flag(output_offset, "output_offset"):
            for targets in [y] if loss.joint or y.ndim == 1 else y.T:
                loss.check_offset(targets, sample_weight)
        for name, value in (
            ("X", X),
            ("y", y),
            ("patterns", patterns),
            ("beta", beta),
            ("loss", loss),
            ("sample_weight", sample_weight),
            ("pattern_weight", pattern_weight),
            ("ridge", ridge),
            ("output_offset", bool(output_offset)),
            ("skip", skip),
            ("given", given),
        ):
            object.__setattr__(self, name, value)
        if self.skip == 0.0:
            if not loss.smooth:
                raise ValueError(f"`skip` must be above 0, or None, for loss {loss.name!r}, got 0")
            _ = self.objective_at_zero  # raises where the free part has no optimum

    @classmethod
    def _as_targets(cls, y: ArrayLike, loss: Loss, n: int) -> FloatArray:
        """Targets (n,), or (n, K) for K > 1 outputs."""
        y = as_real_array(y, "y")
        if loss.joint and (y.ndim == 1 or y.shape == (n, 1)):
            y = loss.as_targets(as_vector(y, length=n))
        if y.ndim == 2 and y.shape[1] > 1:
            if len(y) != n:
                raise ValueError(f"`y` must have {n} rows, got {len(y)}")
            y = as_matrix(y, "y")
        else:
            y = as_vector(y, length=n)
        loss.check_targets(y)
        return y

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Arrays come out of a pickle or a deep copy writeable.
        for value in state.values():
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        self.__dict__.update(state)

    def with_beta(self: Problem, beta: float) -> Problem:
        """Return the same problem with another penalty: arrays are shared, not copied or checked.

        Parameters
        ----------
        beta : float
            Penalty, >= 1e-120.

        Returns
        -------
        The same kind of problem
            With `beta_max` and `objective_at_zero`, if they are known here: both are the same
            for every penalty.

        Raises
        ------
        ValueError, TypeError
            If `beta` is not as described.

        Examples
        --------
        >>> import pyconvexnn as cx
        >>> X, y, ps = cx.datasets.ar(30, 3, 10)
        >>> prob = cx.GatedReLUProblem(X, y, ps, beta=1.0)
        >>> half = prob.with_beta(0.5 * prob.beta_max)
        >>> half.X is prob.X, half.beta / prob.beta_max
        (True, 0.5)
        """
        other = object.__new__(type(self))
        # The caches are entries beside the fields; neither of them depends on beta.
        other.__dict__.update(self.__dict__, beta=_as_beta(beta))
        return other

    # --- sizes -----------------------------------------------------------------------------

    @property
    def n_samples(self) -> int:
        """n, the rows of X."""
        return int(self.X.shape[0])

    @property
    def n_features(self) -> int:
        """d, the columns of X."""
        return int(self.X.shape[1])

    @property
    def n_outputs(self) -> int:
        """K, 1 for targets (n,)."""
        return 1 if self.y.ndim == 1 else int(self.y.shape[1])

    @functools.cached_property
    def objective_at_zero(self) -> float:
        """Objective of all-zero coefficients."""
        return self._loss_value(self._fit_of_zero)

    # --- independent NumPy references: slow and obvious --------------------------------------

    def fit_values(self, coef: Any) -> FloatArray:
        """Return the fit f of coefficients (SparseBlocks or array), free part included.

        Its shape is that of y. The free part, offset and linear part, is the best one.
        """
        return self._with_free_part(self._fit_values(self._blocks(coef)))

    def best_offset(self, coef: Any) -> float | FloatArray:
        """The b of least objective for these coefficients; 0 in a problem without an offset.

        (K,) for K outputs. Where several are best, as may be with the Huber loss and the squared
        hinge, it is any of them, and ``sol.offset`` may be another.
        """
        f = self._fit_values(self._blocks(coef))
        return self.split_free_part(self._with_free_part(f) - f)[0]

    def split_free_part(self, free: FloatArray) -> tuple[float | FloatArray, FloatArray | None]:
        """Offset and linear coefficients of a fit that they have, (n,) or (n, K).

        The offset is a number or (K,), 0 in a problem without one; the coefficients are (d,) or
        (d, K), None unless `skip` is 0.
        """
        if self.skip != 0.0:
            first = free[0] if self.output_offset else np.zeros(free.shape[1:])
            return (float(first) if free.ndim == 1 else first.copy()), None
        Z = self._free_columns
        size = np.max(np.abs(Z), axis=0)
        size[size == 0] = 1.0
        c = np.linalg.lstsq(Z / size, free, rcond=1e-11)[0]
        c /= size if free.ndim == 1 else size[:, np.newaxis]
        if not self.output_offset:
            return (0.0 if free.ndim == 1 else np.zeros(free.shape[1])), c
        return (float(c[0]) if free.ndim == 1 else c[0]), c[1:]

    def objective(self, coef: Any) -> float:
        """Objective of coefficients (SparseBlocks or array) with their best free part."""
        blocks = self._blocks(coef)
        with np.errstate(over="ignore"):
            norms = block_norms(blocks.values)
            patterns, _ = self._by_pattern(blocks)
            penalty = self.beta * float(np.sum(self.pattern_weight[patterns] * norms))
            penalty += 0.5 * self.ridge * float(np.sum(norms**2))
            fit = self._loss_value(self._with_free_part(self._fit_values(blocks)))
        return not_overflown(fit + penalty, blocks)

    def gradient(self, coef: Any) -> FloatArray:
        """Gradient of the loss part, rows ``X^T D_i s l'(f)``; f = fit_values.

        Its shape is (P, d), or (P, d, K) for K outputs.
        """
        return self._adjoint(self._loss_gradient(self.fit_values(coef)))

    def adjoint(self, v: Any) -> FloatArray:
        """Rows ``X^T D_i v`` of every pattern, shape (P, d) or (P, d, K)."""
        return self._adjoint(self._dual_point(v))

    def dual_objective(self, v: Any) -> float:
        """``D(v) = -sum_k s_k l*(-v_k / s_k)``; a lower bound of the optimum if v is feasible.

        Feasible means that no price of v is above beta; it is not checked here
        (:func:`pyconvexnn.verify` does). With a ridge every v is, and the bound is
        ``D(v) - sum_b (q_b - beta w_b)_+^2 / (2 ridge)`` with the prices q_b w_b of the blocks.
        Rows of weight zero must carry v = 0, or D = -inf. v must be orthogonal to the columns of
        the free part, ``|z'v| <= 1e-12 |z|'|v|`` but for rounding of v, ``2^-50 max |z| sum |v|``,
        or D = -inf: with an offset it sums to zero.
        """
        v = self._dual_point(v)
        counted = self.sample_weight > 0
        if np.any(v[~counted] != 0) or self._imbalance(v) > BALANCED:
            return -np.inf
        y = self.y[counted]
        if self.loss.shifts and self._free_columns.shape[1]:
            # v is orthogonal to these: what y has of them may go, its rounding may be all there is.
            Z = self._free_columns[counted]
            y = y - np.mean(y, axis=0) if self.skip is None else y - Z @ np.linalg.lstsq(Z, y)[0]
        value = self.loss.dual_objective(v[counted], y, self._entry_weight[counted])
        if self.ridge > 0.0:
            value -= self._excess(v) / self.ridge
        return value

    def dual_infeasibility(self, v: Any) -> float:
        """By which fraction of beta the largest price of v exceeds it; 0 if v is feasible.

        Without a ridge, that is. With a free part at least its largest ``|z'v| / |z|'|v|``, where
        that is above its rounding, 1e-12.
        """
        v = self._dual_point(v)
        imbalance = self._imbalance(v)
        largest = 0.0 if self.ridge > 0.0 else self._largest_price(v, self.beta)
        return max(0.0, largest / self.beta - 1.0, imbalance if imbalance > BALANCED else 0.0)

    def __repr__(self) -> str:
        outputs = f"K={self.n_outputs}, " if self.n_outputs > 1 else ""
        return (
            f"{type(self).__name__}(n={self.n_samples}, d={self.n_features}, {outputs}"
            f"P={len(self.patterns)}, beta={self.beta:g}{self._kind}, loss={self.loss.name!r}"
            f"{', output_offset=True' if self.output_offset else ''}"
            f"{f', ridge={self.ridge:g}' if self.ridge else ''}"
            f"{f', skip={self.skip:g}' if self.skip is not None else ''})"
        )

    # --- what the subclasses say ---------------------------------------------------------------

    @property
    def _kind(self) -> str:
        """What `repr` says of the subclass's own fields."""
        return ""

    @abstractmethod
    def _blocks(self, coef: Any) -> SparseBlocks:
        """Coefficients as a user gives them, checked."""

    @abstractmethod
    def _excess(self, v: FloatArray) -> float:
        """``sum_b (q_b - beta w_b)_+^2 / 2``, ``q_b / w_b`` the prices of the blocks."""

    @abstractmethod
    def _largest_price(self, v: FloatArray, floor: float) -> float:
        """Price of v: the largest c'g_b / w_b of a block, g_b being its rows of -gradient at v.

        c is any vector of length <= 1 that the block may be. Prices <= `floor` are not looked for:
        where there is no other, it or any smaller number is returned.
        """

    def _by_pattern(self, blocks: SparseBlocks) -> tuple[IndexArray, FloatArray]:
        """Pattern of every stored block, and its coefficients with the sign that they have in f."""
        return blocks.indices, blocks.values

    def _factors(self, masks: BoolArray) -> BoolArray | FloatArray:
        """Diagonals of D for some patterns (c, n)."""
        return masks

    # --- shared ----------------------------------------------------------------------------------

    @property
    def _fit_of_zero(self) -> FloatArray:
        return self._with_free_part(np.zeros(self.y.shape))

    @functools.cached_property
    def _free_columns(self) -> FloatArray:
        return columns(self.n_samples, self.output_offset, self.X if self.skip == 0.0 else None)

    @functools.cached_property
    def _entry_weight(self) -> FloatArray:
        """Sample weights, of the shape of y."""
        s = self.sample_weight
        return s if self.y.ndim == 1 else np.repeat(s[:, np.newaxis], self.n_outputs, axis=1)

    def _loss_value(self, f: FloatArray) -> float:
        return self.loss.value(f, self.y, self._entry_weight)

    def _loss_gradient(self, f: FloatArray) -> FloatArray:
        return self.loss.gradient(f, self.y, self._entry_weight)

    def _with_free_part(self, f: FloatArray) -> FloatArray:
        Z = self._free_columns
        if Z.shape[1] == 0:
            return f
        counted, whole = self.sample_weight > 0, f.copy()
        rows = f[counted], self.y[counted], self._entry_weight[counted]
        if self.skip != 0.0 and not self.loss.joint:  # ones only
            free = best_offsets(self.loss, *rows)
        else:
            free = best_free_part(self.loss, *rows, Z[counted])
        if counted.all():
            return f + free
        c = np.linalg.lstsq(Z[counted], free, rcond=1e-11)[0]
        whole[counted] += free
        whole[~counted] += Z[~counted] @ c
        return whole

    @functools.cached_property
    def _free_basis(self) -> FloatArray:
        """Orthonormal basis of the free columns: another basis of them is no other problem."""
        return orthonormal(self._free_columns)

    def _imbalance(self, v: FloatArray) -> float:
        return imbalance(v, self._free_basis)

    def _unpacked(self, indices: IndexArray) -> Iterator[tuple[slice, BoolArray | FloatArray]]:
        """Diagonals of D of the listed patterns, (c, n) at a time, with their positions."""
        for part, masks in unpacked(self.patterns, indices):
            yield part, self._factors(masks)

    def _dual_point(self, v: Any) -> FloatArray:
        # As small as it likes to be: next to a tiny beta it is tiny.
        if self.y.ndim == 1:
            return as_vector(v, "v", length=self.n_samples, smallest=0.0)
        v = as_real_array(v, "v")
        if v.shape != self.y.shape:
            raise ValueError(f"`v` must have shape {self.y.shape}, got {v.shape}")
        return as_matrix(v, "v", smallest=0.0)

    def _fit_values(self, blocks: SparseBlocks) -> FloatArray:
        F = np.zeros((self.n_samples, self.n_outputs))
        patterns, values = self._by_pattern(blocks)
        values = values if values.ndim == 3 else values[:, :, np.newaxis]
        with np.errstate(over="ignore", invalid="ignore"):
            for part, D in self._unpacked(patterns):
                for k in range(self.n_outputs):
                    F[:, k] += np.sum(D.T * (self.X @ values[part, :, k].T), axis=1)
        return finite_fit(F.reshape(self.y.shape), blocks)

    def _adjoint(self, v: FloatArray) -> FloatArray:
        V = v.reshape(self.n_samples, -1)
        out = np.empty((len(self.patterns), self.n_features, self.n_outputs))
        for part, D in self._unpacked(np.arange(len(self.patterns))):
            for k in range(self.n_outputs):
                out[part, :, k] = (D * V[:, k]) @ self.X
        return out[:, :, 0] if v.ndim == 1 else out


def finite_fit(f: FloatArray, blocks: SparseBlocks) -> FloatArray:
    """The fit of some blocks, or the error that says that these are too large."""
    if not np.isfinite(f).all():
        raise ValueError(
            "`coef` must be small enough that the fit does not overflow, "
            f"got {np.max(np.abs(blocks.values)):g}"
        )
    return f


def not_overflown(objective: float, blocks: SparseBlocks) -> float:
    """The objective of some blocks, or the error that says that these are too large."""
    if not np.isfinite(objective):
        raise ValueError(
            "`coef` must be small enough that the objective does not overflow, "
            f"got {np.max(np.abs(blocks.values)):g}"
        )
    return objective


def _as_beta(beta: float) -> float:
    beta = positive(beta, "beta")
    if beta < SMALLEST_BETA:
        raise ValueError(f"`beta` must be >= {SMALLEST_BETA:g}, got {beta!r}")
    return beta


def _as_weights(weights: ArrayLike | None, name: str, length: int) -> FloatArray:
    return as_vector(np.ones(length) if weights is None else weights, name, length=length)


def _with_linear_part(patterns: PatternSet, X: FloatArray) -> PatternSet:
    """The patterns and one more, all of whose bits are set; without gates, as it may have none."""
    n = patterns.n_samples
    packed = np.concatenate([patterns.packed, pack(np.ones((1, n), bool))])
    zero_rows = pack(~nonzero_rows(X)[np.newaxis])[0]
    return PatternSet.of_arrays(packed, n, zero_rows=zero_rows, interior=False)


def _check_patterns(patterns: object, n: int) -> None:
    if not isinstance(patterns, PatternSet):
        raise TypeError(f"`patterns` must be a PatternSet, got {type(patterns).__name__}")
    if patterns.n_samples != n:
        raise ValueError(
            f"`patterns` must be of the {n} rows of `X`, got patterns of {patterns.n_samples} rows"
        )
    if len(patterns) == 0:
        raise ValueError("`patterns` must hold at least one pattern, got none")
