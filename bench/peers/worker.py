"""One peer in a process of its own: ``python -m bench.peers.worker MODULE``, JSON lines.

Requests come on standard input, replies leave on the descriptor that was standard output:

    {"do": "load", "method": NAME, "problem": PATH.npz}
    {"do": "solve", "tolerance": T, "answer": PATH.npz}
    {"do": "quit"}

``limit`` (seconds) in a request makes the system kill this process some time after, in case
that whoever asked died meanwhile. A reply is ``{"ok": true, "cpu": s, "wall": s, "peak": bytes}``,
with ``versions`` after a load, or ``{"ok": false, "error": sentence, "peak": bytes}``. What a load
takes is set-up: imports, matrices, compilers. Reading the problem and writing the answer are not
timed.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from bench.peers.protocol import Problem, Session

ORPHAN_SECONDS = 5.0  # after a request's limit: by then the one who asked has killed us or is dead


class Worker:
    """The loaded session and what can be asked of it."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.session: Session | None = None

    def load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Import the peer and prepare it for one method and problem."""
        problem = Problem.load(Path(request["problem"]))
        self.session = None
        module, imported = _timed(lambda: importlib.import_module(self.module))
        session, prepared = _timed(lambda: module.prepare(request["method"], problem))
        self.session = session
        method = next(m for m in module.METHODS if m.name == request["method"])
        total = {key: imported[key] + prepared[key] for key in imported}
        return {**total, "versions": versions(method.requirements)}

    def solve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Solve at one tolerance and write the answer."""
        session = self.session
        if session is None:
            raise RuntimeError("nothing is loaded")
        _, spent = _timed(lambda: session.solve(request["tolerance"]))
        session.answer().save(Path(request["answer"]))
        return spent

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        """What to say to `request`; a library's exception is an answer too."""
        try:
            said = {"load": self.load, "solve": self.solve}[request["do"]](request)
        except Exception as error:
            return {"ok": False, "error": sentence(error), "peak": peak_memory()}
        return {"ok": True, **said, "peak": peak_memory()}


def _timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """The result of `work`, CPU seconds of all threads, and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return result, {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def sentence(error: BaseException) -> str:
    """Type and first line of an exception."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def peak_memory() -> int:
    """Largest resident size so far, in bytes."""
    try:
        # ru_maxrss survives exec: it would start at the size of the process that started us.
        status = Path("/proc/self/status").read_text()
        found = re.search(r"VmHWM:\s*(\d+) kB", status)
    except OSError:
        found = None
    if found:
        return 1024 * int(found[1])
    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum if platform.system() == "Darwin" else 1024 * maximum


def versions(requirements: str | None) -> dict[str, str]:
    """Installed versions of what the requirement file names (or of our own), and of NumPy."""
    names = ["pyconvexnn", "scipy"]
    if requirements is not None:
        names = pinned(Path(__file__).parent / requirements)
    found = {"python": platform.python_version()}
    for name in ("numpy", *names):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def pinned(requirements: Path) -> list[str]:
    """Distributions named with a version in a requirement file and in the one beside it."""
    files = (requirements, requirements.with_suffix(".nodeps.txt"))
    text = "\n".join(file.read_text() for file in files if file.exists())
    return re.findall(r"^([\w.-]+)==", text, re.MULTILINE)


def serve(module: str, requests: TextIO, replies: TextIO) -> None:
    """Answer requests until "quit" or the end of the input."""
    worker = Worker(module)
    for line in requests:
        request = json.loads(line)
        if request["do"] == "quit":
            return
        # The default action of SIGALRM ends the process even inside a library's C code.
        limit = request.get("limit")
        if limit is not None:
            signal.setitimer(signal.ITIMER_REAL, limit + ORPHAN_SECONDS)
        reply = worker.reply(request)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def main() -> None:
    """Keep the two pipes for the protocol; whatever a library prints goes to standard error."""
    requests = os.fdopen(os.dup(0), "r", encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    serve(sys.argv[1], requests, replies)


if __name__ == "__main__":
    main()
