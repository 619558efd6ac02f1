# SPDX-License-Identifier: BSD-3-Clause
"""What is drawn are the numbers that it should be, computed by hand."""

from itertools import pairwise

import numpy as np
import pandas as pd
import PIL.Image
import polars as pl
import pytest
import torch
from display_scenes import SIZES_OF_NETS
from numpy.testing import assert_allclose, assert_array_equal

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
from sklearn_difficulty.measures import noise_cuts


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_histogram_counts_rows():
    display = DifficultyDisplay.from_predictions(
        [0, 1, 1, 2, 4, np.nan], marked=[0, 0, 1, 0, 0, 1], bins=4
    )
    of_all, of_marked = (artist.get_data() for artist in display.artists_)
    assert_array_equal(of_all.edges, [0, 1, 2, 3, 4])
    assert_array_equal(of_all.values, [1, 2, 1, 1])
    assert_array_equal(of_marked.values, [0, 1, 0, 0])
    assert legend(display) == ["all rows (5)", "marked (1)", "1 row undefined, left out"]


def test_shares_are_cumulated_by_class():
    display = DifficultyDisplay.from_predictions([3, 1, 2, 5], ["b", "b", "b", "a"], kind="ecdf")
    of_a, of_b = display.artists_
    assert_array_equal(of_a.get_xydata(), [[5, 0], [5, 1]])
    assert_allclose(of_b.get_xydata(), [[1, 0], [1, 1 / 3], [2, 2 / 3], [3, 1]])


@pytest.mark.parametrize("kind", ["hist", "ecdf"])
def test_a_class_without_defined_rows_is_empty(kind):
    display = DifficultyDisplay.from_predictions([1, 2, np.nan], [0, 0, 1], kind=kind)
    assert legend(display)[1] == "label 1 (0)"


def test_data_map_of_few_rows():
    display = DataMapDisplay.from_predictions([[0.2, 0.5], [0.6, 0.5]], marked=[1, 0])
    assert_allclose(display.rows_.get_offsets(), [[0.2, 0.4], [0, 0.5]])
    assert_allclose(display.marked_.get_xydata(), [[0.2, 0.4]])
    assert display.colorbar_ is None


def test_data_map_is_coloured_by_correctness():
    display = DataMapDisplay(confidence=[0.1, 0.9], variability=[0, 0], correctness=[0.25, 1])
    assert_array_equal(display.plot().rows_.get_array(), [0.25, 1])
    assert display.rows_.get_clim() == (0, 1)
    assert display.colorbar_.ax.get_ylabel() == "correctness (share of epochs)"


@pytest.mark.parametrize("n", [5000, 5001])
def test_density_counts_many_rows(n):
    x = np.linspace(0, 1, n)
    displays = (
        DataMapDisplay(confidence=x, variability=x).plot(),
        DifficultyQuadrantDisplay.from_predictions(x, x, thresholds=(0.5, 0.5)),
    )
    for display in displays:
        drawn = display.rows_.get_array()
        assert (drawn is None) if n == 5000 else (drawn.sum() == n)


def test_bands_hold_quantiles_of_groups():
    values = np.array([[0, 10, 20, 7], [np.nan, 30, 40, 8]])
    display = TrajectoryDisplay.from_predictions(values, groups=[0, 0, 0, 1], rows=[1, -1])
    assert_allclose(display.lines_[0].get_xydata(), [[1, 10], [2, 35]])
    band = display.bands_[0].get_paths()[0].vertices
    assert_allclose([band[:, 1].min(), band[:, 1].max()], [2, 39])  # of 0, 10, 20 and 30, 40
    assert_array_equal(display.row_lines_[1].get_ydata(), [7, 8])
    assert legend(display) == ["0 (3)", "1 (1)", "row 1", "row 3"]


def test_trajectory_of_rows_that_come_late():
    display = TrajectoryDisplay.from_predictions([[np.nan, np.nan], [1, np.nan]])
    assert_array_equal(display.lines_[0].get_ydata(), [np.nan, 1])
    assert legend(display) == ["median (1)", "1 row undefined, left out"]


def test_inference_curves_are_accuracies():
    predictions = [["a", "a"], ["b", "a"], ["a", "b"], ["b", "b"]]
    display = InferenceCurveDisplay.from_predictions(predictions, ["a", "a", "b", "b"], name="all")
    assert_array_equal(display.lines_[0].get_ydata(), [0.5, 1])
    again = InferenceCurveDisplay.from_predictions(
        predictions, ["a", "a", "b", "b"], y_true=["a", "b", "b", "b"], ax=display.ax_
    )
    right, wrong, original = (line.get_ydata() for line in again.lines_)
    assert_allclose(right, [2 / 3, 1])
    assert_array_equal([wrong, original], [[0, 1], [1, 0]])
    colors = [line.get_color() for line in display.ax_.lines]
    assert len(set(colors)) == 4, "a second display on the same axes goes on with the colours"


def test_only_wrong_labels_have_two_curves():
    display = InferenceCurveDisplay.from_predictions([[1], [2]], [1, 1], y_true=[2, 2])
    assert display.names == ["label wrong (2)", "original label (2)"]


@pytest.mark.parametrize(
    ("predicted", "network", "says", "at"),
    [
        ([3, 8, 3, 8, 8], None, "depth 3 of 4", 2.5),
        ([8, 8], 8, "depth 0 of 1", -0.5),
        ([8, 8], 3, "depth not defined", None),
    ],
)
def test_probe_path_ends_at_the_depth(predicted, network, says, at):
    share = np.linspace(0.5, 1, len(predicted))
    display = ProbePathDisplay(predicted=predicted, share=share, network=network).plot()
    assert display.ax_.get_title(loc="left") == says
    agrees = np.array(predicted) == (predicted[-1] if network is None else network)
    assert_allclose([bar.get_height() for bar in display.agreeing_], share[agrees])
    assert_allclose([bar.get_height() for bar in display.disagreeing_], share[~agrees])
    assert (display.depth_line_.get_xdata()[0] if at is not None else display.depth_line_) == at


def test_corners_are_named_and_counted():
    display = DifficultyQuadrantDisplay.from_predictions(
        [0, 0, 0, 1, 1, 1, np.nan], [0, 0, 1, 0, 1, 1, 0], thresholds=(0.5, 0.5)
    )
    assert [text.get_text().replace("\n", " ") for text in display.corners_] == [
        "easy (2)",
        "looks like a different class (1)",
        "ambiguous without label (1)",
        "ambiguous (2)",
    ]
    display.figure_.canvas.draw()
    inside = display.ax_.get_window_extent()
    for text in display.corners_:
        assert not text.get_window_extent().overlaps(inside)


def test_noise_cuts_and_the_truth():
    error, wrong = [0.9, 0.7, 0.3, 0.1], [1, 0, 1, 0]
    display = NoiseCutsDisplay.from_predictions(error, is_wrong=wrong, cuts=[0.8, 0.2])
    precision, recall = display.lines_
    assert_allclose(precision.get_xydata(), [[0.2, 1.9 / 3], [0.8, 0.9]])
    assert_allclose(recall.get_xydata(), [[0.2, 1.9 / 2], [0.8, 0.9 / 2]])
    assert_allclose([line.get_ydata() for line in display.truth_], [[2 / 3, 1], [1, 0.5]])


def test_noise_cuts_before_and_after_a_review():
    before, after = noise_cuts([0.9, 0.4]), noise_cuts([0.8, 0.1])
    display = NoiseCutsDisplay(cuts=before, review_cuts=pd.DataFrame(after))
    display.plot(measure="recall")
    assert legend(display) == ["expected", "after review"]
    assert_array_equal(display.lines_[0].get_ydata(), before["recall"])
    assert_array_equal(display.lines_[1].get_ydata(), after["recall"])
    assert display.ax_.get_ylabel() == "recall"
    display.plot()
    assert legend(display) == [
        "precision, expected",
        "recall, expected",
        "precision, after review",
        "recall, after review",
    ]


def test_matrix_counts_suspects():
    display = LabelErrorMatrixDisplay.from_predictions(
        ["a", "a", "c", "c", "b"],
        ["b", "b", "a", "c", "a"],
        suspect=[1, 1, 1, 1, 0],
        classes=["c", "b", "a"],
    )
    assert_array_equal(display.matrix, [[1, 0, 1], [0, 0, 0], [0, 2, 0]])
    shown = [[cell and cell.get_text() for cell in line] for line in display.text_]
    assert shown == [["1", None, "1"], [None, None, None], [None, "2", None]]
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["c", "b", "a"]
    assert display.ax_.get_title(loc="left") == "4 suspects"


def test_matrix_of_many_classes_has_a_colour_bar():
    display = LabelErrorMatrixDisplay(matrix=np.eye(40, k=1)).plot()
    assert display.text_ is None
    assert display.colorbar_.ax.get_ylabel() == "suspects"
    assert len(display.ax_.get_xticks()) == 10


def titles(display):
    return [text.get_text() for text in display.titles_]


def test_hardest_rows_come_first():
    images = np.arange(4)[:, None] * np.ones((4, 9))
    display = HardestRowsDisplay.from_predictions(
        images, [0.1, np.nan, 0.9, 0.5], [5, 6, 7, 8], n=3, image_shape=(3, 3), y_true=[5, 6, 7, 9]
    )
    assert_array_equal(display.rows, [2, 3, 0])
    assert titles(display) == ["label 7 ✓", "label 8 ✗", "label 5 ✓"]
    assert_array_equal([image.get_array()[0, 0] for image in display.images_], [2, 3, 0])


def test_hardest_rows_with_suggestions():
    display = HardestRowsDisplay.from_predictions(
        ["x", "y"],
        [1, 2],
        ["cat", "dog"],
        suggested=["eel", "dog"],
        rows=[0, -1],
        y_true=["eel"] * 2,
    )
    assert titles(display) == ["cat → eel ✓", "dog: no better ✗"]
    assert [text.get_text() for text in display.texts_] == ["x", "y"]


class Images(torch.utils.data.Dataset):
    """Two coloured images with labels."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return torch.full((3, 4, 5), index - 0.5), index


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (np.zeros((2, 4, 5)), (4, 5)),
        (np.zeros((2, 1, 4, 5)), (4, 5)),
        (np.zeros((2, 4, 5, 3), dtype=np.uint8), (4, 5, 3)),
        (np.linspace(-2, 2, 120).reshape(2, 3, 4, 5), (4, 5, 3)),
        (torch.zeros(2, 3, 4, 5, requires_grad=True), (4, 5, 3)),
        (np.zeros((2, 4, 5), dtype=bool), (4, 5)),
        ([np.zeros((4, 5)), np.zeros((2, 5))], (4, 5)),
        (Images(), (4, 5, 3)),
    ],
)
def test_pictures_of_many_kinds(images, shape):
    display = HardestRowsDisplay.from_predictions(images, [2, 1], ["a", "b"])
    picture = display.images_[0].get_array()
    assert picture.shape == shape
    assert 0 <= picture.min() <= picture.max() <= 255


def test_pictures_in_files(tmp_path):
    coloured = PIL.Image.new("P", (5, 4), color=1)
    coloured.putpalette([0, 0, 0, 255, 0, 0])
    coloured.save(tmp_path / "red.png")
    paths = [tmp_path / "red.png"] * 2
    for shown in (paths, [coloured, coloured], pd.Series(paths, index=[7, 8])):
        display = HardestRowsDisplay.from_predictions(shown, [2, 1], ["a", "b"])
        picture = display.images_[0].get_array()
        assert picture.shape[:2] == (4, 5)
        assert_array_equal(picture[0, 0, :3] / picture.max(), [1, 0, 0])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_pictures_in_frames(frame):
    rows = frame(np.arange(18).reshape(2, 9))
    with pytest.raises(ValueError, match="Row 0 is no picture: it has the shape \\(9,\\)"):
        HardestRowsDisplay.from_predictions(rows, [2, 1], ["a", "b"])
    display = HardestRowsDisplay.from_predictions(rows, [2, 1], [1, 2], image_shape=(3, 3))
    assert_array_equal(display.images_[0].get_array(), np.arange(9).reshape(3, 3))


def test_detection_counts_errors_with_ties():
    display = DetectionCurveDisplay.from_predictions(
        [1, 0, 1, 0], pd.DataFrame({"a": [4, 3, 2, 1], "b": [2, 2, 1, 1]})
    )
    assert_array_equal(display.lines_[0].get_xydata(), [[0, 0], [1, 1], [2, 1], [3, 2], [4, 2]])
    assert_array_equal(display.lines_[1].get_xydata(), [[0, 0], [2, 1], [4, 2]])
    ideal, chance = (line.get_xydata() for line in display.reference_)
    assert_array_equal(ideal, [[0, 0], [2, 2], [4, 2]])
    assert_array_equal(chance, [[0, 0], [4, 2]])
    assert legend(display)[:2] == ["a (AP 0.83)", "b (AP 0.50)"]


def test_detection_up_to_a_number_of_rows():
    display = DetectionCurveDisplay.from_predictions([1, 0, 1], [1, 2, 3], max_rows=2)
    assert display.ax_.get_xlim() == (0, 2)
    again = display.from_predictions([1, 0, 1], [3, 2, 1], name="other", ax=display.ax_)
    assert again.reference_ == []
    assert again.lines_[0].get_color() != display.lines_[0].get_color()


def test_error_rates_at_the_middle_of_bins():
    display = ErrorRateDisplay.from_predictions([4, 3, 2, 1, np.nan], [1, 0, 0, 0, 1], bins=2)
    assert_array_equal(display.line_.get_xydata(), [[25, 0], [75, 50]])
    [bars] = display.errorbar_[2]
    lengths = [segment[1, 1] - segment[0, 1] for segment in bars.get_segments()]
    assert_allclose(lengths, [0, 2 * 100 * np.sqrt(0.5 * 0.5 / 2)])


def test_error_rates_of_your_own():
    display = ErrorRateDisplay(percentile=[50, 100], error_rate=[0.1, 0.2]).plot()
    assert display.errorbar_ is None
    assert display.ax_.get_legend() is None
    assert display.ax_.get_ylim()[0] == 0


def test_gradient_map_lies_over_the_image():
    values = np.array([[0, 1], [2, 4]])
    display = GradientMapDisplay(gradient_map=values, image=np.ones((3, 2, 2))).plot()
    assert_array_equal(display.map_.get_array(), values)
    assert_allclose(display.map_.get_alpha(), 0.15 + 0.75 * values / 4)
    assert_array_equal(display.image_.get_array(), np.ones((2, 2)))
    assert GradientMapDisplay(gradient_map=values * 0).plot().image_ is None


def test_normgrad_map_is_drawn_on_the_scale_of_all_maps():
    values = np.array([[0, 0.1], [0.2, 0.4]])
    display = NormGradDisplay(saliency_map=values, image=np.ones((2, 2))).plot()
    assert_array_equal(display.map_.get_array(), values)
    assert display.map_.get_clim() == (0, 1)
    assert display.colorbar_.ax.get_ylabel() == "training signal"
    assert NormGradDisplay(saliency_map=values * 0).plot().image_ is None
    assert NormGradDisplay(saliency_map=values).plot(vmax=0.4).map_.get_clim() == (0, 0.4)


TABLE = np.array(
    [("a", 0.5, 0.1, 0.8, np.nan, 3.0), ("b", 0.6, 0.2, 0.9, 0.1, 0.5)],
    dtype=[
        ("name", "U9"),
        ("recall", float),
        ("recall_se", float),
        ("auroc", float),
        ("auroc_se", float),
        ("seconds", float),
    ],
)


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame])
def test_scorers_by_quality_and_seconds(kind):
    display = ScorerComparisonDisplay.from_benchmark(kind(TABLE), measure="auroc")
    assert_array_equal([point.get_xydata()[0] for point in display.points_], [[3, 0.8], [0.5, 0.9]])
    assert len(display.errorbars_) == 1
    assert display.ax_.get_xscale() == "log"


@pytest.mark.parametrize("seconds", [[1.3, 1.4], [1, 9], [0.01, 2000]])
def test_seconds_are_labelled_apart(seconds):
    display = ScorerComparisonDisplay(names=["a", "b"], quality=[0, 1], seconds=seconds).plot()
    display.figure_.canvas.draw()
    low, high = display.ax_.get_xlim()
    assert low < min(seconds)
    assert high > max(seconds)
    labels = [
        text.get_window_extent()
        for tick, text in zip(display.ax_.get_xticks(), display.ax_.get_xticklabels(), strict=True)
        if low <= tick <= high
    ]
    assert len(labels) >= 2
    assert all(left.x1 < right.x0 for left, right in pairwise(labels))


@pytest.mark.parametrize(
    "kind",
    [
        list,
        pd.Series,
        torch.tensor,
        lambda values: pd.Series(values, dtype="Float64"),
        lambda values: np.array([None if v != v else v for v in values], dtype=object),
    ],
)
def test_columns_of_many_kinds(kind):
    display = DifficultyDisplay.from_predictions(
        kind([1.0, 2.0, np.nan]), pd.Series(["a", "b", "b"], index=[7, 8, 9]), bins=2
    )
    assert [artist.get_data().values.tolist() for artist in display.artists_] == [[1, 0], [0, 1]]


def test_names_are_no_formulas():
    display = DifficultyDisplay.from_predictions([1, 2], ["$a", "$b"], name="cost in $ by $")
    display.figure_.canvas.draw()
    assert legend(display) == [r"label \$a (1)", r"label \$b (1)"]


def test_keywords_reach_the_artists():
    display = DifficultyDisplay.from_predictions([1, 2], color="black", alpha=1)
    assert display.artists_[0].get_alpha() == 1
    text = HardestRowsDisplay.from_predictions(["x"], [1], [0], style="italic").texts_[0]
    assert text.get_style() == "italic"
    curve = InferenceCurveDisplay.from_predictions([[1]], [1], linewidth=7).lines_[0]
    assert curve.get_linewidth() == 7
    curve = DifficultyDisplay.from_predictions([1, 2], kind="ecdf", c="red", lw=3, ls=":")
    assert curve.artists_[0].get_color() == "red"
    for width in ("lw", "linewidth", "linewidths"):
        display = DataMapDisplay(confidence=[0], variability=[0]).plot(c="red", **{width: 2})
        assert display.rows_.get_linewidths() == [2]
    path = ProbePathDisplay(predicted=[1, 2], share=[1, 1]).plot(color="red")
    assert {bar.get_facecolor() for bar in path.agreeing_} == {(1, 0, 0, 0.85)}


def test_memorization_is_drawn_with_both_its_sides():
    summary = pd.DataFrame(SIZES_OF_NETS)
    display = MemorizationTrajectoryDisplay(summary=summary, category="increasing")
    p_in, p_out, memorization = (line.get_ydata() for line in display.plot().lines_)
    assert_array_equal(p_in, [0.3, 0.7, 1.0])
    assert_array_equal(p_out, [0.2, 0.2, 0.1])
    assert_array_equal(memorization, [0.1, 0.5, 0.9])
    assert display.ax_.get_ylabel() == "mean of 18 rows, increasing"
    [[segment, *_]] = [bar.get_segments() for bar in display.errorbars_[2].lines[2]]
    assert_allclose(segment[:, 1], [0.06, 0.14])
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == [
        *("small", "medium", "large")
    ]


def test_categories_without_rows_are_not_drawn_and_change_no_colours():
    others = SIZES_OF_NETS | {"n_rows": np.repeat([60, 0, 18, 0], 3)}
    both, one = (
        MemorizationTrajectoryDisplay(summary=summary, kind="categories").plot()
        for summary in (SIZES_OF_NETS, others)
    )
    assert legend(both) == ["constant (42 rows, 70%)", "increasing (18 rows, 30%)"]
    assert legend(one) == ["increasing (18 rows, 30%)"]
    assert_array_equal(both.lines_[1].get_ydata(), [0.1, 0.5, 0.9])
    assert one.lines_[0].get_color() == both.lines_[1].get_color()
