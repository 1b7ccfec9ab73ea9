"""A process that makes calls for a test and is interrupted meanwhile: ``python -m`` this.

Each line that it reads is a name of `calls.LONG`, with "press" before it where a Ctrl-C will come.
It answers "begin", then one line: "done", the digest and the seconds; "interrupted" and when that
was on the monotonic clock; "lost" and the digest, where Python dropped the KeyboardInterrupt in a
destructor; or "failed" and what was raised.
"""

from __future__ import annotations

import signal
import sys
import time
import warnings
from typing import Any

from tests.faults.calls import LONG

PATIENCE = 30.0  # seconds; until a signal comes


class Keys:
    """Handler of Ctrl-C: KeyboardInterrupt within a call, a note of it at any time."""

    def __init__(self) -> None:
        self.within = self.pressed = self.lost = False
        signal.signal(signal.SIGINT, self._press)
        sys.unraisablehook = self._lose

    def _press(self, *_: Any) -> None:
        self.pressed = True
        if self.within:
            raise KeyboardInterrupt

    def _lose(self, unraisable: Any) -> None:
        self.lost = True

    def attempt(self, name: str, expect_press: bool) -> str:
        """Make a call, and say how it ended; not before the signal has come that is to come."""
        self.pressed = self.lost = False
        print("begin", flush=True)  # noqa: T201
        start = time.monotonic()
        try:
            self.within = True
            found = LONG[name]()
            self.within = False
        except KeyboardInterrupt:
            return f"interrupted {time.monotonic()!r}"
        except BaseException as error:
            return f"failed {error!r}"
        finally:
            self.within = False
        seconds = time.monotonic() - start
        while expect_press and not self.pressed and time.monotonic() < start + PATIENCE:
            time.sleep(0.001)
        return f"{'lost' if self.lost else 'done'} {found} {seconds!r}"


def main() -> None:
    warnings.simplefilter("ignore")
    keys = Keys()
    for line in sys.stdin:
        name = line.strip().removeprefix("press ")
        print(keys.attempt(name, line.startswith("press ")), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
