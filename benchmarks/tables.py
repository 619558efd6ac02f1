# SPDX-License-Identifier: BSD-3-Clause
"""The tables of the user guide, made from the files in results/.

`python benchmarks/tables.py` prints them; a test holds the page to them, so that no figure in the
documentation is older than its measurement.
"""

import json
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


TABLES = {"TOY": toy, "ERROR_RATE": error_rate, "NOISE": label_noise, "SPEED": speed}

if __name__ == "__main__":
    for table in TABLES.values():
        print(table.__doc__, table(), sep="\n\n", end="\n\n")
