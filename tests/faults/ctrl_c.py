"""Ctrl-C in the middle of work, and how long it takes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest


def seconds_to_stop(work: Callable[[], object], after: float = 0.3) -> float:
    """Seconds from a Ctrl-C, sent while `work` runs, to its KeyboardInterrupt."""
    sent = 0.0
    ended = threading.Event()

    def press() -> None:
        nonlocal sent
        ended.wait(after)
        sent = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)
        # One that falls into a destructor is lost, as Python has it: the work must not go on.
        while not ended.wait(5.0):
            os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
        return time.perf_counter() - sent
    finally:
        ended.set()
        thread.join()
