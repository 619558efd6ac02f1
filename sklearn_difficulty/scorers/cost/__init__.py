# SPDX-License-Identifier: BSD-3-Clause
"""What a fit will cost, told beforehand by fits of a few batches of the rows."""
