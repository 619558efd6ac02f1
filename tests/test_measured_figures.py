# SPDX-License-Identifier: BSD-3-Clause
"""Figures in the documentation are those of benchmarks/results/."""

import importlib.util
from pathlib import Path

import pytest

from sklearn_difficulty import VoGScorer

ROOT = Path(__file__).resolve().parents[1]
_spec = importlib.util.spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
tables = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tables)


@pytest.mark.parametrize("name", tables.TABLES)
def test_user_guide_holds_the_table(name):
    page = (ROOT / "doc" / "user_guide" / "variance_of_gradients.rst").read_text()
    assert tables.TABLES[name]() in page, "Copy the table that benchmarks/tables.py prints."


def span(values):
    """Return 'lowest to highest' as the docstring writes it."""
    return f"{min(values):.2f} to {max(values):.2f}"


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
