# SPDX-License-Identifier: BSD-3-Clause
"""The parts of `TargetErrorScorer`: where predictions come from, and what is told of the errors."""
