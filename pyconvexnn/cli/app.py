"""The command line: its commands, and how errors become exit codes.

Data go to stdout, messages to stderr. Exit codes: 0; 2 for bad input, with one sentence; 3 when
the optimum was not proved to ``--tol``; 130 when interrupted.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import click

import pyconvexnn as cx
from pyconvexnn.cli.certify import certify
from pyconvexnn.cli.config import config
from pyconvexnn.cli.demo import demo
from pyconvexnn.cli.fit import fit
from pyconvexnn.cli.options import BAD_INPUT, INTERRUPTED, OK
from pyconvexnn.cli.path import path
from pyconvexnn.cli.patterns import patterns
from pyconvexnn.cli.predict import predict
from pyconvexnn.cli.terminal import say
from pyconvexnn.cli.verify import verify


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; bad input becomes one sentence on stderr."""
    try:
        code = app.main(args=list(arguments), prog_name="pyconvexnn", standalone_mode=False)
    except click.ClickException as error:
        return _complain(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (ValueError, NotImplementedError, ImportError, MemoryError) as error:
        return _complain(str(error) or type(error).__name__)
    return code if isinstance(code, int) else OK


def _complain(message: str) -> int:
    say(message)
    return BAD_INPUT


class _Commands(click.Group):
    """A group of commands, in the order given, that answers a typo with what it resembles."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self.commands or name.startswith("-"):
            return super().resolve_command(ctx, args)
        near = difflib.get_close_matches(name, self.commands, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.commands)}"
        raise click.UsageError(f"no command {name!r}; {hint}", ctx)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(cx.__version__, prog_name="pyconvexnn")
@click.pass_context
def app(context: click.Context) -> None:
    """Two-layer networks trained to their global optimum, with the proof.

    \b
    Examples:
      pyconvexnn demo
      pyconvexnn path houses.csv --target price
      pyconvexnn fit houses.csv --target price --beta 10 --save model.npz
      pyconvexnn certify model.npz houses.csv --proof model.cxproof
      pyconvexnn verify model.cxproof houses.csv
      pyconvexnn predict model.npz new_houses.csv > prices.csv

    Data are CSV files, or Parquet files (.parquet, .pq) where pyarrow is installed.

    Exit codes: 0; 2 for bad input; 3 when the optimum was not proved to --tol, or a proof is
    refused; 130 when interrupted.
    """  # noqa: D301
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (demo, fit, certify, verify, predict, path, patterns, config):
    app.add_command(_command)
