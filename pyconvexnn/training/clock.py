"""Time limits of training runs."""

from __future__ import annotations

import time

_AGAIN = 1.5  # times what the checks of the data took
_EXACT = 2e-6  # seconds for each sample
_RESERVED = 0.3  # of the time limit: no more is kept for the end


class Clock:
    """Time since the start, and time left.

    Parameters
    ----------
    limit : float, optional
        Seconds.
    """

    def __init__(self, limit: float | None) -> None:
        self.limit = limit
        self._start = time.perf_counter()
        self._reserve = self._setup = 0.0

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.perf_counter() - self._start

    @property
    def left(self) -> float | None:
        """Until the end of the run, > 0; None without a limit."""
        return None if self.limit is None else max(self._end - self.seconds, 1e-3)

    def share(self, part: float) -> float | None:
        """Part of the time left; None without a limit."""
        return None if self.left is None else part * self.left

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return self.limit is not None and self.seconds >= self._end

    def ends_within(self, seconds: float) -> bool:
        """Whether there is a limit, and so much time is not left."""
        return self.left is not None and self.left <= seconds

    def reserve(self, n_samples: int, begun: float) -> None:
        """Keep time for the certificate, after the run.

        The data were copied and checked from `begun` until now, and at the end they are looked at
        again: that takes as long, on whatever machine, or somewhat longer; and there are exact
        sums. (What came before, such as imports, comes once.)
        """
        if self.limit is not None:
            self._setup = self.seconds - begun
            reserve = _AGAIN * self._setup + _EXACT * n_samples
            self._reserve = min(reserve, _RESERVED * self.limit)

    def end_within(self, seconds: float) -> None:
        """End the run so many seconds from now, unless it ends before."""
        end = self.seconds + self._reserve + seconds
        self.limit = end if self.limit is None else min(self.limit, end)

    @property
    def is_short(self) -> bool:
        """Whether the time left is too short for a program over the data to be set up."""
        return self.left is not None and self.left <= 2.0 * self._setup

    @property
    def _end(self) -> float:
        return (self.limit or 0.0) - self._reserve
