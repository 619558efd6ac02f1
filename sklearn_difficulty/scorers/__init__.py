# SPDX-License-Identifier: BSD-3-Clause
"""One public scorer per file: a record, a reader and a measure behind fit and transform."""

from .vog import VoGScorer

__all__ = ["VoGScorer"]
