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
        finite = np.sort([v for v in values if np.isfinite(v)])
        share = np.arange(1, len(finite) + 1) / len(values)
        steps = np.concatenate([[1.0], finite, [MOST_RATIO]])
        axes.step(
            steps,
            np.concatenate([[0.0], share, share[-1:] if len(share) else [0.0]]),
            where="post",
            label=method,
            color="black" if index == 0 else f"C{index - 1}",
            linestyle="-" if index <= COLOURS else "--",
            linewidth=2.5 if index == 0 else 1.5,
        )
    axes.set(xscale="log", xlim=(1, MOST_RATIO), ylim=(0, 1.02))
    axes.set_xlabel("time to relative gap 1e-6 over the fastest method's")
    axes.set_ylabel("share of the cases it was tried on")


def scaling(solved: list[Row], axes: Axes) -> None:
    """Time to gap 1e-6 against n d P: every case, and a line through the medians of a size."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in solved:
        time = row.times[GAP]
        if time is not None:
            points[row.method].append((row.size, time))
    for index, (method, values) in enumerate(sorted(points.items())):
        sizes = sorted({size for size, _ in values})
        medians = [np.median([time for at, time in values if at == size]) for size in sizes]
        style = "-" if index < COLOURS else "--"
        (line,) = axes.plot(sizes, medians, style, linewidth=1, label=method)
        axes.plot(*zip(*values, strict=True), "o", markersize=4, color=line.get_color())
    axes.set(xscale="log", yscale="log")
    axes.set_xlabel("samples x features x patterns")
    axes.set_ylabel("normalised seconds to relative gap 1e-6")
