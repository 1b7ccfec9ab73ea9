"""A process in which allocations of the kernels fail: ``python -m`` this, STEP NAME ..., preloaded.

The names are those of `calls.SMALL`. With ``failing_new.cpp`` preloaded, the k-th allocation of
the compiled module is made to fail, for k = 1, 1 + STEP, ... up to their number, alone and with all
that come after it. Each time the call must end in MemoryError or do as ever, and free what it took.
Before each k is printed, after all of them how many there are.

One kind of allocation never fails: pybind11 3.1 ends the process where there is no memory for its
entry, of 48 bytes, of a new object.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from pathlib import Path

from pyconvexnn import _core
from tests.faults.calls import SMALL, Call


class Starvation:
    """The preloaded library, and where the compiled module's code is."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        lines = Path("/proc/self/maps").read_text().splitlines()
        own = [line.split("-")[:2] for line in lines if line.endswith(_core.__file__)]
        ends = [int(end.split()[0], 16) for _, end in own]
        start = min(int(start, 16) for start, _ in own)
        self._range = [ctypes.c_size_t(start), ctypes.c_size_t(max(ends))]
        for address, size in _functions("init_instance"):
            begin = start + address
            assert self._library.spare(ctypes.c_size_t(begin), ctypes.c_size_t(begin + size))

    def allocations(self, call: Call, failing: int = -1, onwards: bool = False) -> tuple[str, int]:
        """What a call returns, "MemoryError" if that, and how often it allocated."""
        self._library.arm(*self._range, ctypes.c_long(failing), ctypes.c_bool(onwards))
        try:
            found = call()
        except MemoryError:
            found = "MemoryError"
        finally:
            count = int(self._library.disarm())
        return found, count

    def live_blocks(self) -> int:
        """Blocks of `operator new` that are in use."""
        return int(self._library.live_blocks())


def _functions(name: str) -> list[tuple[int, int]]:
    """Addresses and sizes of the compiled module's functions whose names contain `name`."""
    table = subprocess.run(
        ["nm", "-C", "-S", "--defined-only", _core.__file__],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},  # nothing preloaded
    )
    rows = [line.split(maxsplit=3) for line in table.stdout.splitlines() if name in line]
    assert rows, "stripped"
    return [(int(row[0], 16), int(row[1], 16)) for row in rows if row[2] in "tTwW"]


def starve(starvation: Starvation, call: Call, step: int) -> int:
    """Make every `step`-th allocation of a call fail; return how many there are."""
    expected, _ = starvation.allocations(call)
    _, count = starvation.allocations(call)
    failed = 0
    for k in range(1, count + 1, step):
        for onwards in (False, True):
            print(k, "onwards" if onwards else "", flush=True)  # noqa: T201
            before = starvation.live_blocks()
            found, _ = starvation.allocations(call, k, onwards)
            assert found in (expected, "MemoryError")
            failed += found == "MemoryError"
            if starvation.live_blocks() != before:
                gc.collect()
                assert starvation.live_blocks() == before
    assert failed > 0
    assert starvation.allocations(call)[0] == expected
    return count


def main() -> None:
    starvation = Starvation()
    for name in sys.argv[2:]:
        print(name, flush=True)  # noqa: T201
        print(starve(starvation, SMALL[name], int(sys.argv[1])), "allocations")  # noqa: T201


if __name__ == "__main__":
    main()
