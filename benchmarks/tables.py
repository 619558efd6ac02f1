# SPDX-License-Identifier: BSD-3-Clause
"""The tables of the user guide and of README.md here, made from the files in results/.

`python benchmarks/tables.py` writes every table below the comment that names it; a test fails where
a page holds an older one, so that no figure in the documentation is older than its measurement.
"""

import json
import re
from functools import cache
from pathlib import Path
from statistics import fmean, stdev

HERE = Path(__file__).resolve().parent
DOC = HERE.parent / "doc"
PAGES = (
    HERE / "README.md",
    HERE.parent / "README.md",
    *sorted((DOC / "user_guide").glob("*.rst")),
    *sorted((DOC / "evidence").glob("*.rst")),
)
MARK = re.compile(r"^ *(?:\.\. |<!-- )table of benchmarks/tables\.py: (\w+)", re.MULTILINE)
PLACE = re.compile(r"<([^<>|]+)\|?([^<>]*)>")
TABLES = {}

DATA = {"digits": "digits", "Fashion-MNIST": "fashion_mnist"}
REGIMES = {"stopped": "stopped early", "memorised": "memorised"}
WINDOWS = ("early", "late", "all")
TARGETS = ("logit", "probability", "loss")
CELLS = tuple(f"{target}, {window}" for target in TARGETS for window in WINDOWS)
ALL_EPOCHS = CELLS[2::3]
ERROR_RATE = {
    "convolutional": "vog_error_rate",
    "MLP, stopped early": "vog_error_rate_mlp_stopped_early",
    "MLP, memorised": "vog_error_rate_memorised",
}
NOISE = {
    f"{shown}, {short}": f"{data}, shuffled, {REGIMES[short]}"
    for shown, data in DATA.items()
    for short in ("memorised", "stopped")
}
DEPTH_NETWORKS = ("MLP, Fashion-MNIST", "VGG16, Fashion-MNIST", "MLP, digits")
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
    "looks like a different class": "looks_like_a_different_class",
    "ambiguous without label": "ambiguous_without_label",
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
ENSEMBLE_RUNS = {
    'one by one (``backend="joblib"``)': "joblib",
    "one by one, two processes": "joblib, 2 processes",
    "a loop over skorch's ``fit``": "skorch",
    "a bare torch loop": "bare loop",
    "the stack with one torch thread": "stacked, 1 thread",
    "the stack again": "stacked again",
}
LABEL_ERRORS_NOISE = (
    *("symmetric 5 %", "symmetric 20 %", "symmetric 40 %"),
    *("pair 20 %", "instance 10 %", "instance 30 %", "none"),
)
LABEL_ERRORS_SETS = {
    "synthetic, 20 %": "synthetic_20pct_resnet18",
    "people, aggregate": "human_9pct_resnet18",
    "people, worst": "cifar10n_worst_resnet18",
    "roman numerals": "roman_resnet18",
}
LABEL_ERRORS_OF_SETS = {
    "cleanlab": "cleanlab",
    "ours": "ours, auto",
    '``noise="class"``': "ours, class",
    '``noise="instance"``': "ours, instance",
}
LABEL_ERRORS_RANKINGS = {
    "ours": "ours/ap",
    "ours, neighbours not asked": "ours, no neighbours/ap",
    "cleanlab, all rows by self-confidence": "cleanlab/ap",
    "cleanlab, the list that it returns": "cleanlab/ap, its list",
    "the same, other rows behind it": "cleanlab/ap, its list first",
    "self-confidence, our probabilities": "cleanlab, our probabilities/ap",
    '``method="neighbors"``': "ours, neighbors/ap",
    '``method="one_fit"``': "ours, one_fit/ap",
    "aum": "aum, one training/ap",
}
LABEL_ERRORS_CUTS = {
    "ours": "ours",
    '``noise="class"``': "ours, noise class",
    '``noise="instance"``': "ours, noise instance",
    "cleanlab": "cleanlab",
    "cleanlab, our probabilities": "cleanlab, our probabilities",
}
LABEL_ERRORS_GROUPS = {
    "all cells": {},
    "digits and Fashion-MNIST": {"data": ("digits", "fashion_mnist")},
    "breast cancer": {"data": ("breast_cancer",)},
    "symmetric": {"noise": "symmetric"},
    "pair": {"noise": "pair"},
    "instance": {"noise": "instance"},
    "stopped early": {"regime": "stopped early"},
    "memorised": {"regime": "memorised"},
}
SINGLE_TRAINING = {
    "five networks": "five networks",
    '``method="neighbors"``': "neighbors",
    '``method="one_fit"``': "one_fit",
    "what the training says: its epochs": "epochs",
    "votes in its layers": "votes in the layers",
    "held out: votes in the input": "votes in the input",
    "regressions on its last layer": "regressions, last layer",
    "left out of one epoch in five": "left out in turn",
}
TRAINED = (
    *("all rows", "ours, dropped", "ours, relabelled", "ours, relabelled if sure"),
    *("cleanlab, dropped", "true labels"),
)
FEW_FLIPS = {
    "mean loss over epochs (cumulative sample loss)": "loss",
    "area under the margin": "aum",
    "confidence, mean over epochs": "confidence",
    "curvature of the loss": "curvature",
    "forgetting": "forgetting",
    "learning time": "iteration_learned",
    "confidence in the end": "final_loss",
    "neighbours' confidence": "neighbours",
    "``LabelErrorScorer``, this training": "ours, one",
    "confident learning, as compared there": "confident learning",
    "confident learning, other rows behind": "confident learning, repaired",
    "self-confidence": "self-confidence",
    "``LabelErrorScorer``": "ours",
}
CHEAP_SCORES = {  # correlation and cosine with memorization on CIFAR-100, as published
    "mean loss over epochs (cumulative sample loss)": ("loss", "0.79; 0.87"),
    "1 − confidence, mean over epochs": ("confidence", "—"),
    "forgetting": ("forgetting", "0.59; 0.76"),
    "learning time": ("iteration_learned", "—"),
    "loss in the end": ("final_loss", "0.17; 0.24"),
    "curvature of the loss": ("curvature", "0.49; 0.69"),
    "VoG, logit, raw": ("vog", "—"),
    "VoG, loss, raw": ("vog, loss", "—"),
    "prediction depth": ("prediction_depth", "—"),
}
DISTILLED_ROWS = {
    "all": "all",
    "right labels": "right",
    "flipped labels": "flipped",
    "constant": "constant",
    "increasing": "increasing",
    "decreasing": "decreasing",
}
SCHEDULES = {
    "one long schedule": "long",
    "twelve epochs in all": "short",
    "restarts": "restarts",
    "later layers drawn anew (LLF)": "LLF",
    "the same weights each time": "LLF, fixed draw",
    "early layers drawn anew": "early reset",
    "a slim network kept (KE)": "KE",
    "early layers climb (SEAL)": "SEAL",
    "the same, S = −0.1": "SEAL, S = -0.1",
    "later layers climb": "reverse",
}
PERTURBATIONS = {
    "half of the weights drawn anew": "redraw 0.5",
    "a fifth of the weights drawn anew (the default)": "redraw 0.2",
    "70 % pruned, the others at their initial values": "prune 0.7, rewound",
    "70 % pruned": "prune 0.7",
}
LOST_SCORES = {
    "lost under perturbation": "redraw 0.2",
    "the same, half of the weights": "redraw 0.5",
    "the same, pruned": "prune 0.7",
    "mean loss over epochs": "cumulative loss",
    "output margin in the end": "output margin",
}
REMEDIES = {
    "plain, 48 epochs": "plain",
    "restarts (48)": "restarts",
    "SEAL (48)": "SEAL",
    "LLF (48)": "LLF",
    "distilled (20 + 20)": "distilled",
    "filtered (5 × 6, then 24)": "filtered",
    "filtered + SEAL": "filtered + SEAL",
    "filtered + LLF": "filtered + LLF",
    "filtered + distilled": "filtered + distilled",
    "plain, 12 epochs": "plain, 12 epochs",
    "plain, 6 epochs": "plain, 6 epochs",
    "plain, right labels only": "right labels only",
}
REMEDY_SETS = {
    "Fashion-MNIST, symmetric": "fashion_mnist, symmetric",
    "Fashion-MNIST, instance": "fashion_mnist, instance",
    "digits, symmetric": "digits, symmetric",
    "digits, instance": "digits, instance",
}
RARE_FILTERS = {
    "quadrant, nearest first": "quadrants",
    "``LabelErrorScorer``": "ours",
    "``NeighborConfidenceScorer``": "neighbours",
    "cleanlab": "cleanlab",
}

TARGET_SETS = {"diamonds": "target_errors", "hotel rates": "target_errors"}
TARGET_SETS["check times"] = "target_errors_unseen"
TARGET_NOISE = (
    *("symmetric 5 %", "symmetric 20 %", "symmetric 40 %", "symmetric 60 %"),
    *("gaussian 30", "gaussian 50", "unit x 10, 5 %", "shift, 5 %", "none"),
)
TARGET_ARMS = {
    "k-NN residual": "k-NN residual",
    "out-of-fold residual": "out-of-fold residual, MAE boosting",
    "the same over the local scale": "out-of-fold over local scale, MAE boosting",
    "second round, true rate given": "second round, rate given, MAE boosting",
    "residual over epochs": "residual over epochs",
    "the same over the local scale, one training": "residual over epochs over local scale",
    "cleanlab.regression": "cleanlab, MAE boosting",
    "``ConFragSelector``": "ConFrag",
    "``TargetErrorScorer``": "TargetErrorScorer, MAE boosting",
    "the same, one round": "two parts of out-of-fold residuals, MAE boosting",
    '``TargetErrorScorer(method="one_fit")``': "TargetErrorScorer, one fit",
}
TARGET_OURS, TARGET_PEER = TARGET_ARMS["``TargetErrorScorer``"], "cleanlab, MAE boosting"
HUMAN_ARMS = {
    "k-NN residual": "k-NN residual",
    "out-of-fold residual": "out-of-fold residual",
    "the same over the local scale": "out-of-fold over local scale",
    "cleanlab.regression": "cleanlab",
    "``TargetErrorScorer``": "TargetErrorScorer",
}


# ----------------------------------------------------------------------------- figures as they read


@cache
def results(name):
    return json.loads((HERE / "results" / f"{name}.json").read_text())["results"]


def look_up(cell, path):
    """Return what is at a path of keys, "clean/depth/auroc"; None where there is nothing."""
    for key in path.split("/"):
        cell = cell[int(key)] if isinstance(cell, list) else (cell or {}).get(key)
    return cell


def figure(found, spec):
    """Return a mean (or a number) as ``spec`` says, or a dash where there is none.

    ".3" are three digits, without them two; "+" shows the sign, "±" adds the standard error, and
    "n" is the number of seeds. Where some seed has no number the mean of the others would flatter.
    """
    value = found["mean"] if isinstance(found, dict) else found
    if value is None:
        return "—"
    if spec == "n":
        return str(len(found["per_seed"]))
    form = spec.replace("±", "") or ".2"
    text = f"{value:{form if form.endswith('g') else form + 'f'}}".rstrip(".").replace("-", "−")
    has_error = "±" in spec and found["se"] is not None  # none of a single seed
    return f"{text} ± {found['se']:{form.lstrip('+')}f}" if has_error else text


def fill(template, cell):
    """Return a text whose ``<path|spec>`` are the figures of a cell; a dash if it has none."""
    if callable(template):
        return template(cell)
    figures = [figure(look_up(cell, path), spec) for path, spec in PLACE.findall(template)]
    if set(figures) == {"—"}:
        return "—"
    left = iter(figures)
    return PLACE.sub(lambda _: next(left), template)


def of_regimes(template):
    """Return a template for both regimes: stopped; memorised."""
    return "; ".join(template.replace("<", f"<{regime}/") for regime in REGIMES)


# ----------------------------------------------------------------------------------- tables as such


def table(function):
    """Make a function, which returns header and rows, known by its name."""
    TABLES[function.__name__] = function
    return function


def grid(corner, rows, columns):
    """Return header and rows; either the rows or the columns are cells that fill the others."""
    by_column = isinstance(next(iter(columns.values())), dict)
    body = [
        [shown, *(fill(row, c) if by_column else fill(c, row) for c in columns.values())]
        for shown, row in rows.items()
    ]
    for shown, *figures in body:
        assert set(figures) != {"—"}, f"{corner}: the files have nothing for {shown}"
    return [corner, *columns], body


def beside(header, rows, i, shown, column):
    """Put a column into a table."""
    found = [[*row[:i], cell, *row[i:]] for row, cell in zip(rows, column, strict=True)]
    return [*header[:i], shown, *header[i:]], found


def for_each(names, template):
    """Return the template for every name, which takes the place of its stars."""
    names = names if isinstance(names, dict) else dict(zip(names, names, strict=True))
    return {shown: template.replace("*", name) for shown, name in names.items()}


def claims(cells, found):
    """Return header and rows of {claim: (what a paper says, the template of what cells say)}."""
    templates = {claim: template for claim, (_, template) in found.items()}
    papers = (paper for paper, _ in found.values())
    return beside(*grid("claim", templates, cells), 1, "paper", papers)


def one_by_one(template, *names):
    """Return the template for one name after the other."""
    return "; ".join(template.replace("*", name) for name in names)


def list_table(header, rows):
    text = [".. list-table::", "   :header-rows: 1", ""]
    for row in (header, *rows):
        text += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return text


def pipe_table(header, rows):
    text = [f"| {' | '.join(row)} |".replace("``", "`") for row in (header, *rows)]
    return [text[0], "|---" * len(header) + "|", *text[1:]]


def made(name):
    """Return header and rows; of a table whose file is still to be written they say so."""
    try:
        return TABLES[name]()
    except FileNotFoundError:
        return ["not measured yet"], []


def with_tables(page):
    """Return the text of a page, with every table that it names made anew."""
    text, render = [], pipe_table if page.suffix == ".md" else list_table
    old = iter(page.read_text().splitlines())
    for line in old:
        text.append(line)
        if mark := MARK.match(line):
            indent = line[: len(line) - len(line.lstrip())]  # of a table that is folded
            is_table = re.compile(rf"$|{indent}(\||   |\.\. list-table::)").match
            new = (f"{indent}{of_table}".rstrip() for of_table in render(*made(mark[1])))
            text += ["", *new, ""]
            text += next(([line] for line in old if not is_table(line)), [])
    return "\n".join(text).rstrip() + "\n"


# --------------------------------------------------------------------------- variance of gradients


@table
def toy():
    seeds = "<*> (<*/n_negative|.0> of <*|n>)"
    templates = {
        f"{shown}, {target}": seeds.replace("*", f"{target}, all/{score}")
        for target in ("logit", "probability")
        for shown, score in (("VoG", "vog_raw"), ("magnitude", "magnitude"))
    }
    return grid("hidden units, distance of centres", results("vog_toy"), templates)


@table
def error_rate():
    cells = {name: results(file) for name, file in ERROR_RATE.items()}
    of_window = "<held-out, predicted class/{}/{}/auroc|±.2>".format
    rows = {f"VoG, {w}": of_window(w, "vog_class") for w in CELLS}
    rows |= {f"VoG, {w}, raw": of_window(w, "vog_raw") for w in ALL_EPOCHS}
    rows |= {f"magnitude, {w}, raw": of_window(w, "magnitude_raw") for w in ALL_EPOCHS}
    rows["1 − largest softmax"] = "<1 - max softmax/held-out/auroc|±.2>"
    return grid("score", rows, cells)


@table
def error_rate_and_magnitude():
    """Return `error_rate` with the gain over the magnitude, and the outermost tenths' errors."""
    errors = "<{0}/error_rate/mean/0|.3>, <{0}/error_rate/mean/-1|.3>".format
    found = {}
    for suffix, kind, windows in (("", "class", CELLS), (", raw", "raw", ALL_EPOCHS)):
        for window in windows:
            path = f"held-out, predicted class/{window}/vog_{kind}"
            auroc = f"<{path}/auroc|.3> (<{path} minus magnitude_{kind}/auroc|±+.3>)"
            found[f"{window}{suffix}"] = auroc, errors(path)
    softmax = "1 - max softmax/held-out"
    found["1 − max softmax"] = f"<{softmax}/auroc|.3>", errors(softmax)
    networks = [results(file) for file in ERROR_RATE.values()]
    rows = [
        [shown, *(fill(template, cell) for cell in networks for template in both)]
        for shown, both in found.items()
    ]
    return ["target, epochs", *(f"{x}{what}" for x in "ABC" for what in ("", ", error"))], rows


@table
def label_noise():
    cells = {shown: results("vog_label_noise")[name] for shown, name in NOISE.items()}
    wins = "<{0}/vog_class/auroc> (<{0}/seeds_with_higher_mean|.0>, <{0}/seeds_with_higher_sd|.0>"
    rows = {f"VoG, {w}": f"{wins} of <{{0}}/vog_class/auroc|n>)".format(w) for w in CELLS}
    rows["magnitude, loss, all"] = "<loss, all/magnitude_class/auroc|.3>"
    rows["mean over epochs of 1 − p"] = "<mean over epochs of 1 - p(given)/auroc|.3>"
    return grid("score", rows, cells)


@table
def speed():
    templates = {
        "time, ours / bare": "<ours_over_bare>",
        "bare / bare (noise)": "<bare_over_bare>",
        "stored / ours": "<stored_over_ours|.1>",
        "peak MiB: ours / bare / stored": (
            "<peak_mib/ours|.0> / <peak_mib/bare|.0> / <peak_mib/stored|.0>"
        ),
    }
    cells = {
        f"{network}, K = {case['checkpoints']}": case
        for network, cases in results("vog_speed_cpu").items()
        for case in cases
    }
    return grid("network", cells, templates)


# ---------------------------------------------------------------------------------------- NormGrad


@table
def normgrad_pointing():
    found = results("normgrad")["scenes"]["pointing"]
    stages = {f"stage {i}": f"<stage{i}.2|.0>" for i in range(1, 5)}
    rows = {name: cell for name, cell in found.items() if name != "centre"}
    return grid("map", rows, stages | {"product": "<product|.0>", "sum": "<sum|.0>"})


@table
def normgrad_claims():
    layers = [f"stage{i}.2" for i in range(1, 5)]

    def of_layers(cell, method):
        return [cell["pointing"][method][layer]["mean"] for layer in layers]

    def spread(cell):
        values = of_layers(cell, "NormGrad")
        return figure(max(values) - min(values), ".1")

    def last_minus_first(cell):
        values = of_layers(cell, "Grad-CAM")
        return figure(values[-1] - values[0], "+.1")

    def best(cell):
        values = of_layers(cell, "NormGrad selective")
        return f"stage {1 + values.index(max(values))} ({max(values):.1f})"

    def gain(method):
        def of_cell(cell):
            before = of_layers(cell, method)[-1]
            steps = (of_layers(cell, f"{method}, step {step}")[-1] for step in ("0.0001", "0.0025"))
            return "; ".join(figure(after - before, "+.1") for after in steps)

        return of_cell

    last = f"<class sensitivity/NormGrad, */{layers[-1]}|.3>"
    alike = one_by_one(last, "order 0", "step 0.0001", "step 0.001", "step 0.01")
    true = one_by_one("<virtual against true/*|.2>", *layers)
    masked = "<masking/step 0.0001/share of it/*|.2>"
    masked_more = masked.replace("0.0001", "0.0005")
    found = {
        "NormGrad: best minus worst layer": ("4.2 (VGG16), 5.8 (ResNet-50)", spread),
        "Grad-CAM: last minus first layer": ("+27.5, +35.9", last_minus_first),
        "selective: best layer": ("the last", best),
        "NormGrad, last layer: after a step of 1e-4; 2.5e-3": (
            "+0.5, +2.1",
            gain("NormGrad"),
        ),
        "selective, last layer: after a step of 1e-4; 2.5e-3": (
            "+0.1, +1.2",
            gain("NormGrad selective"),
        ),
        "most and least likely class alike, last layer: order 0; step 1e-4; 1e-3; 1e-2": (
            "no figure; falls",
            alike,
        ),
        "imaginary and own weights alike, by stage": ("no figure", true),
        "share of the gain left if training; adversarial; random pixels are masked": (
            "no figure",
            one_by_one(masked, "training", "adversarial", "random pixels"),
        ),
        "the same, masked by order 0; by the map of another scene": (
            "no figure",
            one_by_one(masked, "order 0", "that of another scene"),
        ),
        "training; adversarial; random pixels, where the step is five times as long": (
            "no figure",
            one_by_one(masked_more, "training", "adversarial", "random pixels"),
        ),
    }
    return claims({"ours": results("normgrad")["scenes"]}, found)


@table
def normgrad_label_noise():
    names = {
        f"{shown}, {short}": f"{data}, {REGIMES[short]}"
        for shown, data in DATA.items()
        for short in REGIMES
    }
    found = results("normgrad_label_noise")
    cells = {shown: found[name] for shown, name in names.items() if name in found}
    scores = {name: f"<found/{name}/ap|±.2>" for name in found["digits, memorised"]["found"]}
    return grid("score", scores, cells)


@table
def normgrad_speed():
    [cell] = results("normgrad_speed_cpu").values()
    works = {
        "score (order 0)": "order 0",
        "maps of all layers": "order 0, maps",
        "forward and backward pass to all weights": "training pass",
        "captum: Grad-CAM, layer by layer": "captum, Grad-CAM",
        "captum: activation × gradient, all layers": "captum, products",
        "the bare passes again (noise)": "bare again",
    }
    clocks = {
        "processor time, over the bare passes": cell["over bare"],
        "wall clock, likewise": cell["over bare, wall clock"],
    }
    return grid("work", for_each(works, "<*>"), clocks)


# -------------------------------------------------------------------------------- prediction depth


@table
def depth_speed():
    templates = {
        "time, ours / product": "<ours_over_bare>",
        "product / product (noise)": "<bare_over_bare>",
        "addmm + topk / ours": "<over_ours/naive torch|.1>",
        "scikit-learn / ours": "<over_ours/scikit-learn|.1>",
        "faiss / ours": "<over_ours/faiss|.1>",
    }
    cases = results("prediction_depth_speed_cpu")["search"]
    return grid("width", {f"{c['width']:,} values": c for c in cases}, templates)


@table
def depth_claims():
    found = results("prediction_depth_claims")
    cells = {name: found[name] for name in DEPTH_NETWORKS}
    # For one network only.
    cells[DEPTH_NETWORKS[0]] = found[DEPTH_NETWORKS[0]] | {"losses": found["intervention"]}
    losses = "<losses/cross-entropy, SGD/{0}|#.2g>; <losses/0-hinge, GD/{0}|#.2g>".format
    margins = "<over models/clean/mean of log {0} margin> (<clean/log margin/{0}|±.2>)".format
    depths = "<clean/{0} depth|±.2>; <mixed/{0} depth|±.2>".format
    gain = "<clean/smallest margins/{} minus network|±+.2>".format
    errors = "<clean/depth/auroc|±.2> (<clean/1 - max softmax/auroc|±.2>)"
    which, chosen = "cross-entropy, SGD; 0-hinge, GD", "+0.73, rows chosen by depth"

    def by_depth(cell):
        """Return the accuracy of held-out rows of depth 0, in the shallow and in the deep half."""
        n, right = (look_up(cell, f"clean/held-out {w} by depth/mean") for w in ("rows", "right"))
        half = (len(n) + 1) // 2
        groups = (slice(0, 1), slice(1, half), slice(half, None))
        return "; ".join(figure(sum(right[group]) / sum(n[group]), "") for group in groups)

    def original_wins(cell):
        n_probes = len(cell["random"]["clean"]["mean"])
        return fill(f"<random/probes where the original wins|.1> of {n_probes}", cell)

    found = {
        "accuracy at depth 0; rest of the shallow half; deep half": ("falls", by_depth),
        "AUROC for misclassified rows (1 − largest softmax)": ("—", errors),
        "correlation with the log output margin (one model)": ("−0.70", margins("output")),
        "correlation with the log input margin (one model)": ("−0.69", margins("input")),
        "mean depth, training rows: images; mixed": ("harder data: larger", depths("training")),
        "mean depth, held-out rows: images; mixed": ("harder data: larger", depths("held-out")),
        "probes that see the original of a random label": ("early and middle ones", original_wins),
        f"output margin: {which}": ("16; 0.0002", losses("output margin")),
        f"depth: {which}": ("0-hinge: larger", losses("training depth, undefined as largest")),
        f"training accuracy: {which}": ("—", losses("train accuracy, given labels")),
        "share of training rows without a depth": ("< 0.0001", "<clean/training undefined|.4>"),
        "share of held-out rows without a depth": ("< 0.0001", "<clean/held-out undefined|.4>"),
        "accuracy, input − network, smallest margins": (chosen, gain("input")),
        "accuracy, middle probe − network, smallest margins": (chosen, gain("middle")),
    }
    return claims(cells, found)


@table
def depth_label_noise():
    cells = {
        f"{name}, {regime}": results("prediction_depth_claims")[name][labels]
        for name in DEPTH_NETWORKS
        for labels, regime in (("flipped", "memorised"), ("stopped", "stopped"))
    }
    return grid("score", for_each(DEPTH_SCORES, "<*/ap> (<*/auroc>)"), cells)


# ------------------------------------------------------------------------------ training schedules


@table
def schedules():
    templates = {
        "held-out accuracy": "<held-out accuracy|±.3>",
        "training accuracy": "<train accuracy|.3>",
        "depth, held-out": "<depth, held-out/all rows|±.3>",
        "predicted right": "<depth, held-out/right rows|±.3>",
        "depth, training": "<depth, training/all rows|±.3>",
        "transfer to digits": "<transfer|±.3>",
    }
    found = results("schedules")
    cells = {shown: found[arm] for shown, arm in SCHEDULES.items()}
    return grid("training", cells, templates)


@table
def schedules_claims():
    accuracy, transfer = "<*/held-out accuracy|±+.3>", "<*/transfer|±+.3>"
    depth = "<*/depth, held-out/{}|±+.3>".format
    claims_of = {
        "accuracy, SEAL − LLF": ("+0.023, Tiny-ImageNet", "SEAL - LLF", accuracy),
        "accuracy, LLF − long": ("−0.004, CIFAR-10, WRN-28-10", "LLF - long", accuracy),
        "accuracy, SEAL − long": ("above 0", "SEAL - long", accuracy),
        "accuracy, early layers drawn anew − LLF": ("below 0", "early reset - LLF", accuracy),
        "accuracy, fixed draw − LLF": ("below 0", "LLF, fixed draw - LLF", accuracy),
        "accuracy, KE − LLF": ("—", "KE - LLF", accuracy),
        "accuracy, later layers climb − SEAL": ("below 0", "reverse - SEAL", accuracy),
        "accuracy, restarts − long": ("—", "restarts - long", accuracy),
        "accuracy, SEAL − restarts": ("—", "SEAL - restarts", accuracy),
        "depth, SEAL − long": ("below 0", "SEAL - long", depth("all rows")),
        "depth, SEAL − LLF": ("below 0", "SEAL - LLF", depth("all rows")),
        "the same, rows predicted right by each": ("—", "SEAL - LLF", depth("right rows")),
        "depth, SEAL − restarts": ("—", "SEAL - restarts", depth("all rows")),
        "the same, S = −0.1": ("—", "SEAL, S = -0.1 - restarts", depth("all rows")),
        "depth, LLF − long": ("—", "LLF - long", depth("all rows")),
        "depth, LLF − twelve epochs": ("—", "LLF - short", depth("all rows")),
        "transfer, LLF − long": ("below 0", "LLF - long", transfer),
        "transfer, SEAL − LLF": ("above 0", "SEAL - LLF", transfer),
    }
    found = {
        shown: (paper, template.replace("*", f"differences/{pair}"))
        for shown, (paper, pair, template) in claims_of.items()
    }
    return claims({"ours": results("schedules")}, found)


@table
def targeted_forgetting():
    templates = {
        "true labels": "<true/before> to <true/after>",
        "wrong labels": "<wrong/before> to <wrong/after>",
        "lost, wrong − true": "<wrong - true/lost|±+.2>",
        "true labels, shallow": "<shallow/lost>",
        "middle": "<middle/lost>",
        "deep": "<deep/lost>",
        "lost, deep − shallow": "<deep - shallow/lost|±+.2>",
    }
    found = results("targeted_forgetting")["groups"]
    cells = {shown: found[name] for shown, name in PERTURBATIONS.items()}
    return grid("what is perturbed", cells, templates)


@table
def targeted_forgetting_found():
    found = results("targeted_forgetting")
    cells = {
        shown: found[f"found, {of}"]
        for shown, of in ((n, c.replace("shuffled, ", "")) for n, c in NOISE.items())
    }
    return grid("score", for_each(LOST_SCORES, "<found/*/ap> (<found/*/auroc>)"), cells)


@table
def training_remedies():
    found = results("training_remedies")
    cells = {shown: found[name] for shown, name in REMEDY_SETS.items()}
    templates = {
        shown: f"<{arm}/held-out accuracy|.3>"
        + ("" if arm == "plain" else f" (<minus plain/{arm}|±+.3>)")
        for shown, arm in REMEDIES.items()
    }
    return grid("training", templates, cells)


# ------------------------------------------------------------------------------- training dynamics


def dynamics_cell(data, problem):
    found = results("dynamics_label_noise")
    return {short: found[f"{data}, {problem}, {regime}"] for short, regime in REGIMES.items()}


def dynamics_names(cells):
    """Return {as shown: in the file} of all scores of some cells."""
    scores = dict.fromkeys(score for cell in cells for score in cell["found"])
    return {DYNAMICS_SCORES.get(score, f"``{score}``"): score for score in scores}


@table
def dynamics_which(data="fashion_mnist"):
    cells = {shown: dynamics_cell(data, name) for shown, name in DYNAMICS_PROBLEMS.items()}
    rows = {"chance": of_regimes("<marked>")}
    names = dynamics_names(cell["stopped"] for cell in cells.values())
    rows |= for_each(names, of_regimes("<found/*/ap>"))
    return grid("score", rows, cells)


@table
def dynamics_which_digits():
    return dynamics_which("digits")


@table
def dynamics_symmetric():
    cells = {
        f"{shown}, {short}": cell
        for shown, data in DATA.items()
        for short, cell in dynamics_cell(data, "symmetric").items()
    }
    names = dynamics_names(cells.values())
    del names[DYNAMICS_SCORES["cross-validation"]]
    above = "<found/*/ap|.3> (<minus cross-validation/*/ap|±+.3>)"
    rows = {"cross-validation": "<found/cross-validation/ap|.3>"} | for_each(names, above)
    fits = ["5", *("1" for _ in names)]
    return beside(*grid("score", rows, cells), 1, "fits", fits)


@table
def dynamics_regimes():
    templates = {
        "train accuracy": of_regimes("<train accuracy, given labels|.3>"),
        "mean confidence, last epoch": of_regimes("<mean confidence, last epoch|.3>"),
        "never learned": of_regimes("<share of rows never learned|.3>"),
    }
    trained = {name: shown for shown, name in DYNAMICS_PROBLEMS.items()}
    trained["held-out"] = "clean labels"
    cells = {
        f"{shown}, {labels}": dynamics_cell(data, problem)
        for shown, data in DATA.items()
        for problem, labels in trained.items()
    }
    return grid("training labels", cells, templates)


@table
def dynamics_speed():
    found = results("dynamics_speed_cpu")
    same, again = "<without_over_without>", "<epoch_over_epoch>"
    collector = f"collector, {found['collector']['n']:,} rows: aum / ours"
    epoch = "at one checkpoint / an epoch of training"
    of_fit = {
        "fit: recorded / only checkpoints kept": ("<recorded_over_without>", same, "<target>"),
        "fit: recorded / no recorder": ("<recorded_over_no_recorder>", same, "—"),
        'fit: ``mode="evaluation"`` / only checkpoints': ("<evaluation_over_without>", same, "—"),
    }
    of_grand = {f'"{x}" {epoch}': (f"<{x}_over_epoch>", again, "—") for x in ("grand", "grand_all")}
    cells = [
        *((f"{name}, ", case, of_fit) for name, case in found["recording"].items()),
        ("", found["collector"], {collector: ("<aum_over_ours|.0>", "<ours_over_ours>", "—")}),
        *((f"{name}, ", case, of_grand) for name, case in found["grand"].items()),
    ]
    rows = [
        [f"{name}{work}", *(fill(template, case) for template in templates)]
        for name, case, works in cells
        for work, templates in works.items()
    ]
    return ["work", "time", "the same twice (noise)", "target"], rows


# --------------------------------------------------------------------------------------- quadrants


def quadrant_cells(*, with_wrong_labels=False):
    cells = {shown: results("quadrants")[name] for shown, name in QUADRANT_CELLS.items()}
    return {s: c for s, c in cells.items() if not with_wrong_labels or "wrong labels" in c}


@table
def quadrants_claims():
    corner, unsure = "looks_like_a_different_class", "corners/ambiguous_without_label"
    trained = "estimated training depth/*/all rows"
    of_label = trained.replace("*", "given label")

    def contradicted(cell):
        agrees = look_up(cell, f"corners/{corner}/consensus is given")
        return figure(agrees | {"mean": 1 - agrees["mean"]}, "±.2")

    def bound(cell):
        line = cell["figures"]["bound, unseen"].get("line through the 5 % quantiles", {})
        return fill("<slope> (<r2>)", line)

    def probes_and_network(cell):
        """Return how often the input, the middle probe and the network see the true class."""
        probes = look_up(cell, f"{unsure}/probes, accuracy/true")
        middle = (len(probes["mean"]) - 1) // 2
        of_probes = ({part: probes[part][i] for part in ("mean", "se")} for i in (0, middle))
        found = (*of_probes, look_up(cell, f"{unsure}/network/true"))
        return "; ".join(figure(of_true, "±.2") for of_true in found)

    found = {
        "train accuracy, given labels": ("—", "<train accuracy, given labels|.3>"),
        "share of wrong labels among the 100; 200 rows nearest that corner": (
            "mislabelled rows are there",
            one_by_one("<wrong labels/nearest/*/precision|±.2>", "100", "200"),
        ),
        "share of the quadrant that has a wrong label": (
            "—",
            f"<wrong labels/quadrants/{corner}/labels wrong|±.2>",
        ),
        "``suggested_label_`` is true there: label wrong; label right": (
            "—",
            one_by_one(
                "<wrong labels/suggested label is true/in the quadrant, label *|±.2>",
                *("wrong", "right"),
            ),
        ),
        "the networks contradict the label, 100 nearest that corner": (
            "nearly always",
            contradicted,
        ),
        "consensus-consistency, 100 nearest each corner, in the order of the codes": (
            "low for the ambiguous two",
            one_by_one("<corners/*/consensus-consistency>", *QUADRANTS.values()),
        ),
        "Spearman correlation of depth and consensus-consistency: held out; unseen": (
            "negative",
            one_by_one("<*/consensus-consistency/spearman|±.2>", "held out", "unseen/consistency"),
        ),
        "line through the 5 % quantiles of consensus-consistency by depth, unseen: slope (R²)": (
            "a line bounds it",
            bound,
        ),
        "correlation of depth and consistency, unseen: consensus is the label; is another": (
            "negative; positive",
            one_by_one(
                "<unseen/consistency/consistency, consensus is */pearson|±.2>",
                *("the label", "another"),
            ),
        ),
        'accuracy, 100 nearest "ambiguous without label": input; middle probe; network': (
            "—; 0.98; 0.25",
            probes_and_network,
        ),
        "middle probe − network, unseen rows nearest it, placed without labels": (
            "—",
            "<unseen/rows/near the corner, labels unknown/middle minus network|±+.2>",
        ),
        "correlation of estimated and measured trained-on depth: given label; predicted class": (
            "—",
            one_by_one(f"<{trained}/pearson|±.2>", "given label", "predicted class"),
        ),
        "the two on the same side of the cut, given label (share below it)": (
            "—",
            f"<{of_label}/same side of the cut|±.2> (<{of_label}/measured: below the cut>)",
        ),
        "memorization: wrong labels; right labels": (
            "—",
            one_by_one("<memorization/label */memorization|±.2>", "wrong", "right"),
        ),
    }
    return claims(quadrant_cells(), found)


@table
def quadrants_label_noise():
    cells = quadrant_cells(with_wrong_labels=True)
    template = "<wrong labels/found/*/ap|±.2> (<wrong labels/found/*/auroc>)"
    return grid("score", for_each(QUADRANT_SCORES, template), cells)


@table
def quadrants_shares():
    cells = quadrant_cells(with_wrong_labels=True)
    kinds = ("share of wrong labels", "share of right labels")

    def none(cell):
        quadrants = cell["wrong labels"]["quadrants"].values()
        left = (abs(1 - sum(q[kind]["mean"] for q in quadrants)) for kind in kinds)
        return "; ".join(figure(share, "") for share in left)

    template = "; ".join(f"<wrong labels/quadrants/*/{kind}>" for kind in kinds)
    rows = for_each(QUADRANTS, template) | {"none": none}
    return grid("share of all wrong; of all right labels in", rows, cells)


@table
def quadrants_speed():
    cells = results("ensemble_speed_cpu")["speed"]
    template = "<seconds_over_stacked/*> (<processor_seconds_over_stacked/*>)"
    corner = "seconds (processor seconds) over those of the stack"
    return grid(corner, for_each(ENSEMBLE_RUNS, template), cells)


@table
def ensemble_jobs():
    cells = results("ensemble_jobs_cpu")["jobs"]
    states = [name for name in next(iter(cells.values())) if "n_jobs" in name]
    template = (
        "<*/joblib_over_stacked> (<*/smallest> to <*/largest>; <*/stacked_again_over_stacked>)"
    )
    return grid("seconds over those of the stacks", for_each(states, template), cells)


# ----------------------------------------------------------------------------------- review page


@table
def review_page():
    cells = {name: cell for name, cell in results("review_page").items() if "ready" in cell}
    templates = {
        "rows": "<rows|,.0>",
        "file, MB": "<megabytes|.1>",
        "seconds to write": "<made|.1>",
        "seconds until ready": "<ready|.2>",
        "elements": "<nodes|,.0>",
        "seconds, a key": "<first_key|.3>",
    }
    return grid("page", cells, templates)


@table
def review_work():
    cell = results("review_page")["a reviewer's work"]
    orders = {
        "the page": "page",
        "cleanlab, its issues first": "cleanlab, issues first",
        "cleanlab, its quality score": "cleanlab, quality score",
        "random": "random",
    }
    templates = {
        "rows looked at": "<looked at|,.0>",
        "by the fewest possible": "<by the least possible|.3>",
    }
    rows = {
        shown: {key: cell[key][name] for key in ("looked at", "by the least possible")}
        for shown, name in orders.items()
    }
    return grid("order", rows, templates)


# ------------------------------------------------------------------------------------------ load


@table
def load():
    def of_sizes(values, form):
        return ", ".join(f"{value:{form}}" for value in values) or "—"

    body = [
        [
            name,
            of_sizes(cell["rows"], ","),
            of_sizes(cell["processor_seconds"], ".0f"),
            of_sizes(cell["exponents"], ".2f"),
            of_sizes(cell["added_mib"], ".0f"),
            of_sizes(cell["added_over_model"], ".2f"),
        ]
        for name, cell in results("load_cpu").items()
    ]
    header = ["fit", "rows", "processor seconds", "exponents", "MiB added", "over the model"]
    return header, body


# --------------------------------------------------------------------------- label errors, filters


def label_errors(data=None, noise=None, regime=None):
    """Return all seeds of some data sets, kinds of noise and regimes as one cell; None for all."""
    return pooled(
        [
            cell
            for name, cell in results("label_errors").items()
            for d, n, r in [name.split(", ")]
            if (data is None or d in data)
            and (noise is None or n.startswith(noise))
            and regime in (None, r)
        ]
    )


def pooled(cells):
    """Return what single numbers of cells are over all their seeds that have one."""
    if "per_seed" not in cells[0]:
        return {key: pooled([cell[key] for cell in cells]) for key in cells[0]}
    values = [value for cell in cells for value in cell["per_seed"]]
    defined = [value for value in values if value is not None]
    return {"mean": fmean(defined) if defined else None, "per_seed": values}


def label_errors_of_regimes(noise):
    return {short: label_errors(noise=noise, regime=regime) for short, regime in REGIMES.items()}


@table
def label_errors_ranking():
    cells = {noise: label_errors_of_regimes(noise) for noise in LABEL_ERRORS_NOISE[:-1]}
    template = of_regimes("<found/*>")
    return grid("score", for_each(LABEL_ERRORS_RANKINGS, template), cells)


@table
def label_errors_cuts():
    cells = {noise: label_errors_of_regimes(noise) for noise in LABEL_ERRORS_NOISE}
    none = cells.pop("none")
    rows = for_each(LABEL_ERRORS_CUTS, of_regimes("<found/*/f1>"))
    of_none = for_each(LABEL_ERRORS_CUTS, of_regimes("<found/*/flagged|.3>"))
    shares = (fill(template, none) for template in of_none.values())
    header, rows = grid("F1 of the cut", rows, cells)
    return beside(header, rows, len(header), "none: share dropped", shares)


@table
def label_errors_intervals():
    cells = {noise: label_errors_of_regimes(noise) for noise in LABEL_ERRORS_NOISE}
    rows = {
        "estimated share": "<found/ours/rate>",
        "interval": "<found/ours/low> to <found/ours/high>",
        "its width": "<found/ours/width>",
        "holds the true share": "<found/ours/inside>",
        "calibration error": "<found/ours/calibration error|.3>",
    }
    return grid("ours", {shown: of_regimes(text) for shown, text in rows.items()}, cells)


@table
def label_errors_reliability():
    def of_bin(name):
        def text(cell):
            """Return what a bin promises, and the share that is wrong there."""
            one = cell["reliability"][name]
            # Of single numbers that of the set, else the mean over cells and seeds.
            numbers = (one[key] for key in ("rows", "promised", "marked"))
            rows, promised, marked = (n["mean"] if isinstance(n, dict) else n for n in numbers)
            return f"{promised / rows:.2f}; {marked / rows:.2f}" if rows > 0.0005 else "—"

        return text

    cells = {kind: label_errors(noise=kind) for kind in ("symmetric", "pair", "instance")}
    bins = {f"{i / 10} to {(i + 1) / 10:.1f}": of_bin(f"from {i / 10}") for i in range(10)}
    return grid("error probability", bins, cells | label_errors_of_sets())


def label_errors_of_sets():
    found = results("label_errors_sets_cpu")
    return {shown: found[name] for shown, name in LABEL_ERRORS_SETS.items()}


@table
def label_errors_sets():
    rows = for_each(LABEL_ERRORS_OF_SETS, "<*/ap|.3>; <*/f1>")
    rows["cleanlab, the list that it returns"] = "<cleanlab/ap, its list|.3>; <cleanlab/f1>"
    rows["share of wrong labels"] = "<wrong>"
    rows["estimated share"] = "<ours, auto/rate>"
    rows["its interval"] = "<ours, auto/low> to <ours, auto/high>"
    rows["calibration error"] = "<ours, auto/calibration error|.3>"
    return grid("average precision; F1 of the cut", rows, label_errors_of_sets())


@table
def coming_from_cleanlab():
    found = results("label_errors_sets_cpu")[LABEL_ERRORS_SETS["people, aggregate"]]
    templates = {"precision": "<precision>", "recall": "<recall>", "F1": "<f1>"}
    templates |= {"estimated share": "<rate|.3>"}
    cells = {
        "``find_label_issues``": found["cleanlab"],
        "``LabelErrorScorer``": found["ours, auto"],
    }
    return grid("cut at its default", cells, templates)


@table
def label_errors_constants():
    cells = label_errors_of_sets()
    names = next(iter(cells.values()))["constants"]
    rows = for_each(list(names), "<constants/*/halved>; <constants/*/doubled>")
    return grid("F1 with half of it; twice", rows, cells)


@table
def single_training():
    found = results("single_training")
    cells = {
        shown: {
            short: {
                kind: found[f"all, {kind}, {regime}"][name] for kind in ("wrong labels", "none")
            }
            for short, regime in REGIMES.items()
        }
        for shown, name in SINGLE_TRAINING.items()
    }
    columns = {
        "average precision": "<wrong labels/ap>",
        "F1 of the cut": "<wrong labels/f1>",
        "rate in the interval": "<wrong labels/inside>",
        "calibration error": "<wrong labels/calibration error>",
        "none: share dropped": "<none/flagged|.3>",
        "has a cut": "<wrong labels/told>",
    }
    templates = {shown: of_regimes(template) for shown, template in columns.items()}
    return grid("probabilities from", cells, templates)


@table
def label_errors_price():
    found = results("label_errors_price_cpu")
    cells = {size: cell for size, cell in found.items() if "ours" in cell}
    rows = {"seconds": "<ours>", "cleanlab": "<cleanlab>", "ratio": "<ratio|.1>"}
    return grid("rows x classes", rows, cells)


@table
def label_errors_gains():
    def gain(theirs, measure):
        def of_cell(cell):
            """Return the mean paired difference over cells and seeds, with its standard error."""
            pairs = (cell["found"][who][measure]["per_seed"] for who in ("ours", theirs))
            gains = [a - b for a, b in zip(*pairs, strict=True) if None not in (a, b)]
            error = stdev(gains) / len(gains) ** 0.5
            return figure({"mean": fmean(gains), "se": error}, "±+.3")

        return of_cell

    templates = {
        f"{measure.upper()} − {theirs}": gain(theirs, measure)
        for measure in ("ap", "f1")
        for theirs in ("cleanlab", "cleanlab, our probabilities")
    }
    cells = {shown: label_errors(**which) for shown, which in LABEL_ERRORS_GROUPS.items()}
    return grid("ours − theirs", cells, templates)


@table
def few_flips():
    rows = for_each(FEW_FLIPS, "<found/*/auroc|±.3>")
    return grid("AUROC, share of flipped labels", rows, results("few_flips"))


# ------------------------------------------------------------------------- memorization over sizes


@table
def memorization_sizes():
    templates = {
        "memorization": "<all/memorization|±.3>",
        "trained on it: right (p_in)": "<all/p_in|±.3>",
        "not trained on it: right (p_out)": "<all/p_out|±.3>",
        "memorization of flipped labels": "<flipped/memorization|.3>",
        "of right labels": "<right/memorization|.3>",
        "share of rows from 0.25 to 0.75": "<in between|.3>",
    }
    return grid("hidden units", results("memorization_sizes")["sizes"], templates)


@table
def memorization_categories():
    templates = {
        "share of the rows": "<share|±.3>",
        "flipped among them": "<flipped among them|±.3>",
        "of all flipped labels": "<of the flipped|.3>",
        "of all right labels": "<of the right|.3>",
        "memorization at 8; 64; 256 units": one_by_one("<memorization at *>", "8", "64", "256"),
        "p_out at 8; 256 units": one_by_one("<p_out at *>", "8", "256"),
    }
    return grid("memorization is", results("memorization_sizes")["categories"], templates)


@table
def memorization_scores():
    found = results("memorization_sizes")["cheap scores"]
    rows = {shown: found[name] for shown, (name, _) in CHEAP_SCORES.items()}
    templates = {
        "here: correlation; cosine": "<pearson>; <cosine>",
        "AUROC of finding flipped labels": "<auroc|±.3>",
    }
    papers = [paper for _, paper in CHEAP_SCORES.values()]
    paper = "paper, CIFAR-100: correlation; cosine"
    return beside(*grid("score of one training", rows, templates), 1, paper, papers)


@table
def memorization_claims():
    def of_units(path, form=""):
        return one_by_one(f"<sizes/*/{path}|{form}>", "8", "64", "256")

    found = {
        "mean memorization, small; medium; large network": (
            "rises up to ResNet-20, then falls",
            of_units("all/memorization", ".3"),
        ),
        "p_in": ("saturates, about 1 beyond ResNet-20", of_units("all/p_in", ".3")),
        "p_out": ("goes on rising", of_units("all/p_out", ".3")),
        "share of rows whose memorization falls; rises; turns": (
            "falls for most, the rest turns or rises",
            one_by_one("<categories/*/share|.3>", "decreasing", "increasing", "cap"),
        ),
        "neither near 0 nor near 1": ("fewer in larger networks", of_units("in between")),
        "share of flipped labels where it rises, of all: lift": (
            "often wrong or ambiguous labels",
            "<categories/increasing/lift|.1>",
        ),
    }
    return claims({"ours": results("memorization_sizes")}, found)


@table
def memorization_distillation():
    found = results("memorization_distillation")
    rows = {shown: found[name] for shown, name in DISTILLED_ROWS.items()}
    templates = {
        "memorization without a teacher": "<memorization/labels|.3>",
        "with one": "<memorization/distilled|.3>",
        "change": "<memorization/change|±+.3>",
        "change of p_in": "<p_in/change|±+.3>",
        "change of p_out": "<p_out/change|±+.3>",
    }
    return grid("rows", rows, templates)


@table
def memorization_distillation_claims():
    change = "<*/change|±+.3>"
    found = {
        "memorization": ("lower", change.replace("*", "all/memorization")),
        "memorization, where it rises with the size": (
            "lowered most there",
            change.replace("*", "increasing/memorization"),
        ),
        "held-out accuracy, right labels": ("higher", change.replace("*", "right/p_out")),
    }
    return claims({"ours: change": results("memorization_distillation")}, found)


@table
def texts():
    """Return what was found of flipped labels, and what the large sparse matrix took."""
    templates = {
        "found": "<found|.2>",
        "precision": "<precision|.2>",
        "F1": "<f1|.2>",
        "average precision": "<ap|.2>",
        "CPU minutes": "<minutes|.2>",
        "lines": "<lines|.0>",
    }
    cells = {
        f"{name} flipped, {method}": found
        for name, methods in results("texts").items()
        if name != "large"
        for method, found in methods.items()
    }
    return grid("texts, method", cells, templates)


@table
def filter_accuracy():
    templates = for_each(TRAINED, "<accuracy/*|.3>")
    cells = {
        f"{noise}, {short}": cell
        for noise in LABEL_ERRORS_NOISE
        for short, cell in label_errors_of_regimes(noise).items()
    }
    return grid("noise, network", cells, templates)


def is_below(gain):
    """Return whether a mean gain is below 0 by more than two standard errors."""
    return gain["mean"] + 2 * gain["se"] < 0


@table
def filter_worst():
    def of_action(action):
        found = {name: cell["gain"][action] for name, cell in results("label_errors").items()}
        worst = min(found, key=lambda name: found[name]["mean"])
        has_error = [gain for gain in found.values() if gain["se"] is not None]
        return [
            action,
            figure(fmean(gain["mean"] for gain in found.values()), "+.3"),
            f"{figure(found[worst], '±+.3')} ({worst.replace('_', ' ')})",
            f"{sum(map(is_below, has_error))} of {len(has_error)}",
        ]

    header = ["trained on", "mean gain", "worst cell", "cells below all rows by two errors"]
    return header, [of_action(action) for action in TRAINED[1:-1]]


@table
def filter_actions():
    def gains(name, noise):
        cells = results("filter_tables").items()
        return [cell["gain"] for key, cell in cells if key.startswith(name) and noise(key)]

    def both(name, action):
        """Return the mean gain over kinds of noise, and that without noise."""
        is_none = [gains(name, lambda key, c=clean: ("none" in key) == c) for clean in (0, 1)]
        means = [fmean(gain[action]["mean"] for gain in found) for found in is_none]
        return "; ".join(figure(mean, "+.3") for mean in means)

    names = dict.fromkeys(key.rpartition(", ")[0] for key in results("filter_tables"))
    actions = ("dropped", "relabelled", "relabelled above 0.8", "weighed", "true labels")
    rows = [[name, *(both(name, action) for action in actions)] for name in names]
    return ["table, classifier", *actions], rows


REAL_TABLES = ("penguins", "diamonds", "hotel rates", "storms", "movies")
JUDGES = {"network": "network", "boosted trees": "trees", "random forest": "forest"}


def of_real_table(part, name):
    """Return the means over rates of the means over seeds of a part of bench_tables, by ways."""
    cells = [
        [c for key, c in results("tables").items() if key.startswith(f"{part}, {name}, {rate}, ")]
        for rate in ("5 %", "10 %")
    ]
    return {
        way: {m: fmean(fmean(c[way][m] for c in seeds) for seeds in cells) for m in found}
        for way, found in cells[0][0].items()
    }


@table
def real_tables():
    ways = {
        "``LabelErrorScorer()``": "network",
        "cleanlab, the same network": "cleanlab_network",
        "``LabelErrorScorer(trees)``": "trees",
        "cleanlab, the same trees": "cleanlab_trees",
        "``LabelErrorScorer(forest)``": "forest",
    }
    measures = ("found", "precision", "f1", "ap")
    rows = []
    for name in REAL_TABLES:
        cells = of_real_table("tables", name)
        for shown, way in ways.items():
            found = cells[way]
            price = [figure(found["seconds"], ".1"), figure(found.get("lines"), ".0")]
            rows.append([name, shown, *(figure(found[m], ".3") for m in measures), *price])
    header = [
        "table",
        "way",
        "found",
        "precision",
        "F1",
        "average precision",
        "CPU seconds",
        "lines",
    ]
    return header, rows


def judged(way, measure, less=None):
    """Return a measure averaged over real tables, less that of another way, and its error."""
    cells = [of_real_table("tables", name) for name in REAL_TABLES]
    found = [cell[way][measure] - (cell[less][measure] if less else 0) for cell in cells]
    return {"mean": fmean(found), "se": stdev(found) / len(found) ** 0.5}


@table
def table_judges():
    rows = []
    for name in REAL_TABLES:
        cells = of_real_table("tables", name)
        both = ([figure(cells[way][m], ".3") for m in ("f1", "ap")] for way in JUDGES.values())
        rows.append([name, *map("; ".join, both)])
    for shown, spec, less in (("mean", ".3", None), ("less the network", "+.3±", "network")):
        both = (
            [figure(judged(way, m, less), spec) for m in ("f1", "ap")] for way in JUDGES.values()
        )
        rows.append([shown, *map("; ".join, both)])
    rows[-1][1] = "—"
    return ["F1; average precision", *JUDGES], rows


@table
def table_encoders():
    ways = {
        "own encoding": "own",
        "own, indicators standardised": "own, standardised",
        "skrub's ``TableVectorizer``": "skrub",
    }
    rows = []
    for name in REAL_TABLES[:4]:
        cells = of_real_table("encoders", name)
        rows.append([name, *(figure(cells[way]["ap"], ".3") for way in ways.values())])
    return ["average precision", *ways], rows


STAGED = {
    "loss": "mean loss",
    "aum": "``aum``",
    "one_fit": "``LabelErrorScorer``, this training",
    "forgetting": "``forgetting``",
    "iteration_learned": "``iteration_learned``",
    "variability": "``variability``",
    "final_loss": "loss in the end",
    "held out": "``LabelErrorScorer``, five trainings",
}


@table
def staged():
    cells = results("staged")["cells"]
    learners = list(next(iter(cells.values())))

    def of(learner, key):
        """Return the means over rates, of diamonds and of hotel rates."""
        found = [
            [
                look_up(cell[learner], key)
                for cell_of, cell in cells.items()
                if cell_of.startswith(name)
            ]
            for name in ("diamonds", "hotel rates")
        ]
        if found[0][0] is None:
            return "—"
        return "; ".join(figure(fmean(c["mean"] for c in of_table), ".2") for of_table in found)

    rows = [
        [shown, *(of(learner, f"ap/{score}") for learner in learners)]
        for score, shown in STAGED.items()
    ]
    accuracy = [of(learner, "accuracy on the given labels") for learner in learners]
    return ["", *learners], [*rows, ["accuracy on the given labels", *accuracy]]


@table
def filter_rare():
    found = results("rare_subgroup")
    both = {short: found[regime] for short, regime in REGIMES.items()}
    lost, at = "rare rows lost", "rare rows dropped at recall"
    columns = {
        f"{lost}, {float(recall):.0%} of wrong labels found": f"<{at}/*/{recall}>"
        for recall in ("0.25", "0.50", "0.70")
    }
    columns["default cut: wrong labels found"] = "<default cut/*/recall>"
    columns[f"default cut: {lost}"] = "<default cut/*/rare rows dropped>"
    rows = [
        [shown, *(fill(of_regimes(c.replace("*", who)), both) for c in columns.values())]
        for shown, who in RARE_FILTERS.items()
    ]
    return ["filter", *columns], rows


# --------------------------------------------------------------------- evidence as a whole, scaling


def heads():
    """Return what the files say of themselves, by their name."""
    files = sorted((HERE / "results").glob("*.json"))
    return {file.stem: json.loads(file.read_text()) for file in files}


@table
def runs():
    """Return where and when every file in results/ was measured."""
    rows = [
        [
            f"``{name}``",
            head["date"],
            f"{head['machine']['cpu_count']} cores, {head['machine']['torch_threads']} used"
            if head["machine"]["device"] == "cpu"
            else head["machine"]["device"],
            head["versions"]["torch"].split("+")[0],
        ]
        for name, head in heads().items()
    ]
    return ["file", "date", "machine", "torch"], rows


@table
def papers():
    """Return what papers claim, what was measured here, and whether the two agree."""
    toy_runs = [seed for cell in results("vog_toy").values() for seed in (cell["logit, all"],)]
    negative = sum(run["vog_raw"]["n_negative"] for run in toy_runs)
    of_toy = sum(len(run["vog_raw"]["per_seed"]) for run in toy_runs)

    def over(found, path):
        values = [look_up(cell, f"{path}/mean") for cell in found]
        return f"{min(values):.2f} to {max(values):.2f}".replace("-", "−").replace("-", "−")

    networks = [results(file) for file in ERROR_RATE.values()]
    of_target = "held-out, predicted class/{}, all/vog_class/auroc".format
    shuffled = [results("vog_label_noise")[name] for name in NOISE.values()]
    depth = [results("prediction_depth_claims")[name] for name in DEPTH_NETWORKS]
    flipped = [results("quadrants")[f"{name}, flipped"] for name in ("Fashion-MNIST", "digits")]
    corner = "wrong labels/nearest/100/precision"
    consensus = "unseen/consistency/consensus-consistency/spearman"
    return ["claim", "paper", "ours", "reproduced"], [
        [
            "VoG falls with the distance from the boundary (toy)",
            "it does",
            f"correlation negative in {negative:.0f} of {of_toy} runs",
            "yes",
        ],
        [
            "misclassified rows have a high VoG, logit: AUROC",
            "error rises with VoG",
            over(networks, of_target("logit")),
            "depends on the network",
        ],
        [
            "the same, gradient of the probability or the loss",
            "—",
            f"{over(networks, of_target('probability'))}; {over(networks, of_target('loss'))}",
            "yes, but one minus the largest softmax is better",
        ],
        [
            "shuffled labels have a high VoG, logit: AUROC",
            "higher mean and spread",
            over(shuffled, "logit, all/vog_class/auroc"),
            "no: they look easy",
        ],
        [
            "deep rows are misclassified: AUROC of depth",
            "accuracy falls with depth",
            over(depth, "clean/depth/auroc"),
            "yes",
        ],
        [
            "depth finds wrong labels, once memorised: average precision",
            "—",
            over(depth, "flipped/depth, k = 30/ap"),
            "only then: stopped early " + over(depth, "stopped/depth, k = 30/ap"),
        ],
        [
            "0-hinge loss: small output margin, deep rows",
            "16; 0.0002",
            fill(
                "<losses/cross-entropy, SGD/output margin|#.2g>; "
                "<losses/0-hinge, GD/output margin|#.2g>",
                {"losses": results("prediction_depth_claims")["intervention"]},
            ),
            "margin yes, depth in part",
        ],
        [
            'nearest to "looks like a different class": share of wrong labels',
            "mislabelled rows are there",
            over(flipped, corner),
            "yes, in networks that memorise",
        ],
        [
            "depth and agreement among networks: correlation, unseen rows",
            "negative",
            over(flipped, consensus),
            "yes",
        ],
        [
            "mean memorization, small to large networks",
            "rises, then falls",
            fill(
                one_by_one("<sizes/*/all/memorization>", "8", "64", "256"),
                results("memorization_sizes"),
            ),
            "in part: it rises and stays",
        ],
        [
            "where memorization rises with the size: share of wrong labels; of all rows",
            "often wrong or ambiguous",
            fill(
                "<increasing/flipped among them>; <increasing/share>",
                results("memorization_sizes")["categories"],
            )
            + " (10 % are wrong)",
            "yes",
        ],
    ]


@table
def honest():
    """Return what scores of one training find, and what they do not."""
    kinds = {
        "random flips, 20 %": "symmetric",
        "where classes are alike, 10 %": "instance",
        "ambiguous rows, 10 %": "ambiguous",
    }
    cells = {shown: dynamics_cell("fashion_mnist", name) for shown, name in kinds.items()}
    names = {
        "chance": "<marked>",
        "`NeighborConfidenceScorer`": "<found/neighbor_confidence/ap>",
        '`TrainingDynamicsScorer`, "loss"': "<found/loss/ap>",
        'the same, "aum"': "<found/aum/ap>",
        'the same, "entropy"': "<found/entropy/ap>",
        "`PredictionDepthScorer`": "<found/prediction_depth/ap>",
        "`MarginScorer`": "<found/output_margin/ap>",
        "`VoGScorer`, of the logit": "<found/vog/ap>",
        "five-fold cross-validation": "<found/cross-validation/ap>",
    }
    rows = {shown: of_regimes(template) for shown, template in names.items()}
    return grid("score", rows, cells)


@table
def peers():
    """Return what others reach on the same input."""
    sets = label_errors_of_sets()
    both = "<{0}/ap|.3>; <{0}/f1>".format
    rows = [
        [
            f"wrong labels, {shown}: average precision; F1 of the cut",
            "cleanlab 2.9",
            fill(both("cleanlab"), cell),
            fill(both("ours, auto"), cell),
        ]
        for shown, cell in sets.items()
    ]
    symmetric = label_errors(noise="symmetric 20 %", regime=REGIMES["memorised"])
    rows += [
        [
            "accuracy after filtering, 20 % flipped, memorised",
            "what cleanlab flags, dropped",
            fill("<accuracy/cleanlab, dropped|.3>", symmetric),
            fill("<accuracy/ours, dropped|.3>", symmetric),
        ],
        [
            "average precision from one training, 20 % flipped, memorised",
            "aum",
            fill("<found/aum, one training/ap>", symmetric),
            fill("<found/ours, neighbors/ap>", symmetric),
        ],
        [
            "seconds to collect margins, 50,000 rows, over ours",
            "aum",
            fill("<aum_over_ours|.0>", results("dynamics_speed_cpu")["collector"]),
            "1",
        ],
    ]
    search = results("prediction_depth_speed_cpu")["search"][1]
    rows += [
        [
            f"seconds for 30 neighbours, {search['width']:,} values a row, over ours",
            shown,
            fill(f"<over_ours/{name}|.1>", search),
            "1",
        ]
        for shown, name in {"scikit-learn": "scikit-learn", "faiss, flat": "faiss"}.items()
    ]
    return ["what", "who", "theirs", "ours"], rows


@table
def scaling():
    """Return what the two smaller sizes predict of the largest, and of 100 million rows."""

    def line(sizes, values, n):
        slope = (values[1] - values[0]) / (sizes[1] - sizes[0])
        return values[1] + slope * (n - sizes[1])

    header = [
        "fit, one core",
        "seconds predicted for 300,000 rows",
        "measured",
        "100,000,000 rows: hours",
        "and GiB beside the rows",
    ]
    body = []
    for name, cell in results("load_cpu").items():
        sizes, seconds, added = (cell[k] for k in ("rows", "processor_seconds", "added_mib"))
        if len(sizes) < 3:
            continue
        many = 100_000_000
        body.append(
            [
                name.split(";")[0],
                f"{line(sizes, seconds, sizes[2]):.1f}",
                f"{seconds[2]:.1f}",
                f"{line(sizes[1:], seconds[1:], many) / 3600:.1f}",
                f"{line(sizes[1:], added[1:], many) / 1024:.0f}",
            ]
        )
    return header, body


def read_rates():
    """Return rows per second of one core by score and rows, each by where the rows lie."""
    rates = results("reading_cpu")["rates"]
    return {
        name: {kind: found["rows_per_second"] for kind, found in cells.items()}
        for name, cells in rates.items()
    }


def two_digits(value):
    """Return a number rounded to two digits, without an exponent."""
    return f"{float(f'{value:.2g}'):,.10g}"


@table
def reading_plan():
    """Return what reading a row takes, and from that 100 million rows."""
    many, kinds = 100_000_000, ("20 features", "784 features", "28 x 28, conv")
    header = ["score", *(f"rows a second: {kind}" for kind in kinds)]
    header += ["100,000,000 rows of 784 features: hours of one core", "of 64 cores"]
    body = []
    for name, cells in read_rates().items():
        rates = {kind: cells[kind]["memory map"] for kind in kinds if kind in cells}
        hours = many / rates["784 features"] / 3600
        shown = [two_digits(rates[kind]) if kind in rates else "—" for kind in kinds]
        body.append([name, *shown, two_digits(hours), two_digits(hours / 64)])
    return header, body


@table
def reading_sources():
    """Return what a row costs elsewhere, over what it costs in an array."""
    kinds = ("20 features", "784 features", "28 x 28, conv")
    cells = [read_rates()[name] for name in read_rates()]
    body = []
    for source in ("memory map", "Dataset", "parquet parts", "dask"):
        row = [source]
        for kind in kinds:
            found = [cell[kind] for cell in cells if source in cell.get(kind, {})]
            ratios = [rates["array"] / rates[source] for rates in found]
            row.append(f"{min(ratios):.1f} to {max(ratios):.1f}" if ratios else "—")
        body.append(row)
    return ["time over that of an array", *kinds], body


@table
def reading_memory():
    """Return what reading adds to the memory, for files of two sizes."""
    body = []
    for name, cells in results("reading_cpu")["memory"].items():
        for source, cell in cells.items():
            sizes = zip(*(cell[key] for key in ("rows", "file_mib", "added_mib")), strict=True)
            shown = [f"{n:,}; {file:.0f}; {added:.0f}" for n, file, added in sizes]
            body.append([f"{name}; {source}", *shown])
    return [
        "score; source; rows",
        "rows; MiB of the file; MiB added",
        "the same of more rows",
    ], body


@table
def precision():
    """Return ranks and time of half precision, in terms of single precision."""
    networks = results("precision_cpu")
    header = ["score"]
    for dtype in ("bfloat16", "float16"):
        header += [f"{dtype}, {kind}" for kind in networks]
    cell = "<{0}/spearman|.3>; <{0}/hardest shared>; <{0}/over single>"
    body = [
        [
            name,
            *(
                fill(cell.format(dtype), network["precision"].get(name, {}))
                for dtype in ("bfloat16", "float16")
                for network in networks.values()
            ),
        ]
        for name in next(iter(networks.values()))["precision"]
    ]
    return header, body


@table
def compiled():
    """Return the time of the two passes when they are compiled, and what compiling takes."""
    body = []
    for kind, network in results("precision_cpu").items():
        for name, found in network["compiled"].items():
            passes = found["passes of rows that pay for it"]
            pays = found["compiled over eager"] < 0.95
            body.append(
                [
                    f"{kind}, {name}",
                    fill("<compiled over eager>; <eager over eager>", found),
                    fill("<compile seconds|.0>", found),
                    f"{two_digits(passes)}" if pays else "never",
                ]
            )
    header = ["pass", "time over eager; eager again", "seconds to compile"]
    return [*header, "passes of rows that pay for them"], body


@table
def engines():
    found = results("engines_cpu")
    header = ["two workers", *(f"{engine}: seconds" for engine in found), "same numbers"]
    body = []
    for work in found["dask"]:
        cells = [engine.get(work, {}) for engine in found.values()]
        equal = {cell["equal"] for cell in cells if "equal" in cell}
        seconds = [fill("<seconds|.0>", cell) for cell in cells]
        body.append([work, *seconds, {True: "yes", False: "no"}[all(equal)] if equal else "—"])
    again = [engine.get(work, {}).get("trained again", "—") for engine in found.values()]
    return header, [*body, ["members trained again then", *map(str, again), "—"]]


@table
def many_rows():
    found = results("many_rows_cpu")
    templates = {
        "average precision": "<ap|.3>",
        "hardest 20 %: precision": "<share known/precision>",
        "cut at 0.5: precision; recall": "<cut at 0.5/precision>; <cut at 0.5/recall>",
        "seconds: training; reading": "<training|.0>; <reading|.1>",
    }
    header, rows = grid("one training", found["sizes"], templates)
    last = fill("<training, predicted|.0>; <reading, predicted|.1>", found)
    return header, [*rows, [f"{rows[-1][0]}, predicted from the others", *("—",) * 3, last]]


# What is measured: as it is shown, and what to set when it takes too long.
MANY_IMAGES = {
    "the record": ("the training, five epochs", "fewer epochs; ``net.set_params(device=...)``"),
    "TrainingDynamicsScorer": ("``TrainingDynamicsScorer``", "—"),
    "LabelErrorScorer, one_fit": (
        '``LabelErrorScorer(method="one_fit")``',
        "``n_neighbors=None``, for a ranking alone",
    ),
    "VoGScorer": ('``VoGScorer(target="loss")``, five checkpoints', "``checkpoints=3``"),
    "NormGradScorer": ("``NormGradScorer``", "``layers``, fewer of them"),
    "PredictionDepthScorer, pool=4": ("``PredictionDepthScorer(pool=4)``", "``max_bank=10_000``"),
    "PredictionDepthScorer, max_bank=10,000": (
        "``PredictionDepthScorer(max_bank=10_000)``",
        "``pool=4`` beside it",
    ),
    "NeighborConfidenceScorer, max_bank=10,000": (
        "``NeighborConfidenceScorer(max_bank=10_000)``",
        "``pool=4`` beside it",
    ),
}


@table
def many_images():
    found = results("many_images_cpu")
    header = ["60,000 images", "minutes", "peak GB", "average precision", "F1 of the cut"]
    body = []
    for name, (shown, advice) in MANY_IMAGES.items():
        if name in found:
            cell = found[name]
            costs = [f"{cell['seconds'] / 60:.1f}", f"{cell['peak_mib'] * 2**20 / 1e9:.1f}"]
            quality = [f"{cell[key]:.3f}" if key in cell else "—" for key in ("ap", "f1")]
            body.append([shown, *costs, *quality, advice])
    return [*header, "when that is too long"], body


@table
def million_images():
    """Return what the scores of 1.28 million images of 1,000 classes hold and train, by formula."""
    n, classes, epochs = 1_281_167, 1_000, 90

    def gib(n_bytes):
        return f"{n_bytes / 2**30:.1f}" if n_bytes < 2**33 else f"{n_bytes / 2**30:.0f}"

    rows = [
        ["training dynamics", "1", "24 bytes per row and epoch", gib(24 * epochs * n)],
        [
            '``LabelErrorScorer(method="one_fit")``',
            "1",
            "4 bytes per row, epoch and class",
            gib(4 * epochs * n * classes),
        ],
        [
            "``LabelErrorScorer(n_neighbors=None)``",
            "5 × 0.8",
            "12 bytes per row and class",
            gib(12 * n * classes),
        ],
        [
            "``PredictionDepthScorer(max_bank=10_000)``",
            "1",
            "24 bytes per row and probe (11), 12 per neighbour of 65,536 rows",
            gib(24 * n * 11 + 12 * 65_536 * 30 * 11),
        ],
    ]
    return ["score", "trainings", "what it holds", "GiB"], rows


# --------------------------------------------------------------------------------- wrong targets


def mean_of(cells):
    """Return the mean of numbers at the same place of several cells; None if one has none."""
    first = cells[0]
    if isinstance(first, dict):
        return {key: mean_of([cell.get(key) for cell in cells]) for key in first}
    if isinstance(first, list):
        return [mean_of(list(of_place)) for of_place in zip(*cells, strict=True)]
    return None if None in cells else fmean(cells)


def target_cells(data):
    """Return the cells of a set that were run, by kind of noise, each the mean over its seeds."""
    found = results(TARGET_SETS[data])
    cells = {noise: found.get(f"{data}, {noise}") for noise in TARGET_NOISE}
    cells = {noise: mean_of(list(of.values())) for noise, of in cells.items() if of}
    return {noise: of for noise, of in cells.items() if TARGET_OURS in of}


def ranked_targets(data):
    cells = {noise: of for noise, of in target_cells(data).items() if noise != "none"}
    body = []
    for shown, arm in TARGET_ARMS.items():
        aps = [look_up(of, f"{arm}/ap") for of in cells.values()]
        run = [of[arm] for of in cells.values() if arm in of]
        if run:
            mean = fmean(aps) if None not in aps else None
            price = [fmean(found[name] for found in run) for name in ("fits", "seconds")]
            figures = [figure(mean, ".3"), figure(price[0], ".0"), figure(price[1], ".1")]
            body.append([shown, *(figure(ap, "") for ap in aps), *figures])
    return ["average precision", *cells, "mean", "fits", "CPU seconds"], body


@table
def wrong_targets_diamonds():
    return ranked_targets("diamonds")


@table
def wrong_targets_hotel_rates():
    return ranked_targets("hotel rates")


@table
def wrong_targets_check_times():
    return ranked_targets("check times")


@table
def wrong_targets_cut():
    header = ["set, errors", "really wrong", "estimated", "ours: precision; recall", "F1"]
    body = []
    three = "<*/cut/precision>; <*/cut/recall>"
    for data in TARGET_SETS:
        for noise, of in target_cells(data).items():
            is_gaussian = noise.startswith("gaussian")
            truth = "all" if is_gaussian else f"{look_up(of, 'wrong'):.2f}"
            low, high = look_up(of, f"{TARGET_OURS}/interval")
            estimate = f"{look_up(of, f'{TARGET_OURS}/rate'):.2f} ({low:.2f} to {high:.2f})"
            line = [f"{data}, {noise}", truth, estimate]
            for arm in (TARGET_OURS, TARGET_PEER):
                line += [fill(three.replace("*", arm), of), fill(f"<{arm}/cut/f1>", of)]
            body.append(line)
    return [*header, "cleanlab: precision; recall", "F1"], body


@table
def coming_from_cleanlab_regression():
    both = {"cleanlab": TARGET_PEER, "ours": TARGET_OURS}
    columns = {f"{who}: flagged": f"<{arm}/cut/flagged>" for who, arm in both.items()}
    columns |= {f"{who}: F1": f"<{arm}/cut/f1>" for who, arm in both.items()}
    columns |= {f"{who}: fits": f"<{arm}/fits|.0>" for who, arm in both.items()}
    cells = target_cells("diamonds")
    body = [[noise, *(fill(path, of) for path in columns.values())] for noise, of in cells.items()]
    return ["errors", *columns], body


@table
def wrong_targets_filtered():
    arms = {
        "nothing dropped": "<nothing dropped/cut/mrae|+.2>",
        "boosting for absolute errors": "<MAE training/mrae|+.2>",
        "Huber loss": "<Huber training/mrae|+.2>",
        "small loss, true rate given": "<small loss/rate given/mrae|+.2>",
        "``ConFragSelector``": "<ConFrag/cut/mrae|+.2>",
        "cleanlab.regression": f"<{TARGET_PEER}/cut/mrae|+.2>",
        "``TargetErrorScorer``": f"<{TARGET_OURS}/cut/mrae|+.2>",
        "the wrong ones dropped": "<oracle/cut/mrae|+.2>",
    }
    header, body = ["set, errors", *arms], []
    for data in TARGET_SETS:
        for noise, of in target_cells(data).items():
            body.append([f"{data}, {noise}", *(fill(path, of) for path in arms.values())])
    return header, body


@table
def wrong_targets_of_people():
    found = results("human_targets")
    header = ["average precision, or rank"]
    header += [f"{name} ({of['wrong']} of {of['rows']})" for name, of in found.items()]
    body = []
    for shown, arm in HUMAN_ARMS.items():
        line = [shown]
        for of in found.values():
            flagged = look_up(of, f"{arm}/flagged")
            hits = look_up(of, f"{arm}/flagged and wrong")
            cut = f"; flags {flagged}, {hits} of them wrong" if flagged is not None else ""
            rank = f"rank {look_up(of, f'{arm}/last rank')}"
            line.append((rank if of["wrong"] == 1 else fill(f"<{arm}/ap|.3>", of)) + cut)
        body.append(line)
    return header, body


# ------------------------------------------------------------------------------------- ConFrag


def confrag_cells():
    """Return what each arm has on average over the seeds, by noise, of all rows and of fewer."""
    return {
        f"{12_276:,} rows": gathered_seeds(results("confrag")),
        f"{4_000:,} rows": gathered_seeds(results("confrag_4000")),
    }


def gathered_seeds(node):
    """Return a (nested) dict with mean, standard error and number where it has one per seed."""
    if not any(key.startswith("seed ") for key in node):
        return {key: gathered_seeds(inner) for key, inner in node.items()}
    return _over_seeds([of for key, of in node.items() if key.startswith("seed ")])


def _over_seeds(runs):
    if isinstance(runs[0], dict):
        keys = [key for key in runs[0] if all(key in run for run in runs)]
        return {key: _over_seeds([run[key] for run in runs]) for key in keys}
    if any(run is None for run in runs):
        return None
    error = stdev(runs) / len(runs) ** 0.5 if len(runs) > 1 else None
    return {"mean": fmean(runs), "se": error, "per_seed": runs}


CONFRAG_MAIN = "symmetric 40 %"
CONFRAG_CLAIMS = {
    "ERR: contrastive pairs lowest, adjacent highest": (
        "contrastive < mixed < adjacent",
        "<ConFrag/err|±>; <mixed pairs/err|±>; <adjacent pairs/err|±>",
    ),
    "MRAE of the three": (
        "contrastive lowest",
        "<ConFrag/mrae|±>; <mixed pairs/mrae|±>; <adjacent pairs/mrae|±>",
    ),
    "ERR: jitter; none": (
        "about half of that without",
        "<ConFrag/err|.3±>; <no jitter/err|.3±>",
    ),
    "ERR: aligned jitter; that of the released code; the same, rows in random order": (
        "not compared",
        "<ConFrag/err|±>; <misaligned jitter/err|±>; <misaligned, random order/err|±>",
    ),
    "MRAE: union of the draws; prediction view; representation view; intersection": (
        "union lowest",
        "<ConFrag/mrae|±>; <prediction view/mrae|±>; <representation view/mrae|±>; "
        "<drawn in both views/mrae|±>",
    ),
    "ERR of the four": (
        "—",
        "<ConFrag/err|±>; <prediction view/err|±>; <representation view/err|±>; "
        "<drawn in both views/err|±>",
    ),
    "MRAE: both agreements; own alone; that beside alone": (
        "both < own < beside",
        "<ConFrag/mrae|±>; <own agreement/mrae|±>; <agreement beside/mrae|±>",
    ),
    "MRAE: no selection; ConFrag; Co-ConFrag": (
        "Co-ConFrag or ConFrag lowest",
        "<none/mrae|±>; <ConFrag/mrae|±>; <Co-ConFrag/mrae|±>",
    ),
}
CONFRAG_ARMS = {
    "all rows": "none",
    "ConFrag": "ConFrag",
    "Co-ConFrag": "Co-ConFrag",
    "prediction view": "prediction view",
    "representation view": "representation view",
    "drawn in both views": "drawn in both views",
    "own agreement alone": "own agreement",
    "agreement beside alone": "agreement beside",
    "no jitter": "no jitter",
    "misaligned jitter": "misaligned jitter",
    "misaligned, random order": "misaligned, random order",
    "pairs (1, 4), (2, 3)": "mixed pairs",
    "pairs (1, 2), (3, 4)": "adjacent pairs",
    "right rows alone": "oracle",
}
CONFRAG_COLUMNS = {
    "ERR": "<*/err>",
    "selection rate": "<*/rate>",
    "AUROC": "<*/auroc>",
    "AP": "<*/ap>",
    "Spearman": "<*/spearman>",
    "MRAE": "<*/mrae|+.2>",
}


@table
def confrag_claims():
    cells = {}
    for rows, found in confrag_cells().items():
        n_seeds = len(found[CONFRAG_MAIN]["none"]["mrae"]["per_seed"])
        cells[f"{rows}, {n_seeds} seed{'s' if n_seeds > 1 else ''}"] = found[CONFRAG_MAIN]
    return claims(cells, CONFRAG_CLAIMS)


@table
def confrag_arms():
    found = next(iter(confrag_cells().values()))[CONFRAG_MAIN]
    header = ["rows that are trained on", *CONFRAG_COLUMNS]
    body = []
    for shown, arm in CONFRAG_ARMS.items():
        if arm in found:
            templates = (path.replace("*", arm) for path in CONFRAG_COLUMNS.values())
            body.append([shown, *(fill(template, found) for template in templates)])
    return header, body


@table
def confrag_noise():
    columns = {
        "ERR": "<ConFrag/err>",
        "selection rate": "<ConFrag/rate>",
        "AP": "<ConFrag/ap>",
        "MRAE: all rows": "<none/mrae|+.2>",
        "ConFrag": "<ConFrag/mrae|+.2>",
        "Co-ConFrag": "<Co-ConFrag/mrae|+.2>",
        "right rows alone": "<oracle/mrae|+.2>",
    }
    found = {k: of for k, of in confrag_cells()[f"{4_000:,} rows"].items() if k != "depth"}
    return grid("errors", dict(sorted(found.items())), columns)


@table
def confrag_depth():
    found = confrag_cells()[f"{4_000:,} rows"]["depth"]
    pairs = {"1, 3": "contrastive", "2, 4": "contrastive", "1, 4": "mixed", "2, 3": "mixed"}
    pairs |= {"1, 2": "adjacent", "3, 4": "adjacent"}
    header = ["pair", "right targets", "at the input", "40 % wrong", "at the input"]
    templates = [
        f"<{noise}/*/{what}|{spec}>"
        for noise in ("none", CONFRAG_MAIN)
        for what, spec in (("mean", ".2±"), ("at the input", ".2"))
    ]
    body = [
        [f"({pair}), {kind}", *(fill(path.replace("*", pair), found) for path in templates)]
        for pair, kind in pairs.items()
    ]
    return header, body


if __name__ == "__main__":
    for page in PAGES:
        text = with_tables(page)
        if text != page.read_text():
            page.write_text(text)
            print(f"written: {page.relative_to(HERE.parent)}")
