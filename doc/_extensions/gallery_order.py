# SPDX-License-Identifier: BSD-3-Clause
"""The order of the examples: what most people come for is first."""

FIRST = (
    "plot_label_errors.py",
    "plot_filter.py",
    "plot_wrong_targets.py",
    "plot_which_score.py",
    "plot_data_map.py",
    "plot_quadrants.py",
    "plot_prediction_depth.py",
    "plot_normgrad.py",
    "plot_vog_boundary.py",
    "plot_vog_error_rate.py",
)


def key(filename: str) -> tuple[int, str]:
    """Return what examples are sorted by; one that is not named comes last."""
    return FIRST.index(filename) if filename in FIRST else len(FIRST), filename
