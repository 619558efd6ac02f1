# SPDX-License-Identifier: BSD-3-Clause
"""The tables of the user guide, made from the files in results/.

`python benchmarks/tables.py` prints them; a test holds the page to them, so that no figure in the
documentation is older than its measurement.
"""

import json
from functools import partial
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
WINDOWS = ("early", "late", "all")
TARGETS = ("logit", "probability", "loss")
ERROR_RATE = {
    "convolutional": "vog_error_rate",
    "MLP, stopped early": "vog_error_rate_mlp_stopped_early",
    "MLP, memorised": "vog_error_rate_memorised",
}
NOISE = {
    "digits, memorised": "digits, shuffled, memorised",
    "digits, stopped": "digits, shuffled, stopped early",
    "Fashion-MNIST, memorised": "fashion_mnist, shuffled, memorised",
    "Fashion-MNIST, stopped": "fashion_mnist, shuffled, stopped early",
}
DEPTH_NETWORKS = ("MLP, Fashion-MNIST", "VGG16, Fashion-MNIST", "MLP, digits")
DEPTH_LOSSES = ("cross-entropy, SGD", "0-hinge, GD")
DEPTH_SCORES = {
    "neighbour confidence": "neighbours, k = 30",
    "neighbour confidence, k = 5": "neighbours, k = 5",
    "neighbour confidence, k = 100": "neighbours, k = 100",
    "prediction depth": "depth, k = 30",
    "prediction depth, k = 5": "depth, k = 5",
    "prediction depth, k = 100": "depth, k = 100",
    'prediction depth, ``ties="lowest"``': "depth, ties lowest",
    "output margin": "margin, output",
    "input margin": "margin, input",
    "1 − p(given label)": "1 - p(given)",
}

DYNAMICS_PROBLEMS = {
    "symmetric .2": "symmetric",
    "pair .2": "pair",
    "instance .1": "instance",
    "ambiguous .1": "ambiguous",
    "misclassified, unseen": "held-out",
}
DYNAMICS_DATA = {"digits": "digits", "Fashion-MNIST": "fashion_mnist"}
REGIMES = {"stopped": "stopped early", "memorised": "memorised"}
# As they are called in the file, where that is not the name of the measure.
DYNAMICS_SCORES = {
    "vog": "VoG, logit",
    "vog, loss": "VoG, loss",
    "prediction_depth": "prediction depth",
    "neighbor_confidence": "neighbour confidence",
    "output_margin": "output margin",
    "input_margin": "input margin",
    "1 - max softmax": "1 − largest softmax",
    "cross-validation": "cross-validation, 5 fits",
}

QUADRANT_CELLS = {
    "Fashion-MNIST": "Fashion-MNIST, flipped",
    "digits": "digits, flipped",
    "Fashion-MNIST, right labels": "Fashion-MNIST, clean",
    "Fashion-MNIST, stopped": "Fashion-MNIST, stopped",
}
QUADRANTS = {
    "easy": "easy",
    "looks_like_a_different_class": "looks like a different class",
    "ambiguous_without_label": "ambiguous without label",
    "ambiguous": "ambiguous",
}
QUADRANT_SCORES = {
    'distance to the corner "looks like a different class"': "corner",
    "depth where trained on": "training depth",
    "depth where held out": "held-out depth",
    "1 − consistency": "1 - consistency",
    "memorization": "memorization",
    "1 − p(given label), held out, mean over epochs": "1 - p(given), held out, epochs",
    "1 − p(given label), held out, last epoch": "1 - p(given), held out, last",
    "distance from easy": "distance from easy",
}


def results(name):
    return json.loads((RESULTS / f"{name}.json").read_text())["results"]


def list_table(header, rows):
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *rows):
        lines += [f"   {'*' if i == 0 else ' '} - {cell}".rstrip() for i, cell in enumerate(row)]
    return "\n".join(lines)


def mean_se(summary):
    return f"{summary['mean']:.2f} ± {summary['se']:.2f}"


def toy():
    """Spearman correlation of VoG with the distance to the boundary."""
    rows = []
    for network, found in results("vog_toy").items():
        cells = [found[f"{target}, all"] for target in ("logit", "probability")]
        rows.append(
            [
                network,
                *(
                    f"{cell['vog_raw']['mean']:.2f} ({cell['vog_raw']['n_negative']} of 8)"
                    for cell in cells
                ),
            ]
        )
    return list_table(["hidden units, distance of centres", "VoG, logit", "VoG, probability"], rows)


def error_rate():
    """AUROC for misclassified held-out rows, read without labels."""
    found = {name: results(file) for name, file in ERROR_RATE.items()}
    held_out = {name: result["held-out, predicted class"] for name, result in found.items()}
    rows = []
    for target in TARGETS:
        for window in WINDOWS:
            cells = [held_out[name][f"{target}, {window}"]["vog_class"] for name in found]
            rows.append([f"VoG, {target}, {window}", *(mean_se(cell["auroc"]) for cell in cells)])
    for target in TARGETS:
        cells = [held_out[name][f"{target}, all"]["vog_raw"] for name in found]
        rows.append([f"VoG, {target}, all, raw", *(mean_se(cell["auroc"]) for cell in cells)])
    for target in TARGETS:
        cells = [held_out[name][f"{target}, all"]["magnitude_raw"] for name in found]
        rows.append([f"magnitude, {target}, all, raw", *(mean_se(c["auroc"]) for c in cells)])
    cells = [result["1 - max softmax"]["held-out"]["auroc"] for result in found.values()]
    rows.append(["1 − largest softmax", *(mean_se(cell) for cell in cells)])
    return list_table(["score", *found], rows)


def label_noise():
    """AUROC for wrong labels, and whether shuffled rows have the higher and wider VoG."""
    found = results("vog_label_noise")
    columns = [found[name] for name in NOISE.values()]
    rows = []
    for target in TARGETS:
        for window in WINDOWS:
            cells = []
            for column in columns:
                cell = column[f"{target}, {window}"]
                wins = [cell[f"seeds_with_higher_{what}"] for what in ("mean", "sd")]
                n = len(cell["vog_class"]["auroc"]["per_seed"])
                auroc = cell["vog_class"]["auroc"]["mean"]
                cells.append(f"{auroc:.2f} ({wins[0]}, {wins[1]} of {n})")
            rows.append([f"VoG, {target}, {window}", *cells])
    rows.append(
        [
            "magnitude, loss, all",
            *(f"{c['loss, all']['magnitude_class']['auroc']['mean']:.2f}" for c in columns),
        ]
    )
    key = "mean over epochs of 1 - p(given)"
    rows.append(["mean over epochs of 1 − p", *(f"{c[key]['auroc']['mean']:.2f}" for c in columns)])
    return list_table(["score", *NOISE], rows)


def speed():
    """Time beside the bare loop and beside storing gradients, and peak memory."""
    rows = []
    for network, cases in results("vog_speed_cpu").items():
        for case in cases:
            peak = case["peak_mib"]
            rows.append(
                [
                    f"{network}, K = {case['checkpoints']}",
                    f"{case['ours_over_bare']:.2f}",
                    f"{case['bare_over_bare']:.2f}",
                    f"{case['stored_over_ours']:.1f}",
                    f"{peak['ours']:.0f} / {peak['bare']:.0f} / {peak['stored']:.0f}",
                ]
            )
    return list_table(
        [
            "network",
            "time, ours / bare",
            "bare / bare (noise)",
            "stored / ours",
            "peak MiB: ours / bare / stored",
        ],
        rows,
    )


def depth_speed():
    """Time of the neighbour search beside the bare matrix product and other exact searches."""
    rows = []
    for case in results("prediction_depth_speed_cpu")["search"]:
        others = case["over_ours"]
        rows.append(
            [
                f"{case['width']:,} values",
                f"{case['ours_over_bare']:.2f}",
                f"{case['bare_over_bare']:.2f}",
                *(
                    f"{others[way]:.1f}" if way in others else "—"
                    for way in ("naive torch", "scikit-learn", "faiss")
                ),
            ]
        )
    return list_table(
        [
            "width",
            "time, ours / product",
            "product / product (noise)",
            "addmm + topk / ours",
            "scikit-learn / ours",
            "faiss / ours",
        ],
        rows,
    )


def depth_claims():
    """The claims about prediction depth, as published and as measured."""
    found = results("prediction_depth_claims")
    columns = [found[name] for name in DEPTH_NETWORKS]
    clean = [column["clean"] for column in columns]
    rows = [
        [
            "accuracy at depth 0; rest of the shallow half; deep half",
            "falls",
            *map(_by_depth, clean),
        ],
        [
            "AUROC for misclassified rows (1 − largest softmax)",
            "—",
            *(
                f"{mean_se(c['depth']['auroc'])} ({mean_se(c['1 - max softmax']['auroc'])})"
                for c in clean
            ),
        ],
    ]
    for kind, paper in (("output", "−0.70"), ("input", "−0.69")):
        cells = []
        for column in columns:
            means = column["over models"]["clean"][f"mean of log {kind} margin"]
            of_one = mean_se(column["clean"]["log margin"][kind])
            cells.append(f"{means:.2f} ({of_one})".replace("-", "−"))
        rows.append([f"correlation with the log {kind} margin (one model)", paper, *cells])
    for part in ("training", "held-out"):
        cells = [
            "; ".join(mean_se(column[labels][f"{part} depth"]) for labels in ("clean", "mixed"))
            if "mixed" in column
            else "—"
            for column in columns
        ]
        rows.append([f"mean depth, {part} rows: images; mixed", "harder data: larger", *cells])
    cells = [
        f"{column['random']['probes where the original wins']['mean']:.1f} of "
        f"{len(column['random']['clean']['mean'])}"
        for column in columns
    ]
    rows.append(["probes that see the original of a random label", "early and middle ones", *cells])
    for what, key, paper in (
        ("output margin", "output margin", "16; 0.0002"),
        ("depth", "training depth, undefined as largest", "0-hinge: larger"),
        ("training accuracy", "train accuracy, given labels", "—"),
    ):
        losses = [found["intervention"][name][key]["mean"] for name in DEPTH_LOSSES]
        cells = ["; ".join(f"{value:#.2g}".rstrip(".") for value in losses), "—", "—"]
        rows.append([f"{what}: cross-entropy, SGD; 0-hinge, GD", paper, *cells])
    for part in ("training", "held-out"):
        cells = [f"{c[f'{part} undefined']['mean']:.4f}" for c in clean]
        rows.append([f"share of {part} rows without a depth", "< 0.0001", *cells])
    for name, key in (("input", "input minus network"), ("middle probe", "middle minus network")):
        cells = [_signed(c["smallest margins"][key]) for c in clean]
        rows.append(
            [f"accuracy, {name} − network, smallest margins", "+0.73, rows chosen by depth", *cells]
        )
    return list_table(["claim", "paper", *DEPTH_NETWORKS], rows)


def _by_depth(clean):
    """Return the accuracy of held-out rows of depth 0, in the shallow and in the deep half."""
    n, right = (clean[f"held-out {what} by depth"]["mean"] for what in ("rows", "right"))
    half = (len(n) + 1) // 2
    groups = (slice(0, 1), slice(1, half), slice(half, None))
    return "; ".join(f"{sum(right[group]) / sum(n[group]):.2f}" for group in groups)


def _signed(summary):
    return f"{summary['mean']:+.2f} ± {summary['se']:.2f}".replace("-", "−")


def depth_label_noise():
    """Average precision (AUROC) for 20 % flipped labels."""
    found = results("prediction_depth_claims")
    regimes = {"flipped": "memorised", "stopped": "stopped"}
    columns = {
        f"{name}, {regime}": found[name][labels]
        for name in DEPTH_NETWORKS
        for labels, regime in regimes.items()
    }
    rows = [
        [
            shown,
            *(
                f"{c[score]['ap']['mean']:.2f} ({c[score]['auroc']['mean']:.2f})"
                for c in columns.values()
            ),
        ]
        for shown, score in DEPTH_SCORES.items()
    ]
    return list_table(["score", *columns], rows)


def _dynamics_name(score):
    return DYNAMICS_SCORES.get(score, f"``{score}``")


def dynamics_which_finds_what(data="fashion_mnist"):
    """Average precision of every score for every problem: stopped early; memorised."""
    found = results("dynamics_label_noise")
    columns = [
        [found[f"{data}, {problem}, {regime}"] for regime in REGIMES.values()]
        for problem in DYNAMICS_PROBLEMS.values()
    ]
    names = dict.fromkeys(name for column in columns for name in column[0]["found"])
    rows = [
        ["chance", *("; ".join(f"{c['marked']['mean']:.2f}" for c in column) for column in columns)]
    ]
    for name in names:
        cells = [
            "; ".join(f"{c['found'][name]['ap']['mean']:.2f}" for c in column)
            if name in column[0]["found"]
            else "—"
            for column in columns
        ]
        rows.append([_dynamics_name(name), *cells])
    return list_table(["score", *DYNAMICS_PROBLEMS], rows)


def dynamics_symmetric():
    """Average precision for 20 % symmetric errors, and what it is above cross-validation."""
    found = results("dynamics_label_noise")
    columns = {
        f"{data}, {regime}": found[f"{DYNAMICS_DATA[data]}, symmetric, {REGIMES[regime]}"]
        for data in DYNAMICS_DATA
        for regime in REGIMES
    }
    base = "cross-validation"
    names = dict.fromkeys(name for column in columns.values() for name in column["found"])
    names = [base, *(name for name in names if name != base)]
    rows = []
    for name in names:
        cells = []
        for column in columns.values():
            if name not in column["found"]:
                cells.append("—")
                continue
            cell = f"{column['found'][name]['ap']['mean']:.3f}"
            if name != base:
                difference = column[f"minus {base}"][name]["ap"]
                signed = f"{difference['mean']:+.3f}".replace("-", "−")
                cell += f" ({signed} ± {difference['se']:.3f})"
            cells.append(cell)
        shown = "cross-validation" if name == base else _dynamics_name(name)
        rows.append([shown, "5" if name == base else "1", *cells])
    return list_table(["score", "fits", *columns], rows)


def dynamics_regimes():
    """How a network that has memorised its labels shows, from what the record holds."""
    found = results("dynamics_label_noise")
    rows = []
    for data, key in DYNAMICS_DATA.items():
        for shown, problem in DYNAMICS_PROBLEMS.items():
            cells = [
                "; ".join(
                    f"{found[f'{key}, {problem}, {regime}'][what]['mean']:.3f}"
                    for regime in REGIMES.values()
                )
                for what in (
                    "train accuracy, given labels",
                    "mean confidence, last epoch",
                    "share of rows never learned",
                )
            ]
            trained = "clean labels" if problem == "held-out" else shown
            rows.append([f"{data}, {trained}", *cells])
    return list_table(
        ["training labels", "train accuracy", "mean confidence, last epoch", "never learned"], rows
    )


def dynamics_speed():
    """What recording costs, the collector beside aum, and GraNd beside an epoch of training."""
    found = results("dynamics_speed_cpu")
    rows = []
    for network, case in found["recording"].items():
        noise = f"{case['without_over_without']:.2f}"
        for shown, key, target in (
            ("recorded / only checkpoints kept", "recorded_over_without", f"{case['target']:.2f}"),
            ("recorded / no recorder", "recorded_over_no_recorder", "—"),
            ('``mode="evaluation"`` / only checkpoints', "evaluation_over_without", "—"),
        ):
            rows.append([f"{network}, fit: {shown}", f"{case[key]:.2f}", noise, target])
    case = found["collector"]
    if "aum_over_ours" in case:
        work = f"collector, {case['n']:,} rows: aum / ours"
        rows.append([work, f"{case['aum_over_ours']:.0f}", f"{case['ours_over_ours']:.2f}", "—"])
    for network, case in found["grand"].items():
        noise = f"{case['epoch_over_epoch']:.2f}"
        for name in ("grand", "grand_all"):
            work = f'{network}, "{name}" at one checkpoint / an epoch of training'
            rows.append([work, f"{case[f'{name}_over_epoch']:.2f}", noise, "—"])
    return list_table(["work", "time", "the same twice (noise)", "target"], rows)


def quadrants_claims():
    """What the quadrants are named after and used for, as published and as measured."""
    found = results("quadrants")
    cells = [found[name] for name in QUADRANT_CELLS.values()]
    names, corner = list(QUADRANTS), "looks_like_a_different_class"
    rows = []

    def claim(what, paper, read):
        rows.append([what, paper, *(read(cell) or "—" for cell in cells)])

    def of_noise(what, paper, read):
        claim(what, paper, lambda c: "wrong labels" in c and read(c["wrong labels"]))

    claim(
        "train accuracy, given labels",
        "—",
        lambda c: f"{c['train accuracy, given labels']['mean']:.3f}",
    )
    of_noise(
        "share of wrong labels among the 100; 200 rows nearest that corner",
        "mislabelled rows are there",
        lambda w: _several(w["nearest"][n]["precision"] for n in ("100", "200")),
    )
    of_noise(
        "share of the quadrant that has a wrong label",
        "—",
        lambda w: mean_se(w["quadrants"][corner]["labels wrong"]),
    )
    of_noise(
        "``suggested_label_`` is true there: label wrong; label right",
        "—",
        lambda w: _several(
            w["suggested label is true"][f"in the quadrant, label {kind}"]
            for kind in ("wrong", "right")
        ),
    )
    claim(
        "the networks contradict the label, 100 nearest that corner",
        "nearly always",
        lambda c: _complement(c["corners"][corner]["consensus is given"]),
    )
    claim(
        "consensus-consistency, 100 nearest each corner, in the order of the codes",
        "low for the ambiguous two",
        lambda c: "; ".join(
            f"{c['corners'][name]['consensus-consistency']['mean']:.2f}" for name in names
        ),
    )
    claim(
        "Spearman correlation of depth and consensus-consistency: held out; unseen",
        "negative",
        lambda c: _several(
            part["consensus-consistency"]["spearman"]
            for part in (c["held out"], c["unseen"]["consistency"])
        ),
    )
    claim(
        "line through the 5 % quantiles of consensus-consistency by depth, unseen: slope (R²)",
        "a line bounds it",
        _bound,
    )
    claim(
        "correlation of depth and consistency, unseen: consensus is the label; is another",
        "negative; positive",
        lambda c: _several(
            c["unseen"]["consistency"][f"consistency, consensus is {kind}"]["pearson"]
            for kind in ("the label", "another")
        ),
    )
    claim(
        'accuracy, 100 nearest "ambiguous without label": input; middle probe; network',
        "—; 0.98; 0.25",
        lambda c: _probes_and_network(c["corners"]["ambiguous_without_label"]),
    )
    claim(
        "middle probe − network, unseen rows nearest it, placed without labels",
        "—",
        lambda c: _signed(
            c["unseen"]["rows"]["near the corner, labels unknown"]["middle minus network"]
        ),
    )
    claim(
        "correlation of estimated and measured trained-on depth: given label; predicted class",
        "—",
        lambda c: _several(
            c["estimated training depth"][kind]["all rows"]["pearson"]
            for kind in ("given label", "predicted class")
        ),
    )
    claim(
        "the two on the same side of the cut, given label (share below it)",
        "—",
        lambda c: _same_side(c["estimated training depth"]["given label"]["all rows"]),
    )
    claim(
        "memorization: wrong labels; right labels",
        "—",
        lambda c: "; ".join(
            mean_se(c["memorization"][kind]["memorization"]) if kind in c["memorization"] else "—"
            for kind in ("label wrong", "label right")
        ),
    )
    return list_table(["claim", "paper", *QUADRANT_CELLS], rows)


def _several(summaries):
    return "; ".join(map(mean_se, summaries)).replace("-", "−")


def _complement(summary):
    return f"{1 - summary['mean']:.2f} ± {summary['se']:.2f}"


def _bound(cell):
    line = cell["figures"]["bound, unseen"].get("line through the 5 % quantiles")
    return line and f"{line['slope']:.2f} ({line['r2']:.2f})".replace("-", "−")


def _probes_and_network(corner):
    """Return how often the input, the middle probe and the network see the true class."""
    probes = corner["probes, accuracy"]["true"]
    middle = (len(probes["mean"]) - 1) // 2
    of_probes = ({part: probes[part][i] for part in ("mean", "se")} for i in (0, middle))
    return _several([*of_probes, corner["network"]["true"]])


def _same_side(agreement):
    share, below = agreement["same side of the cut"], agreement["measured: below the cut"]
    return f"{mean_se(share)} ({below['mean']:.2f})"


def quadrants_label_noise():
    """Average precision (AUROC) for 20 % flipped labels, of scores of the same networks."""
    found = results("quadrants")
    columns = {
        shown: found[name]
        for shown, name in QUADRANT_CELLS.items()
        if "wrong labels" in found[name]
    }
    rows = []
    for shown, score in QUADRANT_SCORES.items():
        cells = [column["wrong labels"]["found"][score] for column in columns.values()]
        rows.append([shown, *(f"{mean_se(c['ap'])} ({c['auroc']['mean']:.2f})" for c in cells)])
    return list_table(["score", *columns], rows)


def quadrants_shares():
    """Where wrong labels are, and where right ones."""
    found = results("quadrants")
    columns = {
        shown: found[name]
        for shown, name in QUADRANT_CELLS.items()
        if "wrong labels" in found[name]
    }
    kinds = ("share of wrong labels", "share of right labels")
    rows, left = [], {shown: dict.fromkeys(kinds, 1.0) for shown in columns}
    for name, quadrant in QUADRANTS.items():
        cells = []
        for shown, column in columns.items():
            shares = [column["wrong labels"]["quadrants"][name][kind]["mean"] for kind in kinds]
            for kind, share in zip(kinds, shares, strict=True):
                left[shown][kind] -= share
            cells.append("; ".join(f"{share:.2f}" for share in shares))
        rows.append([quadrant, *cells])
    rows.append(
        ["none", *("; ".join(f"{abs(rest):.2f}" for rest in of.values()) for of in left.values())]
    )
    return list_table(["share of all wrong; of all right labels in", *columns], rows)


ENSEMBLE_RUNS = {
    'one by one (``backend="joblib"``)': "joblib",
    "one by one, two processes": "joblib, 2 processes",
    "a loop over skorch's ``fit``": "skorch",
    "a bare torch loop": "bare loop",
    "the stack again": "stacked again",
}


def quadrants_speed():
    """Seconds over those of a stack of the same networks."""
    speed = results("ensemble_speed_cpu")["speed"]
    ratios = {network: found["seconds_over_stacked"] for network, found in speed.items()}
    rows = [
        [shown, *(f"{of_network[run]:.2f}" for of_network in ratios.values())]
        for shown, run in ENSEMBLE_RUNS.items()
    ]
    return list_table(["seconds over those of the stack", *speed], rows)


LABEL_ERRORS_NOISE = (
    *("symmetric 5 %", "symmetric 20 %", "symmetric 40 %"),
    *("pair 20 %", "instance 10 %", "instance 30 %", "none"),
)
LABEL_ERRORS_RANKINGS = {
    "ours": "ours",
    "ours, neighbours not asked": "ours, no neighbours",
    "cleanlab": "cleanlab",
    "cleanlab, our probabilities": "cleanlab, our probabilities",
    '``method="neighbors"``': "ours, neighbors",
    '``method="one_fit"``': "ours, one_fit",
    "aum": "aum, one training",
}
LABEL_ERRORS_CUTS = {
    "ours": "ours",
    '``noise="class"``': "ours, noise class",
    '``noise="instance"``': "ours, noise instance",
    "cleanlab": "cleanlab",
    "cleanlab, our probabilities": "cleanlab, our probabilities",
}
LABEL_ERRORS_TRAINED = {
    "all rows": "all rows",
    "ours, dropped": "ours, dropped",
    "ours, relabelled": "ours, relabelled",
    "CleanLearning": "CleanLearning",
    "true labels": "true labels",
}


def _label_error_cells(data=None, noise=None, regime=None):
    """Return the cells of some data sets, kinds of noise and regimes; None for all."""
    return [
        cell
        for name, cell in results("label_errors").items()
        for d, n, r in [name.split(", ")]
        if (data is None or d in data)
        and (noise is None or n.startswith(noise))
        and regime in (None, r)
    ]


def _seeds(cells, *path):
    """Return a number of every seed of every cell."""
    values = []
    for cell in cells:
        for key in path:
            cell = cell[key]
        values += [float("nan") if v is None else v for v in cell["per_seed"]]
    return values


def _mean(values):
    """Return the mean of what is defined."""
    defined = [v for v in values if v == v]
    return sum(defined) / len(defined) if defined else float("nan")


def label_error_mean(*path, data=None, noise=None, regime=None):
    """Return the mean of a number over data sets, kinds of noise, regimes and seeds."""
    return _mean(_seeds(_label_error_cells(data, noise, regime), *path))


def _by_regime(noise, *path, digits=2):
    means = [label_error_mean(*path, noise=noise, regime=regime) for regime in REGIMES.values()]
    return "; ".join("—" if m != m else f"{m:.{digits}f}" for m in means)


def _gain(cells, ours, theirs, measure):
    """Return the mean paired difference over cells and seeds, with its standard error."""
    pairs = zip(
        _seeds(cells, "found", ours, measure), _seeds(cells, "found", theirs, measure), strict=True
    )
    gains = [a - b for a, b in pairs if a == a and b == b]
    mean = sum(gains) / len(gains)
    variance = sum((g - mean) ** 2 for g in gains) / (len(gains) - 1)
    return f"{mean:+.3f} ± {(variance / len(gains)) ** 0.5:.3f}".replace("-", "−")


def label_errors_ranking():
    """Average precision by kind of noise, stopped; memorised, mean over data sets and seeds."""
    kinds = LABEL_ERRORS_NOISE[:-1]
    rows = [
        [shown, *(_by_regime(kind, "found", who, "ap") for kind in kinds)]
        for shown, who in LABEL_ERRORS_RANKINGS.items()
    ]
    return list_table(["score", *kinds], rows)


def label_errors_cuts():
    """F1 of the default cut by kind of noise, stopped; memorised; for none the share dropped."""
    rows = []
    for shown, who in LABEL_ERRORS_CUTS.items():
        cells = [_by_regime(kind, "found", who, "f1") for kind in LABEL_ERRORS_NOISE[:-1]]
        none = _by_regime("none", "found", who, "flagged", digits=3)
        rows.append([shown, *cells, none])
    rows.append(
        [
            "estimated share",
            *(_by_regime(kind, "found", "ours", "rate") for kind in LABEL_ERRORS_NOISE[:-1]),
            _by_regime("none", "found", "ours", "rate", digits=3),
        ]
    )
    return list_table(["F1 of the cut", *LABEL_ERRORS_NOISE[:-1], "none: share dropped"], rows)


def label_errors_gains():
    """Paired gains over cleanlab, with standard errors over cells and seeds."""
    groups = {
        "all cells": _label_error_cells(),
        "digits and Fashion-MNIST": _label_error_cells(("digits", "fashion_mnist")),
        "breast cancer": _label_error_cells(("breast_cancer",)),
        "letter recognition": _label_error_cells(("letter",)),
        "symmetric": _label_error_cells(noise="symmetric"),
        "pair": _label_error_cells(noise="pair"),
        "instance": _label_error_cells(noise="instance"),
        "stopped early": _label_error_cells(regime="stopped early"),
        "memorised": _label_error_cells(regime="memorised"),
    }
    rows = [
        [
            shown,
            *(
                _gain(cells, "ours", theirs, measure)
                for measure in ("ap", "f1")
                for theirs in ("cleanlab", "cleanlab, our probabilities")
            ),
        ]
        for shown, cells in groups.items()
    ]
    return list_table(
        [
            "ours − theirs",
            "AP − cleanlab",
            "AP − cleanlab, our probabilities",
            "F1 − cleanlab",
            "F1 − cleanlab, our probabilities",
        ],
        rows,
    )


def label_errors_accuracy():
    """Accuracy on held-out rows after training again, by kind of noise and regime."""
    rows = []
    for kind in LABEL_ERRORS_NOISE:
        for shown, regime in REGIMES.items():
            cells = _label_error_cells(noise=kind, regime=regime)
            means = [_mean(_seeds(cells, "accuracy", how)) for how in LABEL_ERRORS_TRAINED.values()]
            rows.append([f"{kind}, {shown}", *(f"{m:.3f}" for m in means)])
    return list_table(["noise, network", *LABEL_ERRORS_TRAINED], rows)


RARE_FILTERS = {
    "quadrant, nearest first": "quadrants",
    "``LabelErrorScorer``": "ours",
    "``NeighborConfidenceScorer``": "neighbours",
    "cleanlab": "cleanlab",
}


def filter_rare():
    """Share of a rare group that is dropped where a share of the wrong labels has been found."""
    found = results("rare_subgroup")
    recalls = ("0.25", "0.50", "0.70")
    rows = []
    for shown, who in RARE_FILTERS.items():
        cells = [
            "; ".join(
                _mean_or_dash(found[regime]["rare rows dropped at recall"][who][recall])
                for regime in REGIMES.values()
            )
            for recall in recalls
        ]
        cut = [found[regime]["default cut"].get(who) for regime in REGIMES.values()]
        for what in ("recall", "rare rows dropped"):
            cells.append("; ".join(_mean_or_dash(c and c[what]) for c in cut))
        rows.append([shown, *cells])
    return list_table(
        [
            "filter",
            *(f"rare rows lost, {float(r):.0%} of wrong labels found" for r in recalls),
            "default cut: wrong labels found",
            "default cut: rare rows lost",
        ],
        rows,
    )


def _mean_or_dash(summary):
    # Where some seed never reaches a recall, the mean of the others would flatter.
    known = summary and summary["mean"] is not None
    return f"{summary['mean']:.2f}" if known else "—"


TABLES = {
    "TOY": toy,
    "ERROR_RATE": error_rate,
    "NOISE": label_noise,
    "SPEED": speed,
    "DEPTH_SPEED": depth_speed,
    "DEPTH_CLAIMS": depth_claims,
    "DEPTH_LABEL_NOISE": depth_label_noise,
    "DYNAMICS_WHICH": dynamics_which_finds_what,
    "DYNAMICS_WHICH_DIGITS": partial(dynamics_which_finds_what, "digits"),
    "DYNAMICS_SYMMETRIC": dynamics_symmetric,
    "DYNAMICS_REGIMES": dynamics_regimes,
    "DYNAMICS_SPEED": dynamics_speed,
    "QUADRANTS_CLAIMS": quadrants_claims,
    "QUADRANTS_SHARES": quadrants_shares,
    "QUADRANTS_LABEL_NOISE": quadrants_label_noise,
    "QUADRANTS_SPEED": quadrants_speed,
    "LABEL_RANKING": label_errors_ranking,
    "LABEL_CUTS": label_errors_cuts,
    "LABEL_GAINS": label_errors_gains,
    "FILTER_ACCURACY": label_errors_accuracy,
    "FILTER_RARE": filter_rare,
}

if __name__ == "__main__":
    for table in TABLES.values():
        doc = getattr(table, "func", table).__doc__
        print(doc, table(), sep="\n\n", end="\n\n")
