"""Random subsets, permutations and large integers, each uniform."""

from __future__ import annotations

import numpy as np

from pyconvexnn._typing import BitArray, IndexArray

_ROUNDS = 8


def ordered_subsets(rng: np.random.Generator, count: int, n: int, size: int) -> IndexArray:
    """`count` rows of `size` different numbers below n, every arrangement equally likely."""
    swaps = rng.integers(np.arange(size), n, (count, size))
    subsets = np.empty((count, size), np.int64)
    for subset, places in zip(subsets, swaps.tolist(), strict=True):
        moved: dict[int, int] = {}  # a shuffle of 0 ... n - 1 that stores what it moved only
        for k, place in enumerate(places):
            subset[k] = moved.get(place, place)
            moved[place] = moved.get(k, k)
    return subsets


class Permutation:
    """A random order of 0, ..., size - 1 (size < 2^63) that is never written down.

    A Feistel network on the least even number of bits that hold size - 1; results that are too
    large go through it again. A shift by a uniform number then makes every element of the order
    exactly uniform.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size = size
        self._half = np.uint64(max(1, -(-(size - 1).bit_length() // 2)))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = rng.integers(0, 1 << 64, _ROUNDS, dtype=np.uint64)
        self._shift = rng.integers(0, size, dtype=np.uint64)

    def __call__(self, first: int, count: int) -> BitArray:
        """Elements first, ..., first + count - 1 of the order (fewer at its end)."""
        numbers = np.arange(first, min(first + count, self.size), dtype=np.uint64)
        outside = np.ones(len(numbers), np.bool_)
        while outside.any():
            numbers[outside] = self._shuffle(numbers[outside])
            outside = numbers >= self.size
        return (numbers + self._shift) % np.uint64(self.size)

    def _shuffle(self, numbers: BitArray) -> BitArray:
        left, right = numbers >> self._half, numbers & self._mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right + key) & self._mask)
        return (left << self._half) | right


def _mixed(x: BitArray) -> BitArray:
    """Splitmix64's finaliser: every bit depends on all."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def random_below(size: int, rng: np.random.Generator) -> int:
    """Uniform integer in [0, size), however large."""
    bits = (size - 1).bit_length()
    while True:
        number = int.from_bytes(rng.bytes(-(-bits // 8)), "little") & ((1 << bits) - 1)
        if number < size:
            return number
