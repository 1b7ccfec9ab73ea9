"""``pyconvexnn config``."""

from __future__ import annotations

import click

import pyconvexnn as cx
from pyconvexnn.cli import options
from pyconvexnn.cli.terminal import print_facts


@click.command()
@options.json
def config(as_json: bool) -> int:
    """Show versions, instruction set, cores and BLAS libraries.

    \b
    Examples:
      pyconvexnn config
      pyconvexnn config --json
    """  # noqa: D301
    print_facts(cx.show_config(), as_json)
    return options.OK
