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
    python benchmarks/bench_prediction_depth.py --quick    # tiny sizes; is everything in order?
"""

import json
import subprocess
import sys
import time
import warnings
from statistics import median

import numpy as np
import sklearn
import torch
from _common import added_mib, argument_parser, prepare, write_results
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import nn

from sklearn_difficulty import PredictionDepthScorer, TrainingRecord
from sklearn_difficulty.inference.embeddings import EmbeddingReader
from sklearn_difficulty.inference.nearest import full_precision, majority
from sklearn_difficulty.inference.neighbors import NeighborBank
from sklearn_difficulty.inference.predictions import predicted_classes
from sklearn_difficulty.inference.probes import find_probes
from sklearn_difficulty.inference.trace import Probe

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
SLOW_ROUNDS = 3  # for what takes several times as long as the rest

# width, rows in the bank, rows asked about
SEARCHES = {
    "cpu": [
        (128, 20_000, 2048),
        (784, 20_000, 1024),
        (4096, 20_000, 256),
        (25_088, 4_000, 256),
    ],
    "cuda": [
        (128, 60_000, 60_000),
        (784, 60_000, 60_000),
        (4096, 60_000, 60_000),
        (25_088, 20_000, 20_000),
    ],
    "quick": [(16, 600, 300), (520, 600, 300)],
}
MLP, CONV_25K, CONV_65K = "mlp 784-256-10", "conv, 25,088 values", "conv, 65,536 values"
SHAPES = {MLP: (784,), CONV_25K: (1, 28, 28), CONV_65K: (3, 32, 32)}
# network, rows, working_memory in MiB (None: scikit-learn's default)
SCORERS = {
    "cpu": [(MLP, 20_000, None)],
    "cuda": [(MLP, 60_000, None), (CONV_65K, 60_000, None), (CONV_65K, 60_000, 40_000)],
    "quick": [(MLP, 500, None)],
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


def synchronized(device):
    if device == "cuda":
        torch.cuda.synchronize()


def timed(function, device):
    """Return what a function returns, and its seconds."""
    synchronized(device)
    start = time.perf_counter()
    result = function()
    synchronized(device)
    return result, time.perf_counter() - start


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


def ratio(times, way, base):
    """Return the median over rounds of one time over another of the same round."""
    return median(a / b for a, b in zip(times[way], times[base], strict=False))


# -------------------------------------------------------------------------------------- the search


def identity_bank(X, labels, device):
    """Return a bank whose only probe is the input, so that no forward pass is timed."""
    width = X.shape[1]
    net = nn.Linear(width, 10).to(device)
    record = TrainingRecord.from_checkpoints(net, [net.state_dict()], classes=range(10))
    probes = [Probe("input", "input")]
    return NeighborBank(EmbeddingReader(record), X, labels, probes, batch_size=512)


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
        [neighbors] = bank.nearest(X_queries, K)
        return neighbors

    def votes(neighbors):
        return majority(bank.codes[neighbors.positions], neighbors.distances, 10, "nearest")

    ways = {f"bare {block}": lambda block=block: bare(*tensors, block) for block in BLOCKS}
    ways["ours"] = ours
    ways["naive torch"] = lambda: naive(*tensors)
    if device == "cpu":
        brute = NearestNeighbors(n_neighbors=K, algorithm="brute", n_jobs=1).fit(X)
        ways["scikit-learn"] = lambda: brute.kneighbors(X_queries, return_distance=True)[1]
    if device == "cpu" and faiss is not None:
        index = faiss.IndexFlatL2(width)
        index.add(X)
        ways["faiss"] = lambda: index.search(X_queries, K)[1]
    again = f"bare {BLOCKS[0]}"

    # half of the budget for the bank: what is timed is the search in one that stays
    memory = max(1024, 2 * X.nbytes // 2**20 + 64)
    times = {way: [] for way in [*ways, "ours with votes", "bare again"]}
    with sklearn.config_context(working_memory=memory), full_precision():
        positions = ours().positions
        assert len(bank._kept) == 1
        agree = {}
        if device == "cuda":  # on some rows, once
            few = slice(0, 256)
            expected = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(X)
            expected = expected.kneighbors(X_queries[few], return_distance=False)
            agree["scikit-learn"] = same_sets(positions[few], expected)
        for i in range(args.rounds):
            for way, function in ways.items():
                if way == "faiss" and i >= SLOW_ROUNDS:
                    continue
                result, seconds = timed(function, device)
                times[way].append(seconds)
                if way == "ours":
                    seconds += timed(lambda result=result: votes(result), device)[1]
                    times["ours with votes"].append(seconds)
                elif i == 0 and result is not None:
                    agree[way] = same_sets(positions, result)
            times["bare again"].append(timed(ways[again], device)[1])

    medians = {way: median(of_way) for way, of_way in times.items() if of_way}
    best = min((f"bare {block}" for block in BLOCKS), key=medians.get)
    found = {
        "width": width,
        "n_bank": n_bank,
        "n_queries": n_queries,
        "bare": best,
        "ours_over_bare": ratio(times, "ours", best),
        "ours_with_votes_over_bare": ratio(times, "ours with votes", best),
        "bare_over_bare": ratio(times, "bare again", again),
        "over_ours": {
            way: ratio(times, way, "ours")
            for way in ways
            if way in medians and way != "ours" and not way.startswith("bare")
        },
        "same_neighbours_as_ours": agree,
        "seconds": medians,
        "gflops_of_bare": 2e-9 * width * n_bank * n_queries / medians[best],
    }
    if width >= WIDE_ENOUGH:
        found["meets_target_product"] = found["ours_over_bare"] <= TARGET_PRODUCT
    if "scikit-learn" in ways and width >= WIDE_ENOUGH:
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
        seconds = [timed(lambda: a @ b, "cuda")[1] for _ in range(7)]
    return 2 * n**3 / median(seconds)


# -------------------------------------------------------------------------------------- the scorer


def network(name):
    torch.manual_seed(0)
    if name == MLP:
        return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
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
    if name == MLP:
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
    probes = find_probes(record, X)
    return probes, EmbeddingReader(record).embed(X, probes, batch_size=512)


def products(banks, n_rows):
    """Multiply some rows with the whole bank at every probe, in blocks of 256 or 2,048 rows."""
    for bank in banks:
        bare(bank[:n_rows], bank, BLOCKS[0] if bank.device.type == "cpu" else 2048)


def scorer(name, n, memory, args):
    record, X, y = case(name, n, args.device)
    rows = min(n, PRODUCT_ROWS)
    probes, matrices = banks(record, X)
    times = {"fit": [], "products": [], "products again": []}
    config = {} if memory is None else {"working_memory": memory}
    with sklearn.config_context(**config), full_precision():
        for _ in range(args.rounds if n <= FEW_ROWS else min(args.rounds, SLOW_ROUNDS)):
            times["products"].append(timed(lambda: products(matrices, rows), args.device)[1])
            times["fit"].append(timed(lambda: fit(record, X, y), args.device)[1])
            times["products again"].append(timed(lambda: products(matrices, rows), args.device)[1])
    scale = n / rows
    operations = 2 * n**2 * sum(matrix.shape[1] for matrix in matrices)
    found = {
        "network": name,
        "n": n,
        "working_memory": sklearn.get_config()["working_memory"] if memory is None else memory,
        "widths": {p.name: m.shape[1] for p, m in zip(probes, matrices, strict=True)},
        "rounds": len(times["fit"]),
        "fit_over_products": ratio(times, "fit", "products") / scale,
        "share_of_products": scale / ratio(times, "fit", "products"),
        "products_over_products": ratio(times, "products again", "products"),
        "seconds": {"fit": median(times["fit"]), "products": scale * median(times["products"])},
        "rows_per_second": n / median(times["fit"]),
    }
    if args.device == "cuda":
        found["share_of_matrix_rate"] = operations / found["seconds"]["fit"] / args.matrix_rate
    return found


def growth(sizes, args):
    cases = [case(MLP, n, args.device) for n in sizes]
    seconds = {n: [] for n in sizes}
    timed(lambda: fit(*cases[0]), args.device)
    for i in range(args.rounds):
        for n, arguments in zip(sizes, cases, strict=True):
            if i < SLOW_ROUNDS or n <= FEW_ROWS:
                seconds[n].append(timed(lambda a=arguments: fit(*a), args.device)[1])
    medians = [median(seconds[n]) for n in sizes]
    slopes = np.diff(np.log(medians)) / np.diff(np.log(sizes))
    return {
        "network": MLP,
        "n": list(sizes),
        "seconds": medians,
        "exponent": float(np.polyfit(np.log(sizes), np.log(medians), 1)[0]),
        "exponent_between_sizes": slopes,
    }


# -------------------------------------------------------------------------------------- the memory


def enough_for(bank_bytes):
    """Return a budget in MiB, half of which takes a bank."""
    return 2 * bank_bytes // 2**20 + 256


def measure_peak(name, n, memory, device):
    """Return what a fit adds to data and network, and a forward pass of all rows in blocks."""
    record, X, y = case(name, n, device)

    def forward():
        predicted_classes(record, X, batch_size=512)

    # Kernels and thread pools are set up once, whatever is computed.
    fit(record, X[: 2 * K], y[: 2 * K])
    peaks = {"forward": added_mib(forward, device)}
    with sklearn.config_context(working_memory=memory):
        return {**peaks, "fit": added_mib(lambda: fit(record, X, y), device)}


def peak_of(name, n, memory, args):
    """Return what `measure_peak` finds in a fresh process, in MiB."""
    command = [sys.executable, __file__, "--device", args.device, "--threads", str(args.threads)]
    command += ["--measure", name, str(n), str(memory)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def memory(name, n, budgets, args):
    record, X, y = case(name, n, args.device)
    probes = find_probes(record, X)
    widths = EmbeddingReader(record).widths(X, probes)
    whole = enough_for(4 * n * sum(widths))
    times = {budget: [] for budget in (whole, *budgets)}
    for _ in range(min(args.rounds, SLOW_ROUNDS)):
        for budget, of_budget in times.items():
            with sklearn.config_context(working_memory=budget):
                of_budget.append(timed(lambda: fit(record, X, y), args.device)[1])
    return {
        "network": name,
        "n": n,
        "widths": dict(zip((p.name for p in probes), widths, strict=True)),
        "widest_bank_mib": 4 * n * max(widths) / 2**20,
        "whole_bank_mib": 4 * n * sum(widths) / 2**20,
        "rounds": len(times[whole]),
        "budgets": [
            {
                "working_memory": budget,
                "peak_mib": peak_of(name, n, budget, args),
                "seconds": median(times[budget]),
                "over_whole_bank_in_memory": ratio(times, budget, whole),
            }
            for budget in times
        ],
    }


# ----------------------------------------------------------------------------------------- the run


def print_search(found):
    others = ", ".join(f"{way} {value:.1f}" for way, value in found["over_ours"].items())
    agree = found["same_neighbours_as_ours"].get("scikit-learn", float("nan"))
    print(
        f"search {found['width']:6} x {found['n_bank']:,} x {found['n_queries']:,}: "
        f"ours/bare {found['ours_over_bare']:.2f}, with votes "
        f"{found['ours_with_votes_over_bare']:.2f}, bare/bare {found['bare_over_bare']:.2f}; "
        f"others/ours: {others}; same sets as scikit-learn {agree:.4f}"
    )


def print_scorer(found):
    print(
        f"scorer {found['network']}, n = {found['n']:,}, {found['working_memory']} MiB: "
        f"{found['seconds']['fit']:.1f} s, fit/products {found['fit_over_products']:.2f}, "
        f"products/products {found['products_over_products']:.2f}"
    )


def print_memory(found):
    print(f"memory {found['network']}, n = {found['n']:,}: bank {found['whole_bank_mib']:.0f} MiB")
    for line in found["budgets"]:
        print(
            f"  budget {line['working_memory']:6} MiB: peak {line['peak_mib']['fit']:.0f} MiB "
            f"(a forward pass {line['peak_mib']['forward']:.0f}), "
            f"{line['seconds']:.1f} s, {line['over_whole_bank_in_memory']:.2f} x whole bank"
        )


def main():
    parser = argument_parser(__doc__, n_seeds=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="tiny sizes; writes only with --name")
    parser.add_argument("--measure", nargs=3, metavar=("NETWORK", "N", "MIB"))
    args = parser.parse_args()
    prepare(args)
    warnings.filterwarnings("ignore", message=".*have no defined difficulty")
    if faiss is not None:
        faiss.omp_set_num_threads(args.threads)
    with threadpool_limits(limits=args.threads):
        if args.measure:
            name, n, budget = args.measure
            print(json.dumps(measure_peak(name, int(n), int(budget), args.device)))
            return
        run(args)


def run(args):
    sizes = "quick" if args.quick else args.device
    if args.quick:
        args.rounds = min(args.rounds, 2)
    results = {"search": [], "scorer": [], "memory": []}
    settings = {"rounds": args.rounds, "k": K, "faiss": faiss and faiss.__version__}
    if args.device == "cuda":
        args.matrix_rate = matrix_rate()
        settings["matrix_rate_tflops"] = args.matrix_rate / 1e12

    def keep(part, found, show):
        show(found)
        sys.stdout.flush()
        results[part].append(found)
        save()

    def save():
        # After every part: a run that is cut short keeps what it has measured.
        if args.name or not args.quick:
            name = args.name or f"prediction_depth_speed_{args.device}"
            write_results(name, {**settings, "results": results}, device=args.device)

    for width, n_bank, n_queries in SEARCHES[sizes]:
        keep("search", search(width, n_bank, n_queries, args), print_search)
    for name, n, budget in SCORERS[sizes]:
        keep("scorer", scorer(name, n, budget, args), print_scorer)
    results["growth"] = growth(GROWTH[sizes], args)
    print(f"growth: time ~ n ** {results['growth']['exponent']:.2f}")
    save()
    for name, n in MEMORY[sizes]:
        keep("memory", memory(name, n, BUDGETS[sizes], args), print_memory)


if __name__ == "__main__":
    main()
