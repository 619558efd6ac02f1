# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark scripts share: where they ran, how results are summarised and written."""

import argparse
import json
import math
import os
import platform
import re
import resource
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import skorch
import torch
from numpy.typing import NDArray
from sklearn import __version__ as sklearn_version
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import nn

import sklearn_difficulty

RESULTS = Path(__file__).parent / "results"
_STARTED = time.perf_counter()


def argument_parser(description: str | None, *, n_seeds: int) -> argparse.ArgumentParser:
    """Return a parser with the options that every script has."""
    parser = argparse.ArgumentParser(
        description=(description or "").splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=n_seeds, help="number of seeds: 0, 1, ...")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on the CPU")
    parser.add_argument("--name", default=None, help="writes results/<name>.json")
    return parser


def prepare(args: argparse.Namespace) -> None:
    """Set the threads, check the device, and silence what every run of these scripts repeats."""
    torch.set_num_threads(args.threads)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch sees no CUDA device here.")
    # Reading a sample of the training rows is intended where a script does it.
    warnings.filterwarnings("ignore", message="This record was trained on other rows")


def machine(device: str) -> dict[str, Any]:
    """Return where and with what the numbers were made; no host name, no path."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": {
            "platform": f"{platform.system()} {platform.machine()}",
            "cpu_count": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        },
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn_version,
            "skorch": skorch.__version__,
            "torch": torch.__version__,
            "sklearn_difficulty": sklearn_difficulty.__version__,
        },
        "seconds": round(time.perf_counter() - _STARTED, 1),
        "peak_rss_mib": round(peak_rss_mib()),
    }


def peak_rss_mib() -> float:
    """Return the largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def write_results(name: str, results: dict[str, Any], *, device: str = "cpu") -> None:
    """Write results/<name>.json: floats to five digits, innermost lists on one line."""
    text = json.dumps(plain({"benchmark": name, **machine(device), **results}), indent=1)
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: f"[{_one_line(m[1])}]", text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    print(f"written: results/{name}.json")


def _one_line(items: str) -> str:
    return re.sub(r"\s*\n\s*", " ", items)


def plain(value: Any) -> Any:
    """Return what JSON knows; an undefined number becomes null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def over_seeds(values: Sequence[Any]) -> dict[str, Any]:
    """Return mean and standard error of the mean; of single numbers also that of every seed."""
    array = np.asarray(values, dtype=np.float64)
    error = np.full(array.shape[1:], math.nan)
    if len(array) > 1:
        error = array.std(axis=0, ddof=1) / math.sqrt(len(array))
    summary = {"mean": array.mean(axis=0), "se": error}
    return summary | {"per_seed": array} if array.ndim == 1 else summary


def gather(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Turn one (nested) dict of numbers per seed into one dict of `over_seeds`."""
    first = runs[0]
    return {
        key: gather([run[key] for run in runs])
        if isinstance(value, dict)
        else over_seeds([run[key] for run in runs])
        for key, value in first.items()
    }


def detection(marked: NDArray[Any], score: NDArray[Any]) -> dict[str, float]:
    """Return AUROC and average precision of a score for marked rows."""
    return {
        "auroc": float(roc_auc_score(marked, score)),
        "ap": float(average_precision_score(marked, score)),
    }


def shown(summary: dict[str, Any], digits: int = 3) -> str:
    """Return 'mean ± standard error' for a table."""
    return f"{summary['mean']:.{digits}f} ± {summary['se']:.{digits}f}"


# ----------------------------------------------------------------- the networks of speed benchmarks


def mlp() -> nn.Module:
    """Return a network 784-256-10."""
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def conv() -> nn.Module:
    """Return a network of two convolutions, of 32 and 64 channels, for images of 28 x 28."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 49, 10),
    )


# ------------------------------------------------------------------------------------------ memory


def resident_mib(field: str) -> float:
    """Return VmRSS (now) or VmHWM (the peak) of this process; Linux only."""
    with open("/proc/self/status") as status:
        (line,) = (line for line in status if line.startswith(field))
    return int(line.split()[1]) / 1024


def added_mib(function: Callable[[], object], device: str) -> float:
    """Return what a function adds to the peak memory."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**20
        function()
        return torch.cuda.max_memory_allocated() / 2**20 - before
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # sets the peak back to what is resident now
    before = resident_mib("VmRSS")
    function()
    return resident_mib("VmHWM") - before
