"""The command line. Data go to stdout, messages to stderr, and the exit code says how it went.

Exit codes: 0; 2 for bad input, with one sentence; 3 when the optimum was not proved to ``--tol``;
130 when interrupted.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import json
import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

import pyconvexnn as cx
from pyconvexnn import networks, tables

if TYPE_CHECKING:
    from pyconvexnn.demo import Comparison

BAD_INPUT, NOT_PROVED, INTERRUPTED = 2, 3, 130
PROGRESS_AFTER = 1.0  # seconds
PLAIN_WIDTH = 120  # columns of a table that does not go to a terminal
MODEL_FORMAT = "pyconvexnn fit 1"


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; bad input becomes one sentence on stderr."""
    try:
        code = app.main(args=list(arguments), prog_name="pyconvexnn", standalone_mode=False)
    except click.ClickException as error:
        return _complain(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (ValueError, NotImplementedError, ImportError, MemoryError) as error:
        return _complain(str(error) or type(error).__name__)
    return code if isinstance(code, int) else 0


def _say(message: str) -> None:
    click.echo(f"pyconvexnn: {' '.join(message.split())}", err=True)


def _complain(message: str) -> int:
    _say(message)
    return BAD_INPUT


# ---- commands --------------------------------------------------------------------------------

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
_csv = click.Path(exists=True, dir_okay=False, path_type=Path)
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
    if plot is not None:
        _check_plot(plot)
    from pyconvexnn import demo as computation

    with _progress("demo") as bar, _told_warnings():
        comparisons = computation.run(bar.describe)
    if as_json:
        _print_json({"datasets": [_comparison_json(comparison) for comparison in comparisons]})
    else:
        console = _console()
        for comparison in comparisons:
            console.print(_comparison_table(comparison))
            console.print(_comparison_note(comparison), highlight=False)
            console.print()
    if plot is not None:
        _draw_demo(comparisons, plot)
        _say(f"wrote {plot}")
    return 0 if all(comparison.proved for comparison in comparisons) else NOT_PROVED


@app.command()
@click.argument("data", metavar="DATA.csv", type=_csv)
@click.option("--target", required=True, help="Column to predict: its name, or its index from 0.")
@click.option("--beta", required=True, type=float, help="Weight of the penalty, > 0.")
@click.option("--save", required=True, type=_out, help="File for the model (.npz).")
@click.option("--activation", default="gated_relu", show_default=True, help="Network to train.")
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
@click.option("--seed", default=0, show_default=True, help="Seed of the gates.")
@_json_option
def fit(data: Path, as_json: bool, save: Path, **options: Any) -> int:
    """Train on a CSV file and save the model.

    Numbers are used as they are: nothing is standardised, so that beta keeps its meaning. Columns
    of text become one column of 0 and 1 for each value. A missing value is refused. Two classes
    give one network output, more classes one output for each.

    \b
    Examples:
      pyconvexnn fit houses.csv --target price --beta 10 --save model.npz
      pyconvexnn fit iris.csv --target -1 --beta 0.1 --patterns 500 --save iris.npz
    """  # noqa: D301
    _check_folder(save)
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
    extra = {
        "made_by": MODEL_FORMAT,
        "task": task,
        "classes": classes,
        "intercept_scaling": estimator.intercept_scaling if estimator.fit_intercept else None,
        "recipe": recipe.to_json(),
    }
    networks.write_network(save, estimator.network_, extra)
    _print_facts(facts, as_json)
    if not certificate.is_optimal:
        _say(
            f"not proved: relative gap {certificate.relative_gap:.3g} is above --tol "
            f"{estimator.tol:g}; the model is saved all the same (more time helps, and columns of "
            "like size and mean)"
        )
        return NOT_PROVED
    return 0


@app.command()
@click.argument("model", metavar="MODEL.npz", type=_csv)
@click.argument("data", metavar="DATA.csv", type=_csv)
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
        _check_folder(out)
    network, extra = networks.read_network(model)
    recipe, classes, scaling = _model_parts(model, network, extra)
    X, notes = recipe.apply(tables.read_table(data, header=recipe.header))
    for note in notes:
        _say(note)
    predictions = _predictions(network, X, classes, scaling)
    if as_json:
        text = json.dumps({name: list(values) for name, values in predictions.items()}) + "\n"
    else:
        import pandas as pd

        text = pd.DataFrame(predictions).to_csv(index=False, lineterminator="\n")
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    return 0


@app.command()
@_json_option
def config(as_json: bool) -> int:
    """Show versions, instruction set, BLAS and cores.

    \b
    Example:
      pyconvexnn config
    """  # noqa: D301
    _print_facts(cx.show_config(), as_json)
    return 0


# ---- training --------------------------------------------------------------------------------


def _chosen_task(table: tables.Table, target: str, task: str) -> str:
    if task != "auto":
        return task
    task = tables.guess_task(table, target)
    _say(f"target {target!r} is taken as {task}; --task says otherwise")
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
    with _progress("training") as bar, _told_warnings(but="ConvergenceWarning"):
        # Without a terminal there is no callback, so that nothing stops the solver.
        follow = _gap_follower(bar, estimator.tol) if bar.visible else None
        estimator._fit(X, y, callback=follow)
    return time.perf_counter() - start


def _gap_follower(bar: _Bar, tol: float) -> Callable[[cx.Progress], bool]:
    """Callback that shows how far the relative gap has come from 1 to tol, in decades."""

    def follow(progress: cx.Progress) -> bool:
        gap = progress.gap / abs(progress.objective) if progress.objective else 0.0
        gap = min(max(gap, tol), 1.0)
        bar.advance_to(math.log(gap) / math.log(tol) if tol < 1 else 1.0)
        bar.describe(f"relative gap {gap:.1e}, {progress.active} neurons")
        return False

    return follow


# ---- models ----------------------------------------------------------------------------------


def _model_parts(
    path: Path, network: cx.GatedNetwork, extra: dict[str, Any]
) -> tuple[tables.Recipe, list[str] | None, float | None]:
    """Recipe, classes and intercept of a model file, checked: it may be anybody's."""
    if extra.get("made_by") != MODEL_FORMAT:
        raise ValueError(f"{path} is a network but not a model that `pyconvexnn fit` saved")
    try:
        recipe = tables.Recipe.from_json(extra.get("recipe"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    classes, scaling = extra.get("classes"), extra.get("intercept_scaling")
    expected = 1 if classes is None or len(classes) == 2 else len(classes)
    width = len(recipe.features) + (scaling is not None)
    if (
        not (classes is None or (isinstance(classes, list) and len(classes) >= 2))
        or not all(isinstance(name, str) for name in classes or [])
        or not (scaling is None or isinstance(scaling, float))
        or network.n_outputs != expected
        or network.n_features != width
    ):
        raise ValueError(f"{path}: its network does not fit its recipe for the columns")
    return recipe, classes, scaling


def _predictions(
    network: cx.GatedNetwork, X: Any, classes: list[str] | None, scaling: float | None
) -> dict[str, list[Any]]:
    """Columns to print: the prediction and, for classes, the probability of each."""
    from pyconvexnn.estimators.base import with_intercept
    from pyconvexnn.estimators.classifier import predicted_codes, probabilities

    scores = network.predict(with_intercept(X, scaling))
    if classes is None:
        return {"prediction": scores.tolist()}
    columns: dict[str, list[Any]] = {
        "prediction": [classes[code] for code in predicted_codes(scores)]
    }
    for name, values in zip(classes, probabilities(scores).T, strict=True):
        columns[f"probability {name}"] = values.tolist()
    return columns


# ---- output ----------------------------------------------------------------------------------


def _console() -> Console:
    """Console for stdout; NO_COLOR and the terminal's width are rich's own business."""
    return Console() if sys.stdout.isatty() else Console(width=PLAIN_WIDTH)


def _print_json(data: dict[str, Any]) -> None:
    click.echo(json.dumps(data, indent=2))


def _print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Print names and values, one a line."""
    if as_json:
        _print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name.replace('_', ' '):<{width}}  {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.8g}"
    return ", ".join(value) if isinstance(value, list) else str(value)


@contextlib.contextmanager
def _told_warnings(but: str = "") -> Iterator[None]:
    """Turn warnings into sentences on stderr; one kind may be told in another way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")  # deprecations are not the user's business
        warnings.simplefilter("default", UserWarning)
        yield
    for warning in caught:
        if warning.category.__name__ != but:
            _say(str(warning.message))


class _Bar:
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

    def start(self) -> None:
        """Show the bar."""
        self._progress.start()

    def stop(self) -> None:
        """Take the bar away."""
        self._progress.stop()


@contextlib.contextmanager
def _progress(title: str) -> Iterator[_Bar]:
    bar = _Bar(title)
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


def _check_folder(path: Path) -> None:
    """Refuse before the work what could not be written after it."""
    if not path.parent.is_dir():
        raise ValueError(f"the folder of {path} does not exist")


# ---- demo ------------------------------------------------------------------------------------


def _comparison_table(comparison: Comparison) -> Table:
    table = Table(
        title=(
            f"{comparison.dataset}: {comparison.task} ({comparison.score}), {comparison.n_train} training and "
            f"{comparison.n_test} held-out samples, {comparison.n_features} features, "
            f"beta = {comparison.beta:g}, {comparison.n_patterns} patterns"
        ),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    table.add_column("model")
    numbers = (
        "objective",
        "dual\nbound",
        "relative\ngap",
        "neurons",
        "train",
        "held\nout",
        "seconds",
    )
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for row in comparison.rows:
        table.add_row(
            row.model,
            f"{row.objective:.4f}",
            "-" if row.dual_bound is None else f"{row.dual_bound:.4f}",
            "-" if row.relative_gap is None else f"{row.relative_gap:.1e}",
            str(row.neurons),
            f"{row.train_score:.3f}",
            f"{row.test_score:.3f}",
            f"{row.seconds:.2f}",
        )
    return table


def _comparison_note(comparison: Comparison) -> str:
    return (
        "Objective: sum of the losses + beta/2 * (squared weights of both layers and hidden "
        "biases b1). scikit-learn does not penalise b1; without it its row would say "
        f"{comparison.mlp_objective_without_b1:.4f}."
    )


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    data = {
        field.name: getattr(comparison, field.name)
        for field in dataclasses.fields(comparison)
        if field.name != "solution"
    }
    return data | {"rows": [dataclasses.asdict(row) for row in comparison.rows]}


def _check_plot(path: Path) -> None:
    """Refuse a plot that could not be written before the demo is computed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
    except ImportError:
        raise ImportError('--plot needs matplotlib: pip install "pyconvexnn[plot]"') from None
    _check_folder(path)
    known = sorted(FigureCanvasAgg.get_supported_filetypes())
    if path.suffix[1:].lower() not in known:
        raise ValueError(f"--plot must end in one of .{', .'.join(known)}; got {path.name}")


def _draw_demo(comparisons: Sequence[Comparison], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(comparisons), 3.6), layout="constrained")
    for ax, comparison in zip(figure.subplots(1, len(comparisons)), comparisons, strict=True):
        cx.plots.certificate(comparison.solution, ax=ax)
        ax.set_title(f"{comparison.dataset}, beta = {comparison.beta:g}")
    figure.savefig(path, dpi=150)
