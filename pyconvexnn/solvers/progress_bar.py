"""A bar for long work, which passes on to the user's callback what it is told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

AnyCallback = Callable[[Any], object]


@contextlib.contextmanager
def progress_bar(
    callback: AnyCallback | None,
    title: str,
    unit: str,
    facts: Callable[[Any], dict[str, Any]],
    *,
    shown: bool,
) -> Iterator[AnyCallback | None]:
    """Callback that also moves a tqdm bar; `callback` itself where none is to be shown.

    Parameters
    ----------
    callback : callable or None
        The user's; what it returns is returned.
    title, unit : str
        Of the bar.
    facts : callable
        From what the callback is called with to the names and values shown.
    shown : bool
        Whether there is a bar.
    """
    if not shown:
        yield callback
        return
    from tqdm import tqdm

    with tqdm(desc=title, unit=unit) as bar:

        def told(state: Any) -> object:
            bar.set_postfix(facts(state))
            bar.update()
            return callback(state) if callback is not None else False

        yield told
