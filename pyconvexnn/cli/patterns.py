"""``pyconvexnn patterns``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

import pyconvexnn as cx
from pyconvexnn import tables
from pyconvexnn._cells import reduced
from pyconvexnn._validation import as_matrix
from pyconvexnn.cli import options
from pyconvexnn.cli.terminal import check_outputs, print_facts, progress, told_warnings


@click.command()
@options.data_argument
@click.option("--count", is_flag=True, help="Count them exactly; nothing is stored.")
@click.option(
    "--out", type=options.new_file, help="Save them to this file (.npz): all, or the sample."
)
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Draw N instead of all.")
@click.option("--method", default="gaussian", show_default=True, help="How --sample draws.")
@click.option("--target", help="Column to leave out: its name, or its index from 0.")
@click.option("--intercept/--no-intercept", default=False, help="Append a column of ones.")
@options.header
@options.threads
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of N.")
@options.json
def patterns(data: Path, out: Path | None, count: bool, as_json: bool, **chosen: Any) -> int:
    """Count, list or draw the activation patterns of a file's rows.

    \b
    Examples:
      pyconvexnn patterns houses.csv --target price --intercept
      pyconvexnn patterns houses.csv --target price --count
      pyconvexnn patterns houses.csv --target price --out patterns.npz
      pyconvexnn patterns houses.csv --target price --sample 1000 --out patterns.npz

    A pattern says for each row x of a CSV or Parquet file whether x.u >= 0, for one direction u.
    Without --count, --out or --sample only the most that there can be is told. A sample that is not
    saved goes to stdout, a pattern a line, one digit 0 or 1 for each row of the file.

    Keys of --json: samples, features; distinct hyperplanes, rank, patterns at most (with --count:
    patterns); with --out or --sample: patterns, and complete, file or bits.
    """  # noqa: D301
    n_wanted, threads = chosen["sample"], chosen["threads"]
    if count and (out is not None or n_wanted is not None):
        raise click.UsageError("--count goes with neither --out nor --sample")
    check_outputs(out, kept=[data])
    table, target = tables.read_table(data, header=chosen["header"]), chosen["target"]
    X = tables.features(table, but=[] if target is None else [target])
    if chosen["intercept"]:
        X = np.column_stack([X, np.ones(len(X))])
    facts: dict[str, Any] = {"samples": X.shape[0], "features": X.shape[1]}
    with progress("patterns"), told_warnings():
        if n_wanted is not None:
            found = cx.sample_patterns(X, n_wanted, method=chosen["method"], seed=chosen["seed"])
        elif out is not None:
            found = cx.enumerate_patterns(X, threads=threads)
        else:
            found = None
            facts |= _cell_facts(X, count, threads)
    if found is not None and out is not None:
        found.save(out)
        facts |= {"patterns": len(found), "complete": found.is_complete, "file": str(out)}
    elif found is not None:
        lines = ["".join(map(str, row.astype(int))) for row in found.to_dense()]
        if not as_json:
            click.echo("\n".join(lines))
            return options.OK
        facts |= {"patterns": len(found), "bits": lines}
    print_facts(facts, as_json)
    return options.OK


def _cell_facts(X: Any, count: bool, threads: int | None) -> dict[str, Any]:
    rows = reduced(as_matrix(X), True)
    facts = {"distinct hyperplanes": rows.count, "rank": rows.rank}
    if count:
        return {**facts, "patterns": cx.count_patterns(X, threads=threads)}
    most = cx.count_patterns(rows.count, rows.rank) if rows.count else 1
    return {**facts, "patterns at most": most}
