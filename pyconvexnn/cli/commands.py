"""The command line. Data go to stdout, messages to stderr, and the exit code says how it went.

Exit codes: 0; 2 for bad input, with one sentence; 3 when the optimum was not proved to ``--tol``;
130 when interrupted.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import pyconvexnn as cx
from pyconvexnn import tables
from pyconvexnn._cells import reduced
from pyconvexnn._validation import as_matrix
from pyconvexnn.certificates import Certificate
from pyconvexnn.cli import training
from pyconvexnn.cli.models import Model, load_model, provable
from pyconvexnn.cli.terminal import (
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
      pyconvexnn certify model.npz houses.csv
      pyconvexnn predict model.npz new_houses.csv > prices.csv
    """  # noqa: D301
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@app.command()
@click.option("--plot", type=_out, help="Draw objective and bound over time into this file.")
@click.option(
    "--time-limit",
    type=click.FloatRange(min=0, min_open=True),
    default=6.0,
    show_default=True,
    help="Seconds of our training on each data set.",
)
@_json_option
def demo(plot: Path | None, time_limit: float, as_json: bool) -> int:
    """Train ReLU networks on real data, with the proof, beside scikit-learn's MLP.

    Two data sets, each with three features, where the optimum over all networks is proved, and with
    all, where it is told what could be proved in the time. Exit code 3 when one of the former was
    not proved.

    \b
    Examples:
      pyconvexnn demo
      pyconvexnn demo --time-limit 30 --plot certificate.png
    """  # noqa: D301
    from pyconvexnn import demo as computation
    from pyconvexnn.cli import comparison as shown

    if plot is not None:
        shown.check_plot(plot)
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
        shown.draw(comparisons, plot)
        say(f"wrote {plot}")
    few = [comparison for comparison in comparisons if comparison.features is not None]
    return 0 if all(comparison.proved for comparison in few) else NOT_PROVED


@app.command()
@click.argument("data", metavar="DATA.csv", type=_file)
@click.option("--target", required=True, help="Column to predict: its name, or its index from 0.")
@click.option(
    "--beta",
    required=True,
    type=float,
    help="Weight of the penalty, > 0: beta/2 times the squared weights.",
)
@click.option("--save", required=True, type=_out, help="File for the model (.npz).")
@click.option(
    "--activation",
    default="relu",
    show_default=True,
    help="One of relu, leaky_relu, abs, gated_relu.",
)
@click.option(
    "--patterns",
    default="auto",
    show_default=True,
    help="auto: all, of a network with gates 20000 or fewer; N: so many drawn; exact: all, listed.",
)
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
@click.option(
    "--time-limit",
    type=float,
    help="Seconds; the best network so far is saved.  "
    f"[default: {training.TIME_LIMIT:g} over all patterns, else none]",
)
@click.option("--threads", type=int, help="Threads; -1 for all cores.  [default: 1]")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of all randomness."
)
@_json_option
def fit(data: Path, as_json: bool, save: Path, **options: Any) -> int:
    """Train on a CSV file and save the model.

    The network is an ordinary one with ReLUs, trained to the optimum over all widths and all
    activation patterns, and the lower bound printed holds for all such networks. A proof to --tol
    is usual up to about six features; with many it is out of reach, and what could be proved is
    told (exit code 3). With --patterns N, and for networks with gates, the bound holds for networks
    on the patterns drawn. --patterns exact lists every pattern first, which takes few features or
    few rows; of networks with gates it is the one way to the best of all.

    What is minimised is the sum of the losses and beta/2 times the squared weights. The best
    network has no neurons from "beta max" on, which is told for all patterns and one output: begin
    with a tenth to a hundredth of it.

    Numbers are used as they are: nothing is standardised, so that beta keeps its meaning. Columns
    of text become one column of 0 and 1 for each value. A missing value is refused. Two classes
    give one network output, more classes one output for each. The output has no offset, and columns
    far from zero or of different sizes are hard: standardise the columns, and the target of a
    regression, beforehand.

    \b
    Examples:
      pyconvexnn fit houses.csv --target price --beta 10 --save model.npz
      pyconvexnn fit iris.csv --target -1 --beta 0.1 --activation gated_relu --save iris.npz
    """  # noqa: D301
    check_folder(save)
    table = tables.read_table(data, header=options["header"])
    recipe = tables.learn_recipe(table, options["target"])
    task = _chosen_task(table, recipe.target, options["task"])
    X, _ = recipe.apply(table)
    y, classes = _target(table, recipe.target, task)
    trained = training.train(X, y, classes, options)

    certificate, network = trained.certificate, trained.network
    scaling = 1.0 if options["intercept"] else None
    model = Model(network, recipe, classes, scaling, options["beta"])
    model.save(save)
    facts = {
        "task": task,
        "target": recipe.target,
        "samples": table.n_rows,
        "features": len(recipe.features),
        "classes": classes,
        "activation": network.activation,
        "beta": model.beta,
        "beta_max": trained.beta_max,
        "loss": model.loss,
        "patterns": trained.n_patterns,
        **_proof_facts(certificate),
        "neurons": network.n_neurons,
        "train_score": training.score(model, X, y) if table.n_rows > 1 else None,
        "seconds": trained.seconds,
        "model": str(save),
    }
    _print_proof(facts, certificate, as_json)
    if not certificate.is_optimal:
        say(
            f"not proved: relative gap {certificate.relative_gap:.3g} is above --tol "
            f"{certificate.rtol:g} (stopped with status {', '.join(trained.reasons)}); the model "
            "is saved all the same. Standardised columns or a larger --beta make it easier"
            + (", more time may do" if "TIME_LIMIT" in trained.reasons else "")
        )
        return NOT_PROVED
    return 0


@app.command()
@click.argument("model", metavar="MODEL.npz", type=_file)
@click.argument("data", metavar="DATA.csv", type=_file)
@click.option("--target", help="Column to predict: name, or index from 0.  [default: the model's]")
@click.option("--beta", type=float, help="Weight of the penalty, > 0.  [default: the model's]")
@click.option("--tol", default=1e-4, show_default=True, help="Relative gap to prove.")
@click.option(
    "--time-limit", default=training.TIME_LIMIT, show_default=True, help="Seconds for the proof."
)
@click.option(
    "--improve/--no-improve", default=True, help="Train on, for a better bound; the default."
)
@click.option("--save", type=_out, help="File for the best network met, as a model (.npz).")
@click.option("--threads", type=int, help="Threads; -1 for all cores.  [default: 1]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of starts.")
@_json_option
def certify(model: Path, data: Path, as_json: bool, save: Path | None, **options: Any) -> int:
    """Prove how far a saved model is from the best network of any width on a CSV file.

    The objective is that of training, the sum of the losses and beta/2 times the squared weights;
    the lower bound holds for every network with the model's activation and the same columns,
    whatever its patterns. The columns are treated as in training. A model of a gated network, or
    of more than two classes, is refused.

    \b
    Examples:
      pyconvexnn certify model.npz houses.csv
      pyconvexnn certify model.npz houses.csv --target price --beta 10 --save better.npz
    """  # noqa: D301
    if save is not None:
        check_folder(save)
    loaded = load_model(model)
    network = provable(loaded.network, model)
    table = tables.read_table(data, header=loaded.recipe.header)
    X, notes = loaded.recipe.apply(table)
    y = _known_target(loaded, model, table, options["target"])
    beta = loaded.beta if options["beta"] is None else options["beta"]
    if beta is None:
        raise click.UsageError(f"{model} does not say its penalty: give --beta")
    for note in notes:
        say(note)
    inputs = loaded.data(X)
    start = time.perf_counter()
    with progress("proving"), told_warnings(but="ConvergenceWarning"):
        certificate = cx.certify(
            network,
            inputs,
            y,
            beta,
            loss=loaded.loss,
            rtol=options["tol"],
            improve=options["improve"],
            time_limit=options["time_limit"],
            threads=options["threads"],
            seed=options["seed"],
        )
    best = certificate.best_network
    facts = {
        "model": str(model),
        "samples": table.n_rows,
        "activation": network.activation,
        "neurons": network.n_neurons,
        "beta": beta,
        "loss": loaded.loss,
        **_proof_facts(certificate),
        "rounding_slack": certificate.rounding_slack,
        "best_objective": certificate.best_objective,
        "best_neurons": None if best is None else best.n_neurons,
        "seconds": time.perf_counter() - start,
        "best_model": None if save is None else str(save),
    }
    if save is not None and best is not None:
        dataclasses.replace(loaded, network=best, beta=float(beta)).save(save)
    _print_proof(facts, certificate, as_json)
    return 0 if certificate.is_optimal else NOT_PROVED


def _known_target(loaded: Model, model: Path, table: tables.Table, target: str | None) -> Any:
    """Target in a table of what a model predicts: numbers, or -1 and +1 (a column each of many)."""
    if target is not None:
        name = table.names[tables.find_target(table, target)]
        if name in loaded.recipe.find_columns(table):
            raise ValueError(f"column {name!r} is a feature of {model} and cannot be its target")
    else:
        recipe = loaded.recipe
        place = recipe.target if recipe.header else str(recipe.target_index)
        name = table.names[tables.find_target(table, place)]
    if loaded.classes is None:
        return tables.target_numbers(table, name)
    codes = tables.known_classes(table, name, loaded.classes)
    return training.targets_of(codes, loaded.classes)[:, 0]


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


# ---- what fit and certify share ----------------------------------------------------------------


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


def _proof_facts(certificate: Certificate) -> dict[str, Any]:
    return {
        "objective": certificate.objective,
        "lower_bound": certificate.lower_bound,
        "relative_gap": certificate.relative_gap,
        "proved": certificate.is_optimal,
        "method": certificate.method,
    }


def _print_proof(facts: dict[str, Any], certificate: Certificate, as_json: bool) -> None:
    """Print the facts, and the three levels of what is known in words."""
    levels = certificate.summary().splitlines()
    if as_json:
        print_json({**facts, "summary": levels})
        return
    if certificate.method == "patterns" and certificate.is_optimal:
        facts = {**facts, "proved": "yes, over the patterns"}
    print_facts(facts, as_json)
    click.echo("\n" + "\n".join(levels))
