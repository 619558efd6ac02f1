# SPDX-License-Identifier: BSD-3-Clause
"""DATA of any kind, read into labels, names of the rows, and what they are judged by."""
