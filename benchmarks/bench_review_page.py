# SPDX-License-Identifier: BSD-3-Clause
"""The review page: how large, how soon ready, how few nodes; and how far a reviewer must read.

Pages of all rows of Fashion-MNIST, of texts and of a table of mixed columns are opened in headless
Chromium. The reviewer's work is the number of rows looked at until 90 % of the flipped labels of
Fashion-MNIST were among them, in the order of the page, in cleanlab's and in a random one; all read
the same held-out probabilities, of a linear model on random features.
"""

import shutil
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from report import argument_parser, parse, run_cells
from summaries import Array, Found

from sklearn_difficulty import LabelErrorScorer
from sklearn_difficulty.datasets import load_fashion_mnist, make_label_noise
from sklearn_difficulty.inspection import ReviewPage

NAMES = "T-shirt Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Boot".split()
RATE = 0.2
FOUND = 0.9
FOLDS = 5
RIDGE = 30.0
SHARPNESS = np.geomspace(1, 30, 16)  # of the softmax, of which the likeliest is taken
OPENED = 5  # times, of which the median counts
FIRST_KEY = """
const done = arguments[0];
const list = document.querySelector("#list");
const start = performance.now();
list.dispatchEvent(new KeyboardEvent("keydown", { key: "k" }));
requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
"""


# ------------------------------------------------------------------------------------------- rows


def images(n_rows: int, n_features: int, seed: int) -> tuple[Array, Array, Array, Array]:
    """Return images, held-out probabilities, labels a fifth of which are flipped, and which."""
    data = load_fashion_mnist("train")
    some = np.random.default_rng(seed).permutation(len(data.target))[:n_rows]
    X, y = data.data[some].reshape(len(some), 28, 28), np.asarray(data.target)[some]
    noisy, flipped = make_label_noise(y, rate=RATE, random_state=seed)
    return X, held_out(X.reshape(len(X), -1), noisy, n_features, seed), noisy, flipped


def held_out(X: Array, y: Array, n_features: int, seed: int) -> Array:
    """Return cross-validated probabilities of a ridge regression on random features."""
    rng = np.random.default_rng(seed)
    X = (X - X.mean(axis=0)).astype(np.float32)
    weights = rng.normal(size=(X.shape[1], n_features)) / np.sqrt(X.shape[1])
    F = np.concatenate([X, np.maximum(X @ weights, 0), np.ones((len(X), 1))], 1, dtype=np.float32)
    Y = np.eye(10, dtype=np.float32)[y]
    fold = np.arange(len(X)) % FOLDS
    grams = [F[fold == k].T @ F[fold == k] for k in range(FOLDS)]
    moments = [F[fold == k].T @ Y[fold == k] for k in range(FOLDS)]
    scores = np.empty_like(Y)
    for k in range(FOLDS):
        gram = sum(grams) - grams[k] + RIDGE * np.eye(F.shape[1], dtype=np.float32)
        scores[fold == k] = F[fold == k] @ np.linalg.solve(gram, sum(moments) - moments[k])
    candidates = [softmax(sharpness * scores) for sharpness in SHARPNESS]
    return max(candidates, key=lambda P: np.log(P[np.arange(len(y)), y]).mean())


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def guessed(y: Array, n_classes: int, seed: int) -> tuple[Array, Array]:
    """Return probabilities of a made-up good model, and noisy labels."""
    noisy, _ = make_label_noise(y, rate=0.1, random_state=seed)
    logits = 4 * np.eye(n_classes)[y] + np.random.default_rng(seed).normal(size=(len(y), n_classes))
    return softmax(logits), noisy


def texts(n_rows: int) -> tuple[list[str], Array, Array]:
    """Return texts of 20 to 200 words, probabilities and noisy labels."""
    rng = np.random.default_rng(0)
    words = np.array(["".join(rng.choice(list("aeioulnrst"), 2 + i % 8)) for i in range(2000)])
    shown = [" ".join(rng.choice(words, rng.integers(20, 200))) for _ in range(n_rows)]
    return shown, *guessed(rng.integers(4, size=n_rows), 4, 0)


def mixed(n_rows: int) -> tuple[pd.DataFrame, Array, Array]:
    """Return a frame of 30 columns of numbers and 20 of categories, some missing."""
    rng = np.random.default_rng(0)
    y = rng.integers(5, size=n_rows)
    numbers = {f"measure {i}": rng.normal(loc=y * (i % 3), size=n_rows) for i in range(30)}
    levels = {f"kind {i}": rng.choice(list("abcdefgh"[: 2 + i % 7]), n_rows) for i in range(20)}
    frame = pd.DataFrame({**numbers, **levels})
    frame = frame.mask(rng.random(frame.shape) < 0.02)
    return frame, *guessed(y, 5, 0)


# ------------------------------------------------------------------------------------------ pages


def in_browser(path: Path) -> Found:
    """Return the medians of what a browser needs for a page."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder:
        for switch in ("headless=new", "no-sandbox", "disable-gpu", f"user-data-dir={folder}"):
            options.add_argument(f"--{switch}")
        options.add_argument("--window-size=1280,800")
        service = webdriver.ChromeService(shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        try:
            opened = [open_once(driver, path) for _ in range(OPENED)]
        finally:
            driver.quit()
    return {name: median(run[name] for run in opened) for name in opened[0]}


def open_once(driver, path: Path) -> Found:
    """Return times in seconds, and how many elements there are, of one opening."""
    driver.get(path.as_uri())
    while not driver.execute_script("return document.documentElement.dataset.ready"):
        time.sleep(0.02)
    ready = driver.execute_script("return performance.getEntriesByName('ready')[0].startTime")
    driver.execute_script("document.querySelector('#queues [value=all]').click()")
    nodes = driver.execute_script("return document.querySelectorAll('*').length")
    first_key = driver.execute_async_script(FIRST_KEY)
    driver.execute_script("localStorage.clear()")
    return {"ready": ready / 1e3, "nodes": nodes, "first_key": first_key / 1e3}


def one_page(make) -> Found:
    """Return what one page takes to be made and to be opened."""
    shown, P, y = make()[:3]
    scorer = LabelErrorScorer("precomputed").fit(P, y)
    start = time.perf_counter()
    page = ReviewPage(scorer, P, y, show=shown, random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        path = page.write(Path(folder) / "review.html")
        made = time.perf_counter() - start
        return {
            "rows": len(y),
            "megabytes": path.stat().st_size / 1e6,
            "made": made,
            **in_browser(path),
        }


def pictured(n_rows: int, n_features: int) -> tuple[Array, Array, Array]:
    """Return images, probabilities and labels."""
    return images(n_rows, n_features, 0)[:3]


# ------------------------------------------------------------------------------- a reviewer's work


def work(n_rows: int, n_features: int, seed: int) -> Found:
    """Return by how many rows, of one seed, a reviewer has seen most of the flipped labels."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    _, P, y, flipped = images(n_rows, n_features, seed)
    scorer = LabelErrorScorer("precomputed").fit(P, y)
    issues = find_label_issues(y, P, n_jobs=1, return_indices_ranked_by="self_confidence")
    by_quality = np.argsort(get_label_quality_scores(y, P), kind="stable")
    others = by_quality[~np.isin(by_quality, issues)]
    orders = {
        "page": np.argsort(-scorer.difficulty_, kind="stable"),
        "cleanlab, issues first": np.concatenate([issues, others]),
        "cleanlab, quality score": by_quality,
        "random": np.random.default_rng(seed).permutation(len(y)),
    }
    wanted = int(np.ceil(FOUND * flipped.sum()))
    looked = {
        name: int(np.searchsorted(flipped[order].cumsum(), wanted)) + 1
        for name, order in orders.items()
    }
    return {
        "rows": len(y),
        "flipped": int(flipped.sum()),
        "accuracy": float((P.argmax(axis=1) == y)[~flipped].mean()),
        "looked at": looked,
        "by the least possible": {name: n / wanted for name, n in looked.items()},
    }


def main() -> None:
    numbers = {"rows": 60_000, "features": 400}
    parser = argument_parser(__doc__, name="review_page", seeds=5, quick=True, **numbers)
    args = parse(parser)
    if args.quick:
        args.rows, args.features, args.seeds = 2_000, 50, 1
    pages = {
        "Fashion-MNIST, pictures": partial(pictured, args.rows, args.features),
        "texts": partial(texts, 2_000),
        "table of 50 columns": partial(mixed, 10_000),
    }
    cells = {name: [partial(one_page, make)] for name, make in pages.items()}
    cells["a reviewer's work"] = [
        partial(work, args.rows, args.features, seed) for seed in range(args.seeds)
    ]
    run_cells(args, cells, vars(args))


if __name__ == "__main__":
    main()
