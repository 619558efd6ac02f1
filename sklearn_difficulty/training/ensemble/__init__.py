# SPDX-License-Identifier: BSD-3-Clause
"""Many networks, each trained on a part of the rows."""
