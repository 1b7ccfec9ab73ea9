"""Proofs that tests forge."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.proofs.forging import Proof, small_proof

KINDS: list[tuple[int, int, str, str, bool]] = [
    (12, 3, "squared", "relu", False),
    (8, 2, "huber", "leaky_relu", True),
    (10, 3, "logistic", "abs", False),
    (8, 2, "hinge", "relu", False),
    (9, 2, "poisson", "leaky_relu", True),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proofs")


@pytest.fixture(scope="module")
def proof(folder: Path) -> Proof:
    return small_proof(folder, *KINDS[0])
