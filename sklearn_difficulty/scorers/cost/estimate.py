# SPDX-License-Identifier: BSD-3-Clause
"""CostEstimate: the answer to what a fit will cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STATED_ERROR = 1.5
_BUSY = 1.2  # times as long: less is no news


@dataclass(frozen=True, repr=False)
class CostEstimate:
    """What a fit will cost, as ``estimate_cost`` of a scorer tells it.

    ``str(cost)`` is a sentence that says all of it.

    Parameters
    ----------
    trainings : int
        How many times a network, or another model, is trained; 0 where what is given is only read.
    seconds : float
        How long the fit takes if nothing else runs on this machine.
    memory : float
        The peak memory of this process in bytes, all that it holds now included, without that of
        GPUs and of workers; NaN where the system does not tell (it is read from ``/proc``, on
        Linux).
    disk : float
        Bytes that are written and stay: 0 without `cache_dir` or `checkpoint_dir`.
    error : float, default=1.5
        The factor, up or down, that `seconds` and `memory` are stated within.
    slowdown : float, default=1.0
        How many times as long the clock on the wall took in the rehearsal, because other programs
        kept the processor from this one: 1 if none did. ``seconds * slowdown`` is how long the fit
        takes while the machine is as busy as it was then. It is not stated within `error`, since
        others come and go.
    neighbor_seconds : float, default=0.0
        How many of the `seconds` are for distances in the search for nearest neighbours.
    shortened_by : tuple of str, default=()
        Parameters of the scorer that bound this search, if it takes more than half of the
        `seconds`: smaller ones make it shorter. `pool` is for images.

    See Also
    --------
    VoGScorer.estimate_cost : Returns it, as the method of every scorer.

    Examples
    --------
    >>> from sklearn_difficulty import CostEstimate
    >>> cost = CostEstimate(trainings=5, seconds=600, memory=2e9, disk=0)
    >>> print(cost)
    5 trainings, about 10.0 minutes, memory up to 2.0 GB (within a factor of 1.5)
    """

    trainings: int
    seconds: float
    memory: float
    disk: float
    error: float = STATED_ERROR
    slowdown: float = 1.0
    neighbor_seconds: float = 0.0
    shortened_by: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"CostEstimate(trainings={self.trainings}, seconds={self.seconds:.3g}, "
            f"memory={self.memory:.3g}, disk={self.disk:.3g}, error={self.error:g}, "
            f"slowdown={self.slowdown:.3g})"
        )

    def __str__(self) -> str:
        s = "" if self.trainings == 1 else "s"
        busy = ""
        if self.slowdown >= _BUSY:
            now = _duration(self.seconds * self.slowdown)
            busy = f" ({now} on a machine as busy as now)"
        memory = "" if np.isnan(self.memory) else f", memory up to {_size(self.memory)}"
        disk = f", {_size(self.disk)} on disk" if self.disk else ""
        search = ""
        if self.shortened_by:
            names = " or ".join(self.shortened_by)
            search = f"; most of it searches for neighbours: a smaller {names} makes that shorter"
        return (
            f"{self.trainings} training{s}, about {_duration(self.seconds)}{busy}{memory}{disk} "
            f"(within a factor of {self.error:g}){search}"
        )


def _size(n_bytes: float) -> str:
    """Return bytes with a unit that people read."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    """Return seconds with a unit that people read."""
    for unit, length in {"hours": 3600, "minutes": 60}.items():
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"
