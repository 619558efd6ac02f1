# SPDX-License-Identifier: BSD-3-Clause
"""What a script is asked for, where it ran, and what it says: options, machine, JSON, print."""

import argparse
import json
import math
import os
import platform
import re
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import skorch
import torch
from sklearn import __version__ as sklearn_version
from summaries import Found, gather, show
from timing import peak_rss_mib

import sklearn_difficulty

RESULTS = Path(__file__).parent / "results"
_STARTED = time.perf_counter()


def argument_parser(
    description: str, *, name: str | None, seeds: int = 1, quick: bool = False, **numbers: Any
) -> argparse.ArgumentParser:
    """Return a parser with the options that every script has, and some numbers.

    `name` may hold {device}; a number is a default, or a default and what it says; `quick` adds the
    option for a smoke run.
    """
    parser = argparse.ArgumentParser(
        description=description.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=seeds, help="number of seeds: 0, 1, ...")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on the CPU")
    parser.add_argument("--name", default=name, help="writes results/<name>.json")
    for option, number in numbers.items():
        default, says = number if isinstance(number, tuple) else (number, None)
        flag = f"--{option.replace('_', '-')}"
        parser.add_argument(flag, type=type(default), default=default, help=says)
    if quick:
        parser.add_argument("--quick", action="store_true", help="tiny; writes only with a --name")
    return parser


def parse(
    parser: argparse.ArgumentParser, measure: Callable[..., Any] | None = None
) -> argparse.Namespace:
    """Return the options; set the threads and silence what every run of these scripts repeats.

    A script that `timing.in_fresh_process` calls only prints what `measure` makes of the words.
    """
    if measure is not None:
        parser.add_argument("--measure", nargs="+", help="used by the script itself")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("--device cuda: torch sees no CUDA device here.")
    # Reading a sample of the training rows is intended where a script does it.
    warnings.filterwarnings("ignore", message="This record was trained on other rows")
    warnings.filterwarnings("ignore", message=".* have no defined difficulty")
    if getattr(args, "quick", False):
        if hasattr(args, "rounds"):
            args.rounds = min(args.rounds, 2)
        if args.name == parser.get_default("name"):
            args.name = None
    if args.name:
        args.name = args.name.format(device=args.device)
    if measure is not None and args.measure:
        print(json.dumps(measure(*args.measure, args.device)))
        raise SystemExit
    return args


def run_cells(
    args: argparse.Namespace,
    cells: dict[str, list[Callable[[], Found]]],
    settings: Found,
    complete: Callable[[Found], object] = lambda found: None,
) -> None:
    """Run the seeds of every cell, gather, complete, print and write what comes out."""
    results = {}
    for name, runs in cells.items():
        results[name] = found = gather([run() for run in runs])
        complete(found)
        show(name, found)
        write_results(args, results, settings=settings)


def seconds_so_far() -> float:
    """Return how long this process has been running."""
    return round(time.perf_counter() - _STARTED, 1)


def machine(device: str) -> Found:
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
        "seconds": seconds_so_far(),
        "peak_rss_mib": round(peak_rss_mib()),
    }


def results_so_far(args: argparse.Namespace) -> Found:
    """Return what an earlier run of the script that was cut short has left, or nothing."""
    path = RESULTS / f"{args.name}.json"
    return json.loads(path.read_text())["results"] if args.name and path.exists() else {}


def write_results(args: argparse.Namespace, results: Found, **head: Any) -> None:
    """Write results/<name>.json: floats to five digits, innermost lists on one line.

    Scripts call it after every part, so that a run that is cut short leaves what it has measured.
    """
    if args.name is None:
        return
    content = {"benchmark": args.name, **machine(args.device), **head, "results": results}
    text = json.dumps(plain(content), indent=1)
    text = re.sub(r"\[\s+([^\[\]{}]*?)\s+\]", lambda m: f"[{_one_line(m[1])}]", text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{args.name}.json").write_text(text + "\n")
    print(f"written: results/{args.name}.json ({seconds_so_far()} s so far)", flush=True)


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
