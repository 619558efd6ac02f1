# SPDX-License-Identifier: BSD-3-Clause
"""What lies on disk: tensors, states of other loops, the schema of a record, whole folders."""
