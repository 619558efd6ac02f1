# SPDX-License-Identifier: BSD-3-Clause
"""Networks of torch: those of this library, what a module returns, and a forward pass."""
