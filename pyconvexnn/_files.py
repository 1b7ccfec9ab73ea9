"""Files that are whole or not there."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pyconvexnn._validation import as_path


@contextlib.contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """File to write, which takes the place of `path` where the block ends without an error.

    What was there is kept otherwise: after Ctrl-C, or on a full disk. Links are followed; what is
    no file, as a pipe, is written to as it is.

    Raises
    ------
    TypeError, ValueError
        If `path` is no path.
    OSError
        If the file cannot be written.
    """
    file = as_path(path)
    if file.exists() and not file.is_file():
        with file.open("wb") as plain:
            yield plain
        return
    real = Path(os.path.realpath(file))
    new = real.with_name(f".{secrets.token_hex(8)}.part")
    try:
        if real.exists():
            real.open("ab").close()  # raises where it must not be changed
        with new.open("xb") as whole:
            yield whole
        if real.exists():
            shutil.copymode(real, new)
        new.replace(real)
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    finally:
        new.unlink(missing_ok=True)
