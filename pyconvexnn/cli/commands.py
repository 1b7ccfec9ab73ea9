"""The command line. Data go to stdout, messages to stderr, and the exit code says how it went.

Exit codes: 0; 2 for bad input, with one sentence; 3 when the optimum was not proved to ``--tol``;
130 when interrupted.
"""

from __future__ import annotations

import difflib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import pyconvexnn as cx
from pyconvexnn import tables
from pyconvexnn._cells import reduced
from pyconvexnn._validation import as_matrix
from pyconvexnn.cli.models import Model, load_model
from pyconvexnn.cli.terminal import (
    Bar,
    check_folder,
    console,
    print_facts,
    print_json,
    progress,
    say,
    told_warnings,
)

BAD_INPUT, NOT_PROVED, INTERRUPTED = 2, 3, 130


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
    return code if isinstance(code, int) else 0


def _complain(message: str) -> int:
    say(message)
    return BAD_INPUT


# ---- commands --------------------------------------------------------------------------------

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_out = click.Path(dir_okay=False, path_type=Path)


class _Commands(click.Group):
    """A group of commands that answers a typo with the command that it resembles."""

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
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(cx.__version__, prog_name="pyconvexnn")
@click.pass_context
def app(context: click.Context) -> None:
    """Two-layer networks trained to their global optimum, with the proof.

    \b
    Examples:
      pyconvexnn demo
      pyconvexnn fit houses.csv --target price --beta 10 --save model.npz
      pyconvexnn predict model.npz new_houses.csv > prices.csv
    """  # noqa: D301
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@app.command()
@click.option("--plot", type=_out, help="Draw objective and bound over time into this file.")
@_json_option
def demo(plot: Path | None, as_json: bool) -> int:
    """Train on two data sets and compare with scikit-learn's MLP.

    \b
    Examples:
      pyconvexnn demo
      pyconvexnn demo --plot certificate.png
    """  # noqa: D301
    from pyconvexnn import demo as computation
    from pyconvexnn.cli import comparison as shown

    if plot is not None:
        shown.check_plot(plot)
    with progress("demo") as bar, told_warnings():
        comparisons = computation.run(bar.describe)
    if as_json:
        print_json({"datasets": [shown.as_json(comparison) for comparison in comparisons]})
    else:
        out = console()
        for comparison in comparisons:
            out.print(shown.as_table(comparison))
            out.print(shown.note(comparison), highlight=False)
            out.print()
    if plot is not None:
        shown.draw(comparisons, plot)
        say(f"wrote {plot}")
    return 0 if all(comparison.proved for comparison in comparisons) else NOT_PROVED


@app.command()
@click.argument("data", metavar="DATA.csv", type=_file)
@click.option("--target", required=True, help="Column to predict: its name, or its index from 0.")
@click.option("--beta", required=True, type=float, help="Weight of the penalty, > 0.")
@click.option("--save", required=True, type=_out, help="File for the model (.npz).")
@click.option(
    "--activation", default="gated_relu", show_default=True, help="Or relu, leaky_relu, abs."
)
@click.option("--patterns", default="auto", show_default=True, help="Patterns to draw: auto or N.")
@click.option(
    "--task",
    type=click.Choice(["auto", "regression", "classification"]),
    default="auto",
    show_default=True,
    help="auto: classification for text or at most 10 different integers.",
)
@click.option("--intercept/--no-intercept", default=True, help="Hidden biases; the default.")
@click.option("--header/--no-header", default=None, help="Of DATA.csv; found out by itself.")
@click.option("--tol", default=1e-4, show_default=True, help="Relative gap to prove.")
@click.option("--time-limit", type=float, help="Seconds; the best network so far is saved.")
@click.option("--threads", type=int, help="Threads; -1 for all cores.  [default: 1]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the gates."
)
@_json_option
def fit(data: Path, as_json: bool, save: Path, **options: Any) -> int:
    """Train on a CSV file and save the model.

    Numbers are used as they are: nothing is standardised, so that beta keeps its meaning. Columns
    of text become one column of 0 and 1 for each value. A missing value is refused. Two classes
    give one network output, more classes one output for each. The output has no offset, and columns
    far from zero or of different sizes are hard: standardise the columns, and the target of a
    regression, beforehand.

    \b
    Examples:
      pyconvexnn fit houses.csv --target price --beta 10 --save model.npz
      pyconvexnn fit iris.csv --target -1 --beta 0.1 --patterns 500 --save iris.npz
    """  # noqa: D301
    check_folder(save)
    table = tables.read_table(data, header=options["header"])
    recipe = tables.learn_recipe(table, options["target"])
    task = _chosen_task(table, recipe.target, options["task"])
    X, _ = recipe.apply(table)
    estimator = _estimator(task, options)
    y, classes = _target(table, recipe.target, task)
    seconds = _train(estimator, X, y)

    certificate = estimator.certificate_
    facts = {
        "task": task,
        "target": recipe.target,
        "samples": table.n_rows,
        "features": len(recipe.features),
        "classes": classes,
        "beta": estimator.beta,
        "loss": estimator.loss,
        "patterns": len(estimator.patterns_),
        "objective": certificate.objective,
        "dual_bound": certificate.lower_bound,
        "relative_gap": certificate.relative_gap,
        "proved": certificate.is_optimal,
        "neurons": estimator.network_.n_neurons,
        "train_score": float(estimator.score(X, y)) if table.n_rows > 1 else None,
        "seconds": seconds,
        "model": str(save),
    }
    scaling = estimator.intercept_scaling if estimator.fit_intercept else None
    Model(estimator.network_, recipe, classes, scaling).save(save)
    print_facts(facts, as_json)
    if not certificate.is_optimal:
        solutions = estimator.solution_
        solutions = solutions if isinstance(solutions, list) else [solutions]
        reasons = sorted({sol.status.name for sol in solutions} - {"SOLVED"})
        say(
            f"not proved: relative gap {certificate.relative_gap:.3g} is above --tol "
            f"{estimator.tol:g} (stopped with status {', '.join(reasons)}); the model is saved all "
            "the same. Standardised columns or a larger --beta make it easier"
            + (", more time may do" if "TIME_LIMIT" in reasons else "")
        )
        return NOT_PROVED
    return 0


@app.command()
@click.argument("model", metavar="MODEL.npz", type=_file)
@click.argument("data", metavar="DATA.csv", type=_file)
@click.option("--out", type=_out, help="Write to this file instead of stdout.")
@_json_option
def predict(model: Path, data: Path, out: Path | None, as_json: bool) -> int:
    """Predict the rows of a CSV file with a saved model.

    The columns are treated as in training: by name if that file had a header, else by position;
    the target's column may be missing. A value of a text column that the training data did not
    have counts as none of its categories, and stderr says so. For classes there is one more
    column with the probability of each.

    \b
    Examples:
      pyconvexnn predict model.npz new_houses.csv > prices.csv
      pyconvexnn predict model.npz new_houses.csv --json
    """  # noqa: D301
    if out is not None:
        check_folder(out)
    loaded = load_model(model)
    X, notes = loaded.recipe.apply(tables.read_table(data, header=loaded.recipe.header))
    for note in notes:
        say(note)
    predictions = loaded.predict(X)
    if as_json:
        text = json.dumps(predictions) + "\n"
    else:
        import pandas as pd

        text = pd.DataFrame(predictions).to_csv(index=False, lineterminator="\n")
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    return 0


@app.command()
@click.argument("data", metavar="DATA.csv", type=_file)
@click.option("--count", is_flag=True, help="Count them exactly; nothing is stored.")
@click.option("--out", type=_out, help="Save them to this file (.npz): all, or the sample.")
@click.option("--sample", type=click.IntRange(min=1), metavar="N", help="Draw N instead of all.")
@click.option("--method", default="gaussian", show_default=True, help="How --sample draws.")
@click.option("--target", help="Column to leave out: its name, or its index from 0.")
@click.option("--intercept/--no-intercept", default=False, help="Append a column of ones.")
@click.option("--header/--no-header", default=None, help="Of DATA.csv; found out by itself.")
@click.option("--threads", type=int, help="Threads; -1 for all cores.  [default: 1]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of N.")
@_json_option
def patterns(data: Path, out: Path | None, count: bool, as_json: bool, **options: Any) -> int:
    """Activation patterns of the rows of a CSV file: how many, all of them, or some.

    A pattern says for each row x whether x.u >= 0, for one direction u. Without --count, --out
    or --sample only the most that there can be is told. A sample that is not saved goes to
    stdout, a pattern a line, one digit 0 or 1 for each row of the file.

    \b
    Examples:
      pyconvexnn patterns houses.csv --target price --intercept
      pyconvexnn patterns houses.csv --target price --count
      pyconvexnn patterns houses.csv --target price --out patterns.npz
      pyconvexnn patterns houses.csv --target price --sample 1000 --out patterns.npz
    """  # noqa: D301
    n_wanted, threads = options["sample"], options["threads"]
    if count and (out is not None or n_wanted is not None):
        raise click.UsageError("--count goes with neither --out nor --sample")
    if out is not None:
        check_folder(out)
    X = tables.features(tables.read_table(data, header=options["header"]), options["target"])
    if options["intercept"]:
        X = np.column_stack([X, np.ones(len(X))])
    facts: dict[str, Any] = {"samples": X.shape[0], "features": X.shape[1]}
    with progress("patterns"), told_warnings():
        if n_wanted is not None:
            found = cx.sample_patterns(X, n_wanted, method=options["method"], seed=options["seed"])
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
            return 0
        facts |= {"patterns": len(found), "bits": lines}
    print_facts(facts, as_json)
    return 0


def _cell_facts(X: Any, count: bool, threads: int | None) -> dict[str, Any]:
    rows = reduced(as_matrix(X), True)
    facts = {"distinct hyperplanes": rows.count, "rank": rows.rank}
    if count:
        return {**facts, "patterns": cx.count_patterns(X, threads=threads)}
    most = cx.count_patterns(rows.count, rows.rank) if rows.count else 1
    return {**facts, "patterns at most": most}


@app.command()
@_json_option
def config(as_json: bool) -> int:
    """Show versions, instruction set, cores, and the BLAS of NumPy and SciPy.

    \b
    Example:
      pyconvexnn config
    """  # noqa: D301
    print_facts(cx.show_config(), as_json)
    return 0


# ---- training --------------------------------------------------------------------------------


def _chosen_task(table: tables.Table, target: str, task: str) -> str:
    if task != "auto":
        return task
    task = tables.guess_task(table, target)
    say(f"target {target!r}: {task} assumed (choose with --task)")
    return task


def _target(table: tables.Table, name: str, task: str) -> tuple[Any, list[str] | None]:
    if task == "classification":
        return tables.target_classes(table, name)
    return tables.target_numbers(table, name), None


def _estimator(task: str, options: dict[str, Any]) -> Any:
    estimator = cx.ConvexMLPRegressor if task == "regression" else cx.ConvexMLPClassifier
    return estimator(
        options["activation"],
        options["beta"],
        patterns=_pattern_option(options["patterns"]),
        fit_intercept=options["intercept"],
        tol=options["tol"],
        time_limit=options["time_limit"],
        threads=options["threads"],
        random_state=options["seed"],
    )


def _pattern_option(text: str) -> str | int:
    try:
        return int(text)
    except ValueError:
        return text


def _train(estimator: Any, X: Any, y: Any) -> float:
    """Fit with a progress bar; returns the seconds."""
    start = time.perf_counter()
    with progress("training") as bar, told_warnings(but="ConvergenceWarning"):
        # Without a terminal there is no callback, so that nothing stops the solver.
        follow = _gap_follower(bar, estimator.tol) if bar.visible else None
        estimator._fit(X, y, callback=follow)
    return time.perf_counter() - start


def _gap_follower(bar: Bar, tol: float) -> Callable[[cx.Progress], bool]:
    """Callback that shows how far the relative gap has come from 1 to tol, in decades."""

    def follow(state: cx.Progress) -> bool:
        gap = state.gap / abs(state.objective) if state.objective else 0.0
        gap = min(max(gap, tol), 1.0)
        bar.advance_to(math.log(gap) / math.log(tol) if tol < 1 else 1.0)
        bar.describe(f"relative gap {gap:.1e}, {state.active} neurons")
        return False

    return follow
