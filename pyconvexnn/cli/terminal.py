"""What the command line writes: messages, facts, warnings, and a progress bar on stderr."""

from __future__ import annotations

import contextlib
import json
import math
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

PROGRESS_AFTER = 1.0  # seconds
PLAIN_WIDTH = 120  # columns of a table that does not go to a terminal


def say(message: str) -> None:
    """Write one sentence to stderr."""
    click.echo(f"pyconvexnn: {_shown(' '.join(message.split()))}", err=True)


def _shown(text: str) -> str:
    """Text without the control characters that names in files may have."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def console() -> Console:
    """Console for stdout; NO_COLOR and the terminal's width are rich's own business."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)


def print_json(data: dict[str, Any]) -> None:
    """Print JSON."""
    click.echo(json.dumps(data, indent=2))


def print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Print names and values, one a line."""
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name.replace('_', ' '):<{width}}  {_shown(_text(value))}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.8g}"
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)


@contextlib.contextmanager
def told_warnings(but: str = "") -> Iterator[None]:
    """Turn warnings into sentences on stderr; one kind may be told in another way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # deprecations are not the user's business
        warnings.simplefilter("default", UserWarning)
        yield
    for warning in caught:
        if warning.category.__name__ != but:
            say(str(warning.message))


class Bar:
    """A progress bar on stderr, shown only on a terminal and only after a second."""

    def __init__(self, title: str) -> None:
        self.visible = sys.stderr.isatty()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(title, total=None)

    def describe(self, text: str) -> None:
        """Say what is being done."""
        self._progress.update(self._task, description=text)

    def advance_to(self, fraction: float) -> None:
        """Say how much of it is done."""
        self._progress.update(self._task, total=1.0, completed=fraction)

    def show_gap(self, gap: float, tol: float) -> None:
        """Say how far a relative gap has come from 1 to tol, in decades."""
        gap = min(max(gap, tol), 1.0)
        self.advance_to(math.log(gap) / math.log(tol) if tol < 1 else 1.0)

    def start(self) -> None:
        """Show the bar."""
        self._progress.start()

    def stop(self) -> None:
        """Take the bar away."""
        self._progress.stop()


@contextlib.contextmanager
def progress(title: str) -> Iterator[Bar]:
    """Bar that appears when the block has run for a second, and goes with it."""
    bar = Bar(title)
    timer = threading.Timer(PROGRESS_AFTER, bar.start)
    timer.daemon = True
    if bar.visible:
        timer.start()
    try:
        yield bar
    finally:
        timer.cancel()
        if bar.visible:
            timer.join()  # it may just be starting the bar
            bar.stop()


def check_outputs(*outputs: Path | None, kept: Sequence[Path] = ()) -> None:
    """Refuse before the work what could not be written after it, or would replace its data."""
    files = [path for path in outputs if path is not None]
    for i, path in enumerate(files):
        if not path.parent.is_dir():
            raise ValueError(f"the folder of {path} does not exist")
        for other in (*kept, *files[:i]):
            if path.resolve() == other.resolve():
                raise ValueError(f"{path} would be overwritten; write to another file")
