# SPDX-License-Identifier: BSD-3-Clause
"""Training in generations: callbacks that climb with, or draw anew, a part of the layers."""
