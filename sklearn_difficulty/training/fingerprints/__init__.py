# SPDX-License-Identifier: BSD-3-Clause
"""Whether two configurations are the same: digests of values, of the code behind them, of torch."""
