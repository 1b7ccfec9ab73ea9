"""Imports point down, in Python and in C++."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pyconvexnn"

# A module may import from its own line or from a line above.
LAYERS = [
    {"_core", "kernels", "exceptions", "_blocks", "_typing"},
    {
        "_validation",
        "_bits",
        "_cells",
        "_directions",
        "_exact_cells",
        "_face_gates",
        "_faces",
        "_files",
        "_gates",
        "_listing",
        "_npz",
    }
    | {"_rounding"}
    | {"_runtime", "_sklearn_weights", "_witness", "losses"},
    {"networks", "patterns", "sampling", "enumeration", "problems", "datasets"}
    | {"_onnx_graph", "_torch_modules"},
    {"solvers", "closed_form"},
    {"recovery", "pricing", "pruning", "uniqueness", "_bounds", "certificates"},
    {"training", "architectures", "proofs"},
    {"paths"},
    {"estimators"},
    {"_cell_polygons", "_table_files", "plots", "cli", "demo", "tables", "interop", "__main__"},
    {"examples"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# C++: what a folder may include, itself apart.
FOLDERS = {
    "base": set[str](),
    "arrangement": {"base"},
    "program": {"base"},
    "solve": {"base", "arrangement", "program"},
    "pricing": {"base", "arrangement", "program", "solve"},
}


def room(path: Path) -> str:
    """Module or subpackage of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "pyconvexnn":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyconvexnn."):
            assert node.module is not None
            rooms.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            rooms |= {
                alias.name.split(".")[1]
                for alias in node.names
                if alias.name.startswith("pyconvexnn.")
            }
        assert not (isinstance(node, ast.ImportFrom) and node.level), "relative import"
    return rooms


MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_python_imports_point_down(path: Path) -> None:
    own = LEVEL[room(path)]
    for other in imported_rooms(path):
        if other == "__version__":
            continue
        assert LEVEL[other] <= own, f"{path.name} imports {other}, which is above it"
        if other == "_core":
            assert own <= 4, "only layers 1 to 4 may use the compiled kernels"


def test_problems_are_above_patterns_and_networks() -> None:
    files = [path for path in MODULES if room(path) in {"patterns", "networks"}]
    assert len(files) > 4
    for path in files:
        assert "problems" not in imported_rooms(path)


@pytest.mark.parametrize("folder", sorted(FOLDERS))
def test_cpp_includes_point_left(folder: str) -> None:
    for path in (ROOT / "csrc/convexnn" / folder).glob("*.?pp"):
        for included in re.findall(r'#include "convexnn/(\w+)/', path.read_text()):
            assert included in FOLDERS[folder] | {folder}, f"{path.name} includes {included}/"


def test_kernels_include_no_python() -> None:
    files = list((ROOT / "csrc/convexnn").rglob("*.?pp"))
    assert len(files) > 10
    for path in files:
        assert not re.search(r"pybind11|Python\.h|bindings/", path.read_text()), path
