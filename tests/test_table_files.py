"""Parquet files: read as the CSV files of their cells, and refused in one sentence."""

from __future__ import annotations

import builtins
import datetime
import decimal
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyconvexnn import _table_files, tables
from pyconvexnn._typing import FloatArray


@pytest.fixture
def parquet(tmp_path: Path) -> Any:
    """Write columns by name."""

    def write(columns: dict[str, Any], name: str = "data.parquet") -> Path:
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    return write


def cells(path: Path) -> list[list[str]]:
    """Cells of the columns."""
    table = tables.read_table(path)
    return [table.cells[name].tolist() for name in table.names]


@pytest.mark.parametrize(
    ("column", "text"),
    [
        (pa.array([1.0, 0.1, 1e-7]), ["1", "0.1", "1e-7"]),
        (pa.array([0.1, 2.0], pa.float32()), ["0.1", "2"]),
        (pa.array([0.5, 2.0], pa.float16()), ["0.5", "2"]),
        (pa.array([2**63 - 1, -1]), ["9223372036854775807", "-1"]),
        (pa.array([2**64 - 1, 1], pa.uint64()), ["18446744073709551615", "1"]),
        (pa.array([decimal.Decimal("-1.50")]), ["-1.50"]),
        (pa.array([True, False, None]), ["True", "False", ""]),
        (pa.array([" a ", None, "b c"]), ["a", "", "b c"]),
        (pa.array(["a"], pa.large_string()), ["a"]),
        (pa.array(["a", None, "b"]).dictionary_encode(), ["a", "", "b"]),
        (pa.array([5, 6]).dictionary_encode(), ["5", "6"]),
        (pa.array([datetime.date(2020, 1, 31)]), ["2020-01-31"]),
        (pa.array([datetime.datetime(2020, 1, 31), None]), ["2020-01-31", ""]),
        (pa.array([datetime.datetime(2020, 1, 31, 7, 30)]), ["2020-01-31 07:30:00"]),
        (pa.array([None, 1.5, float("nan")]), ["", "1.5", "nan"]),
        (pa.nulls(2), ["", ""]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_types(parquet: Any, column: Any, text: list[str]) -> None:
    assert cells(parquet({"x": column})) == [text]


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pa.array([[1.0], [2.0]]), "list<element: double>"),
        (pa.array([{"a": 1}]), "struct<a: int64>"),
        (pa.array([b"1"]), "binary"),
        (pa.array([datetime.timedelta(1)]), "duration[us]"),
    ],
)
def test_columns_that_are_no_cells(parquet: Any, column: Any, kind: str) -> None:
    path = parquet({"x": pa.array([1.0] * len(column)), "bad": column})
    with pytest.raises(ValueError, match=re.escape(f"truth values, got {kind}")) as caught:
        tables.read_table(path)
    assert f"{path}: column 'bad' must hold numbers, text, dates" in str(caught.value)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, None], "'x' must have no missing values (it has 1), got '' in row 2"),
        ([1.0, float("nan")], "'x' must have no missing values (it has 1), got 'nan' in row 2"),
        ([1.0, float("inf")], "'x' must hold finite numbers, got 'inf' in row 2"),
        (["a", None], "'x' must have no missing values (it has 1), got '' in row 2"),
        ([str(k) + "x" for k in range(101)], "at most 100 different values (it has 101)"),
    ],
)
def test_cells_that_are_refused(parquet: Any, column: list[Any], message: str) -> None:
    table = tables.read_table(parquet({"x": column}))
    with pytest.raises(ValueError, match=re.escape(message)):
        tables.features(table)


def test_files_that_are_no_tables(parquet: Any, tmp_path: Path) -> None:
    whole = parquet({"x": [1.0, 2.0]}).read_bytes()
    path = tmp_path / "other.pq"
    for content in (b"", b"x,y\n1,2\n", b"PAR1", whole[:-1], whole[20:], b"PAR1" + bytes(99)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"other\.pq is not a Parquet file, or damaged: ."):
            tables.read_table(path)
    with pytest.raises(FileNotFoundError):
        tables.read_table(tmp_path / "none.parquet")
    with pytest.raises(ValueError, match="has no rows"):
        tables.read_table(parquet({"x": pa.array([], pa.float64())}))
    with pytest.raises(ValueError, match="has no rows"):
        tables.read_table(parquet({}))
    with pytest.raises(ValueError, match="the column name 'x' occurs twice"):
        tables.read_table(parquet({"x": [1], " x": [1]}))
    (tmp_path / "named.csv").write_bytes(whole)
    with pytest.raises(ValueError, match=r"named\.csv is not UTF-8 text"):
        tables.read_table(tmp_path / "named.csv")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_damaged_bytes_are_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "data.parquet"
    pq.write_table(pa.table({"x": [1.5, 2.5] * 9, "c": ["a", "b"] * 9}), path)
    content = bytearray(path.read_bytes())
    for place, byte in changes:
        content[round(place * (len(content) - 1))] = byte
    path.write_bytes(content)
    message = ""
    try:
        tables.read_table(path)
    except (ValueError, MemoryError) as error:
        message = str(error)
    assert "\n" not in message


def test_more_cells_than_memory(parquet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_table_files, "available_bytes", lambda: 1000)
    path = parquet({"x": [1.0] * 6, "y": [1.0] * 6})
    with pytest.raises(MemoryError, match="has 6 rows of 2 columns, which take some 1200 bytes"):
        tables.read_table(path)


def test_without_pyarrow(parquet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet({"x": [1.0]})
    load = builtins.__import__

    def refuse(name: str, *arguments: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return load(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match="Parquet files need pyarrow: pip install pyarrow"):
        tables.read_table(path)


def test_index_of_pandas(tmp_path: Path) -> None:
    """Without a name it is no column, with one it is."""
    path = tmp_path / "data.parquet"
    frame = pd.DataFrame({"x": [1, 2, 4], "c": ["a", "b", "a"]})
    frame[frame["x"] > 1].to_parquet(path)
    assert tables.read_table(path).names == ["x", "c"]
    frame.set_index("x").to_parquet(path)
    assert tables.read_table(path).names == ["c", "x"]


def test_folders_are_no_partitions(parquet: Any, tmp_path: Path) -> None:
    (tmp_path / "year=2020").mkdir()
    assert tables.read_table(parquet({"x": [1.0]}, "year=2020/data.parquet")).names == ["x"]


def test_columns_by_position(parquet: Any) -> None:
    path = parquet({"x": [1.0], "": [2.0]})
    assert tables.read_table(path).names == ["x", "column 1"]
    assert tables.read_table(path, header=False).names == ["column 0", "column 1"]


# ---- beside CSV --------------------------------------------------------------------------------


def both(tmp_path: Path, frame: pd.DataFrame) -> tuple[Path, Path]:
    """The same table as CSV and as Parquet."""
    frame.to_csv(tmp_path / "twin.csv", index=False)
    frame.to_parquet(tmp_path / "twin.parquet", index=False)
    return tmp_path / "twin.csv", tmp_path / "twin.parquet"


def mixed(n_rows: int = 60) -> pd.DataFrame:
    """Columns of most kinds."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "double": rng.standard_normal(n_rows) * 10.0 ** rng.integers(-300, 300, n_rows),
            "single": rng.standard_normal(n_rows).astype(np.float32),
            "whole": rng.integers(-(2**62), 2**62, n_rows),
            "flag": rng.random(n_rows) < 0.5,
            "color": pd.Categorical(rng.choice(["red", "blue", "green"], n_rows)),
            "day": pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 9, n_rows), "D"),
            "text": rng.choice(["a, b", ' "c"', "d"], n_rows),
            "y": rng.standard_normal(n_rows),
        }
    )


def test_the_same_bits_as_csv(tmp_path: Path) -> None:
    frame = mixed()
    from_csv, from_parquet = (tables.read_table(path) for path in both(tmp_path, frame))
    recipe = tables.learn_recipe(from_csv, "y")
    assert tables.learn_recipe(from_parquet, "y") == recipe
    replayed = tables.Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    X, notes = replayed.apply(from_parquet)
    assert notes == []
    np.testing.assert_array_equal(X, recipe.apply(from_csv)[0])
    np.testing.assert_array_equal(X[:, 0], frame["double"])
    y: FloatArray = tables.target_numbers(from_parquet, "y")
    np.testing.assert_array_equal(y, frame["y"])


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
@settings(max_examples=50, deadline=None)
def test_doubles_are_read_exactly(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    path = tmp_path_factory.mktemp("exact") / "data.parquet"
    pq.write_table(pa.table({"x": values}), path)
    X = tables.features(tables.read_table(path))
    assert X[:, 0].tobytes() == np.array(values).tobytes()


@pytest.mark.parametrize("spelling", ["true,false", "TRUE,FALSE", "True,False"])
def test_truth_values_are_spelled_in_many_ways(parquet: Any, tmp_path: Path, spelling: str) -> None:
    yes, no = spelling.split(",")
    csv = tmp_path / "flags.csv"
    csv.write_text(f"x,y\n{yes},1\n{no},2\n")
    twin = tables.read_table(parquet({"x": [True, False], "y": [1, 2]}))
    recipe = tables.learn_recipe(tables.read_table(csv), "y")
    X, notes = recipe.apply(twin)
    np.testing.assert_array_equal(X, recipe.apply(tables.read_table(csv))[0])
    assert notes == []
    assert tables.known_classes(twin, "x", [no, yes]).tolist() == [1, 0]
    # Where a file has two of the spellings they are two categories.
    csv.write_text("x,y\nTrue,1\ntrue,2\nother,3\n")
    table = tables.read_table(csv)
    X, _ = tables.learn_recipe(table, "y").apply(table)
    np.testing.assert_array_equal(X.sum(axis=0), [1, 1, 1])
