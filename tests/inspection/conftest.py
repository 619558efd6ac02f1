# SPDX-License-Identifier: BSD-3-Clause
"""Figures that do not outlive their test, and no window."""

import matplotlib
import pytest
from matplotlib import pyplot as plt


@pytest.fixture(autouse=True)
def no_figure_left():
    before = matplotlib.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(before)
