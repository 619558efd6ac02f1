# SPDX-License-Identifier: BSD-3-Clause
"""Parameters of functions, held to constraints as scikit-learn's estimators hold theirs."""

from __future__ import annotations

from typing import Any

from sklearn.utils._param_validation import validate_parameter_constraints


def check_parameters(caller: str, **checked: tuple[Any, list[Any]]) -> None:
    """Raise an error that names a parameter and what it may be, given (value, constraints)."""
    validate_parameter_constraints(
        {name: constraints for name, (_, constraints) in checked.items()},
        {name: value for name, (value, _) in checked.items()},
        caller_name=caller,
    )
