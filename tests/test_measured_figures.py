# SPDX-License-Identifier: BSD-3-Clause
"""Figures in the documentation are those of benchmarks/results/."""

import importlib.util
from pathlib import Path

import pytest

from sklearn_difficulty import (
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    LabelErrorScorer,
    MarginScorer,
    MemorizationScorer,
    NeighborConfidenceScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    VoGScorer,
)

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)


VOG = "variance_of_gradients.rst"
PAGES = {
    "DEPTH": "prediction_depth.rst",
    "DYNAMICS": "training_dynamics.rst",
    "FILTER": "filter_and_retrain.rst",
    "LABEL": "label_errors.rst",
    "QUADRANTS": "four_kinds_of_hard.rst",
}


@pytest.mark.parametrize("name", tables.TABLES)
def test_user_guide_holds_the_table(name):
    page = (ROOT / "doc" / "user_guide" / PAGES.get(name.split("_")[0], VOG)).read_text()
    assert tables.TABLES[name]() in page, "Copy the table that benchmarks/tables.py prints."


def span(values):
    """Return 'lowest to highest' as the docstring writes it."""
    values = sorted(values)
    return f"{values[0]:.2f} to {values[-1]:.2f}"


def test_docstring_quotes_the_measured_ranges():
    text = " ".join(VoGScorer.__doc__.split())
    networks = [tables.results(file) for file in tables.ERROR_RATE.values()]
    noise = [tables.results("vog_label_noise")[name] for name in tables.NOISE.values()]

    def misclassified(target):
        return [
            n["held-out, predicted class"][f"{target}, all"]["vog_class"]["auroc"]["mean"]
            for n in networks
        ]

    def wrong_label(target, kind):
        return [n[f"{target}, all"][kind]["auroc"]["mean"] for n in noise]

    softmax = [n["1 - max softmax"]["held-out"]["auroc"]["mean"] for n in networks]
    for quoted in (
        f"AUROC {span(misclassified('logit'))} with the logit",
        f"{span(misclassified('probability') + misclassified('loss'))} with the probability",
        f"one minus the largest softmax reaches {span(softmax)}",
        f"ranks them as easy (AUROC {span(wrong_label('logit', 'vog_class'))}",
        f'``target="loss"`` {span(wrong_label("loss", "vog_class"))}',
        f"(`gradient_magnitude_`) {span(wrong_label('loss', 'magnitude_class'))}",
    ):
        assert quoted in text, quoted
    for network in tables.results("vog_toy").values():
        assert network["logit, all"]["vog_raw"]["n_negative"] == 8


def test_docstrings_of_probing_scorers_quote_the_measured_ranges():
    found = [tables.results("prediction_depth_claims")[name] for name in tables.DEPTH_NETWORKS]

    def held_out(score):
        return span(network["clean"][score]["auroc"]["mean"] for network in found)

    def of_wrong_labels(score, regime):
        return span(network[regime][score]["ap"]["mean"] for network in found)

    depth, neighbors, given = "depth, k = 30", "neighbours, k = 30", "1 - p(given)"
    quotes = {
        PredictionDepthScorer: [
            f"AUROC {held_out('depth')}, where one minus the largest softmax reaches "
            f"{held_out('1 - max softmax')}",
            f"average precision {of_wrong_labels(depth, 'flipped')} for 20 % flipped labels, and "
            f"{of_wrong_labels(depth, 'stopped')} if",
        ],
        NeighborConfidenceScorer: [
            f"average precision {of_wrong_labels(neighbors, 'flipped')} for 20 % flipped",
            f"by heart, {of_wrong_labels(neighbors, 'stopped')} in networks",
            f"gives {of_wrong_labels(given, 'flipped')} and {of_wrong_labels(given, 'stopped')}",
        ],
        MarginScorer: [
            f"output margin {of_wrong_labels('margin, output', 'stopped')}, input margin "
            f"{of_wrong_labels('margin, input', 'stopped')}",
            f"{of_wrong_labels('margin, output', 'flipped')} and "
            f"{of_wrong_labels('margin, input', 'flipped')} once",
        ],
    }
    for scorer, expected in quotes.items():
        text = " ".join(scorer.__doc__.split())
        for quoted in expected:
            assert quoted in text, quoted


def test_docstring_of_dynamics_quotes_the_measured_ranges():
    found = tables.results("dynamics_label_noise")
    text = " ".join(TrainingDynamicsScorer.__doc__.split())

    def symmetric(score):
        return " and ".join(
            span(
                found[f"{data}, symmetric, {regime}"]["found"][score]["ap"]["mean"]
                for data in ("digits", "fashion_mnist")
            )
            for regime in ("stopped early", "memorised")
        )

    loss = symmetric("loss").replace(" and ", " in networks that were stopped early and ")
    for quoted in (
        f'"loss" {loss} in networks that know',
        f'"confidence" {symmetric("confidence")}',
        f"cross-validation gives {symmetric('cross-validation')}",
    ):
        assert quoted in text, quoted


def test_docstrings_of_ensemble_scorers_quote_the_measured_figures():
    found = tables.results("quadrants")
    both = [found[f"{data}, flipped"] for data in ("Fashion-MNIST", "digits")]

    def pair(figure, join=" and "):
        first, second = (f"{figure(cell)['mean']:.2f}" for cell in both)
        return f"{first}{join}{second}"

    def ap(score):
        return lambda cell: cell["wrong labels"]["found"][score]["ap"]

    def share(kind):
        return lambda cell: cell["wrong labels"]["quadrants"]["looks_like_a_different_class"][kind]

    def agreement(labels):
        return lambda cell: cell["estimated training depth"][labels]["all rows"]["pearson"]

    def nearest_100(cell):
        return cell["wrong labels"]["nearest"]["100"]["precision"]

    on_both = " (Fashion-MNIST) and "
    clean = agreement("predicted class")(found["Fashion-MNIST, clean"])
    stopped = found["Fashion-MNIST, stopped"]["wrong labels"]["found"]["memorization"]["ap"]
    quotes = {
        DifficultyQuadrantClassifier: [
            f"{pair(nearest_100, on_both)} (digits) of the 100 rows nearest",
            f"held {pair(share('share of wrong labels'))} of all wrong labels",
            f"So were {pair(share('share of right labels'))} of the correctly",
            f"measured by {pair(agreement('given label'))}",
            f"the predicted class by {pair(agreement('predicted class'))}",
            f"({clean['mean']:.2f} if they are right)",
        ],
        ConsistencyScorer: [
            f"was {pair(ap('1 - consistency'), on_both)} (digits)",
            f"over training {pair(ap('1 - p(given), held out, epochs'))}",
        ],
        MemorizationScorer: [
            f"was {pair(ap('memorization'), on_both)} (digits)",
            f"({stopped['mean']:.2f}, which is chance)",
        ],
    }
    for scorer, expected in quotes.items():
        text = " ".join(scorer.__doc__.split())
        for quoted in expected:
            assert quoted in text, quoted


def test_docstring_of_label_errors_quotes_the_measured_figures():
    text = " ".join(LabelErrorScorer.__doc__.split())

    def both(who, measure):
        return " and ".join(
            f"{tables.label_error_mean('found', who, measure, regime=regime):.2f}"
            for regime in ("stopped early", "memorised")
        )

    for quoted in (
        f"average precision is {both('ours', 'ap')}",
        f"cleanlab ranks by, give {both('cleanlab', 'ap')}",
        f"the F1 of the cut at 0.5 is {both('ours', 'f1')}, that of cleanlab's "
        f"{both('cleanlab', 'f1')}",
        f'"neighbors" {both("ours, neighbors", "ap")}',
        f'"one_fit" {both("ours, one_fit", "ap")}',
        f"F1 of the cut there {both('ours, neighbors', 'f1')}",
    ):
        assert quoted in text, quoted
