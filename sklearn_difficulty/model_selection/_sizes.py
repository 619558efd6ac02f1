# SPDX-License-Identifier: BSD-3-Clause
"""Networks of several sizes: those that are given, checked, and those that None stands for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..rows.rows import Rows
from ..training.default import default_network
from ..training.ensemble.resampled import ResampledEnsemble

_DEFAULT_WIDTHS = (8, 32, 128, 512)
_FORM = "a list of (name, skorch net), at least two, the smallest first"


def checked_sizes(pairs: Any) -> Sequence[tuple[str, Any]]:
    """Return names and networks, after checking both; none for None."""
    if pairs is None:
        return []
    are_pairs = all(
        isinstance(pair, (tuple, list)) and len(pair) == 2 and isinstance(pair[0], str)
        for pair in pairs
    )
    if not are_pairs or len(pairs) < 2:
        raise ValueError(f"estimators must be {_FORM}; got {pairs!r}.")
    what = ResampledEnsemble._parameter_constraints["estimator"]
    for name, net in pairs:
        if not isinstance(net, tuple(kind for kind in what if kind is not None)):
            raise ValueError(
                f"The estimator {name!r} must be a torch network, a skorch net; "
                f"{type(net).__name__} is none."
            )
    return [(name, net) for name, net in pairs]


def default_sizes(rows: Rows, y: Any, owner: Any) -> Sequence[tuple[str, Any]]:
    """Return default networks of one hidden layer for checked rows of features."""
    if y is None and rows.has_columns:
        raise ValueError(
            f"{type(owner).__name__} requires y to be passed, but the target y is None."
        )
    sizes = []
    for width in _DEFAULT_WIDTHS:
        net = default_network(rows, y)
        if "module__hidden_units" not in net.get_params():
            raise ValueError(
                "For images there are no default networks of several sizes. Pass estimators, "
                f"{_FORM}."
            )
        sizes.append((f"{width} units", net.set_params(module__hidden_units=(width,))))
    return sizes
