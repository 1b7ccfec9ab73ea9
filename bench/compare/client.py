"""Our side of a peer's process: start it, ask with a time limit, never leave it behind.

POSIX only: a process group is killed as a whole, and pipes are waited for with `selectors`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
THREADS = tuple(f"{name}_NUM_THREADS" for name in ("OPENBLAS", "OMP", "MKL", "NUMBA"))
IGNORED = ("OPENBLAS_CORETYPE", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS")


@dataclass(frozen=True)
class Reply:
    """What came of a request. Only "ok" has the figures; the others have a reason."""

    status: str  # "ok" | "error" | "timeout" | "crashed"
    reason: str = ""
    cpu: float = float("nan")  # seconds of all threads
    wall: float = float("nan")
    peak: int = 0  # bytes, the largest resident size of the process so far
    versions: dict[str, str] = field(default_factory=dict)  # after a load


class Peer:
    """A worker process; a context manager that kills it on the way out, whatever happens."""

    def __init__(self, process: subprocess.Popen[bytes], errors: Any) -> None:
        self._process = process
        self._errors = errors  # a file: a pipe that nobody reads would block the worker
        self._buffer = b""

    @classmethod
    def start(cls, python: str | Path, module: str, env: Mapping[str, str] | None = None) -> Peer:
        """Run the worker for adapter `module` under `python`; `env` adds to `environment()`."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        process = subprocess.Popen(
            [str(python), "-m", "bench.peers.worker", module],
            cwd=ROOT,
            env={**environment(), **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # a group of its own; Ctrl-C reaches us only
        )
        return cls(process, errors)

    @property
    def alive(self) -> bool:
        """Whether requests can be made."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process, which is also its group."""
        return self._process.pid

    def load(self, method: str, problem: Path, time_limit: float) -> Reply:
        """Ask for everything that comes before solving."""
        request = {"do": "load", "method": method, "problem": str(problem)}
        return self.request(request, time_limit)

    def solve(self, tolerance: float, answer: Path, time_limit: float) -> Reply:
        """Ask for one solution, written to `answer`."""
        request = {"do": "solve", "tolerance": tolerance, "answer": str(answer)}
        return self.request(request, time_limit)

    def request(self, request: Mapping[str, Any], time_limit: float) -> Reply:
        """Ask and wait; the process is gone after "timeout" and "crashed"."""
        deadline = time.monotonic() + time_limit
        line = json.dumps({**request, "limit": time_limit}) + "\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
            answered = self._read_line(deadline)
        except (BrokenPipeError, ValueError):  # it, or we, closed the pipe
            answered = b""
        except TimeoutError:
            self._kill()
            return Reply("timeout", f"no answer within {time_limit:g} s")
        except BaseException:  # Ctrl-C: half a reply may be on its way
            self._kill()
            raise
        if not answered:
            return self._crashed()
        return self._parsed(answered)

    def _read_line(self, deadline: float) -> bytes:
        """The next line, or b"" at the end of the output."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    raise TimeoutError
                read = os.read(descriptor, 65536)
                if not read:
                    return b""
                self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def _parsed(self, line: bytes) -> Reply:
        try:
            said = json.loads(line)
            if said.pop("ok"):
                return Reply("ok", **said)
            return Reply("error", said["error"], peak=said["peak"])
        except (ValueError, TypeError, KeyError, AttributeError):
            self._kill()
            shown = line[:80].decode(errors="replace")
            return Reply("crashed", f"not a reply: {shown!r}")

    def _crashed(self) -> Reply:
        """How the process ended: by itself, or now."""
        try:
            code = self._process.wait(timeout=1.0)  # the pipe closes before the process ends
        except subprocess.TimeoutExpired:
            code = None
        self._kill()
        ended = "closed its output" if code is None else f"ended with {_code(code)}"
        last = self.last_error()
        return Reply("crashed", f"the process {ended}" + (f": {last}" if last else ""))

    def last_error(self) -> str:
        """The last line on standard error that is not blank."""
        if self._errors.closed:
            return ""
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(self._errors.tell() - 4096, 0))
        lines = self._errors.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def _kill(self) -> None:
        """End the group and reap the process; nothing happens the second time."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """End the process and close the pipes."""
        self._kill()
        pipes: tuple[Any, ...] = (self._process.stdin, self._process.stdout, self._errors)
        for pipe in pipes:
            with contextlib.suppress(BrokenPipeError):  # a request that was never read
                pipe.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _code(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def environment() -> dict[str, str]:
    """Ours with one thread for every library, the project alone on the path."""
    kept = {key: value for key, value in os.environ.items() if key not in IGNORED}
    threads = dict.fromkeys((*THREADS, "VECLIB_MAXIMUM_THREADS"), "1")
    return {**kept, **threads, "PYTHONPATH": str(ROOT), "PYTHONNOUSERSITE": "1"}
