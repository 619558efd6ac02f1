# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of prediction depth, beside the bare matrix product and other exact searches.

Four parts, each in its own key of the results:

- search: exact 30 nearest neighbours at several widths, rows and bank resident, beside the matrix
  product alone, `addmm` + `topk`, scikit-learn's brute force and faiss (if it is installed). Each
  round runs all of them; ratios are medians over rounds of the ratio within a round. The bare
  product writes to one buffer, in blocks of 256 or of 1,024 rows, and the faster counts; the same
  product once more at the end of the round, as a yardstick for the noise of the machine;
- scorer: `PredictionDepthScorer.fit` on a finished record, the rows being their own bank, beside
  the products that its probes need;
- growth: the same fit at doubling numbers of rows, and the slope of log time on log rows;
- memory: what a fit adds to the peak memory of a fresh process under several budgets
  (``working_memory``), for layers whose bank is larger, and its time beside that of the same fit
  with a budget that takes the whole bank.

On CUDA, times end with a synchronisation, scikit-learn and faiss are left out, and the share of the
machine's float32 matrix rate (its own large product, no TF32) is given.

    python benchmarks/bench_prediction_depth.py            # all on the CPU
    python benchmarks/bench_prediction_depth.py --device cuda
    python benchmarks/bench_prediction_depth.py --quick    # tiny sizes, writes only with --name
"""

from functools import partial

import numpy as np
import sklearn
import torch
from problems import MLP_784, mlp
from report import argument_parser, parse, write_results
from sklearn.neighbors import NearestNeighbors
from summaries import show
from threadpoolctl import threadpool_limits
from timing import SLOW_ROUNDS, added_mib, exponent, in_fresh_process, interleaved
from torch import nn

from sklearn_difficulty import PredictionDepthScorer, TrainingRecord
from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.nearest import full_precision, majority
from sklearn_difficulty.inference.neighbors import NeighborBank
from sklearn_difficulty.inference.predictions import predicted_classes
from sklearn_difficulty.inference.probes import find_probes
from sklearn_difficulty.inference.trace import Probe
from sklearn_difficulty.rows.rows import ArrayRows

try:
    import faiss
except ImportError:
    faiss = None

K = 30
TARGET_PRODUCT = 1.3  # of the bare product, from 512 dimensions on
TARGET_SKLEARN = 1.5
WIDE_ENOUGH = 512
BLOCKS = (256, 1024)  # rows of a bare product
NAIVE_BLOCK = 1024

# width, rows in the bank, rows asked about
SEARCHES = {
    "cpu": [(128, 20_000, 2048), (784, 20_000, 1024), (4096, 20_000, 256), (25_088, 4_000, 256)],
    "cuda": [
        (128, 60_000, 60_000),
        (784, 60_000, 60_000),
        (4096, 60_000, 60_000),
        (25_088, 20_000, 20_000),
    ],
    "quick": [(16, 600, 300), (520, 600, 300)],
}
CONV_25K, CONV_65K = "conv, 25,088 values", "conv, 65,536 values"
SHAPES = {MLP_784: (784,), CONV_25K: (1, 28, 28), CONV_65K: (3, 32, 32)}
# network, rows, working_memory in MiB (None: scikit-learn's default)
SCORERS = {
    "cpu": [(MLP_784, 20_000, None)],
    "cuda": [(MLP_784, 60_000, None), (CONV_65K, 60_000, None), (CONV_65K, 60_000, 40_000)],
    "quick": [(MLP_784, 500, None)],
}
GROWTH = {
    "cpu": (2_500, 5_000, 10_000, 20_000),
    "cuda": (7_500, 15_000, 30_000, 60_000),
    "quick": (200, 400),
}
FEW_ROWS = 5_000  # a fit of more is repeated SLOW_ROUNDS times only
PRODUCT_ROWS = 2_048  # of which the time of all products of a fit is estimated
# network, rows
MEMORY = {
    "cpu": [(CONV_25K, 1_500), (CONV_65K, 800)],
    "cuda": [(CONV_25K, 10_000), (CONV_65K, 5_000)],
    "quick": [(CONV_25K, 200)],
}
BUDGETS = {"cpu": (64, 256, 1024), "cuda": (64, 256, 1024), "quick": (8,)}


def clustered(n, shape, seed):
    """Return rows around 10 centres in a plane of 16 dimensions, plus noise, and their labels.

    The centres and the plane do not depend on the seed.
    """
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed + 1)
    width = int(np.prod(shape))
    centres = fixed.standard_normal((10, 16), dtype=np.float32)
    plane = fixed.standard_normal((16, width), dtype=np.float32) / 4
    labels = rng.integers(10, size=n)
    inside = centres[labels] + rng.standard_normal((n, 16), dtype=np.float32)
    noise = rng.standard_normal((n, width), dtype=np.float32)
    noise *= 0.1
    noise += inside @ plane
    return noise.reshape(n, *shape), labels


# -------------------------------------------------------------------------------------- the search


def identity_bank(X, labels, device):
    """Return a bank whose only probe is the input, so that no forward pass is timed."""
    width = X.shape[1]
    net = nn.Linear(width, 10).to(device)
    record = TrainingRecord.from_checkpoints(net, [net.state_dict()], classes=range(10))
    probes = [Probe("input", "input")]
    return NeighborBank(EmbeddingReader(record), ArrayRows(X), labels, probes, batch_size=512)


def bare(queries, bank, block):
    """Multiply only, into one buffer."""
    products = queries.new_empty(min(block, len(queries)), len(bank))
    for start in range(0, len(queries), block):
        rows = queries[start : start + block]
        torch.mm(rows, bank.T, out=products[: len(rows)])


def naive(queries, bank):
    squares = bank.square().sum(dim=1)
    found = []
    for start in range(0, len(queries), NAIVE_BLOCK):
        scores = torch.addmm(squares, queries[start : start + NAIVE_BLOCK], bank.T, alpha=-2)
        found.append(scores.topk(K, largest=False).indices)
    return torch.cat(found).cpu().numpy()


def same_sets(found, expected):
    """Return the share of rows with the same neighbours."""
    return float((np.sort(found, axis=1) == np.sort(expected, axis=1)).all(axis=1).mean())


def search(width, n_bank, n_queries, args):
    device = args.device
    X, labels = clustered(n_bank, (width,), seed=0)
    X_queries, _ = clustered(n_queries, (width,), seed=1)
    bank = identity_bank(X, labels, device)
    tensors = [torch.from_numpy(array).to(device) for array in (X_queries, X)]

    def ours():
        [neighbors] = bank.nearest(ArrayRows(X_queries), K)
        return neighbors

    others = {"naive torch": lambda: naive(*tensors)}
    if device == "cpu":
        brute = NearestNeighbors(n_neighbors=K, algorithm="brute", n_jobs=1).fit(X)
        others["scikit-learn"] = lambda: brute.kneighbors(X_queries, return_distance=True)[1]
        if faiss is not None:
            index = faiss.IndexFlatL2(width)
            index.add(X)
            others["faiss"] = lambda: index.search(X_queries, K)[1]
    works = {f"bare {block}": partial(bare, *tensors, block) for block in BLOCKS}
    again = f"bare {BLOCKS[0]}"

    # half of the budget for the bank: what is timed is the search in one that stays
    memory = max(1024, 2 * X.nbytes // 2**20 + 64)
    with sklearn.config_context(working_memory=memory), full_precision():
        first = ours()
        assert len(bank._kept) == 1
        agree = {way: same_sets(first.positions, nearest()) for way, nearest in others.items()}
        vote = partial(majority, bank.codes[first.positions], first.distances, 10, "nearest")
        works |= {"ours": ours, "votes": vote, **others, "bare again": works[again]}
        times, _ = interleaved(works, args.rounds, slow={"faiss"})
    if device == "cuda":  # on some rows
        few = slice(0, 256)
        expected = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(X)
        expected = expected.kneighbors(X_queries[few], return_distance=False)
        agree["scikit-learn"] = same_sets(first.positions[few], expected)

    times["ours with votes"] = np.add(times["ours"], times.pop("votes")).tolist()
    medians = times.medians()
    best = min((f"bare {block}" for block in BLOCKS), key=medians.get)
    found = {
        "width": width,
        "n_bank": n_bank,
        "n_queries": n_queries,
        "bare": best,
        "ours_over_bare": times.ratio("ours", best),
        "ours_with_votes_over_bare": times.ratio("ours with votes", best),
        "bare_over_bare": times.ratio("bare again", again),
        "over_ours": {way: times.ratio(way, "ours") for way in others},
        "same_neighbours_as_ours": agree,
        "seconds": medians,
        "gflops_of_bare": 2e-9 * width * n_bank * n_queries / medians[best],
    }
    if width >= WIDE_ENOUGH:
        found["meets_target_product"] = found["ours_over_bare"] <= TARGET_PRODUCT
    if "scikit-learn" in others and width >= WIDE_ENOUGH:
        found["meets_target_scikit_learn"] = found["over_ours"]["scikit-learn"] >= TARGET_SKLEARN
    if device == "cuda":
        found["share_of_matrix_rate"] = {
            way: 2 * width * n_bank * n_queries / medians[way] / args.matrix_rate
            for way in ("ours", best)
        }
    return found


def matrix_rate(n=8192):
    """Return the float32 rate of one large product on CUDA, in operations per second."""
    a, b = torch.rand(2, n, n, device="cuda")
    with full_precision():
        for _ in range(3):
            a @ b
        times, _ = interleaved({"product": lambda: a @ b}, 7)
    return 2 * n**3 / times.median("product")


# -------------------------------------------------------------------------------------- the scorer


def network(name):
    torch.manual_seed(0)
    if name == MLP_784:
        return mlp()
    channels, out = (1, 32) if name == CONV_25K else (3, 64)
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(out, 10)]
    return nn.Sequential(nn.Conv2d(channels, out, 3, padding=1), *head)


def case(name, n, device):
    """Return a record, rows and labels; the MLP is trained, the others have random weights.

    A trained network is sure of many rows: their class probabilities are equal to the last bit,
    and equal distances are more work.
    """
    X, y = clustered(n, SHAPES[name], seed=0)
    net = network(name).to(device)
    if name == MLP_784:
        train(net, torch.from_numpy(X).to(device), torch.from_numpy(y).to(device))
    net.eval()
    record = TrainingRecord.from_checkpoints(net, [net.state_dict()], classes=range(10))
    return record, X, y


def train(net, X, y, n_steps=300, batch_size=128):
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(n_steps):
        rows = torch.randint(len(X), (batch_size,)).to(X.device)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(X[rows]), y[rows]).backward()
        optimizer.step()


def fit(record, X, y):
    return PredictionDepthScorer(record, n_neighbors=K, random_state=0).fit(X, y)


def banks(record, X):
    """Return the probes and the embeddings of all rows at each of them."""
    probes = find_probes(record, ArrayRows(X))
    return probes, EmbeddingReader(record).embed(ArrayRows(X), probes, batch_size=512)


def products(banks, n_rows):
    """Multiply some rows with the whole bank at every probe, in blocks of 256 or 2,048 rows."""
    for bank in banks:
        bare(bank[:n_rows], bank, BLOCKS[0] if bank.device.type == "cpu" else 2048)


def scorer(name, n, memory, args):
    record, X, y = case(name, n, args.device)
    rows = min(n, PRODUCT_ROWS)
    probes, matrices = banks(record, X)
    works = {
        "products": partial(products, matrices, rows),
        "fit": partial(fit, record, X, y),
        "products again": partial(products, matrices, rows),
    }
    n_rounds = args.rounds if n <= FEW_ROWS else min(args.rounds, SLOW_ROUNDS)
    config = {} if memory is None else {"working_memory": memory}
    with sklearn.config_context(**config), full_precision():
        times, _ = interleaved(works, n_rounds)
    scale = n / rows
    operations = 2 * n**2 * sum(matrix.shape[1] for matrix in matrices)
    found = {
        "network": name,
        "n": n,
        "working_memory": sklearn.get_config()["working_memory"] if memory is None else memory,
        "widths": {p.name: m.shape[1] for p, m in zip(probes, matrices, strict=True)},
        "rounds": n_rounds,
        "fit_over_products": times.ratio("fit", "products") / scale,
        "share_of_products": scale / times.ratio("fit", "products"),
        "products_over_products": times.ratio("products again", "products"),
        "seconds": {"fit": times.median("fit"), "products": scale * times.median("products")},
        "rows_per_second": n / times.median("fit"),
    }
    if args.device == "cuda":
        found["share_of_matrix_rate"] = operations / found["seconds"]["fit"] / args.matrix_rate
    return found


def growth(sizes, args):
    works = {n: partial(fit, *case(MLP_784, n, args.device)) for n in sizes}
    works[sizes[0]]()
    times, _ = interleaved(works, args.rounds, slow={n for n in sizes if n > FEW_ROWS})
    medians = list(times.medians().values())
    return {
        "network": MLP_784,
        "n": list(sizes),
        "seconds": medians,
        "exponent": exponent(sizes, medians),
        "exponent_between_sizes": np.diff(np.log(medians)) / np.diff(np.log(sizes)),
    }


# -------------------------------------------------------------------------------------- the memory


def enough_for(bank_bytes):
    """Return a budget in MiB, half of which takes a bank."""
    return 2 * bank_bytes // 2**20 + 256


def measure_peak(name, n, memory, device):
    """Return what a fit adds to data and network, and a forward pass of all rows in blocks."""
    record, X, y = case(name, int(n), device)

    def forward():
        predicted_classes(record, ArrayRows(X), batch_size=512)

    with threadpool_limits(limits=torch.get_num_threads()):
        # Kernels and thread pools are set up once, whatever is computed.
        fit(record, X[: 2 * K], y[: 2 * K])
        peaks = {"forward": added_mib(forward, device)}
        with sklearn.config_context(working_memory=int(memory)):
            return {**peaks, "fit": added_mib(lambda: fit(record, X, y), device)}


def memory(name, n, budgets, args):
    record, X, y = case(name, n, args.device)
    probes = find_probes(record, ArrayRows(X))
    widths = EmbeddingReader(record).widths(ArrayRows(X), probes)
    whole = enough_for(4 * n * sum(widths))

    def fit_within(budget):
        with sklearn.config_context(working_memory=budget):
            fit(record, X, y)

    n_rounds = min(args.rounds, SLOW_ROUNDS)
    works = {budget: partial(fit_within, budget) for budget in (whole, *budgets)}
    times, _ = interleaved(works, n_rounds)
    return {
        "network": name,
        "n": n,
        "widths": dict(zip((p.name for p in probes), widths, strict=True)),
        "widest_bank_mib": 4 * n * max(widths) / 2**20,
        "whole_bank_mib": 4 * n * sum(widths) / 2**20,
        "rounds": n_rounds,
        "budgets": [
            {
                "working_memory": budget,
                "peak_mib": in_fresh_process(args, name, n, budget),
                "seconds": times.median(budget),
                "over_whole_bank_in_memory": times.ratio(budget, whole),
            }
            for budget in times
        ],
    }


# ----------------------------------------------------------------------------------------- the run


def main():
    name = "prediction_depth_speed_{device}"
    args = parse(argument_parser(__doc__, name=name, rounds=7, quick=True), measure_peak)
    if faiss is not None:
        faiss.omp_set_num_threads(args.threads)
    threadpool_limits(limits=args.threads)  # of every part
    sizes = "quick" if args.quick else args.device
    results = {"search": [], "scorer": [], "memory": []}
    settings = {"rounds": args.rounds, "k": K, "faiss": faiss and faiss.__version__}
    if args.device == "cuda":
        args.matrix_rate = matrix_rate()
        settings["matrix_rate_tflops"] = args.matrix_rate / 1e12

    def keep(part, found):
        show(part, found)
        results[part].append(found)
        write_results(args, results, **settings)

    for width, n_bank, n_queries in SEARCHES[sizes]:
        keep("search", search(width, n_bank, n_queries, args))
    for name, n, budget in SCORERS[sizes]:
        keep("scorer", scorer(name, n, budget, args))
    results["growth"] = growth(GROWTH[sizes], args)
    show("growth", results["growth"])
    for name, n in MEMORY[sizes]:
        keep("memory", memory(name, n, BUDGETS[sizes], args))


if __name__ == "__main__":
    main()
