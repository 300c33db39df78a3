"""Over-parametrised nets overfit; a norm penalty, noise, early stopping and shared weights help.

300 images of 14 × 14 pixels, a fifth of whose labels is drawn anew, and a net of 53,000 weights. Each remedy against none, by
the cross-entropy and the error rate on test images, whose labels are right.
"""

import numpy as np

from claim import Claim
from figure import STYLES, panels
from images import samples
from tool import Net

TITLE = "Against overfitting"
SAMPLES, WRONG, SIDE, SHIFT = 300, 0.2, 14, 3

# What differs from the plain net: constants of the .net file, and settings of `train`.
REMEDIES = {
    "none": ({}, {}),
    "norm penalty": ({"P": 0.03}, {}),
    "noise": ({"N": 1.0}, {}),  # as large as the pixels' own deviation
    "early stopping": ({}, {"early_stop": "patience(val.ce, 5)"}),
}


def pairs(data):
    return {"x": data[0], "y": data[1]}


def one(sets, remedy, seed):
    """Trains; returns errors on both sets, and the curves."""
    train, held_out, test = map(pairs, sets)
    constants, settings = REMEDIES[remedy]
    net = Net("regularise", **constants)
    # The held-out images show when to stop. For the curves, all nets see them.
    weights, log = net.train(train, seed, validation=held_out, settings=settings, log_every=1)
    values = {"train": net.evaluate(train, weights), "test": net.evaluate(test, weights)}
    out = {f"{part} {key}": values[part][key] for part in values for key in ("ce", "err")}
    return out | {"held out": [line["validation"]["ce"] for line in log]}


def structure(convolution, shift, tests, seed):
    """Errors of a net with shared weights, or of the dense one, after equally many epochs, enough of them for both to
    learn the training images by heart. All labels are right."""
    train, test = map(pairs, samples(1000 * seed, [SAMPLES], tests, SIDE, 0, shift))
    net = Net("regularise", convolution=str(convolution).lower())
    weights, _ = net.train(train, seed, settings={"epochs": 30})
    return {"train err": net.evaluate(train, weights)["err"], "test err": net.evaluate(test, weights)["err"]}


def structures(seed, small):
    """Means over draws; of images as they are, and of images each of which is somewhere else."""
    rows = []
    for shift in [SHIFT] if small else [0, SHIFT]:
        row = {"shift": shift}
        for kind in ("dense", "convolution"):
            tests, draws = (1000, 1) if small else (2000, 3)
            runs = [structure(kind == "convolution", shift, tests, seed + i) for i in range(draws)]
            row[kind] = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
        rows.append(row)
    return rows


def measure(seed, small):
    draws = 1 if small else 3
    rows = {}
    for remedy in REMEDIES:
        runs = []
        for i in range(draws):
            sets = samples(1000 * seed + i, [SAMPLES, SAMPLES], 1000 if small else 2000, SIDE, WRONG)
            runs.append(one(sets, remedy, seed + i))
        rows[remedy] = {key: float(np.mean([run[key] for run in runs])) for key in runs[0] if key != "held out"}
        rows[remedy]["curve"] = [round(value, 5) for value in runs[0]["held out"]]
    return {"remedies": rows, "structure": structures(seed, small)}


def claims(n):
    rows = n["remedies"]
    none = rows["none"]
    out = [
        Claim(
            "without a remedy the net learns even the wrong labels by heart",
            f"training error {none['train err']:.3f}, test error {none['test err']:.3f}",
            none["train err"] < 0.02 and none["test err"] > 0.2,
        )
    ]
    for name, row in rows.items():
        if name == "none":
            continue
        out.append(
            Claim(
                f"{name}: the test cross-entropy is less than 0.85 of the plain net's",
                f"{row['test ce']:.3f} against {none['test ce']:.3f}",
                row["test ce"] < 0.85 * none["test ce"],
            )
        )
        out.append(Claim(f"{name}: test error", f"{row['test err']:.3f} against {none['test err']:.3f}", None))
    for row in n["structure"]:
        dense, convolution = row["dense"]["test err"], row["convolution"]["test err"]
        measured = f"{convolution:.3f} against {dense:.3f}"
        if row["shift"]:
            text = f"images moved by up to {row['shift']} pixels: "
            text += "convolutions of as many weights make less than 0.95 of the errors"
            out.append(Claim(text, measured, convolution < 0.95 * dense))
        else:
            out.append(Claim("images as they are: convolutions of as many weights, test error", measured, None))
    return out


def draw(n):
    rows = n["remedies"]
    figure, (curves, bars, structures_at) = panels(3, width=3.9, height=3.2)
    for style, (name, row) in zip(STYLES, rows.items()):
        epochs = range(1, len(row["curve"]) + 1)
        at_end = {"markevery": [-1], "markersize": 7}  # to be seen where early stopping has gone along with none
        curves.plot(epochs, row["curve"], **style, **at_end, label=name)
    curves.set(title="one draw", xlabel="epochs", ylabel="cross-entropy, held-out images (nats)")
    bars.set_title("trained nets")
    curves.legend()
    two_bars(bars, {name: (row["train err"], row["test err"]) for name, row in rows.items()}, ("training", "test"))
    bars.set(xlabel="remedy", ylabel="share of wrong answers")
    by_shift = {
        f"moved by ≤ {row['shift']} pixels" if row["shift"] else "as they are": tuple(
            row[kind]["test err"] for kind in ("dense", "convolution")
        )
        for row in n["structure"]
    }
    structures_at.set_title("shared weights against dense ones")
    two_bars(structures_at, by_shift, ("dense", "convolutions"))
    structures_at.set(xlabel="images, all labels right", ylabel="share of wrong answers, test")
    return figure


def two_bars(axes, pairs_by_name, labels):
    places = np.arange(len(pairs_by_name))
    for offset, shade, label, heights in zip((-0.2, 0.2), ("#cccccc", "#444444"), labels, zip(*pairs_by_name.values())):
        axes.bar(places + offset, heights, 0.4, color=shade, label=label)
    axes.set_xticks(places, pairs_by_name, rotation=15)
    axes.set_ylim(0, 1.3 * axes.get_ylim()[1])  # room for the legend
    axes.legend()
