"""A worker process that is used again and again, and started again when it dies or hangs."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Pool:
    """One worker at a time, which makes one call at a time.

    Parameters
    ----------
    patience : float
        Seconds after which a call counts as hanging, and the worker is ended.
    """

    def __init__(self, patience: float = 20.0) -> None:
        self.patience = patience
        self.started = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`

    def run(self, name: str) -> dict[str, Any]:
        """Make one call, by its id: how it ended."""
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(name).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._ended(name, "crash")
        line = self._line(process, self.patience)
        if line is None:
            return self._ended(name, "hang")
        if not line:
            return self._ended(name, "crash")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            self._end()
        self._stderr.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.started += 1
        self._stderr.seek(0)
        self._stderr.truncate()
        # BLAS's own threads would wait busily, which counts as processor time.
        one = dict.fromkeys(["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"], "1")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.wrong_calls.worker"],
            cwd=ROOT,
            env={**os.environ, **one, "PYTHONFAULTHANDLER": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        if not self._line(self._process, 300.0):
            raise RuntimeError(f"the worker did not start: {self._ended('', 'crash')['stderr']}")
        return self._process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
        """Next line of the worker, empty if it has died; None if there is none in time."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            return process.stdout.readline() if selector.select(seconds) else None

    def _ended(self, name: str, outcome: str) -> dict[str, Any]:
        """What is known of a call that the worker did not survive."""
        code = self._end()
        self._stderr.seek(0)
        text = self._stderr.read().decode(errors="replace")
        message = f"the worker ended with {code}" if outcome == "crash" else "no answer in time"
        return {"id": name, "outcome": outcome, "message": message, "stderr": text[:3000]}

    def _end(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        return process.wait()
