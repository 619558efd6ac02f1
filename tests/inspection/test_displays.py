# SPDX-License-Identifier: BSD-3-Clause
"""What is true of every display, over the table of them."""

import copy
import inspect
import re
import sys
import warnings

import joblib
import matplotlib
import numpy as np
import pytest
from display_scenes import DIFFICULTY, IMAGES, MARKED, PROBABILITY, SCENES, SIZES_OF_NETS, N, Y
from matplotlib import pyplot as plt

from sklearn_difficulty import inspection
from sklearn_difficulty.inspection import (
    DataMapDisplay,
    DetectionCurveDisplay,
    DifficultyDisplay,
    DifficultyQuadrantDisplay,
    ErrorRateDisplay,
    GradientMapDisplay,
    HardestRowsDisplay,
    InferenceCurveDisplay,
    LabelErrorMatrixDisplay,
    MemorizationTrajectoryDisplay,
    NoiseCutsDisplay,
    NormGradDisplay,
    ProbePathDisplay,
    ScorerComparisonDisplay,
    TrajectoryDisplay,
)

ALL = pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)


def test_every_display_has_a_scene():
    drawn = {type(scene()).__name__ for scene in SCENES.values()}
    assert drawn == {name for name in inspection.__all__ if name.endswith("Display")}


@ALL
def test_draws_on_the_given_axes(scene):
    figure, (left, right) = plt.subplots(1, 2)
    display = scene(ax=right)
    assert display.ax_ is right
    assert display.figure_ is figure
    assert plt.get_fignums() == [figure.number]
    assert not left.has_data()
    assert not left.texts


@ALL
def test_makes_one_figure(scene):
    display = scene()
    assert [plt.figure(number) for number in plt.get_fignums()] == [display.figure_]
    assert display.plot() is display
    assert display.ax_.figure is display.figure_
    assert len(plt.get_fignums()) == 2


@ALL
def test_changes_nothing_global(scene, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: pytest.fail("shown"))
    settings, state = dict(matplotlib.rcParams), str(np.random.get_state())
    given = copy.deepcopy(vars(scene()))
    display = scene()
    display.plot()
    assert dict(matplotlib.rcParams) == settings
    assert str(np.random.get_state()) == state
    for name in inspect.signature(type(display)).parameters:
        assert joblib.hash(getattr(display, name)) == joblib.hash(given[name])


@ALL
def test_says_what_is_missing_without_matplotlib(scene, monkeypatch):
    name = type(scene()).__name__
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=rf"{name}\.plot requires matplotlib"):
        scene()


@ALL
def test_refuses_what_are_no_axes(scene):
    with pytest.raises(TypeError, match="ax must be the axes to draw on, or None; got a ndarray"):
        scene(ax=np.array([None]))
    assert not plt.get_fignums()


SIZES = {"column": (3.3, 2.6, 10), "slide": (12, 6.75, 20)}


@pytest.mark.parametrize("size", SIZES)
@ALL
def test_is_readable(scene, size):
    """Nothing runs out of the figure, and nothing is too small to be read."""
    width, height, font = SIZES[size]
    with plt.rc_context({"font.size": font}), warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # such as that of a layout that failed
        figure, ax = plt.subplots(figsize=(width, height), layout="constrained")
        scene(ax=ax)
        figure.canvas.draw()
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text().strip()]
    # Those of ticks beyond the limits are there, and not drawn.
    ticks = {
        label
        for ax in figure.axes
        for axis in (ax.xaxis, ax.yaxis)
        for label in axis.get_ticklabels(which="both")
    }
    for text in set(texts) - ticks:
        box = text.get_window_extent()
        assert -1 < box.x0 < box.x1 < figure.bbox.x1 + 1, text
        assert -1 < box.y0 < box.y1 < figure.bbox.y1 + 1, text
        assert text.get_fontsize() >= 0.55 * font, text


@ALL
def test_fits_into_subfigures(scene):
    left, _ = plt.figure(layout="constrained").subfigures(1, 2)
    assert scene(ax=left.subplots()).figure_ is left


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("difficulty", "difficulty (larger = harder)", "rows"),
        ("difficulty by class", "difficulty (larger = harder)", "share of rows"),
        ("data map", "variability (larger = more ambiguous)", "confidence (smaller = harder)"),
        ("trajectory", "epoch", "probability of the given label"),
        ("inference curve", "probe", "accuracy of the probe"),
        ("probe path", "probe", "share of the votes"),
        ("quadrants", "held-out depth (larger = harder)", "trained-on depth"),
        ("noise cuts", "rows dropped above error probability", "share"),
        ("label errors", "suggested label", "given label"),
        ("detection curve", "rows reviewed, hardest first", "errors found"),
        ("error rate", "difficulty percentile (larger = harder)", "misclassified (%)"),
        ("scorer comparison", "seconds to fit", "average precision"),
        ("memorization", "network", "mean of all 60 rows"),
        ("memorization by category", "network", "mean memorization"),
    ],
)
def test_axes_are_labelled(name, x, y):
    ax = SCENES[name]().ax_
    assert (ax.get_xlabel(), ax.get_ylabel()) == (x, y)


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


SOME_NAN = np.where(np.arange(N) < 3, np.nan, DIFFICULTY)


@pytest.mark.parametrize(
    "display",
    [
        lambda: DifficultyDisplay.from_predictions(SOME_NAN),
        lambda: DifficultyDisplay.from_predictions(SOME_NAN, Y, kind="ecdf"),
        lambda: DataMapDisplay(confidence=SOME_NAN / 4, variability=DIFFICULTY).plot(),
        lambda: DataMapDisplay(confidence=DIFFICULTY / 4, variability=SOME_NAN).plot(),
        lambda: TrajectoryDisplay.from_predictions([SOME_NAN, SOME_NAN]),
        lambda: DifficultyQuadrantDisplay.from_predictions(
            SOME_NAN / 4, DIFFICULTY / 4, thresholds=(0.5, 0.5)
        ),
        lambda: ErrorRateDisplay.from_predictions(SOME_NAN, MARKED),
        lambda: ScorerComparisonDisplay(
            names=list("abcd"), quality=[np.nan] * 3 + [1], seconds=[1] * 4
        ).plot(),
    ],
)
def test_undefined_rows_are_counted(display):
    assert re.fullmatch("3 (rows|scorers) undefined, left out", legend(display())[-1])


def test_undefined_rows_are_found_last():
    display = DetectionCurveDisplay.from_predictions([1, 1, 0, 0], [np.nan, 3, 2, 1])
    assert legend(display)[0] == "difficulty (AP 0.75, 1 undefined last)"
    np.testing.assert_array_equal(display.found[0], [0, 1, 1, 2])  # tied with the easiest


def test_everything_defined_is_not_mentioned():
    assert legend(DifficultyDisplay.from_predictions(DIFFICULTY)) == ["all rows (60)"]


BAD = [
    (lambda: DifficultyDisplay.from_predictions([[1, 2]]), r"difficulty must have the shape \(any"),
    (lambda: DifficultyDisplay.from_predictions([]), "difficulty must have the shape"),
    (lambda: DifficultyDisplay.from_predictions(["a", "b"]), "difficulty must hold numbers"),
    (lambda: DifficultyDisplay.from_predictions([1, np.inf]), r"difficulty is infinite at \[1\]"),
    (lambda: DifficultyDisplay.from_predictions([np.nan] * 2), "NaN for all 2 rows"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], y=[1]), r"y must have the shape \(2,\)"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], y=[1, None]), r"y has no label for 1 row"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], y=[1, np.nan]), r"row\(s\), first \[1\]"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], y=np.array([1, "a"], object)), "no order"),
    (lambda: DifficultyDisplay.from_predictions(range(13), y=range(13)), "holds 13, and at most"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], marked=[0]), "marked must hold True or"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], marked=[0, 5]), r"True or False \(or 1"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], marked=[0, None]), "True or False"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], kind="kde"), "kind must be one of"),
    (lambda: DifficultyDisplay.from_predictions([1, 2], bins=0), "bins must be a whole number"),
    (lambda: DataMapDisplay.from_predictions([0.5, 0.5]), r"probability must have the shape"),
    (lambda: DataMapDisplay(confidence=[1, 1], variability=[1]).plot(), "variability must have"),
    (
        lambda: DataMapDisplay(confidence=[1], variability=[1], correctness=[1, 1]).plot(),
        "correctness must have",
    ),
    (lambda: TrajectoryDisplay.from_predictions(PROBABILITY, rows=N), "there are 60 rows"),
    (lambda: TrajectoryDisplay.from_predictions(PROBABILITY, rows=MARKED), "np.flatnonzero"),
    (lambda: TrajectoryDisplay.from_predictions(PROBABILITY, rows=range(13)), "Put them into"),
    (lambda: TrajectoryDisplay.from_predictions(PROBABILITY, groups=[1]), "groups must have"),
    (lambda: InferenceCurveDisplay.from_predictions([[1, 1]], [1, 2]), r"\(2, n_probes\)"),
    (lambda: InferenceCurveDisplay.from_predictions([[1]], [1], y_true=[1]), "y_true is y"),
    (lambda: InferenceCurveDisplay.from_predictions([[1]], [1], probe_names="ab"), "probe_names"),
    (lambda: ProbePathDisplay(predicted=[1, 2], share=[1]).plot(), r"share must have .* \(2\)"),
    (
        lambda: DifficultyQuadrantDisplay.from_predictions([0.5], [0.5], thresholds=0.5),
        r"thresholds must have the shape \(2\)",
    ),
    (lambda: NoiseCutsDisplay.from_predictions([0.5, 1.5]), "error_probability must lie in"),
    (lambda: NoiseCutsDisplay.from_predictions([0.5], is_wrong=[1, 0]), "is_wrong must hold"),
    (lambda: NoiseCutsDisplay.from_predictions([0.5], measure="f1"), "measure must be one"),
    (lambda: NoiseCutsDisplay(cuts=[1, 2]).plot(), "cuts must be a table as of noise_cuts"),
    (lambda: NoiseCutsDisplay(cuts=None).plot(), "cuts must be a table as of noise_cuts"),
    (lambda: LabelErrorMatrixDisplay(matrix=[[1, 2]]).plot(), "matrix must be square"),
    (lambda: LabelErrorMatrixDisplay(matrix=np.eye(2), class_names="a").plot(), "class_names must"),
    (
        lambda: LabelErrorMatrixDisplay.from_predictions([1, 2], [2, 3], classes=[1, 2]),
        r"classes does not hold \[3\]",
    ),
    (lambda: HardestRowsDisplay.from_predictions(IMAGES, [1, 2], [1, 2]), "for each of the 2 rows"),
    (lambda: HardestRowsDisplay.from_predictions(np.ones((1, 9)), [1], [1]), "Pass image_shape="),
    (
        lambda: HardestRowsDisplay.from_predictions(np.ones((1, 9)), [1], [1], image_shape=(2, 4)),
        "does not fit row 0, which has 9 values",
    ),
    (lambda: HardestRowsDisplay.from_predictions(["a", IMAGES[0]], [1, 2], [1, 2]), "texts and"),
    (lambda: HardestRowsDisplay.from_predictions("ab", [1, 2], [1, 2], n=0), "n must be a whole"),
    (lambda: HardestRowsDisplay.from_predictions({"a": 1}, [1], [1]), "X is a dict of arrays"),
    (lambda: HardestRowsDisplay(items=[], titles=[]).plot(), "at least one; got 0 items"),
    (lambda: DetectionCurveDisplay.from_predictions([0, 0], [1, 2]), "marks no row"),
    (lambda: DetectionCurveDisplay.from_predictions([0, 1], {"a": [1]}), "each of the 1 rows"),
    (
        lambda: DetectionCurveDisplay.from_predictions([0, 1], [1, 2], max_rows=1.5),
        "max_rows must be a whole number",
    ),
    (lambda: DetectionCurveDisplay(reviewed=[], found=[], names=[]).plot(), "for every score"),
    (lambda: ErrorRateDisplay.from_predictions([1, 2], [0, 1], bins=3), "'bins' parameter"),
    (lambda: ErrorRateDisplay(percentile=[50], error_rate=[1, 0]).plot(), "error_rate must have"),
    (lambda: GradientMapDisplay(gradient_map=[1]).plot(), "gradient_map must have the shape"),
    (lambda: GradientMapDisplay(gradient_map=-np.eye(2)).plot(), "must be at least 0"),
    (lambda: GradientMapDisplay(gradient_map=np.eye(2), image=IMAGES[0]).plot(), "image must have"),
    (lambda: NormGradDisplay(saliency_map=[1]).plot(), "saliency_map must have the shape"),
    (lambda: NormGradDisplay(saliency_map=-np.eye(2)).plot(), "between 0 and 1"),
    (lambda: NormGradDisplay(saliency_map=2 * np.eye(2)).plot(), "between 0 and 1"),
    (lambda: NormGradDisplay(saliency_map=np.eye(2), image=IMAGES[0]).plot(), "image must have"),
    (
        lambda: ScorerComparisonDisplay(names=["a"], quality=[1], seconds=[0]).plot(),
        "seconds must be above 0",
    ),
    (lambda: ScorerComparisonDisplay.from_benchmark({"name": ["a"]}), "no 'average_precision'"),
    (lambda: ScorerComparisonDisplay.from_benchmark([], measure="f1"), "measure must be one of"),
    (lambda: MemorizationTrajectoryDisplay(summary={}).plot(), "as of MemorizationTrajectory; it"),
    (
        lambda: MemorizationTrajectoryDisplay(summary=SIZES_OF_NETS, kind="shares").plot(),
        "kind must be one of",
    ),
    (
        lambda: MemorizationTrajectoryDisplay(summary=SIZES_OF_NETS, category="U").plot(),
        "category must be one of",
    ),
    (
        lambda: MemorizationTrajectoryDisplay(summary=SIZES_OF_NETS, category="cap").plot(),
        "no row of the category 'cap'",
    ),
    (
        lambda: MemorizationTrajectoryDisplay(
            summary={name: values[:3] for name, values in SIZES_OF_NETS.items()},
            kind="categories",
        ).plot(),
        "no row of a category: there is nothing to draw",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert not plt.get_fignums()
