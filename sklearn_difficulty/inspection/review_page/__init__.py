# SPDX-License-Identifier: BSD-3-Clause
"""One offline HTML file in which a person reviews labels: Python packs it, the browser shows it."""
