# SPDX-License-Identifier: BSD-3-Clause
"""Fitted estimators say what they found, and lead to their page, each of the table."""

import importlib
import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from instances import SMALLEST
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from sklearn_difficulty import FilteredClassifier, LabelErrorScorer, _reprs
from sklearn_difficulty.estimator_checks._material import training_rows

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
ROOT = Path(__file__).resolve().parents[1]


def fitted(estimator, targets=None):
    X, y = training_rows()
    estimator = clone(estimator)
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    return estimator.fit(X, y if targets is None else targets)


@pytest.mark.parametrize("estimator", SMALLEST, ids=str)
def test_fitted_estimators_say_what_they_found(estimator):
    found = fitted(estimator)
    before, _, said = repr(found).partition(", fitted: ")
    assert before == repr(clone(found))
    assert "60 rows" in said
    assert "\n" not in said
    assert len(said) < 200


def compares_numbers_with_text():
    """Tell whether NumPy does, as scikit-learn does with parameters like 0.1 and their "auto"."""
    try:
        return not np.array_equal(0.1, "auto")
    except AttributeError:
        return False


@pytest.mark.skipif(not compares_numbers_with_text(), reason="NumPy 2.0 fails in scikit-learn")
@pytest.mark.parametrize("estimator", SMALLEST, ids=str)
def test_html_links_the_page_and_stretches_no_table(estimator):
    found = fitted(estimator)
    html = found._repr_html_()
    page = found._get_doc_link()
    assert f'href="{page}"' in html
    path = page.rpartition("/")[2].removesuffix(".html")
    module, _, name = path.rpartition(".")
    assert getattr(importlib.import_module(module), name) is type(found)
    listed = (ROOT / "doc" / "api.rst").read_text(encoding="utf-8")
    assert re.search(rf"\.\. currentmodule:: {re.escape(module)}\n[^@]*?\n   {name}\n", listed)
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html.partition("Fitted attributes")[2])
    assert max(map(len, cells)) < 400


def test_what_each_kind_found():
    X, y = training_rows()
    probabilities = np.full((60, 3), 0.05) + 0.85 * np.eye(3)[y]
    scorer = LabelErrorScorer("precomputed").fit(probabilities, np.roll(y, 1))
    n = int((scorer.error_probability_ > 0.5).sum())
    assert re.search(
        rf"60 rows, [\d.]+% of the labels are wrong \([\d.]+% to [\d.]+%\), {n} rows more likely",
        repr(scorer),
    )
    assert "table" in scorer._repr_html_()
    filtered = FilteredClassifier(scorer=LabelErrorScorer(random_state=0)).fit(X, y)
    assert repr(filtered).endswith(f"{len(filtered.dropped_indices_)} of 60 rows dropped")
    filtered.relabelled_indices_ = np.arange(7)
    assert repr(filtered).endswith("7 of 60 rows relabelled")
    weighted = FilteredClassifier(scorer=LabelErrorScorer(random_state=0), action="weight")
    assert repr(weighted.fit(X, y)).endswith("60 rows weighted")


def test_what_is_found_where_the_noise_is_not_told(capsys):
    X, y = training_rows()
    scorer = LabelErrorScorer(method="one_fit", n_neighbors=None, random_state=0, verbose=1)
    scorer.fit(X, y)
    assert not hasattr(scorer, "noise_rate_")
    said = repr(scorer).partition(", fitted: ")[2]
    assert said.startswith("60 rows, the hardest are [")
    assert capsys.readouterr().out.endswith(f"LabelErrorScorer: {said}\n")
    assert "60 rows" in scorer._repr_html_()


def test_unfitted_ones_inside_of_others_print_as_before():
    pipeline = make_pipeline(FilteredClassifier(scorer=LabelErrorScorer(n_members=3)))
    assert "scorer=LabelErrorScorer(n_members=3)" in repr(pipeline)
    members = {name: name for name in ("cache_dir", "cache_key", "backend")}
    lines = repr(LabelErrorScorer(n_members=123456789, train_size=0.25, **members)).splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) < 80


def test_nothing_breaks_where_scikit_learn_has_another_printer(monkeypatch):
    monkeypatch.delattr("sklearn.utils._pprint._EstimatorPrettyPrinter")
    assert "ShowsFindings" in runpy.run_path(_reprs.__file__)


class Own(LabelErrorScorer):
    """A class of a user, whose page is not ours."""


def test_classes_of_others_have_no_page_of_ours():
    assert Own()._get_doc_link() == ""
