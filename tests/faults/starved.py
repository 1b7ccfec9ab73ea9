"""A process in which allocations of the kernels fail: ``python -m`` this, NAME STEP, preloaded.

Its argument is a name of `calls.SMALL`, and of how many failures one is tried. With
``failing_new.cpp`` preloaded, the k-th allocation of the compiled module is made to fail, for
k = 1, 1 + STEP, ... up to their number, alone and with all that come after it. Each time the call
must end in MemoryError or do as ever, and free what it took. The number of failures tried is
printed, after k before each of them.
"""

from __future__ import annotations

import ctypes
import gc
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
        self._range = [ctypes.c_size_t(min(int(a, 16) for a, _ in own)), ctypes.c_size_t(max(ends))]

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
        gc.collect()
        return int(self._library.live_blocks())


def main() -> None:
    name, step = sys.argv[1], int(sys.argv[2])
    call, starvation = SMALL[name], Starvation()
    expected, _ = starvation.allocations(call)
    _, count = starvation.allocations(call)
    assert count > 0
    failed = 0
    for k in range(1, count + 1, step):
        for onwards in (False, True):
            print(k, "onwards" if onwards else "", flush=True)  # noqa: T201
            before = starvation.live_blocks()
            found, _ = starvation.allocations(call, k, onwards)
            assert found in (expected, "MemoryError")
            failed += found == "MemoryError"
            assert starvation.live_blocks() == before
    assert starvation.allocations(call)[0] == expected
    print(count, "allocations", failed, "failures")  # noqa: T201


if __name__ == "__main__":
    main()
