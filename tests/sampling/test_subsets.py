"""Random subsets, permutations and integers against counts."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import chi2

from pyconvexnn.sampling.subsets import Permutation, ordered_subsets, random_below


def is_even(counts: list[int] | np.ndarray, n_kinds: int) -> bool:
    """Whether counts of equally likely kinds pass a chi-square test."""
    counts = np.asarray(counts)
    expected = counts.sum() / n_kinds
    missing = n_kinds - len(counts)
    statistic = ((counts - expected) ** 2 / expected).sum() + missing * expected
    return bool(1e-3 < chi2.sf(statistic, n_kinds - 1) < 1 - 1e-6)


def test_ordered_subsets_are_equally_likely() -> None:
    subsets = ordered_subsets(np.random.default_rng(0), 6000, 5, 3)
    kinds, counts = np.unique(subsets, axis=0, return_counts=True)
    assert {tuple(kind) for kind in kinds.tolist()} == set(itertools.permutations(range(5), 3))
    assert is_even(counts, 60)
    assert ordered_subsets(np.random.default_rng(0), 4, 10, 0).shape == (4, 0)
    large = ordered_subsets(np.random.default_rng(0), 3, 10**12, 50)
    assert (np.diff(np.sort(large, axis=1), axis=1) > 0).all()
    assert sorted(ordered_subsets(np.random.default_rng(0), 1, 7, 7)[0].tolist()) == [*range(7)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 17, 100, 1023, 1025, 40_000])
def test_permutations_hold_every_number_once(size: int) -> None:
    order = Permutation(size, np.random.default_rng(size))
    numbers = np.concatenate([order(first, 300) for first in range(0, size, 300)])
    assert sorted(numbers.tolist()) == list(range(size))
    assert len(order(size, 10)) == 0


def test_every_place_of_a_permutation_is_uniform_and_pairs_are() -> None:
    size = 11
    firsts = np.zeros(size, int)
    pairs: dict[tuple[int, int], int] = {}
    rng = np.random.default_rng(3)
    for _ in range(6000):
        numbers = Permutation(size, rng)(0, 6)
        firsts[int(numbers[4])] += 1
        pair = (int(numbers[0]), int(numbers[5]))
        pairs[pair] = pairs.get(pair, 0) + 1
    assert is_even(firsts, size)
    assert is_even(list(pairs.values()), size * (size - 1))


def test_permutations_of_the_largest_size() -> None:
    order = Permutation(2**63 - 1, np.random.default_rng(0))
    numbers = order(2**62, 2000)
    assert len(set(numbers.tolist())) == 2000
    assert numbers.max() < 2**63 - 1
    assert 0.4 < np.mean(numbers.astype(float) / 2**63) < 0.6


def test_random_integers_of_any_size() -> None:
    rng = np.random.default_rng(0)
    counts = np.bincount([random_below(10, rng) for _ in range(3000)])
    assert is_even(counts, 10)
    large = [random_below(3 * 2**200, rng) for _ in range(1000)]
    assert max(large) < 3 * 2**200
    assert 0.3 < np.mean([number >= 2**201 for number in large]) < 0.37
