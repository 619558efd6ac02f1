# SPDX-License-Identifier: BSD-3-Clause
"""Real data, toy data with a known answer, and label or target noise with a known ground truth."""

from sklearn_difficulty.datasets._diamonds import load_diamonds
from sklearn_difficulty.datasets._fashion_mnist import load_fashion_mnist
from sklearn_difficulty.datasets._label_noise import make_label_noise
from sklearn_difficulty.datasets._target_noise import make_target_noise
from sklearn_difficulty.datasets._toy import make_gaussian_toy

__all__ = [
    "load_diamonds",
    "load_fashion_mnist",
    "make_gaussian_toy",
    "make_label_noise",
    "make_target_noise",
]
