"""Wrong calls end in an error that says what is wrong; unusual ones in that, or a right answer."""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from typing import Any

import pytest

import pyconvexnn as cx
from tests.wrong_calls.entry import Entry
from tests.wrong_calls.judge import violations
from tests.wrong_calls.pool import Pool
from tests.wrong_calls.table import ENTRIES, cases, default_cases


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool()
    yield made
    made.close()


@pytest.mark.parametrize("name", sorted(default_cases()))
def test_call(pool: Pool, name: str) -> None:
    assert violations(cases()[name], pool.run(name)) == []


@pytest.mark.slow
@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_call(pool: Pool, entry: Entry) -> None:
    found = {}
    for name, case in cases().items():
        if case.entry is entry:
            wrong = violations(case, pool.run(name))
            if wrong:
                found[name] = wrong
    assert found == {}


def test_the_table_is_large_and_the_default_run_is_not() -> None:
    assert len(cases()) >= 1000
    assert 100 <= len(default_cases()) <= 150


def test_a_worker_that_dies_or_hangs_is_replaced_and_its_call_named() -> None:
    pool, good = Pool(patience=2.0), "losses.Huber/delta/zero"
    try:
        assert pool.run(good)["outcome"] == "error"
        assert pool.run(good)["id"] == good
        assert pool.started == 1
        crash = pool.run("_crash")
        assert (crash["id"], crash["outcome"]) == ("_crash", "crash")
        assert "Fatal Python error: Aborted" in crash["stderr"]
        assert pool.run(good)["outcome"] == "error"
        hang = pool.run("_hang")
        assert (hang["id"], hang["outcome"]) == ("_hang", "hang")
        assert pool.run(good)["outcome"] == "error"
        assert pool.started == 3
    finally:
        pool.close()


# --- every public entry point is in the table ---------------------------------------------------

# Results and records: made by the package, of fields that nothing checks.
RECORDS = {
    "BetaMax",
    "Certificate",
    "Decomposition",
    "Fit",
    "Path",
    "Progress",
    "Solution",
    "Stationarity",
    "Verification",
}
# Of the package's own use, for arrays that were checked; api.md does not have them.
INTERNAL = {
    *(f"PatternSet.{name}" for name in ("gates_fit", "of_arrays", "of_cells", "of_gates")),
    *(f"{kind}.split_free_part" for kind in ("GatedReLUProblem", "ReLUProblem")),
    *(f"losses.{name}" for name in ("CrossEntropy", "Hinge", "Logistic", "Loss", "Poisson")),
    *(f"losses.{name}" for name in ("Squared", "SquaredHinge")),
}
# scikit-learn's own.
INHERITED = {"get_metadata_routing", "get_params", "score", "set_fit_request", "set_params"} | {
    "set_score_request"
}


def takes_arguments(function: Any) -> bool:
    return bool(set(inspect.signature(function).parameters) - {"self"})


def entry_points() -> Iterator[str]:
    """Names of all that can be called with arguments, as users write them."""
    for name in cx.__all__:
        value = getattr(cx, name)
        if isinstance(value, types.ModuleType):
            for inner in getattr(value, "__all__", dir(value)):
                member = getattr(value, inner)
                own = getattr(member, "__module__", "").startswith(f"pyconvexnn.{name}")
                if callable(member) and own and not inner.startswith("_"):
                    yield f"{name}.{inner}"
        elif inspect.isclass(value):
            yield name
            for method in dir(value):
                member = getattr(value, method)
                if not method.startswith("_") and callable(member) and takes_arguments(member):
                    yield f"{name}.{method}"
        elif callable(value) and takes_arguments(value):
            yield name


def test_every_entry_point_is_in_the_table() -> None:
    covered = {entry.name.split(" ")[0].rstrip(",") for entry in ENTRIES}
    # A constructor that keeps its arguments for `fit`, or is told by another.
    covered |= {name.partition(".")[0] for name in covered if name.startswith("ConvexMLP")}
    missing = [
        name
        for name in entry_points()
        if name not in covered | INTERNAL
        and name.partition(".")[0] not in RECORDS
        and name.partition(".")[2] not in INHERITED
    ]
    assert missing == []
