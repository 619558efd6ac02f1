# SPDX-License-Identifier: BSD-3-Clause
"""How estimators show themselves: what a fit has found, and where they are documented."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

_PAGES = "https://sklearn-difficulty.readthedocs.io/en/stable"  # where releases are published
_AT_THE_ROOT = ("curation", "scorers")  # rooms whose public classes are imported from the root


class ShowsFindings:
    """Mixin before BaseEstimator: the repr of a fitted estimator goes on with what was found."""

    _doc_link_module = "sklearn_difficulty"
    _doc_link_template = _PAGES + "/generated/{path}.html"

    def _found(self) -> str:
        """Return in a few words what the fit has found."""
        raise NotImplementedError

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there is something that was found."""
        raise NotImplementedError

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        text: str = super().__repr__(N_CHAR_MAX=N_CHAR_MAX)  # type: ignore[call-arg]  # scikit-learn's
        return f"{text}, fitted: {self._found()}" if self.__sklearn_is_fitted__() else text

    def _doc_link_url_param_generator(self) -> dict[str, str]:
        """Return what scikit-learn puts into the template of the link."""
        package, room, *_ = type(self).__module__.split(".")
        names = [package, *([] if room in _AT_THE_ROOT else [room]), type(self).__name__]
        return {"path": ".".join(names)}

    def _get_fitted_attr_html(self, *args: Any, **kwargs: Any) -> Any:
        """Return scikit-learn's table of fitted attributes, in which tables are their size."""
        attributes = super()._get_fitted_attr_html(*args, **kwargs)  # type: ignore[misc]  # as above
        for name, shown in attributes.items():
            columns = getattr(shown.get("dtype"), "names", None)
            if columns:
                size = _Size(f"{len(shown['value'])} x {len(columns)}")
                attributes[name] = {"type_name": "table", "value": size}
        return attributes


# scikit-learn breaks the lines of what has this method as it does those of its own estimators. It
# offers no public way to ask for that, and where this one is gone, long lines stay as they are.
with suppress(ImportError, AttributeError):
    from sklearn.utils._pprint import _EstimatorPrettyPrinter as _Printer

    _Printer._dispatch[ShowsFindings.__repr__] = _Printer._pprint_estimator


class _Size:
    """A size, shown without quotes."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text
