"""``pyconvexnn predict``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pyconvexnn import tables
from pyconvexnn._files import writing
from pyconvexnn.cli import options
from pyconvexnn.cli.models import load_model
from pyconvexnn.cli.terminal import check_outputs, say


@click.command()
@options.model_argument
@options.data_argument
@click.option("--out", type=options.new_file, help="Write to this file instead of stdout.")
@options.json
def predict(model: Path, data: Path, out: Path | None, as_json: bool) -> int:
    """Predict the rows of a file with a saved model.

    \b
    Examples:
      pyconvexnn predict model.npz new_houses.csv > prices.csv
      pyconvexnn predict model.npz new_houses.parquet --json

    DATA is a CSV or Parquet file, whatever the model was trained on. Its columns are treated as in
    training: by name if that file had a header, else by position; the target's column may be
    missing. A value of a text column that the training data did not have counts as none of its
    categories, and stderr says so. For classes there is one more column with the probability of
    each, but with the hinges; for counts the prediction is the rate.

    Keys of --json: prediction and, for classes, one for each probability; each a list.
    """  # noqa: D301
    check_outputs(out, kept=[model, data])
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
        with writing(out) as file:
            file.write(text.encode("utf-8"))
    return options.OK
