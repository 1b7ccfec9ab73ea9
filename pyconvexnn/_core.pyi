from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

_Float = NDArray[np.float64]
_Real = TypeVar("_Real", np.float64, np.float32)
_Words = NDArray[np.uint64]
_Indices = NDArray[np.int64]

class GroupLassoResult:
    @property
    def indices(self) -> _Indices: ...
    @property
    def values(self) -> _Float: ...
    @property
    def free_part(self) -> _Float: ...
    @property
    def dual(self) -> _Float: ...
    @property
    def objective(self) -> float: ...
    @property
    def dual_objective(self) -> float: ...
    @property
    def status(self) -> int: ...
    @property
    def n_iter(self) -> int: ...
    @property
    def seconds(self) -> float: ...
    @property
    def history(self) -> _Float: ...

class _Products(Generic[_Real]):
    def __init__(self, X: NDArray[_Real], packed: _Words) -> None: ...
    def adjoint(
        self, V: NDArray[_Real], *, out: NDArray[_Real] | None = None, threads: int = 1
    ) -> NDArray[_Real]: ...
    def adjoint_listed(
        self,
        V: NDArray[_Real],
        indices: _Indices,
        *,
        out: NDArray[_Real] | None = None,
        threads: int = 1,
    ) -> NDArray[_Real]: ...
    def set_active(self, indices: _Indices) -> None: ...
    def active_adjoint(
        self, V: NDArray[_Real], *, out: NDArray[_Real] | None = None, threads: int = 1
    ) -> NDArray[_Real]: ...
    def active_forward(
        self, U: NDArray[_Real], *, out: NDArray[_Real] | None = None, threads: int = 1
    ) -> NDArray[_Real]: ...

class MaskedProducts(_Products[np.float64]): ...
class MaskedProducts32(_Products[np.float32]): ...

class Chart:
    def __init__(self, rows: ReducedRows) -> None: ...
    def cells(self, sets: _Indices, count: int) -> tuple[_Words, NDArray[np.bool_], int]: ...

class ReducedRows:
    def __init__(self, X: _Float, *, snap: bool) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def rank(self) -> int: ...
    @property
    def columns_left_out(self) -> bool: ...
    @property
    def representative(self) -> _Indices: ...
    @property
    def flipped(self) -> _Indices: ...
    @property
    def rows(self) -> _Indices: ...
    @property
    def columns(self) -> _Indices: ...
    @property
    def basis(self) -> _Float: ...

class HalfCells:
    def __init__(self, rows: ReducedRows, *, seed: int = 0) -> None: ...
    @property
    def total(self) -> int: ...
    def list(
        self, first: int, count: int, *, block: int, out: _Words, threads: int = 1
    ) -> tuple[_Indices, _Indices]: ...

class ConeProjections:
    def __init__(self, X: _Float, packed: _Words, *, threads: int = 1) -> None: ...
    def project(
        self, blocks: _Indices, G: _Float, *, threshold: float = -1.0
    ) -> tuple[_Float, _Float, _Float, _Indices]: ...
    def active(self, block: int) -> tuple[_Indices, _Float]: ...
    def forget(self) -> None: ...

class NonnegativeLasso:
    def __init__(self, *, capacity: int = 64) -> None: ...
    @property
    def atoms(self) -> int: ...
    def add(self, column: _Float, b: float) -> None: ...
    def prune(self, kept: _Indices) -> None: ...
    def set_linear(self, b: _Float) -> None: ...
    def solve(
        self, beta: float, *, tolerance: float = 1e-13, most_entering: int = 30
    ) -> tuple[_Float, float, float, int, int]: ...

def ascend(
    plus: _Float,
    minus: _Float,
    starts: _Float,
    *,
    time_limit: float = 1e300,
    threads: int = 1,
) -> tuple[_Float, _Float]: ...
def branch_and_bound(
    plus: _Float,
    minus: _Float,
    starts: _Float,
    *,
    floor: float,
    rtol: float,
    ceilings: tuple[float, float],
    max_nodes: int,
    time_limit: float,
    threads: int = 1,
    callback: Callable[[int, float, float, int, float], bool] | None = None,
) -> tuple[float, float, float, int, _Float, int, int]: ...
def nearest_in_zonotope(
    rows: _Float, p: _Float, *, tolerance: float = 1e-10, most_steps: int = 1000
) -> tuple[_Float, float, float]: ...
def cell_witnesses(rows: _Float, packed: _Words, *, threads: int = 1) -> _Float: ...
def sign_patterns(X: _Float, G: _Float, *, threads: int = 1) -> _Words: ...
def group_norm_max(
    X: _Float, packed: _Words, v: _Float, weights: _Float, *, threads: int = 1
) -> float: ...
def solve_group_lasso(
    X: _Float,
    packed: _Words,
    y: _Float,
    sample_weight: _Float,
    pattern_weight: _Float,
    beta: float,
    *,
    method: int,
    loss: int,
    loss_parameter: float,
    output_offset: bool,
    tol: float,
    max_iter: int,
    time_limit: float,
    threads: int,
    indices: _Indices,
    values: _Float,
    callback: Callable[[int, float, float, int, float], bool] | None,
    ridge: float = 0.0,
    outputs: int = 1,
    skip: bool = False,
) -> GroupLassoResult: ...
def solve_cone_lasso(
    X: _Float,
    packed: _Words,
    y: _Float,
    sample_weight: _Float,
    pattern_weight: _Float,
    beta: float,
    *,
    slope: float,
    loss: int,
    loss_parameter: float,
    output_offset: bool,
    tol: float,
    max_iter: int,
    time_limit: float,
    threads: int,
    indices: _Indices,
    values: _Float,
    callback: Callable[[int, float, float, int, float], bool] | None,
    ridge: float = 0.0,
    skip: bool = False,
    linear_part: bool = False,
) -> GroupLassoResult: ...
def isa_level() -> str: ...

capi_v1: object
