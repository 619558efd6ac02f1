# SPDX-License-Identifier: BSD-3-Clause
"""BaseDisplay: where axes come from, and how they look in all displays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils._plotting import _validate_style_kwargs

# Okabe and Ito's colours, which colour-blind people tell apart; with a dash or marker each, they
# are told apart in print too. Vermillion is kept for marked rows.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
MARKED = "#D55E00"
REFERENCE = "#666666"
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
MAX_SERIES = 12  # as many differ in colour or dash
MAX_POINTS = 5000  # beyond, points hide each other, and their density is drawn


class BaseDisplay:
    """Base of the displays."""

    ax_: Any
    figure_: Any

    def _check_matplotlib(self) -> None:
        """Raise if there is no matplotlib; before anything else, as in scikit-learn."""
        check_matplotlib_support(f"{type(self).__name__}.plot")

    def _open_axes(self, ax: Any, size: tuple[float, float] = (4.8, 3.6)) -> Any:
        """Keep and return the given axes, or new ones. To be called when all values are checked."""
        from matplotlib.axes import Axes

        if ax is None:
            import matplotlib.pyplot as plt

            _, ax = plt.subplots(figsize=size, layout="constrained")
        elif not isinstance(ax, Axes):
            raise TypeError(f"ax must be the axes to draw on, or None; got a {type(ax).__name__}.")
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def scale() -> float:
    """Return how much larger than usual text is; points follow it, on a slide."""
    from matplotlib import rcParams

    return float(rcParams["font.size"]) / 10


def series_style(number: int) -> dict[str, Any]:
    """Return colour, dash and marker of the series of some number."""
    return {
        "color": COLORS[number % len(COLORS)],
        "linestyle": DASHES[number % len(DASHES)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 4.5 * scale(),
    }


def styled(defaults: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return keywords of an artist, those of the user first, whether "linewidth" or "lw"."""
    # Points and cells take the plural too.
    singular = {"linewidths": "linewidth", "edgecolors": "edgecolor"}
    given = {singular.get(name, name): value for name, value in kwargs.items()}
    chosen: dict[str, Any] = _validate_style_kwargs(defaults, given)
    return chosen


def n_series(ax: Any) -> int:
    """Return how many series displays have drawn on axes already, so that the next differs."""
    return sum(line.get_color() in COLORS and len(line.get_xdata()) > 0 for line in ax.lines)


def plain(name: Any) -> str:
    """Return a name as text in which no dollar sign starts a formula."""
    return str(name).replace("$", r"\$")


def add_legend(ax: Any, n_undefined: int = 0, noun: str = "row", **kwargs: Any) -> None:
    """Add a legend if there is something to tell, which counts what is not drawn."""
    if n_undefined:
        nouns = noun if n_undefined == 1 else f"{noun}s"
        ax.plot([], [], " ", label=f"{n_undefined:,} {nouns} undefined, left out")
    if "handles" in kwargs or ax.get_legend_handles_labels()[1]:
        tight = {"handlelength": 1.8, "handletextpad": 0.5, "labelspacing": 0.3, "borderpad": 0.3}
        ax.legend(**{"fontsize": "small", "framealpha": 0.8, **tight, **kwargs})


def draw_density(ax: Any, x: Any, y: Any, **kwargs: Any) -> tuple[Any, Any]:
    """Draw how many rows are where, with a colour bar; both are returned."""
    style = {"gridsize": 40, "bins": "log", "cmap": "cividis", "mincnt": 1, "linewidth": 0.2}
    cells = ax.hexbin(x, y, **styled(style, kwargs))
    return cells, ax.figure.colorbar(cells, ax=ax, label="rows")


def label_probes(ax: Any, names: Sequence[Any]) -> None:
    """Write the names of probes below the axes, aslant if they are long."""
    ax.set_xticks(range(len(names)), [plain(name) for name in names])
    if sum(map(len, map(str, names))) > 30:
        ax.tick_params(axis="x", labelrotation=45)
        for text in ax.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
