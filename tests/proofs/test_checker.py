"""The checker of proofs: what it accepts is true, whatever a file says."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import shutil
import subprocess
import sys
from decimal import localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from pyconvexnn.proofs import checker
from pyconvexnn.proofs.checker import EXACT, ProofError, Side, dual_objective
from tests.proofs.conftest import KINDS
from tests.proofs.forging import Proof, corrupted, reseal, small_proof, true_optimum
from tests.training.problems import gaussian_task

MODULE = Path(str(checker.__file__))


# --- what is true ---------------------------------------------------------------------------------


def test_the_module_is_short_and_stands_alone() -> None:
    text = MODULE.read_text()
    assert len(text.splitlines()) <= 200
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).split(".")[0])
    assert imported <= {"numpy", *sys.stdlib_module_names}


def test_the_module_is_a_script(proof: Proof, tmp_path: Path) -> None:
    shutil.copy(MODULE, tmp_path)
    held, wrong = tmp_path / "a.cxproof", tmp_path / "b.cxproof"
    bound = proof.check(held)["lower_bound"]
    proof.with_price(0.99).refused(wrong)
    for name in ("X", "y", "weight"):
        np.save(tmp_path / f"{name}.npy", getattr(proof, name))
    (tmp_path / "empty.npy").touch()

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-I", "checker.py", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    for more in ([], ["weight.npy"], ["--exact"], ["--patient", "--exact"]):
        done = run(held.name, "X.npy", "y.npy", *more)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert (told["lower_bound"], told["beta"]) == (bound, proof.head["beta"])
        assert told["loss"] == "squared"
    for arguments in (
        [wrong.name, "X.npy", "y.npy"],
        [held.name, "X.npy", "weight.npy"],
        ["X.npy", "X.npy", "y.npy"],
        [held.name],
        [],
        [held.name, "X.npy", "y.npy", "--slow"],
        ["nothing", "X.npy", "y.npy"],
        [held.name, "nothing.npy", "y.npy"],
        [held.name, held.name, "y.npy"],
        [held.name, "empty.npy", "y.npy"],
    ):
        done = run(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert "usage: checker.py FILE X.npy y.npy" in done.stderr
        assert "Traceback" not in done.stderr
    loaded = "import sys, checker; print(*(m for m in sys.modules if m.startswith('pyconvexnn')))"
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("kind", KINDS)
def test_both_ways_of_counting_agree(folder: Path, tmp_path: Path, kind: Any) -> None:
    made = small_proof(folder, *kind)
    found = made.check(tmp_path / "a"), made.check(tmp_path / "a", exact=True)
    assert found[0] == found[1]
    assert 4 <= found[0]["leaves"] <= 200
    assert found[0]["lower_bound"] <= true_optimum(made.head, made.X, made.y)
    assert (found[0]["activation"], found[0]["output_offset"]) == (kind[3], kind[4])


def awkward(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Rows and weights whose sums lose much to rounding, or underflow."""
    n, d = int(rng.choice([1, 3, 10, 30, 200])), int(rng.integers(1, 7))
    X, v = rng.standard_normal((n, d)), rng.standard_normal(n)
    kind = rng.integers(7)
    if kind == 1:
        X = X * 10.0 ** rng.integers(-16, 17, d)
    elif kind == 2:
        X = X + 1e6 * rng.standard_normal(d)
    elif kind == 3:
        X = X[rng.integers(0, max(1, n // 4), n)]
    elif kind == 4 and d > 1:
        X[:, -1] = X[:, 0] + 1e-12 * rng.standard_normal(n)
    elif kind == 5:
        X, v = np.tile(X[:1], (n, 1)), np.where(np.arange(n) % 2, 0.1, -0.1)
    elif kind == 6:
        X, v = X * 10.0 ** -rng.uniform(0, 320, X.shape), v * 10.0 ** -rng.uniform(0, 300, n)
    return X, np.where(rng.random(n) < 0.1, 0.0, v)


def rounding_margins(seed: int, draws: int) -> None:
    """What leaves are worth in floats is never below what they are worth without rounding."""
    rng, largest = np.random.default_rng(seed), 0.0
    for _ in range(draws):
        X, v = awkward(rng)
        r = int(rng.integers(1, X.shape[1] + 1))
        S = np.linalg.qr(rng.standard_normal((X.shape[1], r)))[0] * 10.0 ** rng.integers(-3, 4)
        if rng.random() < 0.7:
            S = np.ascontiguousarray(np.linalg.svd(X, full_matrices=False)[2].T[:, :r])
            r = S.shape[1]
        M = float(np.abs(v) @ np.linalg.norm(X, axis=1)) * 10.0 ** rng.uniform(-2, 1)
        slope = float(rng.choice([0.0, -1.0, 0.3, 1 - 1e-9]))
        with localcontext(EXACT), np.errstate(all="ignore"):
            floats, exact = (Side(X, v, S, slope, M, way) for way in (False, True))
            assert floats.theta <= exact.theta
            if not floats.theta >= 0:
                continue
            exact.theta = exact.to(floats.theta)
            depth = int(rng.integers(0, 40))
            low = rng.integers(0, 2**depth, (2, r)) * 2.0 ** (1 - depth) - 1
            high = low + 2.0 ** (1 - depth)
            face = rng.integers(r)
            low[:, face] = high[:, face] = rng.choice([-1.0, 1.0])
            multipliers = floats.multipliers(low, high)
            noise = rng.standard_normal(multipliers.shape) * 10.0 ** -rng.uniform(0, 16)
            multipliers += noise * (rng.random() < 0.6)
            pairs = zip(
                *(one.worst(low, high, multipliers) for one in (floats, exact)), strict=True
            )
            for here, there in pairs:
                error = Fraction(float(here)) - Fraction(there)
                assert error >= 0
                largest = max(largest, abs(float(error / Fraction(float(floats.margin)) - 1)))
    assert 0 < largest < 0.02  # of the margin, made for sums in the worst order


def test_the_margin_for_rounding_is_enough() -> None:
    rounding_margins(0, 150)


@pytest.mark.slow
def test_the_margin_for_rounding_is_enough_in_many_draws() -> None:
    rounding_margins(1, 5000)


@pytest.mark.parametrize("kind", KINDS)
def test_the_lowest_price_that_floats_accept_holds_exactly(
    folder: Path, tmp_path: Path, kind: Any
) -> None:
    made = small_proof(folder, *kind)
    low, high = 0.5, 1.0
    while math.nextafter(low, 1.0) < high:
        middle = (low + high) / 2
        if made.with_price(middle).refused(tmp_path / "a"):
            low = middle
        else:
            high = middle
    lowest = made.with_price(high)
    assert lowest.check(tmp_path / "a") == lowest.check(tmp_path / "a", exact=True)
    assert lowest.head["lower_bound"] <= true_optimum(lowest.head, made.X, made.y)


def test_dual_objectives_are_rounded_down() -> None:
    # Of counts of 1 it is -t - (1 - t) ln(1 - t) < 0: where t is tiny all but its error cancels.
    rng = np.random.default_rng(0)
    one = np.ones(1)
    for t in 10.0 ** -rng.uniform(20, 45, 200):
        assert dual_objective("poisson", 0.0, np.array([t]), one, one, 1.0) < 0
    # Where p is nearly 1, of entropy hardly anything is left.
    for t in 1 - 10.0 ** -rng.uniform(5, 15, 50):
        p = Fraction(float(t))
        entropy = -float(1 - p) * math.log(float(1 - p)) - float(p) * math.log1p(float(p - 1))
        value = dual_objective("logistic", 0.0, np.array([t]), one, one, 1.0)
        assert value == pytest.approx(entropy, rel=1e-13)
    y = np.array([3.0, -1e-9, 1e17])
    v = np.array([1e-3, 7.0, -1.0])
    s = np.array([2.0, 0.5, 1.0])
    exact = sum(
        Fraction(a) * Fraction(b) - Fraction(a) ** 2 / Fraction(c) / 2
        for a, b, c in zip(v.tolist(), y.tolist(), s.tolist(), strict=True)
    )
    value = dual_objective("squared", 0.0, v, y, s, 1.0)
    assert Fraction(value) < exact <= Fraction(math.nextafter(math.nextafter(value, 1.0), 1.0))


@pytest.mark.parametrize(
    ("loss", "v", "y"),
    [
        ("huber", 1.1, 3.0),
        ("logistic", 1.1, 1.0),
        ("logistic", -0.1, 1.0),
        ("logistic", 0.1, 0.5),
        ("hinge", 1.1, 1.0),
        ("hinge", 0.1, -1.0),
        ("squared_hinge", 0.1, -1.0),
        ("squared_hinge", 0.1, 2.0),
        ("poisson", 1.1, 1.0),
        ("poisson", -1.0, -1.0),
    ],
)
def test_dual_points_outside_of_the_domain_are_refused(loss: str, v: float, y: float) -> None:
    arrays = np.array([v]), np.array([y]), np.ones(1)
    with pytest.raises(ProofError, match="outside of the domain"):
        dual_objective(loss, 1.0, *arrays, 1.0)
    with pytest.raises(ProofError, match="where a weight is"):
        dual_objective(loss, 1.0, *arrays[:2], np.zeros(1), 1.0)


def test_the_domain_of_huber_is_compared_exactly() -> None:
    u = 2.0**-52
    outside = np.array([1 + 2 * u]), np.ones(1), np.array([1 + 3 * u])
    with pytest.raises(ProofError, match="outside of the domain"):
        dual_objective("huber", 1 + u, *outside, 1 + 2 * u)
    edge = np.array([0.4261022470105824])
    assert dual_objective("huber", 1.0, edge, np.ones(1), edge, 1.0) > 0.0


def test_data_that_are_no_numbers_are_refused(proof: Proof, tmp_path: Path) -> None:
    for entry in (math.inf, math.nan):
        X = proof.X.copy()
        X[0, 0] = entry
        nothing = proof.of_data(X, proof.y).changed({"scale": [0.0], "lower_bound": 0.0})
        assert "do not fit" in str(nothing.refused(tmp_path / "a"))


# --- what is false --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "tree"),
    [
        (np.empty(0), []),
        (np.zeros(3), [1] * 2),
        (np.zeros(9), [3] * 6),
        (np.full(9, 5e-324), [3] * 6),
        (np.full(9, 1e300), [3] * 6),
        (np.full(9, np.nan), [3] * 6),
        (np.full(9, np.inf), [3] * 6),
        (np.ones(12), [4] * 8),
        (np.array([1.0, 0.0, 0.0]), [1] * 2),
    ],
)
@pytest.mark.parametrize("exact", [False, True])
def test_axes_that_miss_the_data_prove_nothing(
    proof: Proof, tmp_path: Path, axes: FloatArray, tree: list[int], exact: bool
) -> None:
    codes = np.array(tree, np.uint32)
    arrays = {"axes0": axes} | {"tree0" + sign: codes for sign in "+-"}
    arrays |= {"places0" + sign: codes[:0] for sign in "+-"}
    forged = proof.holding(arrays | {"values0" + sign: np.empty(0) for sign in "+-"})
    for factor in (0.5, 0.999):
        with pytest.raises(ProofError):
            forged.with_price(factor).check(tmp_path / "a", exact)


@pytest.mark.parametrize("name", ["axes0", "values0+", "values0-", "dual"])
@pytest.mark.parametrize("exact", [False, True])
def test_numbers_that_are_none_prove_nothing(
    proof: Proof, tmp_path: Path, name: str, exact: bool
) -> None:
    for number in (math.nan, math.inf, -math.inf, 1e300, -1e300):
        other = proof.arrays[name].copy()
        other[0] = number
        if name in ("axes0", "dual") or math.isnan(number):  # other multipliers are clipped
            with pytest.raises(ProofError):
                proof.holding({name: other}).check(tmp_path / "a", exact)


def test_multipliers_are_clipped(proof: Proof, tmp_path: Path) -> None:
    """Any are true; poor ones prove less."""
    low = proof.with_price(0.9999)
    assert low.refused(tmp_path / "a")
    rng = np.random.default_rng(0)
    for _ in range(30):
        values = {
            name: rng.choice([-1e300, -1.0, 0.0, 5e-324, 0.5, 1.0, 2.0, 1e300], size)
            for name, size in (("values0+", 17), ("values0-", 32))
        }
        assert low.holding(values).refused(tmp_path / "a")


WRONG: dict[str, list[Any]] = {
    "beta": [0, 0.0, -1.0, 1e-300, 1e300, 5e-324],
    "scale": [[0], [0.0, 0.0], [-1.0], [], ["1"], "1", 1.0, {"1": 2}, [[1.0]], [1e308]],
    "price_bound": [[1], [0.0], [-1.0], [], [5e-324], ["1"], [None], [[1.0]], [1e308]],
    "lower_bound": ["0", None, [], 1e308, -1.0, 0.0],
    "loss": ["hinge", "logistic", "cross_entropy", "Squared", "", ["squared"], {}],
    "delta": [1, -1.0, "0", None, []],
    "activation": ["abs", "tanh", "", ["relu"], {}],
    "slope": [0, 0.2, -1.0, 1.0, -0.0001, "0"],
    "output_offset": [True, 0, 1, "", "False", [], None],
    "penalty": ["decoupled ", "l1", "", None, [], True],
    "samples": [11, "12", None, [12], 12.5],
    "features": [2, 4, None],
    "outputs": [2, 0, None],
    "data": ["", None, 0, "0" * 64],
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_headers_of_other_claims_are_refused(proof: Proof, tmp_path: Path, name: str) -> None:
    common = [True, math.nan, math.inf, -math.inf, 10**400, -(10**400), {"a": 1.0}, [math.nan]]
    for value in [*WRONG[name], *common]:
        head = proof.head | {name: value}
        if name == "outputs" and value is True:
            continue  # it is 1
        if name == "delta" and value in (math.inf, -math.inf):
            continue  # of no meaning here
        assert refused_header(proof, head, tmp_path / "a"), value
    assert refused_header(proof, {k: v for k, v in proof.head.items() if k != name}, tmp_path / "a")


def refused_header(proof: Proof, head: dict[str, Any], file: Path) -> bool:
    """Whether a file with any header, one that the writer would not write too, is refused."""
    proof.check(file)
    lines = file.read_bytes().split(b"\n", 2)
    listed = json.loads(lines[1])["arrays"]
    text = json.dumps({**head, "arrays": listed}).encode()
    file.write_bytes(reseal(b"\n".join([lines[0], text, lines[2]])))
    try:
        checker.check(file, proof.X, proof.y)
    except ProofError:
        return True
    return False


@pytest.mark.parametrize("loss", ["cross_entropy", "banana", "hinge ", 3])
def test_without_a_scale_too_the_claim_must_be_one(proof: Proof, tmp_path: Path, loss: Any) -> None:
    nothing = proof.changed({"scale": [0.0], "price_bound": [0.0], "lower_bound": 0.0})
    assert nothing.check(tmp_path / "a")["lower_bound"] == 0.0
    assert nothing.changed({"loss": loss}).refused(tmp_path / "a")


def test_arrays_are_of_their_kinds(proof: Proof, tmp_path: Path) -> None:
    # The opposite of unsigned numbers is another number.
    whole = np.arange(12).astype(np.uint32)
    assert "damaged" in str(proof.holding({"dual": whole}).claiming().refused(tmp_path / "a"))
    floats = proof.arrays["tree0+"].astype(float)
    assert "those of its header" in str(proof.holding({"tree0+": floats}).refused(tmp_path / "a"))
    assert proof.holding({"extra": np.ones(3)}).refused(tmp_path / "a") is None


def flipped(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def corruptions(proofs: list[Proof], file: Path, rng: np.random.Generator, times: int) -> None:
    """Every corruption is refused, or what it claims is true nevertheless."""
    accepted = 0
    for turn in range(times):
        proof = proofs[turn % len(proofs)]
        if turn % 3 == 0:
            proof.check(file)
            data = flipped(file.read_bytes(), rng)
            file.write_bytes(data)
            with pytest.raises(ProofError):
                checker.check(file, proof.X, proof.y)
            file.write_bytes(reseal(data))
            made = proof
        else:
            made = corrupted(proof, rng)
            if made.refused(file):
                continue
        try:
            head = checker.check(file, made.X, made.y, made.weight)
        except ProofError:
            continue
        accepted += 1
        best = true_optimum(head, made.X, made.y)
        assert head["lower_bound"] <= best * (1 + 1e-12), (turn, head)
    assert accepted < times / 2


def test_corruptions(folder: Path, tmp_path: Path) -> None:
    proofs = [small_proof(folder, *kind) for kind in KINDS]
    corruptions(proofs, tmp_path / "a", np.random.default_rng(0), 300)


@pytest.mark.slow
def test_many_corruptions(folder: Path, tmp_path: Path) -> None:
    proofs = [small_proof(folder, *kind) for kind in KINDS]
    corruptions(proofs, tmp_path / "a", np.random.default_rng(1), 10_000)


@pytest.mark.slow
def test_corruptions_of_a_larger_proof(folder: Path, tmp_path: Path) -> None:
    large = small_proof(folder, 30, 4, "squared", "relu")
    corruptions([large], tmp_path / "a", np.random.default_rng(2), 100)


def test_a_higher_bound_is_refused(folder: Path, tmp_path: Path) -> None:
    for kind in KINDS:
        made = small_proof(folder, *kind)
        bound = made.head["lower_bound"]
        for higher in (math.nextafter(bound, math.inf), bound * (1 + 1e-9), bound * 1.01):
            assert made.changed({"lower_bound": higher}).refused(tmp_path / "a")
        for factor in (0.99, 0.5):
            lower = made.with_price(factor)
            if not lower.refused(tmp_path / "a"):
                assert lower.head["lower_bound"] <= true_optimum(made.head, made.X, made.y)
    first = small_proof(folder, *KINDS[0])
    assert "leaf" in str(first.with_price(0.999).refused(tmp_path / "a"))


@pytest.mark.parametrize("shared", [False, True])
def test_two_outputs(folder: Path, tmp_path: Path, shared: bool) -> None:
    X, y, beta = gaussian_task(9, 2, 1)
    Y = np.column_stack([y, y[::-1]])
    net = cx.TwoLayerNetwork.from_arrays(np.eye(2), np.ones((2, 2)) if shared else np.eye(2))
    file = folder / f"two-{shared}"
    cert = cx.certify(net, X, Y, beta, proof=file)
    proof = Proof.of(file, X, Y)
    s, (M, N) = proof.head["scale"][0], proof.head["price_bound"]
    wrong: list[dict[str, Any]] = [
        {"penalty": "decoupled" if shared else "weight_decay"},
        {"penalty": "weight_decay", "price_bound": [math.hypot(M, N), 0.0]},
        {"penalty": "weight_decay", "price_bound": [M, 0.0], "scale": [beta / M] * 2},
        {"penalty": "decoupled", "price_bound": [0.5 * M, N]},
        {"penalty": "decoupled", "price_bound": [0.9 * M, N], "scale": [beta / M / 0.9, s]},
        {"scale": [s], "price_bound": [M]},
        {"scale": [s] * 3, "price_bound": [M] * 3, "outputs": 3},
        {"scale": [s, -s]},
    ]
    assert proof.refused(tmp_path / "a") is None
    for head in wrong:
        assert proof.changed(head).claiming().refused(tmp_path / "a"), head
    for name in ("axes1", "tree1+", "places1-"):
        left = {key: array for key, array in proof.arrays.items() if key != name}
        assert dataclasses.replace(proof, arrays=left).refused(tmp_path / "a")
    one = {"dual": proof.arrays["dual"].reshape(2, -1)[::-1].ravel()}
    assert proof.holding(one).claiming().refused(tmp_path / "a")
    rng, best = np.random.default_rng(0), cert.best_objective
    assert best is not None
    for _ in range(100):
        made = corrupted(proof, rng)
        same = made.head["data"] == proof.head["data"] and made.head["beta"] <= beta
        if same and not made.refused(tmp_path / "a"):
            assert made.head["lower_bound"] <= best


def test_other_data_are_refused(proof: Proof, tmp_path: Path) -> None:
    file = tmp_path / "a"
    proof.check(file)
    others: list[tuple[Any, ...]] = [
        (proof.X[:-1], proof.y[:-1]),
        (proof.X, -proof.y),
        (proof.X[:, ::-1], proof.y),
        (proof.X, proof.y[:, np.newaxis]),
        (proof.X, proof.y, 2 * proof.weight),
        (proof.X, proof.y, proof.weight[:-1]),
        (proof.X.ravel(), proof.y),
        (proof.X[:5], proof.y),
    ]
    for data in others:
        with pytest.raises(ProofError):
            checker.check(file, *data)
    assert checker.check(file, proof.X.tolist(), proof.y.tolist(), proof.weight.tolist())
    # Of a shape that its forger had in mind.
    X, y = proof.X[:4, :2], proof.y[:8]
    forged = dataclasses.replace(proof, X=X, y=y, weight=np.ones(4))
    forged = forged.holding({"dual": np.zeros(8)}).of_data(X, y)
    head = {"samples": 4, "features": 2, "outputs": 2, "scale": [0.0] * 2, "price_bound": [0.0] * 2}
    assert "other data" in str(forged.changed(head | {"lower_bound": 0.0}).refused(file))


def test_the_weights_are_not_negative(proof: Proof, tmp_path: Path) -> None:
    weight = proof.weight.copy()
    weight[0] = -1.0
    dual = proof.arrays["dual"].copy()
    dual[0] = 0.0
    made = Proof(proof.X, proof.y, weight, proof.head, proof.arrays | {"dual": dual})
    made = made.of_data(proof.X, proof.y).claiming()
    assert "numbers" in str(made.refused(tmp_path / "a"))


@pytest.mark.parametrize(
    ("loss", "target"), [("poisson", -1e-9), ("hinge", 0.5), ("logistic", 0.0), ("squared", np.nan)]
)
def test_all_targets_are_of_the_loss(loss: str, target: float) -> None:
    """Those of rows where v is zero too: below them a loss may have no bound."""
    v, y, weight = np.array([0.5, 0.0]), np.array([1.0, target]), np.ones(2)
    for scale in (1.0, 0.0):
        with pytest.raises(ValueError):  # noqa: PT011
            dual_objective(loss, 0.0, v, y, weight, scale)
    assert dual_objective(loss, 0.0, v, y, np.array([1.0, 0.0]), 1.0)
