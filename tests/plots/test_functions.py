"""Pictures of networks with one or two features: what is drawn is what they compute."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import pyconvexnn as cx
from pyconvexnn._typing import FloatArray
from tests.small_data import gaussian

mpl.use("Agg")

X = gaussian(30, 2)
Y = np.abs(X[:, 0]) - np.maximum(X[:, 1], 0)
ONES = np.ones((30, 1))
# Kinks at x_1 = 0.5 and x_2 = -x_1, costs |(w, b)| |a| in the ratio 5 : sqrt(2).
NET = cx.TwoLayerNetwork.from_arrays(
    [[2.0, 0.0], [1.0, 1.0]], [[np.sqrt(5)], [-1.0]], b1=[-1.0, 0.0], b2=[0.3]
)


def draw(net: Any, data: Any = X, y: Any = Y) -> Any:
    ax = Figure().subplots()
    assert cx.plots.neurons(net, data, y, ax=ax) is ax
    return ax


def box(ax: Any) -> FloatArray:
    """Columns: least and largest x shown, and y."""
    return np.array([ax.get_xlim(), ax.get_ylim()]).T


def kinks(ax: Any) -> tuple[list[FloatArray], FloatArray]:
    """Segments of the kinks, and their widths."""
    lines = ax.collections[-1]
    return lines.get_segments(), np.asarray(lines.get_linewidths())


# --- two features ---------------------------------------------------------------------------------


def test_kinks_are_lines_through_the_box_as_wide_as_neurons_cost() -> None:
    ax = draw(NET)
    (left, bottom), (right, top) = box(ax)
    spread = X.max(axis=0) - X.min(axis=0)
    np.testing.assert_allclose(box(ax)[0], X.min(axis=0) - 0.1 * spread)
    np.testing.assert_allclose(box(ax)[1], X.max(axis=0) + 0.1 * spread)
    (upright, sloping), widths = kinks(ax)
    np.testing.assert_allclose(upright, [[0.5, bottom], [0.5, top]])
    low, high = max(left, -top), min(right, -bottom)
    np.testing.assert_allclose(sloping, [[low, -low], [high, -high]])
    np.testing.assert_allclose(widths, [2.5, 0.5 + 2.0 * np.sqrt(2) / 5])


def test_lines_are_drawn_exactly_where_they_meet_the_box() -> None:
    rng = np.random.default_rng(0)
    W1, b1 = rng.standard_normal((300, 2)), 3 * rng.standard_normal(300)
    W1[::7, 0] = 0.0
    W1[1::7, 1] = 0.0
    ax = draw(cx.TwoLayerNetwork.from_arrays(W1, np.ones((300, 1)), b1=b1))
    (left, bottom), (right, top) = box(ax)
    corners = np.array([(x, y) for x in (left, right) for y in (bottom, top)])
    signs = corners @ W1.T + b1 > 0
    meets = np.flatnonzero(signs.any(axis=0) & ~signs.all(axis=0))
    segments, _ = kinks(ax)
    assert len(segments) == len(meets) > 100
    for j, ends in zip(meets, segments, strict=True):
        np.testing.assert_allclose(ends @ W1[j] + b1[j], 0.0, atol=1e-12)
        on_border = np.isclose(ends, [left, bottom]) | np.isclose(ends, [right, top])
        assert on_border.any(axis=1).all()
        assert np.linalg.norm(ends[1] - ends[0]) > 0


def test_colours_of_a_regression_are_outputs_and_targets() -> None:
    ax = draw(NET)
    filled, dots = ax.collections[:2]
    sides = [np.linspace(low, high, 300) for low, high in box(ax).T]
    values = NET.predict(np.column_stack([axis.ravel() for axis in np.meshgrid(*sides)]))
    assert (filled.zmin, filled.zmax) == pytest.approx((values.min(), values.max()))
    np.testing.assert_array_equal(dots.get_offsets(), X)
    np.testing.assert_array_equal(dots.get_array(), Y)
    assert dots.get_clim() == filled.get_clim() == (filled.levels[0], filled.levels[-1])
    assert filled.levels[0] <= min(values.min(), Y.min())
    assert filled.levels[-1] >= max(values.max(), Y.max())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x_1", "x_2")
    assert ax.figure.axes[-1].get_ylabel() == "output"


def test_colours_are_where_the_outputs_are() -> None:
    linear = cx.TwoLayerNetwork.from_arrays([[1.0, 0.0], [-1.0, 0.0]], [[1.0], [-1.0]])  # x_1
    filled = draw(linear).collections[0]
    shown = zip(filled.levels, filled.levels[1:], filled.get_paths(), strict=False)
    areas = [(low, high, path.vertices[:, 0]) for low, high, path in shown if len(path)]
    assert len(areas) > 10
    for low, high, x in areas:
        assert low - 1e-9 <= x.min() < x.max() <= high + 1e-9


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs", "gated_relu"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_regions_of_a_classifier_are_what_it_predicts(activation: str, n_classes: int) -> None:
    labels = np.array(["low", "mid", "top"])[np.digitize(Y, [0.0, 0.8][: n_classes - 1])]
    est = cx.ConvexMLPClassifier(
        activation, beta=0.1, patterns=30, intercept_scaling=3.0, output_offset=True, certify=False
    ).fit(X, labels)
    ax = draw(est, y=labels)
    (image,) = ax.images
    codes = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    np.testing.assert_allclose(box(ax), [[left, bottom], [right, top]])
    first, second = (
        np.linspace(*ends, size)
        for ends, size in [((left, right), codes.shape[1]), ((bottom, top), codes.shape[0])]
    )
    rows = np.column_stack([axis.ravel() for axis in np.meshgrid(first, second)])
    np.testing.assert_array_equal(est.classes_[codes.astype(int).ravel()], est.predict(rows))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == est.classes_.tolist()
    for dots, name in zip(ax.collections, est.classes_, strict=False):
        np.testing.assert_array_equal(dots.get_offsets(), X[labels == name])
    colors = [dots.get_facecolor()[0, :3] for dots in ax.collections[:n_classes]]
    shown = [image.cmap(image.norm(k))[:3] for k in range(n_classes)]
    np.testing.assert_allclose(colors, shown)


def test_two_labels_are_classes_of_a_network_by_sign() -> None:
    signs = np.where(Y > 0, 1, -1)
    for labels in (signs, signs.astype(float), np.where(Y > 0, "yes", "no"), Y > 0):
        ax = draw(NET, y=labels)
        assert len(ax.images) == 1
        assert ax.images[0].get_array().mean() == pytest.approx(
            draw(NET, y=signs).images[0].get_array().mean()
        )
        np.testing.assert_array_equal(ax.collections[1].get_offsets(), X[Y > 0])
    assert len(draw(NET, y=np.ones(30)).images) == 1  # one of -1 and +1


def test_a_constant_column_is_a_bias() -> None:
    assert NET.b1 is not None
    expected, widths = kinks(draw(NET))
    column = cx.TwoLayerNetwork.from_arrays(
        np.insert(NET.W1, 1, NET.b1 / 4, axis=1), NET.W2, b2=NET.b2
    )
    found, other = kinks(draw(column, np.insert(X, 1, 4.0, axis=1)))
    np.testing.assert_allclose(found, expected)
    assert other[1] / other[0] > widths[1] / widths[0]  # a bias of a fourth costs less
    ax = draw(column, np.insert(X, 1, 4.0, axis=1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x_1", "x_3")


def test_estimators_get_their_intercept_column_and_names() -> None:
    frame = pd.DataFrame(X, columns=["width", "height"])
    est = cx.ConvexMLPRegressor("relu", beta=0.1, patterns=30, intercept_scaling=5.0)
    est.fit(frame, Y)
    ax = draw(est, frame)
    by_hand = draw(est.network_, np.column_stack([X, 5 * ONES]))
    np.testing.assert_array_equal(kinks(ax)[0], kinks(by_hand)[0])
    assert ax.collections[0].zmax == by_hand.collections[0].zmax
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("width", "height")
    plain = cx.ConvexMLPRegressor("relu", beta=0.1, patterns=30, fit_intercept=False).fit(X, Y)
    np.testing.assert_array_equal(kinks(draw(plain))[0], kinks(draw(plain.network_))[0])


def test_gated_networks_are_drawn_by_their_gates() -> None:
    net = cx.GatedNetwork.from_arrays([[9.0, 1.0]], [[1.0]], gates=[[1.0, 0.0]], b1=[7.0])
    ((line,), _) = kinks(draw(net))
    np.testing.assert_allclose(line[:, 0], 0.0, atol=1e-15)


def test_neurons_without_kinks_are_left_out() -> None:
    # Constant, without output, without input, and outside of the box.
    net = cx.TwoLayerNetwork.from_arrays(
        [[0, 0], [1, 0], [0, 0], [1, 0]], [[1], [0], [1], [1]], b1=[1, 0, 0, 1e9]
    )
    assert kinks(draw(net))[0] == []
    nothing = cx.TwoLayerNetwork.from_arrays(np.empty((0, 2)), np.empty((0, 1)))
    assert kinks(draw(nothing))[0] == []
    assert draw(nothing, y=np.zeros(30)).collections[0].levels[[0, -1]].tolist() == [-1.0, 1.0]


# --- one feature ----------------------------------------------------------------------------------

CURVE = cx.TwoLayerNetwork.from_arrays([[1.0], [-2.0]], [[1.0], [3.0]], b1=[-1.0, 1.0], b2=[5.0])
LINE = np.linspace(-2.0, 3.0, 20)[:, np.newaxis]


def test_a_curve_with_its_corners_and_the_data() -> None:
    ax = draw(CURVE, LINE, LINE[:, 0] ** 2)
    curve, dots = ax.lines
    x, f = np.asarray(curve.get_xydata()).T
    np.testing.assert_allclose(f, CURVE.predict(x[:, np.newaxis]))
    assert (x[0], x[-1]) == pytest.approx((-2.5, 3.5))
    assert min(abs(x - 1.0)) < 1e-8  # the kinks are among its points
    assert min(abs(x - 0.5)) < 1e-8
    np.testing.assert_array_equal(dots.get_xydata(), np.c_[LINE, LINE**2])
    segments, widths = kinks(ax)
    assert [segment[:, 0].tolist() for segment in segments] == [[1.0, 1.0], [0.5, 0.5]]
    assert widths[0] < widths[1] == 2.5
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["network", "data", "kinks"]


def test_jumps_of_gates_are_upright() -> None:
    net = cx.GatedNetwork.from_arrays([[0.0, 2.0]], [[1.0]], gates=[[1.0, -0.7]])
    rows = np.column_stack([LINE, np.ones(20)])
    x, f = np.asarray(draw(net, rows, LINE[:, 0]).lines[0].get_xydata()).T
    (jump,) = np.flatnonzero(np.diff(f))
    assert f[jump + 1] - f[jump] == pytest.approx(2.0)
    assert x[jump + 1] - x[jump] < 1e-7
    assert x[jump] == pytest.approx(0.7)


def test_classes_over_one_feature() -> None:
    labels = np.where(LINE[:, 0] > 1, "right", "left")
    ax = draw(CURVE, LINE, labels)
    _, left, right = ax.lines
    for dots, height, name in [(left, -1.0, "left"), (right, 1.0, "right")]:
        rows = LINE[labels == name, 0]
        np.testing.assert_array_equal(dots.get_xydata(), np.c_[rows, np.full(len(rows), height)])
    three = cx.TwoLayerNetwork.from_arrays([[1.0], [-2.0]], [[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]])
    ax = draw(three, LINE, np.arange(20) % 3)
    x = np.asarray(ax.lines[0].get_xdata())
    for k, curve in enumerate(ax.lines[:3]):
        np.testing.assert_allclose(curve.get_ydata(), three.predict(x[:, np.newaxis])[:, k])
        assert curve.get_label() == f"output of {k}"
        assert np.asarray(ax.lines[3 + k].get_ydata()).tolist() == [1.0] * len(LINE[k::3])
        assert ax.lines[3 + k].get_color() == curve.get_color()


def test_two_columns_of_which_one_is_constant() -> None:
    est = cx.ConvexMLPRegressor("relu", beta=0.1, patterns=20).fit(LINE, np.abs(LINE[:, 0]))
    ax = draw(est, LINE, np.abs(LINE[:, 0]))
    x, f = np.asarray(ax.lines[0].get_xydata()).T
    np.testing.assert_allclose(f, est.predict(x[:, np.newaxis]))
    assert ax.get_xlabel() == "x_1"


# --- what is refused ------------------------------------------------------------------------------


def test_wrong_arguments() -> None:
    one = cx.TwoLayerNetwork.from_arrays([[1.0, 2.0]], [[1.0]])
    wide = cx.TwoLayerNetwork.from_arrays(np.ones((1, 4)), [[1.0]])
    three = cx.TwoLayerNetwork.from_arrays([[1.0, 2.0]], [[1.0, 2.0, 3.0]])
    est = cx.ConvexMLPClassifier("relu", patterns=10).fit(X, Y > 0)
    cases: list[tuple[Any, Any, Any, type[Exception], str]] = [
        (3, X, Y, TypeError, "`net` must be a network or a fitted estimator, got 3"),
        (cx.ConvexMLPRegressor(), X, Y, TypeError, "or a fitted estimator, got ConvexMLPRegressor"),
        (one, gaussian(30, 3), Y, ValueError, r"`X` must have 2 columns, got shape \(30, 3\)"),
        (est, gaussian(30, 3), Y, ValueError, r"`X` must have 2 columns, got shape \(30, 3\)"),
        (wide, gaussian(30, 4), Y, ValueError, "`X` must have 1 or 2 columns that vary, got 4"),
        (one, np.ones((30, 2)), Y, ValueError, "`X` must have 1 or 2 columns that vary, got 0"),
        (one, [["a", "b"]], Y, TypeError, "`X` must hold real numbers"),
        (one, X, Y[1:], ValueError, "`y` must have 30 entries, got 29"),
        (one, X, np.full(30, np.nan), ValueError, "`y` must be finite, got NaN"),
        (one, X, np.c_[Y, Y], ValueError, r"`y` must have 1 dimension, got shape \(30, 2\)"),
        (one, X, list("abc") * 10, ValueError, "`y` must hold 2 classes, .* got 3"),
        (one, X, ["a", "b"], ValueError, r"a class for each of the 30 rows of `X`, got shape \(2,"),
        (three, X, Y > 0, ValueError, "`y` must hold 3 classes, as the outputs .* got 2"),
        (three, X, np.c_[Y, Y, Y], ValueError, r"a class for each of the 30 rows .*\(30, 3\)"),
        (est, X, np.arange(30), ValueError, "`y` must hold only the classes of `net`, got 2"),
    ]
    for net, data, y, error, message in cases:
        with pytest.raises(error, match=message):
            cx.plots.neurons(net, data, y)


def test_it_makes_its_own_axes() -> None:
    from matplotlib import pyplot

    ax = cx.plots.neurons(NET, X, Y)
    assert ax.figure is pyplot.gcf()
    pyplot.close()
