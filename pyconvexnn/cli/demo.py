"""``pyconvexnn demo``."""

from __future__ import annotations

from pathlib import Path

import click

from pyconvexnn.cli import options
from pyconvexnn.cli.terminal import console, print_json, progress, say, told_warnings


@click.command()
@click.option(
    "--plot", type=options.new_file, help="Draw objective and bound over time into this file."
)
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=6.0,
    show_default=True,
    help="Seconds of our training on each data set.",
)
@options.json
def demo(plot: Path | None, time_limit: float, as_json: bool) -> int:
    """Train on real data, with the proof, beside scikit-learn's MLP.

    \b
    Examples:
      pyconvexnn demo
      pyconvexnn demo --time-limit 30 --plot certificate.png

    ReLU networks on two data sets, each with three features, where the optimum over all networks is
    proved, and with all, where it is told what could be proved in the time. Exit code 3 when one of
    the former was not proved.
    """  # noqa: D301
    from pyconvexnn import demo as computation
    from pyconvexnn.cli import comparison as shown
    from pyconvexnn.cli import pictures

    if plot is not None:
        pictures.check_plot(plot)
    with progress("demo") as bar, told_warnings():
        comparisons = computation.run(bar.describe, time_limit=time_limit)
    if as_json:
        print_json({"datasets": [shown.as_json(comparison) for comparison in comparisons]})
    else:
        out = console()
        for comparison in comparisons:
            out.print(shown.title(comparison), highlight=False)
            out.print(shown.as_table(comparison))
            for level in comparison.summary:
                out.print(level, highlight=False)
            out.print()
        out.print(shown.NOTE, highlight=False)
    if plot is not None:
        pictures.draw_demo(comparisons, plot)
        say(f"wrote {plot}")
    few = [comparison for comparison in comparisons if comparison.features is not None]
    proved = all(comparison.proved for comparison in few)
    return options.OK if proved else options.NOT_PROVED
