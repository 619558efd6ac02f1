# SPDX-License-Identifier: BSD-3-Clause
"""The parts of `LabelErrorScorer`: where probabilities come from, and what is told of the noise."""
