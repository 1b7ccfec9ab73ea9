"""Performance profile and scaling, from the rows of the report."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.compare.report import Row

GAP = 1e-6
MOST_RATIO = 1000.0  # right end of the profile
COLOURS = 10  # of matplotlib's cycle


def write(rows: list[Row], folder: Path) -> None:
    """``profile.png`` and ``scaling.png``; neither if no row reached the gap."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    solved = [row for row in rows if row.times[GAP] is not None]
    if not solved:
        return
    for name, draw, shown in (("profile", profile, rows), ("scaling", scaling, solved)):
        with mpl.rc_context({"font.size": 10}):
            figure = Figure(figsize=(8, 4.5), layout="constrained")
            axes = figure.add_subplot()
            draw(shown, axes)
            axes.grid(alpha=0.3)
            figure.legend(loc="outside right upper", fontsize=8, frameon=False)
            figure.savefig(folder / f"{name}.png", dpi=120)


def profile(rows: list[Row], axes: Axes) -> None:
    """Dolan and More: share of the cases that a method solves within a factor of the fastest.

    A method is counted on the cases that it was tried on, failures included.
    """
    convex = {row.method for row in rows if row.judged}
    times: dict[str, dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.method in convex:
            time = row.times[GAP]
            times[row.case][row.method] = np.inf if time is None else time
    ratios = defaultdict(list)
    for of_case in times.values():
        fastest = min(of_case.values())
        for method, time in of_case.items():
            ratios[method].append(time / fastest if np.isfinite(fastest) else np.inf)
    for index, (method, values) in enumerate(ratios.items()):  # ours first
        finite = sorted(v for v in values if np.isfinite(v))
        share = np.arange(1, len(finite) + 1) / len(values)
        beyond = [MOST_RATIO] if len(finite) == len(values) else []  # else stopped, or failed
        axes.step(
            [1.0, *finite, *beyond],
            [0.0, *share, *[1.0 for _ in beyond]],
            marker="o",
            markevery=[-1],
            where="post",
            label=f"{method} ({len(values)})",
            color=_colour(index),
            linestyle="-" if index <= COLOURS else "--",
            linewidth=2.5 if index == 0 else 1.5,
        )
    axes.set(xscale="log", xlim=(1, MOST_RATIO), ylim=(0, 1.02))
    axes.set_xlabel("time to relative gap 1e-6 over the fastest method's")
    axes.set_ylabel("share of the cases it was tried on (how many)")


def scaling(solved: list[Row], axes: Axes) -> None:
    """Time to gap 1e-6 against n d P, circles for gated programs and triangles for ReLU ones."""
    for index, method in enumerate(dict.fromkeys(row.method for row in solved)):  # ours first
        for program, marker in (("gated", "o"), ("relu", "^")):
            own = [row for row in solved if row.method == method and row.case.startswith(program)]
            times = [np.nan if (time := row.times[GAP]) is None else time for row in own]
            label = f"{method}, {program}" if own else None
            colour = _colour(index)
            axes.plot([row.size for row in own], times, marker, ms=4, color=colour, label=label)
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("samples x features x patterns")
    axes.set_ylabel("normalised seconds to relative gap 1e-6")


def _colour(index: int) -> str:
    return "black" if index == 0 else f"C{index - 1}"
