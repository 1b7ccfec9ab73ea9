"""Builds the compiled modules: ``_core`` (C++ through pybind11) and ``kernels`` (Cython).

PYCONVEXNN_NATIVE=1             -march=native (never for a wheel)
PYCONVEXNN_BASELINE=1           one instruction set, the compiler's baseline
PYCONVEXNN_SANITIZE=address,undefined
PYCONVEXNN_WERROR=1             warnings are errors
"""

import os
import sys
from pathlib import Path

import pybind11
from Cython.Build import cythonize
from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import Extension, setup

ROOT = Path(__file__).parent
SOURCES = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc").rglob("*.cpp"))
HEADERS = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "csrc").rglob("*.h*"))


def compile_flags() -> list[str]:
    """Flags of every C++ source; no contraction, so that patterns do not depend on the CPU."""
    # Not -I: warnings are for our own code only.
    flags = ["-isystem", pybind11.get_include(), "-MMD", "-ffp-contract=off", "-fopenmp-simd"]
    flags += ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wno-sign-conversion"]
    if sanitizers := os.environ.get("PYCONVEXNN_SANITIZE"):
        flags += ["-O1", "-g1", f"-fsanitize={sanitizers}", "-fno-omit-frame-pointer"]
    else:
        flags += ["-O3", "-g0"]
    if os.environ.get("PYCONVEXNN_NATIVE"):
        flags += ["-march=native"]
    if os.environ.get("PYCONVEXNN_BASELINE") or os.environ.get("PYCONVEXNN_SANITIZE"):
        flags += ["-DCONVEXNN_NO_MULTIVERSION"]
    if os.environ.get("PYCONVEXNN_WERROR"):
        flags += ["-Werror"]
    return flags


def is_stale(obj: str, _source: str) -> bool:
    """Whether a file that an object was made from (its .d file lists them) is newer than it."""
    dependencies = Path(obj).with_suffix(".d")
    if not Path(obj).exists() or not dependencies.exists():
        return True
    built = Path(obj).stat().st_mtime
    names = dependencies.read_text().replace("\\\n", " ").split(":", 1)[1].split()
    return any(not Path(name).exists() or Path(name).stat().st_mtime > built for name in names)


sanitize = os.environ.get("PYCONVEXNN_SANITIZE")
core = Pybind11Extension(
    "pyconvexnn._core",
    SOURCES,
    include_dirs=["csrc"],
    depends=HEADERS,
    cxx_std=20,
    extra_compile_args=compile_flags(),
    extra_link_args=[f"-fsanitize={sanitize}"] if sanitize else [],
)
kernels = Extension(
    "pyconvexnn.kernels",
    ["pyconvexnn/kernels.pyx"],
    include_dirs=["csrc"],
    depends=["csrc/convexnn_capi.h"],
    extra_compile_args=["-g0", "-MMD"],
)

if sys.platform == "win32":
    raise SystemExit("pyconvexnn builds with GCC or clang (Linux, macOS); use WSL on Windows.")
ParallelCompile("PYCONVEXNN_JOBS", default=0, needs_recompile=is_stale).install()
setup(ext_modules=[core, *cythonize([kernels], build_dir="build/cython", language_level=3)])
