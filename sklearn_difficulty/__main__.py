# SPDX-License-Identifier: BSD-3-Clause
"""``python -m sklearn_difficulty`` is the command ``sklearn-difficulty``."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
