"""Over-parametrised nets overfit; a norm penalty, noise and early stopping help.

300 images of 14 × 14 pixels, a fifth of whose labels is wrong, and a net of 53,000 weights. Each remedy against none, by
the cross-entropy and the error rate on test images, whose labels are right.
"""

import numpy as np

from claim import Claim
from figure import STYLES, panels
from images import samples
from tool import Net

TITLE = "Against overfitting"
SAMPLES, WRONG, SIDE = 300, 0.2, 14

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
    return {"remedies": rows}


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
    return out


def draw(n):
    rows = n["remedies"]
    figure, (curves, bars) = panels(2, width=4.4, height=3.2)
    for style, (name, row) in zip(STYLES, rows.items()):
        epochs = range(1, len(row["curve"]) + 1)
        curves.plot(epochs, row["curve"], **style | {"marker": ""}, label=name)
    curves.set(xlabel="epochs", ylabel="cross-entropy, held-out images (nats)")
    curves.legend()
    places = np.arange(len(rows))
    for offset, part, shade in ((-0.2, "train", "#cccccc"), (0.2, "test", "#444444")):
        label = {"train": "training", "test": "test"}[part]
        bars.bar(places + offset, [row[f"{part} err"] for row in rows.values()], 0.4, color=shade, label=label)
    bars.set_xticks(places, rows, rotation=15)
    bars.set(xlabel="remedy", ylabel="share of wrong answers")
    bars.legend()
    return figure
