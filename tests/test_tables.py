"""CSV files to arrays: what is detected, what is refused, and that the recipe replays."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyconvexnn import tables


@pytest.fixture
def csv(tmp_path: Path) -> Any:
    def write(text: str, name: str = "data.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("a,b\n1,2\n3,4\n", True),
        ("1,2\n3,4\n", False),
        ("1,2,red\n3,4,blue\n", False),
        ("x,color\n3,blue\n4,red\n", True),  # x stands above numbers
        ("2019,2020,price\n1,2,3\n4,5,6\n", True),  # so does price
        ("size,color\nbig,red\nsmall,red\n", True),  # no name comes again
        ("big,red\nsmall,red\nbig,blue\n", False),  # red does
        ("?,1\n2,3\n", False),  # a missing value is no name
        ("a,b\n", False),  # nothing below to compare with
        ("a,\n1,2\n3,4\n", True),
    ],
)
def test_header_detection(csv: Any, text: str, header: bool) -> None:
    table = tables.read_table(csv(text))
    assert table.header is header
    assert table.n_rows == len(text.splitlines()) - header


def test_header_can_be_said(csv: Any) -> None:
    assert tables.read_table(csv("1,2\n3,4\n"), header=True).names == ["1", "2"]
    assert tables.read_table(csv("a,b\n3,4\n"), header=False).names == ["column 0", "column 1"]
    assert tables.read_table(csv("a,\n3,4\n")).names == ["a", "column 1"]


@pytest.mark.parametrize(
    "text",
    [
        "a,b\n1,x\n2,y z\n",
        "\ufeffa,b\r\n1,x\r\n2,y z\r\n",
        "a;b\n1;x\n2;y z\n",
        "a\tb\n1\tx\n2\ty z\n",
        ' a , "b"\n1, x\n\n2,"y z" \n',
    ],
)
def test_dialects(csv: Any, text: str) -> None:
    table = tables.read_table(csv(text))
    assert table.names == ["a", "b"]
    assert table.cells["b"].tolist() == ["x", "y z"]
    recipe = tables.learn_recipe(table, "a")
    assert recipe.features == ["b=x", "b=y z"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n1,2\n1,2,3\n", "is not a CSV file: Expected 2 fields in line 3, saw 3"),
        ('a,b\n1,"2\n', "is not a CSV file: EOF inside string"),
        ("a,a\n1,2\n", "the column name 'a' occurs twice"),
    ],
)
def test_files_that_are_no_tables(csv: Any, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tables.read_table(csv(text))


def test_other_encodings_and_missing_files(csv: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data\.csv is not UTF-8 text"):
        tables.read_table(csv("a,b\n1,é\n", encoding="latin-1"))
    with pytest.raises(FileNotFoundError):
        tables.read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="has no rows below its header"):
        tables.read_table(csv("a,b\n"), header=True)


def test_numbers_are_read_exactly(csv: Any) -> None:
    cells = ["0.1", "-1e-3", "+7.", ".5", "123456789.123456789", "2E5"]
    table = tables.read_table(csv("x,y\n" + "".join(f"{c},1\n" for c in cells)))
    X, notes = tables.learn_recipe(table, "y").apply(table)
    assert X[:, 0].tolist() == [float(c) for c in cells]
    assert notes == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,1\n,2\n", "'x' must have no missing values (it has 1), got '' in row 2 below"),
        ("x,y\nred,1\nNA,2\n?,3\n", "'x' must have no missing values (it has 2), got 'NA' in row"),
        ("x,y\n1,1\n2\n", "'y' must have no missing values (it has 1), got '' in row 2"),
        ("x,y\n1,1\ninf,2\n", "'x' must hold finite numbers, got 'inf' in row 2 below the header"),
        ("1,1\n1e999,2\n", "'column 0' must hold finite numbers, got '1e999' in row 2"),
    ],
)
def test_cells_that_are_refused(csv: Any, text: str, message: str) -> None:
    table = tables.read_table(csv(text))
    with pytest.raises(ValueError, match=re.escape(message)):
        tables.target_numbers(table, tables.learn_recipe(table, "-1").target)


def test_a_typo_in_a_long_column_of_numbers(csv: Any) -> None:
    rows = "".join(f"{k},1\n" for k in range(200))
    table = tables.read_table(csv("x,y\n" + rows + "12O,1\n"))
    with pytest.raises(ValueError, match=r"at most 100 different values .* got '12O' in row 201"):
        tables.learn_recipe(table, "y")


@pytest.mark.parametrize(
    ("target", "index"), [("b", 1), ("0", 0), ("2", 2), ("-1", 2), ("-3", 0), ("c", 2)]
)
def test_target(csv: Any, target: str, index: int) -> None:
    table = tables.read_table(csv("a,b,c\n1,2,3\n4,5,6\n"))
    assert tables.find_target(table, target) == index


def test_target_that_is_not_there(csv: Any) -> None:
    table = tables.read_table(csv("a,b\n1,2\n4,5\n"))
    with pytest.raises(ValueError, match="has no column 'z'; it has a, b"):
        tables.find_target(table, "z")
    with pytest.raises(ValueError, match="has no column '2'"):
        tables.find_target(table, "2")
    bare = tables.read_table(csv("1,2\n4,5\n"))
    with pytest.raises(ValueError, match=r"an index below 2 \(there is no header\)"):
        tables.find_target(bare, "a")
    with pytest.raises(ValueError, match="has no column besides the target 'a'"):
        tables.learn_recipe(tables.read_table(csv("a\n1\n2\n")), "a")


def test_name_that_looks_like_an_index(csv: Any) -> None:
    table = tables.read_table(csv("1,0,y\n1,2,3\n4,5,6\n"))
    assert tables.find_target(table, "0") == 1


def test_one_hot_and_replay(csv: Any) -> None:
    table = tables.read_table(csv("color,x,y\nred,1,0\nblue,2,1\nred,3,0\n"))
    recipe = tables.learn_recipe(table, "y")
    assert recipe.features == ["color=blue", "color=red", "x"]
    X, _ = recipe.apply(table)
    np.testing.assert_array_equal(X, [[0, 1, 1], [1, 0, 2], [0, 1, 3]])

    replayed = tables.Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert replayed == recipe
    # Other order, an extra column, no target, a color never seen.
    other = tables.read_table(csv("x,z,color\n5,9,red\n6,9,green\n"), header=True)
    X, notes = replayed.apply(other)
    np.testing.assert_array_equal(X, [[0, 1, 5], [0, 0, 6]])
    assert len(notes) == 1
    assert "'color'" in notes[0]
    assert "'green'" in notes[0]


def test_replay_by_position(csv: Any) -> None:
    recipe = tables.learn_recipe(tables.read_table(csv("1,a,2\n3,b,4\n")), "1")
    assert recipe.target_index == 1
    for text in ("5,?,6\n", "5,6\n"):
        X, _ = recipe.apply(tables.read_table(csv(text), header=False))
        np.testing.assert_array_equal(X, [[5, 6]])
    with pytest.raises(ValueError, match="must have 2 columns, or one more with the target at in"):
        recipe.apply(tables.read_table(csv("1,2,3,4\n"), header=False))


def test_replay_refuses_what_does_not_fit(csv: Any) -> None:
    recipe = tables.learn_recipe(tables.read_table(csv("a,b,y\n1,2,3\n4,5,6\n")), "y")
    with pytest.raises(ValueError, match="has no column 'b'"):
        recipe.apply(tables.read_table(csv("a,y\n1,2\n"), header=True))
    with pytest.raises(ValueError, match="column 'b' must hold finite numbers, got 'two' in row 1"):
        recipe.apply(tables.read_table(csv("a,b\n1,two\n"), header=True))


@pytest.mark.parametrize(
    "change",
    [
        {"header": 1},
        {"columns": []},
        {"columns": [{"name": "a"}]},
        {"columns": [{"name": 1, "categories": None}]},
        {"columns": [{"name": "a", "categories": [1]}]},
        {"columns": 3},
        {"columns": [3]},
        {"target": None},
        {"target_index": -1},
        {"target_index": 2},
        {"target_index": 10**4000},
        {"target_index": 1.0},
        {"columns": [{"name": "a", "categories": None}] * 2},
        {"columns": [{"name": "a", "categories": ["b", "b"]}]},
        {"columns": [{"name": "a", "categories": [str(i) for i in range(101)]}]},
    ],
)
def test_damaged_recipes(change: dict[str, Any]) -> None:
    whole = {
        "header": True,
        "columns": [{"name": "a", "categories": None}],
        "target": "y",
        "target_index": 1,
    }
    assert tables.Recipe.from_json(whole).features == ["a"]
    with pytest.raises(ValueError, match="the recipe for the columns is damaged"):
        tables.Recipe.from_json(whole | change)
    others: list[Any] = [None, 3, [], "text", {}]
    for wrong in others:
        with pytest.raises(ValueError, match="the recipe for the columns is damaged"):
            tables.Recipe.from_json(wrong)


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["yes", "no", "yes"], "classification"),
        (["0", "1", "1"], "classification"),
        (["3", "5", "8"], "classification"),
        (["0.5", "1", "1"], "regression"),
        ([str(k) for k in range(11)], "regression"),
    ],
)
def test_task(csv: Any, cells: list[str], task: str) -> None:
    table = tables.read_table(csv("x,y\n" + "".join(f"1,{c}\n" for c in cells)))
    assert tables.guess_task(table, "y") == task


def test_classes(csv: Any) -> None:
    table = tables.read_table(csv("x,y,z,c\n1,10,b,0\n2,9,a,0\n3,9.0,b,0\n4,0.5,a,0\n"))
    codes, classes = tables.target_classes(table, "y")
    assert (codes.tolist(), classes) == ([2, 1, 1, 0], ["0.5", "9", "10"])
    codes, classes = tables.target_classes(table, "z")
    assert (codes.tolist(), classes) == ([1, 0, 1, 0], ["a", "b"])
    with pytest.raises(ValueError, match="must have at least two classes, got one: '0'"):
        tables.target_classes(table, "c")


def test_classes_that_a_model_knows(csv: Any) -> None:
    table = tables.read_table(csv("x,y,z\n1,10,b\n2,9.0,a\n3,0.5,b\n"))
    assert tables.known_classes(table, "y", ["0.5", "9", "10"]).tolist() == [2, 1, 0]
    assert tables.known_classes(table, "z", ["a", "b", "c"]).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match=r"'z' must hold the classes a, c, got 'b' in row 1 below"):
        tables.known_classes(table, "z", ["a", "c"])
    with pytest.raises(ValueError, match=r"must hold the classes 9, 10, got '0\.5' in row 3"):
        tables.known_classes(table, "y", ["9", "10"])


def test_whole_numbers_too_large_for_classes(csv: Any) -> None:
    table = tables.read_table(csv("x,y\n1,9007199254740993\n2,9007199254740992\n"))
    assert tables.target_numbers(table, "y").tolist() == [2.0**53, 2.0**53]
    message = "'y' must hold text or numbers below 2^53 as classes, got '9007199254740993' in row 1"
    with pytest.raises(ValueError, match=re.escape(message)):
        tables.target_classes(table, "y")
    table = tables.read_table(csv("x,y\n1,9007199254740991\n2,9007199254740990\n"))
    assert tables.target_classes(table, "y")[1] == ["9007199254740990", "9007199254740991"]
