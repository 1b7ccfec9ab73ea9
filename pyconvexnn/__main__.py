"""Door to the command line: ``pyconvexnn …`` and ``python -m pyconvexnn …``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence

NEEDED = ("click", "rich", "pandas")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; without its packages say so."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"pyconvexnn: the command line needs {', '.join(missing)}; install it with "
            'pip install "pyconvexnn[cli]" (in a source tree: pip install ".[cli]")\n'
        )
        return 2
    from pyconvexnn.cli import run

    return run(sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
