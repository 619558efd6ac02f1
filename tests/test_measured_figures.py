# SPDX-License-Identifier: BSD-3-Clause
"""Figures in the documentation are those of benchmarks/results/."""

import importlib.util
from pathlib import Path
from statistics import fmean

import pytest

from sklearn_difficulty import (
    ConFragSelector,
    ConsistencyScorer,
    DifficultyQuadrantClassifier,
    ForgettingUnderPerturbationScorer,
    LabelErrorScorer,
    MarginScorer,
    MemorizationScorer,
    NeighborConfidenceScorer,
    NormGradScorer,
    PredictionDepthScorer,
    TrainingDynamicsScorer,
    TrainingRecord,
    VoGScorer,
)
from sklearn_difficulty.model_selection import MemorizationTrajectory

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_results(page):
    assert tables.with_tables(page) == page.read_text(), "Run python benchmarks/tables.py."


def test_every_table_is_on_a_page():
    named = [tables.MARK.findall(page.read_text()) for page in tables.PAGES]
    assert {name for of_page in named for name in of_page} == set(tables.TABLES)


def test_a_table_that_is_out_of_date_is_made_anew(tmp_path):
    for suffix, old in ((".md", "| 1 |\n|---|\n| 2 |"), (".rst", ".. list-table::\n\n   * - 1")):
        page = tmp_path / f"page{suffix}"
        mark = "<!-- {} -->" if suffix == ".md" else ".. {}"
        mark = mark.format("table of benchmarks/tables.py: toy")
        page.write_text(f"Before\n\n{mark}\n\n{old}\n\nAfter\n")
        before, after = page.read_text().split(old)
        text = tables.with_tables(page)
        assert text.startswith(before)
        assert text.endswith(after)
        assert "tanh 10, separation 3" in text
        page.write_text(text)
        assert tables.with_tables(page) == text


def span(values):
    """Return 'lowest to highest' as the docstring writes it."""
    values = sorted(values)
    return f"{values[0]:.2f} to {values[-1]:.2f}"


def test_page_on_scaling_quotes_how_well_costs_are_told():
    text = " ".join((ROOT / "doc" / "evidence" / "scaling.rst").read_text().split())
    found = tables.results("estimate_cost_cpu")
    images = {name: cell for name, cell in found.items() if name.startswith("depth of")}
    runs = [run for name, cell in found.items() if name not in images for run in cell["runs"]]
    told = "told over took"
    loads, added = (sorted(round(run[key]) for run in runs) for key in ("load", "added MiB"))
    of_images = span(run[told] for cell in images.values() for run in cell["runs"])
    for quoted in (
        f"a load of {loads[0]} to {loads[-1]}",
        f"told are {span(run[told] for run in runs)} of those taken",
        f"memory {span(run['memory: told over took'] for run in runs)}.",
        f"of the {added[0]} to {added[-1]} MiB that these fits add, "
        f"it is {span(run['added: told over took'] for run in runs)}.",
        f"wall, seconds are {span(run['wall: told over took'] for run in runs)},",
        f"was told at {of_images} of what it took",
    ):
        assert quoted in text, quoted
    assert len(runs) == 15
    # What an estimate says of itself.
    assert all(1 / 1.5 < run[told] < 1.5 for cell in found.values() for run in cell["runs"])


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


def test_docstring_of_perturbation_quotes_the_measured_ranges():
    text = " ".join(ForgettingUnderPerturbationScorer.__doc__.split())
    cells = tables.results("targeted_forgetting")

    def ap(score, regime):
        found = [cell["found"] for name, cell in cells.items() if name.endswith(regime)]
        return span(cell[score]["ap"]["mean"] for cell in found)

    default, loss = "redraw 0.2", "cumulative loss"
    for quoted in (
        f"{ap(default, 'early')} in networks that were stopped early and "
        f"{ap(default, 'memorised')} in ones that know their labels by heart",
        f"the loss reaches {ap(loss, 'early')} and {ap(loss, 'memorised')}",
    ):
        assert quoted in text, quoted


def test_docstring_of_confrag_quotes_the_measured_figures():
    text = " ".join(ConFragSelector.__doc__.split())
    arms = tables.results("confrag")["symmetric 40 %"]["seed 0"]
    both, prediction = arms["ConFrag"], arms["prediction view"]
    for quoted in (
        f"it selects {both['rate']:.0%}".replace("%", " %"),
        f"in which {both['err']:.2f} of the error is left",
        f"an average precision of {both['ap']:.2f}",
        f"half the time, {prediction['rate']:.0%}".replace("%", " %")
        + f", {prediction['err']:.2f} and {prediction['ap']:.2f}.",
    ):
        assert quoted in text, quoted


def test_docstring_of_normgrad_quotes_the_measured_figures():
    text = " ".join(NormGradScorer.__doc__.split())
    cells = tables.results("normgrad_label_noise")
    points = tables.results("normgrad")["scenes"]

    def ap(score, regime):
        found = [cell["found"][score]["ap"]["mean"] for n, cell in cells.items() if regime in n]
        return span(found) if len(found) > 1 else f"{found[0]:.2f}"

    def pointing(method, layer):
        return f"{points['pointing'][method][layer]['mean']:.0f} %"

    for quoted in (
        f"20 % flipped labels {ap('normgrad', 'stopped early')} in networks that were stopped",
        f"{ap('normgrad', 'memorised')} in ones that know them by heart, where the loss averaged "
        f"over training reaches {ap('loss', 'stopped early')} and {ap('loss', 'memorised')}",
        f"lay near the object in {pointing('NormGrad', 'product')} of the cases, with "
        f"``selective=True`` in {pointing('NormGrad selective', 'product')}, the centre of the "
        f"image in {pointing('centre', 'all')}",
    ):
        assert quoted in text, quoted
    # A correlation and not its p-value, which would be 0: the authors' script took the latter.
    last = points["class sensitivity"]["NormGrad, order 0"]["stage4.2"]
    assert last["mean"] > 0.9999


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


def test_docstring_of_memorization_over_sizes_quotes_the_measured_figures():
    text = " ".join(MemorizationTrajectory.__doc__.split())
    found = tables.results("memorization_sizes")["categories"]
    rising = found["increasing"]
    for quoted in (
        f"the memorization of {rising['share']['mean']:.2f} rose",
        f"and fell for {found['decreasing']['share']['mean']:.2f}",
        f"it rose {rising['flipped among them']['mean']:.2f} had a flipped label",
        f"which were {rising['of the flipped']['mean']:.2f} of all",
    ):
        assert quoted in text, quoted


def test_docstring_of_label_errors_quotes_the_measured_figures():
    text = " ".join(LabelErrorScorer.__doc__.split())

    def both(who, measure):
        return " and ".join(
            tables.fill(f"<found/{who}/{measure}>", tables.label_errors(regime=regime))
            for regime in ("stopped early", "memorised")
        )

    sets = tables.results("label_errors_sets_cpu")

    def of_sets(who, measure):
        *first, last = (
            f"{sets[name][who][measure]:.2f}" for name in tables.LABEL_ERRORS_SETS.values()
        )
        return f"{', '.join(first)} and {last}"

    for quoted in (
        f"average precision is {of_sets('ours, auto', 'ap')}",
        f"the F1 of the cut at 0.5 is {of_sets('ours, auto', 'f1')}, that of cleanlab's "
        f"{of_sets('cleanlab', 'f1')}",
        f'average precision is {both("ours, neighbors", "ap")} with "neighbors"',
        f'{both("ours, one_fit", "ap")} with "one_fit"',
    ):
        assert quoted in text, quoted


def test_docstring_of_boosted_trees_quotes_the_measured_figures():
    text = " ".join(TrainingRecord.from_staged.__doc__.split())
    cells = [c for name, c in tables.results("staged")["cells"].items() if "diamonds" in name]

    def mean(learner, path):
        return fmean(tables.look_up(cell, f"{learner}/{path}")["mean"] for cell in cells)

    small, network, large = (
        f"{mean(learner, 'ap/loss'):.2f}"
        for learner in ("scikit-learn, depth 3", "network", "scikit-learn")
    )
    known = f"{mean('scikit-learn', 'accuracy on the given labels'):.0%}".replace("%", " %")
    assert f"average precision of {small}, as that of a network ({network})" in text
    assert f"which know {known} of the given labels in the end, {large}" in text


def test_what_is_said_of_half_precision_and_of_compiled_passes():
    networks = tables.results("precision_cpu")
    for network in networks.values():
        for found in network["precision"].values():
            assert found["bfloat16"]["spearman"] > 0.99
            assert found["bfloat16"]["hardest shared"] >= 0.96  # "but for a few in a hundred"
            assert found["float16"]["over single"] > 1
        assert network["compiled"]["input gradient"]["compiled over eager"] > 1.1
    mlp, conv = networks["MLP"], networks["conv"]
    times = [cell["bfloat16"]["over single"] for cell in mlp["precision"].values()]
    assert 0.4 < sorted(times)[len(times) // 2] < 0.65  # "halves"
    assert mlp["compiled"]["forward"]["compiled over eager"] > 0.95
    assert 0.7 < conv["compiled"]["forward"]["compiled over eager"] < 0.8  # "a quarter"
