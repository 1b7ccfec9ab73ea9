"""The protocol, the peers' processes and environments, and the adapters that need no install."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from bench.compare import environments, evaluate
from bench.compare.client import Peer
from bench.peers import lbfgs_peer, mlp_peer, ours_peer, worker
from bench.peers.protocol import Answer, FloatArray, Problem
from bench.peers.shapes import LARGEST, balanced, refuse_above, stacked, tiny

FAKE = "tests.bench.fake_peer"
LIMIT = 30.0


OF_ONE_OUTPUT = sorted(ours_peer.METHODS[0].losses - {"cross_entropy"})


def make_problem(program: str = "gated", loss: str = "squared", n: int = 12) -> Problem:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.standard_normal((n, 2)), np.ones(n)])
    y = rng.standard_normal(n)
    if loss in ("logistic", "squared_hinge", "hinge"):
        y = np.sign(y)
    elif loss == "poisson":
        y = rng.poisson(1.0, n).astype(float)
    masks = X @ rng.standard_normal((3, 5)) > 0
    return Problem("small", program, loss, X, y, masks.T, np.array([2.0, 0.5]))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    make_problem().save(tmp_path / "problem.npz")
    return tmp_path / "problem.npz"


@pytest.fixture
def load(saved: Path) -> Iterator[Callable[[str], Peer]]:
    peers: list[Peer] = []

    def loaded(method: str) -> Peer:
        peers.append(Peer.start(sys.executable, FAKE))
        assert peers[-1].load(method, saved, LIMIT).status == "ok"
        return peers[-1]

    yield loaded
    for peer in peers:
        peer.close()


def gone(pid: int) -> bool:
    """Whether no process has the id: ended and reaped."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# protocol ---------------------------------------------------------------------------------------


def test_problem_survives_its_file(tmp_path: Path) -> None:
    problem = make_problem()
    problem.save(tmp_path / "p.npz")
    read = Problem.load(tmp_path / "p.npz")
    assert (read.name, read.program, read.loss) == ("small", "gated", "squared")
    assert read.masks.dtype == bool
    for name in ("X", "y", "masks", "betas"):
        np.testing.assert_array_equal(getattr(read, name), getattr(problem, name))


def test_shapes_of_blocks() -> None:
    assert make_problem().blocks == (5, 3)
    assert make_problem("relu").blocks == (2, 5, 3)


def test_answer_survives_its_file(tmp_path: Path) -> None:
    answer = Answer(np.array([1.0]), dual=np.zeros((1, 12)), seconds=0.5, iterations=3, note="ok")
    answer.save(tmp_path / "a.npz")
    read = Answer.load(tmp_path / "a.npz")
    assert (read.seconds, read.iterations, read.note) == (0.5, 3, "ok")
    assert read.coef is None
    assert read.hidden is None
    np.testing.assert_array_equal(read.dual, np.zeros((1, 12)))


# worker and client ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["right", "wrong", "prints"])
def test_solve_writes_the_answer(load: Callable[[str], Peer], tmp_path: Path, method: str) -> None:
    peer = load(method)
    for _ in range(2):  # junk of the first would be read as the reply of the second
        reply = peer.solve(1.0, tmp_path / "answer.npz", LIMIT)
        assert reply.status == "ok", reply
    assert reply.cpu >= 0.0
    assert reply.wall >= 0.0
    assert 5e6 < reply.peak < 1e9
    answer = Answer.load(tmp_path / "answer.npz")
    np.testing.assert_allclose(answer.objective, 0.5 * np.sum(make_problem().y ** 2))
    assert answer.coef is not None
    assert np.all(answer.coef == (1.0 if method == "wrong" else 0.0))


def test_load_tells_versions(saved: Path) -> None:
    with Peer.start(sys.executable, FAKE) as peer:
        reply = peer.load("right", saved, LIMIT)
    assert reply.versions["numpy"] == np.__version__
    assert reply.wall > 0.0


def test_memory_of_the_parent_is_not_counted(load: Callable[[str], Peer], tmp_path: Path) -> None:
    ballast = np.ones(60_000_000)  # 480 MB, which ru_maxrss would inherit
    reply = load("right").solve(1.0, tmp_path / "answer.npz", LIMIT)
    assert reply.peak < 0.5 * ballast.nbytes


def test_time_limit_kills(load: Callable[[str], Peer], tmp_path: Path) -> None:
    peer = load("hangs")
    begin = time.monotonic()
    reply = peer.solve(1.0, tmp_path / "answer.npz", 0.3)
    assert 0.3 <= time.monotonic() - begin < 1.3
    assert (reply.status, reply.reason) == ("timeout", "no answer within 0.3 s")
    assert gone(peer.pid)
    assert not peer.alive
    assert peer.solve(1.0, tmp_path / "answer.npz", LIMIT).status == "crashed"


def test_crash_is_reported(load: Callable[[str], Peer], tmp_path: Path) -> None:
    peer = load("crashes")
    reply = peer.solve(1.0, tmp_path / "answer.npz", LIMIT)
    assert reply.status == "crashed"
    assert reply.reason == "the process ended with exit code 7: the last words"
    assert gone(peer.pid)


def test_exception_is_one_sentence(load: Callable[[str], Peer], tmp_path: Path) -> None:
    peer = load("raises")
    reply = peer.solve(1e-3, tmp_path / "answer.npz", LIMIT)
    assert (reply.status, reply.reason) == (
        "error",
        "ArithmeticError: tolerance 0.001 is too small",
    )
    assert peer.alive


@pytest.mark.parametrize(
    ("module", "method", "reason"),
    [
        (FAKE, "refuses", "MemoryError: this needs 99 GB"),
        ("no_such_module", "any", "ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_load_that_fails(saved: Path, module: str, method: str, reason: str) -> None:
    with Peer.start(sys.executable, module) as peer:
        reply = peer.load(method, saved, LIMIT)
        assert (reply.status, reply.reason) == ("error", reason)
        assert peer.solve(1.0, saved, LIMIT).reason == "RuntimeError: nothing is loaded"


@pytest.mark.parametrize("said", ["hello", "[]", '{"ok": true, "size": 3}', '{"ok": false}'])
def test_reply_that_is_none(tmp_path: Path, saved: Path, said: str) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\nread request\necho '{said}'\nsleep 600\n")
    fake.chmod(0o755)
    with Peer.start(fake, FAKE) as peer:
        reply = peer.load("right", saved, LIMIT)
        assert (reply.status, reply.reason) == ("crashed", f"not a reply: {said!r}")
        assert gone(peer.pid)


def test_leaving_the_context_ends_the_process(saved: Path) -> None:
    with Peer.start(sys.executable, FAKE) as peer:
        assert peer.load("right", saved, LIMIT).status == "ok"
    assert gone(peer.pid)


def test_interrupt_while_waiting_ends_the_process(
    load: Callable[[str], Peer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    peer = load("hangs")
    monkeypatch.setattr(peer, "_read_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        peer.solve(1.0, tmp_path / "answer.npz", LIMIT)
    assert gone(peer.pid)


def test_orphan_is_ended_by_the_system(
    load: Callable[[str], Peer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if we had died while it solves: nobody kills it, its own alarm does."""
    monkeypatch.setattr(Peer, "_kill", lambda _: None)
    peer = load("hangs")
    assert peer.solve(1.0, tmp_path / "answer.npz", 0.1).status == "timeout"
    assert peer._process.wait(timeout=worker.ORPHAN_SECONDS + 2.0) == -signal.SIGALRM


def test_worker_ends_with_its_input(load: Callable[[str], Peer]) -> None:
    peer = load("right")
    assert peer._process.stdin is not None
    peer._process.stdin.close()
    assert peer._process.wait(timeout=5.0) == 0


def test_pinned_names() -> None:
    file = Path(worker.__file__).parent / "pyscnn.txt"
    assert {"torch", "cvxpy", "pyscnn"} <= set(worker.pinned(file))


# environments -----------------------------------------------------------------------------------


def test_no_requirements_is_this_python(tmp_path: Path) -> None:
    assert environments.ensure(None, tmp_path).python == Path(sys.executable)


@pytest.mark.slow
def test_environment_is_made_once(tmp_path: Path) -> None:
    file = tmp_path / "none.txt"
    file.write_text("")
    made = environments.ensure(file, tmp_path / "peers")
    assert made.reason is None
    assert made.python is not None
    assert made.python.exists()
    assert "pip" in made.versions
    stamp = made.python.parent.stat().st_mtime_ns
    assert environments.ensure(file, tmp_path / "peers") == made
    assert made.python.parent.stat().st_mtime_ns == stamp
    # Half made: the marker, written last, is missing.
    (made.python.parents[1] / environments.MARKER).unlink()
    rebuilt = environments.ensure(file, tmp_path / "peers")
    assert rebuilt == made
    assert made.python.parent.stat().st_mtime_ns > stamp
    # Other requirements, another folder.
    file.write_text("# changed\n")
    assert environments._key(["", ""]) != environments._key(["# changed\n"])


@pytest.mark.slow
def test_impossible_requirement_gives_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    file = tmp_path / "impossible.txt"
    file.write_text("no-such-package-x==0\n")
    failed = environments.ensure(file, tmp_path / "peers")
    assert failed.python is None
    assert failed.reason == "No matching distribution found for no-such-package-x==0"
    monkeypatch.setattr(environments, "_make", lambda *_: pytest.fail("tried twice"))
    assert environments.ensure(file, tmp_path / "peers") is failed


def test_missing_file_is_a_reason(tmp_path: Path) -> None:
    missing = environments.ensure(tmp_path / "none.txt", tmp_path)
    assert missing.python is None
    assert missing.reason is not None
    assert missing.reason.startswith("no requirements: ")


# adapters ---------------------------------------------------------------------------------------


def test_stacked_matrix() -> None:
    problem = make_problem()
    expected = np.hstack([np.diag(mask.astype(float)) @ problem.X for mask in problem.masks])
    np.testing.assert_array_equal(stacked(problem), expected)


def test_stacked_matrix_is_refused_above_the_limit() -> None:
    refuse_above(LARGEST, "it")
    with pytest.raises(MemoryError, match=r"^it needs 32 GB, the limit is 8 GB$"):
        refuse_above(32e9, "it")


def test_balanced_units() -> None:
    hidden, output = np.array([[3.0, 4.0], [0.0, 0.0], [1.0, 0.0]]), np.array([-0.05, 2.0, 0.0])
    rows, weights = balanced(hidden, output)
    np.testing.assert_allclose(rows, [[0.3, 0.4], [0.0, 0.0], [0.0, 0.0]], rtol=1e-14)
    np.testing.assert_allclose(weights, [-0.5, 0.0, 0.0], rtol=1e-14)


def test_tiny_copy() -> None:
    small = tiny(make_problem(n=50))
    assert small.X.shape == (20, 3)
    assert small.masks.shape == (2, 20)
    assert small.y.shape == (20,)


@pytest.mark.parametrize("loss", sorted(lbfgs_peer.LOSSES))
def test_gradient_of_the_network(loss: str) -> None:
    objective = lbfgs_peer.network_objective(make_problem("relu", loss), 0.7)
    point = lbfgs_peer.start(3, 3, width=4)
    numeric = approx_fprime(point, lambda p: objective(p)[0], 1e-7)
    np.testing.assert_allclose(objective(point)[1], numeric, atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "f", "y", "value"),
    [
        ("squared", 3.0, 1.0, 2.0),
        ("huber", 3.0, 1.0, 1.35 * 2.0 - 1.35**2 / 2),
        ("huber", 1.5, 1.0, 0.125),
        ("logistic", 0.0, -1.0, np.log(2.0)),
        ("squared_hinge", -1.0, 1.0, 2.0),
        ("poisson", 0.0, 0.0, 1.0),
        ("poisson", np.log(2.0), 2.0, 0.0),
    ],
)
def test_losses(loss: str, f: float, y: float, value: float) -> None:
    assert lbfgs_peer.loss(loss, np.array([f]), np.array([y]))[0] == pytest.approx(value)


def plain_objective(problem: Problem, f: FloatArray, penalty: float) -> float:
    """The losses by their formulas, and a penalty."""
    y, r = problem.y, np.abs(f - problem.y)
    terms = {
        "squared": 0.5 * r**2,
        "huber": np.where(r <= 1.35, 0.5 * r**2, 1.35 * r - 0.5 * 1.35**2),
        "logistic": np.log1p(np.exp(-y * f)),
        "squared_hinge": 0.5 * np.maximum(1 - y * f, 0) ** 2,
        "hinge": np.maximum(1 - y * f, 0),
        "poisson": np.exp(f) - y * f + np.where(y > 0, y * np.log(np.maximum(y, 1)), 0) - y,
    }
    return float(np.sum(terms[problem.loss]) + penalty)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("module", [lbfgs_peer, mlp_peer])
def test_trained_networks_claim_their_objective(module: object, loss: str) -> None:
    problem = make_problem("relu", loss)
    session = module.prepare(module.METHODS[0].name, problem)  # type: ignore[attr-defined]
    session.solve(2)
    answer = session.answer()
    for i, beta in enumerate(problem.betas):
        hidden, output = answer.hidden[i], answer.output[i]
        f = np.maximum(problem.X @ hidden.T, 0.0) @ output
        penalty = 0.5 * beta * (np.sum(hidden**2) + np.sum(output**2))
        # scikit-learn clips probabilities.
        assert answer.objective[i] == pytest.approx(plain_objective(problem, f, penalty), rel=1e-9)


def test_mlp_needs_a_column_of_ones() -> None:
    problem = make_problem("relu")
    problem.X[:, 2] += 0.5
    with pytest.raises(ValueError, match="only when X has a column of ones"):
        mlp_peer.prepare("sklearn-mlp", problem)


def test_ours_in_single_precision(saved: Path, tmp_path: Path) -> None:
    plain = make_problem()
    rounded = plain.X.astype(np.float32).astype(np.float64)
    problem = dataclasses.replace(plain, X=rounded, single=True)
    problem.save(tmp_path / "single.npz")
    problem = Problem.load(tmp_path / "single.npz")
    assert problem.single
    assert not Problem.load(saved).single
    session = ours_peer.prepare("pyconvexnn", problem)
    assert session._X.dtype == np.float32  # type: ignore[attr-defined]
    session.solve(1e-8)
    for verdict in evaluate.judge_path(problem, session.answer()):
        assert verdict.failure is None
        gap = (verdict.objective, verdict.bound_from_dual, evaluate.at_zero(problem))
        assert evaluate.relative_gap(*gap) <= 1.01e-8


def test_ours_with_two_threads_is_the_same() -> None:
    problem = make_problem()
    coefs = []
    for method in ours_peer.METHODS:
        session = ours_peer.prepare(method.name, problem)
        session.solve(1e-8)
        coefs.append(session.answer().coef)
    np.testing.assert_array_equal(coefs[0], coefs[1])


@pytest.mark.parametrize("loss", OF_ONE_OUTPUT)
def test_ours_claims_its_objective_along_a_path(loss: str) -> None:
    problem = make_problem("gated", loss)
    session = ours_peer.prepare("pyconvexnn", problem)
    session.solve(1e-8)
    answer = session.answer()
    assert answer.coef is not None
    assert answer.coef.shape == (2, 5, 3)
    assert answer.dual is not None
    for i, beta in enumerate(problem.betas):
        coef = answer.coef[i]
        f = np.einsum("pn,nd,pd->n", problem.masks, problem.X, coef)
        penalty = beta * np.linalg.norm(coef, axis=1).sum()
        assert answer.objective[i] == pytest.approx(plain_objective(problem, f, penalty), rel=1e-12)
        prices = np.linalg.norm((problem.masks * answer.dual[i]) @ problem.X, axis=1)
        assert prices.max() <= beta * (1 + 1e-9)


@pytest.mark.parametrize("loss", OF_ONE_OUTPUT)
def test_ours_solves_the_relu_program_along_a_path(loss: str) -> None:
    problem = make_problem("relu", loss)
    session = ours_peer.prepare("pyconvexnn", problem)
    session.solve(1e-8)
    verdicts = evaluate.judge_path(problem, session.answer(), accuracy=1e-12)
    assert len(verdicts) == len(problem.betas)
    for verdict in verdicts:
        assert verdict.failure is None
        assert verdict.infeasibility <= 1e-12
        gap = (verdict.objective, verdict.bound_from_dual, evaluate.at_zero(problem))
        assert evaluate.relative_gap(*gap) <= 1.01e-8


@pytest.mark.parametrize("module", [lbfgs_peer, mlp_peer, ours_peer])
def test_unknown_method(module: object) -> None:
    with pytest.raises(ValueError, match=r"^`method` must be ('[a-z-]+'|one of .*), got 'x'$"):
        module.prepare("x", make_problem())  # type: ignore[attr-defined]


def test_ours_solves_classes() -> None:
    problem = make_problem(n=18)
    classes = np.eye(3)[np.arange(18) % 3]
    problem = dataclasses.replace(problem, loss="cross_entropy", y=classes)
    session = ours_peer.prepare("pyconvexnn", problem)
    session.solve(1e-8)
    for verdict in evaluate.judge_path(problem, session.answer(), accuracy=1e-10):
        assert verdict.failure is None
        gap = (verdict.objective, verdict.bound_from_dual, evaluate.at_zero(problem))
        assert evaluate.relative_gap(*gap) <= 1.01e-8
