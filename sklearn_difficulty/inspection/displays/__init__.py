# SPDX-License-Identifier: BSD-3-Clause
"""One display per file: values in the constructor, a picture of them from `plot`."""
