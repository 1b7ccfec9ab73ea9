"""The command line: ``certify --proof``, and ``verify`` of what it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyconvexnn as cx
from pyconvexnn.proofs import checker, header, with_columns
from tests.proofs.forging import halved, loose


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Numbers, a column of text, and a target of two classes, as CSV."""
    rng = np.random.default_rng(2)
    lines = ["p,q,colour,kind"]
    for p, q in rng.normal(3.0, 2.0, (24, 2)).tolist():
        colour, kind = ("red" if q > 3 else "blue"), ("yes" if p + rng.normal() > 3 else "no")
        lines.append(f"{p!r},{q!r},{colour},{kind}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def proof(run: Any, table: Path, tmp_path: Path) -> Path:
    """Of a model of weighted classes on standardised columns."""
    model, file = tmp_path / "model.npz", tmp_path / "model.cxproof"
    options = ["--beta", "0.7", "--scale", "standard", "--class-weight", "balanced"]
    assert run("fit", table, "--target", "kind", *options, "--save", model)[0] == 0
    code, out, _ = run("certify", model, table, "--proof", file, "--json")
    facts = json.loads(out)
    assert (code, facts["proof"]) == (0, str(file))
    assert header(file)["lower_bound"] == facts["lower_bound"]
    return file


@pytest.mark.parametrize("exact", [False, True])
def test_a_proof_of_the_command_line_holds(run: Any, proof: Path, table: Path, exact: bool) -> None:
    code, out, err = run("verify", proof, table, "--json", *(["--exact"] if exact else []))
    facts = json.loads(out)
    assert (code, err, facts["proved"], facts["reason"]) == (0, "", True, None)
    assert facts["lower_bound"] == header(proof)["lower_bound"] > 0
    assert (facts["samples"], facts["features"]) == (24, 5)
    assert (facts["beta"], facts["loss"], facts["activation"]) == (0.7, "logistic", "relu")
    assert facts["arithmetic"] == ("exact decimals" if exact else "floats, inflated")
    assert facts["leaves"] > 0
    # What it is a proof of: anybody may have chosen it.
    assert facts["target"] == ["kind"]
    assert "p" in facts["columns"]
    assert len(facts["mean"]) == len(facts["scale"]) == len(facts["columns"]) == 4
    assert len(facts["classes"]) == len(facts["class_weight"]) == 2
    assert facts["delta"] is None
    code, out, _ = run("verify", proof, table)
    assert code == 0
    assert "lower bound" in out
    code, _, err = run("verify", proof, table, "--target", "kind", "--target", "p")
    assert code == 2
    assert "given once" in err


def test_a_long_check_is_asked_for(run: Any, tmp_path: Path) -> None:
    X = np.random.default_rng(0).standard_normal((2000, 2))
    made = loose(X, np.eye(2), halved(2, 12))
    assert "patient" in str(made.refused(tmp_path / "a.cxproof"))
    np.savetxt(
        tmp_path / "a.csv",
        np.column_stack([made.X, made.y]),
        delimiter=",",
        header="a,b,y",
        comments="",
    )
    code, out, err = run("verify", tmp_path / "a.cxproof", tmp_path / "a.csv")
    assert (code, out) == (3, "")
    assert "refused: its check takes 3e+09 steps: ask it to be patient" in err
    code, out, _ = run("verify", tmp_path / "a.cxproof", tmp_path / "a.csv", "--patient", "--json")
    assert (code, json.loads(out)["leaves"]) == (0, 2 * 4 * 4096)


def test_other_data_are_refused(run: Any, proof: Path, table: Path) -> None:
    rows = table.read_text().split("\n")
    rows[3] = rows[3].replace("red", "x").replace("blue", "red").replace("x", "blue")
    table.write_text("\n".join(rows))
    code, out, err = run("verify", proof, table, "--json")
    facts = json.loads(out)
    assert (code, facts["proved"], facts["reason"]) == (3, False, "it is of other data")
    assert "refused" in err


def test_a_damaged_proof_is_refused(run: Any, proof: Path, table: Path) -> None:
    data = bytearray(proof.read_bytes())
    data[len(data) // 2] ^= 1
    proof.write_bytes(data)
    code, out, err = run("verify", proof, table)
    assert (code, out) == (3, "")
    assert "damaged" in err


@pytest.mark.parametrize(
    "columns", [[], {}, {"recipe": 3}, {"recipe": {}, "classes": ["a"]}, "text", 1.5]
)
def test_hostile_columns_are_refused(run: Any, proof: Path, table: Path, columns: Any) -> None:
    with_columns(proof, columns, proof)
    code, _, err = run("verify", proof, table)
    assert code == 3
    assert "refused" in err


def test_a_proof_of_python(run: Any, tmp_path: Path) -> None:
    # The target is the last column, and hidden biases are weights on a column of ones.
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    y = np.abs(X[:, 0]) + rng.normal(0, 0.1, 20)
    file, table = tmp_path / "a.cxproof", tmp_path / "a.csv"
    rows = np.column_stack([X, y]).tolist()
    table.write_text("\n".join(["a,b,y", *(",".join(map(repr, row)) for row in rows)]))
    net = cx.TwoLayerNetwork.from_arrays([[1.0, 0.0]], [[1.0]], b1=[0.0])
    cert = cx.certify(net, X, y, 0.5, proof=file)
    code, out, err = run("verify", file, table, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (code, facts["features"], facts["lower_bound"]) == (0, 3, cert.lower_bound)
    assert run("verify", file, table, "--target", "a")[0] == 3


def test_a_proof_of_several_outputs(run: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    Y = np.column_stack([np.abs(X[:, 0]), X[:, 1]]) + rng.normal(0, 0.1, (20, 2))
    file, table = tmp_path / "a.cxproof", tmp_path / "a.csv"
    rows = np.column_stack([X, Y]).tolist()
    table.write_text("\n".join(["a,b,y,z", *(",".join(map(repr, row)) for row in rows)]))
    net = cx.TwoLayerNetwork.from_arrays([[1.0, 0.0]], [[1.0, 0.0]])
    cx.certify(net, X, Y, 0.5, proof=file)
    bound = header(file)["lower_bound"]
    for more in ([], ["--target", "y", "--target", "3"]):
        code, out, _ = run("verify", file, table, "--json", *more)
        facts = json.loads(out)
        assert (code, facts["features"], facts["lower_bound"]) == (0, 2, bound)
    for wrong in (["z", "y"], ["z"], ["a", "b", "y"]):
        options = [word for name in wrong for word in ("--target", name)]
        assert run("verify", file, table, *options)[0] == 3
    narrow = tmp_path / "narrow.csv"
    narrow.write_text("a,b\n1,2\n3,4\n")
    code, _, err = run("verify", file, narrow)
    assert code == 3
    assert "outputs" in err
    assert run("verify", file, table, *(["--target", "nobody"]))[0] == 2
    everything = [word for name in "abyz" for word in ("--target", name)]
    code, _, err = run("verify", file, table, *everything)
    assert code == 2
    assert "no column besides a, b, y, z" in err


def test_sample_weights_of_a_proof_of_python(run: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, weight = rng.standard_normal((20, 2)), rng.uniform(0.5, 2.0, 20)
    y = np.abs(X[:, 0]) + rng.normal(0, 0.1, 20)
    file, table = tmp_path / "a.cxproof", tmp_path / "a.csv"
    rows = np.column_stack([X, weight, y]).tolist()
    table.write_text("\n".join(["a,b,w,y", *(",".join(map(repr, row)) for row in rows)]))
    net = cx.TwoLayerNetwork.from_arrays([[1.0, 0.0]], [[1.0]])
    cx.certify(net, X, y, 0.5, sample_weight=weight, proof=file)
    for column in ("w", "2"):
        assert run("verify", file, table, "--weight", column)[0] == 0
    assert run("verify", file, table, "--weight", "a")[0] == 3
    assert run("verify", file, table)[0] == 3
    assert run("verify", file, table, "--weight", "v")[0] == 2


def test_numbers_for_the_checker_alone(run: Any, proof: Path, table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    assert run("verify", proof, table, "--numbers", folder)[0] == 0
    names = [folder / f"{name}.npy" for name in ("X", "y", "weights")]
    X, y, weight = map(np.load, names)
    columns = header(proof)["columns"]
    assert X.shape == (24, 5)
    np.testing.assert_array_equal(X[:, -1], columns["intercept_scaling"])
    assert set(y) == {-1.0, 1.0}
    assert set(weight) == set(columns["class_weight"])
    script = [sys.executable, str(checker.__file__), str(proof), *map(str, names)]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["lower_bound"] == header(proof)["lower_bound"]


def test_the_distance_of_a_model(run: Any, proof: Path, table: Path, tmp_path: Path) -> None:
    model = tmp_path / "model.npz"
    code, out, err = run("verify", proof, table, "--model", model, "--json")
    assert err == ""
    facts = json.loads(out)
    code_of, out, _ = run("certify", model, table, "--no-improve", "--json")
    certified = json.loads(out)
    assert (code, code_of, facts["model"]) == (0, 0, str(model))
    assert facts["objective"] == pytest.approx(certified["objective"], rel=1e-12)
    gap = (facts["objective"] - facts["lower_bound"]) / facts["objective"]
    assert facts["relative_gap"] == pytest.approx(gap)
    other = tmp_path / "other.npz"
    for options in ([], ["--scale", "standard", "--activation", "abs"]):
        more = ["--beta", "0.7", "--class-weight", "balanced", *options, "--save", other]
        assert run("fit", table, "--target", "kind", *more)[0] == 0
        code, _, err = run("verify", proof, table, "--model", other)
        assert code == 2
        assert "differ" in err or "kind of network" in err


def test_what_is_odd_about_the_columns_is_said(run: Any, proof: Path, table: Path) -> None:
    columns = header(proof)["columns"]
    with_columns(proof, {**columns, "scale": [2 * s for s in columns["scale"]]}, proof)
    code, _, err = run("verify", proof, table)
    assert code == 3
    assert "are not those of" in err
    rows = table.read_text().splitlines()
    table.write_text("\n".join(f"{row},{'more' if not i else 7}" for i, row in enumerate(rows)))
    with_columns(proof, columns, proof)
    code, out, err = run("verify", proof, table, "--json")
    facts = json.loads(out)
    assert (code, err, facts["ignored"]) == (0, "", ["more"])
    table.write_text("\n".join(rows[:-2]))
    code, _, err = run("verify", proof, table)
    assert code == 3
    assert "it is of 24 rows" in err


def test_where_there_is_no_proof_none_is_told(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pyconvexnn.proofs.files._MOST_BOXES", 3)
    model, file = tmp_path / "model.npz", tmp_path / "model.cxproof"
    run("fit", table, "--target", "kind", "--beta", "0.7", "--save", model)
    file.write_text("an older one")
    code, out, err = run("certify", model, table, "--proof", file, "--json")
    facts = json.loads(out)
    assert (code, facts["proof"], facts["proved"]) == (3, None, True)
    assert "no file was written" in err
    assert file.read_text() == "an older one"  # it is not lost
    assert list(tmp_path.glob(".*")) == []
    code, out, _ = run("certify", model, table, "--proof", file)
    assert code == 3
    assert "not written" in out


@pytest.mark.parametrize("option", ["--proof", "--save"])
def test_inputs_are_not_overwritten(run: Any, table: Path, tmp_path: Path, option: str) -> None:
    model, before = tmp_path / "model.npz", table.read_text()
    run("fit", table, "--target", "kind", "--beta", "0.7", "--save", model)
    link = tmp_path / "link.csv"
    link.symlink_to(table)
    for taken in (model, table, link):
        code, _, err = run("certify", model, table, option, taken)
        assert code == 2
        assert "would be overwritten" in err
    other = tmp_path / "other"
    code, _, err = run("certify", model, table, "--save", other, "--proof", other)
    assert (code, "would be overwritten" in err) == (2, True)
    assert run("fit", table, "--target", "kind", "--beta", "0.7", "--save", table)[0] == 2
    assert run("predict", model, table, "--out", table)[0] == 2
    assert run("patterns", table, "--target", "kind", "--out", table)[0] == 2
    assert run("path", table, "--target", "kind", "--out", table)[0] == 2
    assert table.read_text() == before


def test_a_proof_of_a_table_without_a_header(run: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20, 2))
    y = np.abs(X[:, 0]) + rng.normal(0, 0.1, 20)
    file, table = tmp_path / "a.cxproof", tmp_path / "a.csv"
    net = cx.TwoLayerNetwork.from_arrays([[1.0, 0.0]], [[1.0]])
    cx.certify(net, X, y, 0.5, proof=file)
    for place, rows in (("0", np.column_stack([y, X])), ("1", np.insert(X, 1, y, axis=1))):
        table.write_text("\n".join(",".join(map(repr, row)) for row in rows.tolist()))
        assert run("verify", file, table, "--target", place)[0] == 0
        assert run("verify", file, table)[0] == 3


def test_files_that_cannot_be(run: Any, table: Path, tmp_path: Path) -> None:
    assert run("verify", tmp_path / "none.cxproof", table)[0] == 2
    code, _, err = run("verify", table, table)
    assert code == 3
    assert "refused" in err
    model = tmp_path / "model.npz"
    run("fit", table, "--target", "kind", "--beta", "0.7", "--save", model)
    code, _, err = run("certify", model, table, "--proof", tmp_path / "no" / "a.cxproof")
    assert (code, "folder" in err) == (2, True)


def test_hostile_columns_are_refused_in_a_sentence(run: Any, tmp_path: Path) -> None:
    """Neither what a file says of columns nor its control characters come through."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((12, 1))
    y, table = np.maximum(X[:, 0], 0.0), tmp_path / "data.csv"
    table.write_text("".join(f"{a!r},{b!r}\n" for a, b in np.column_stack([X, y]).tolist()))
    file, net = tmp_path / "a.cxproof", cx.TwoLayerNetwork.from_arrays([[1.0]], [[1.0]])
    cx.certify(net, X, y, 0.1, proof=file)
    good = {
        "recipe": {
            "header": False,
            "columns": [{"name": "column 0", "categories": None}],
            "target": "column 1",
            "target_index": 1,
        },
        "classes": None,
    }
    with_columns(file, good, file)
    code, out, err = run("verify", file, table, "--json")
    assert (code, err) == (0, "")
    assert (code, json.loads(out)["target"]) == (0, ["column 1"])
    changes: list[dict[str, Any]] = [
        {"recipe": {**good["recipe"], "target_index": 99}},  # type: ignore[dict-item]
        {"scale": [5e-324]},
        {"mean": [1e308], "scale": [1e-308]},
        {"classes": ["\x1b[31m", *map(str, range(1000))], "loss": "hinge"},
    ]
    for change in changes:
        with_columns(file, {**good, **change}, file)
        code, out, err = run("verify", file, table)
        assert (code, out) in [(2, ""), (3, "")]
        assert err.startswith("pyconvexnn: ")
        assert len(err.splitlines()) == 1
        assert len(err) < 500
        assert "\x1b" not in err
