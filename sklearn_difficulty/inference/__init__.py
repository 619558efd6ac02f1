# SPDX-License-Identifier: BSD-3-Clause
"""Everything that reads a trained network: records in, arrays out, block by block."""
