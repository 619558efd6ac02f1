# SPDX-License-Identifier: BSD-3-Clause
"""The command ``info``: versions, for a bug report."""

from __future__ import annotations

import os
import platform
import sys
from argparse import Namespace
from importlib.metadata import PackageNotFoundError, version

from .. import __version__
from .output import json_text

_PACKAGES = (
    "numpy scipy scikit-learn torch skorch joblib safetensors pandas pyarrow pillow matplotlib"
)


def run(args: Namespace) -> bool:
    """Print the versions of what is installed."""
    found = {
        "sklearn-difficulty": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": str(os.cpu_count()),
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", ""),
    }
    for name in _PACKAGES.split():
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    if args.json:
        sys.stdout.write(json_text({}, found))
    else:
        for name, value in found.items():
            print(f"{name:18}  {value}".rstrip())
    return False
