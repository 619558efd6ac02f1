# SPDX-License-Identifier: BSD-3-Clause
"""What X and y may be: rows of every kind, labels and codes, the identity of training rows."""
