"""A process that makes the calls it is told, within a limit of memory: ``python -m`` this.

It reads ids of cases from stdin, a line each, and answers each by a line of JSON on stdout. What a
call writes to stdout or stderr is part of the answer.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

MEMORY = 4 << 30  # bytes that calls may take, beside what the imports have taken
SECONDS = 1.0  # of processor time that a call may take

# What calls load when they need it; imports are not counted.
_MODULES = [
    "importlib.metadata",
    "matplotlib.collections",
    "onnx",
    "pandas",
    "scipy.linalg",
    "scipy.optimize",
    "scipy.sparse.csgraph",
    "scipy.spatial",
    "scipy.special",
    "sklearn.exceptions",
    "sklearn.linear_model",
    "sklearn.neural_network",
    "sklearn.preprocessing",
]


class Worker:
    """Makes calls, and catches what they write."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)  # nothing may be written to either

    def serve(self) -> None:
        """Answer until stdin ends."""
        _import_all()
        gc.freeze()  # what was imported is not looked through after every call
        _limit_memory()
        self._written()
        self._answer({"ready": True})
        for line in sys.stdin:
            self._answer(self._made(json.loads(line)))

    def _answer(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()

    def _written(self) -> str:
        """What was written since, taken out of the file that is stderr."""
        sys.stdout.flush()
        sys.stderr.flush()
        size = os.fstat(2).st_size
        text = os.pread(2, size, 0).decode(errors="replace")
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)
        return text

    def _made(self, name: str) -> dict[str, Any]:
        from tests.wrong_calls.facts import difference, not_finite
        from tests.wrong_calls.mutations import Outcome
        from tests.wrong_calls.table import cases

        if name.startswith("_"):
            _misbehave(name)
        case = cases()[name]
        reference = None
        if case.outcome is Outcome.SAME:
            assert case.mutation.plain is not None
            reference = _call(case, case.mutation.plain)
            self._written()
        answer = _call(case, case.mutation.make)
        if answer["seconds"] > SECONDS:  # what it imported, it does not import again
            answer = min(answer, _call(case, case.mutation.make), key=lambda made: made["seconds"])
        found = answer.pop("facts")
        if found is not None:
            answer["not finite"] = not_finite(found)
        if reference is not None:
            answer["difference"] = _differs(answer, found, reference, difference)
        gc.collect()
        return {"id": name, **answer, "stderr": self._written()}


def _call(case: Any, change: Any) -> dict[str, Any]:
    """Make the call: how it ended, in what time, with which warnings."""
    from tests.wrong_calls.facts import facts

    try:
        arguments = case.entry.good()
        arguments[case.argument] = change(arguments[case.argument])
    except Exception as raised:
        message = "".join(traceback.format_exception(raised))
        return {"outcome": "no call was made", "message": message, "seconds": 0.0, "facts": None}
    error, found, trace = None, None, ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        begun = time.process_time()
        try:
            result = case.entry.call(**arguments)
        except Exception as raised:
            error = raised
            trace = "".join(traceback.format_exception(raised)[-3:])
        seconds = time.process_time() - begun
        if error is None:
            found = list(facts(result))
    kinds = sorted({base.__name__ for w in warned for base in [w.category]})
    return {
        "outcome": "value" if error is None else "error",
        "exception": None if error is None else type(error).__name__,
        "kinds": [] if error is None else [base.__name__ for base in type(error).__mro__],
        "message": "" if error is None else str(error)[:5000],
        "trace": trace,
        "seconds": seconds,
        "warnings": kinds,
        "warning messages": sorted({str(w.message)[:200] for w in warned}),
        "facts": found,
    }


def _differs(answer: Any, found: Any, reference: Any, difference: Any) -> str | None:
    """How a call ended otherwise than with the plain argument."""
    if answer["outcome"] != reference["outcome"]:
        plain = reference["message"] or "has a value"
        return f"ends with {answer['message'] or 'a value'}; with the plain argument it {plain}"
    if answer["outcome"] == "error":
        same = answer["exception"] == reference["exception"]
        return None if same else f"raises {answer['exception']}, not {reference['exception']}"
    text: str | None = difference(found, reference["facts"])
    return text


def _import_all() -> None:
    import matplotlib

    matplotlib.use("Agg")
    for name in _MODULES:
        importlib.import_module(name)
    from tests.wrong_calls.table import cases

    # A good call of each entry point loads what it needs.
    entries = {id(case.entry): case.entry for case in cases().values()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for entry in entries.values():
            entry.good()


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))


def _misbehave(name: str) -> None:
    """What the pool is tested with."""
    if name == "_crash":
        os.abort()
    if name == "_hang":
        time.sleep(3600)


if __name__ == "__main__":
    Worker().serve()
