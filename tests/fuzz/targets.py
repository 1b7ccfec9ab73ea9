"""What reads files that may come from anybody: one function for each kind of file.

Each returns where the file is good, and raises ValueError where it is not; anything else, a second,
or 64 MB is a defect. ``python -m tests.fuzz.targets KIND`` reads the names of files on stdin and
answers what became of each, for tests that measure a process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import pyconvexnn as cx
from pyconvexnn.cli.models import load_model
from pyconvexnn.proofs import check

CORPUS = Path(__file__).with_name("corpus")


def samples() -> tuple[Any, Any, Any]:
    """Data of the proofs, and a network that they are of."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 2))
    y = np.abs(X[:, 0]) + 0.1 * rng.standard_normal(12)
    return X, y, cx.TwoLayerNetwork.from_arrays([[1.0, 0.0], [-1.0, 0.0]], [[1.0], [1.0]])


def read_proof(path: Path) -> None:
    """Check a proof of :func:`samples`."""
    X, y, _ = samples()
    check(path, X, y)


TARGETS: dict[str, Callable[[Path], object]] = {
    "network": cx.load_network,
    "model": load_model,
    "patterns": cx.load_patterns,
    "proof": read_proof,
}


def most_memory(afresh: bool = False) -> int:
    """Kilobytes that this process has used at most, from now on with `afresh`.

    That of `getrusage` begins with what the parent used, which hides all below it.
    """
    if not sys.platform.startswith("linux"):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if afresh:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def main(kind: str) -> None:
    """Answer what became of each file: refused, read, seconds, and megabytes that were added."""
    TARGETS[kind](CORPUS / kind / "good-0")  # imports are not the files'
    for line in sys.stdin:
        before = most_memory(afresh=True)
        start, verdict = time.process_time(), "read"
        try:
            TARGETS[kind](Path(line.strip()))
        except ValueError:
            verdict = "refused"
        except Exception as error:
            verdict = repr(error)
        seconds = time.process_time() - start
        grown = (most_memory() - before) / 1024
        print(json.dumps([line.strip(), verdict, seconds, grown]), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
