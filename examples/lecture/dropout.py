"""Drop with probability p in training, multiply by 1 − p in testing.

Many masks on one input: the mean of what the training net computes against what the testing net computes. And the test
error of nets that were trained with and without, by p.
"""

import numpy as np

from claim import Claim
from figure import STYLES, panels
from images import samples
from tool import Net

TITLE = "Dropout"
SAMPLES, WRONG, SIDE = 300, 0.2, 14  # as in regularise
JUDGED = 0.7  # the p of which claims about trained nets are made
AFTER = {"a linear layer": "identity", "a relu layer": "relu"}


def many_masks(seed, p, after, at_test, masks):
    """Of one input: y in training under each mask, and y in testing. Both scalings are made the same function of x in
    testing by the weights after the dropped layer, which the lecture's scaling has 1/(1 − p) times as large."""
    net = Net("dropout_mean", level=1, S=masks, p=p, at_test=str(at_test).lower(), after=after)
    weights = net.init(seed)
    if at_test:
        weights["next.W"] = weights["next.W"] / (1 - p)
    x = np.tile(np.random.default_rng(seed).normal(size=20), (masks, 1))
    training = net.run({"x": x}, weights, entry="grad", seed=seed)["seen"]
    return training, float(net.run({"x": x}, weights)["tested"][0])


def expectation(seed, p, after, masks):
    training, tested = many_masks(seed, p, after, True, masks)
    other_training, other_tested = many_masks(seed, p, after, False, masks)
    error = float(training.std(ddof=1) / np.sqrt(masks))
    apart = np.append(abs(training - other_training), abs(tested - other_tested)).max()
    return {
        "p": p,
        "mean": float(training.mean()),
        "standard error": error,
        "tested": tested,
        "sigmas": abs(float(training.mean()) - tested) / error,
        "scalings differ": float(apart / abs(training).max()),
    }


def one(sets, p, seed):
    (x, y), (u, v) = sets
    net = Net("dropout", p=p)
    weights, _ = net.train({"x": x, "y": y}, seed)
    test = {"x": u, "y": v}
    return {
        "train": net.evaluate({"x": x, "y": y}, weights),
        "test": net.evaluate(test, weights),
        "unscaled": Net("dropout", level=1, p=0).evaluate(test, weights),  # without the factor 1 − p
    }


def measure(seed, small):
    masks = 4096 if small else 65536
    ps = [0.5] if small else [0.2, 0.5, 0.8]
    out = {"masks": masks, "after": {}, "trained": []}
    for after, name in AFTER.items():
        out["after"][after] = [expectation(seed, p, name, masks) for p in ps]
    draws = 1 if small else 3
    for p in [0, JUDGED] if small else [0, 0.1, 0.3, 0.5, 0.7, 0.9]:
        runs = []
        for i in range(draws):
            sets = samples(1000 * seed + i, [SAMPLES], 1000 if small else 2000, SIDE, WRONG)
            runs.append(one(sets, p, seed + i))
        row = {"p": p}
        for part in runs[0]:
            row |= {f"{part} {key}": float(np.mean([run[part][key] for run in runs])) for key in ("ce", "err")}
        out["trained"].append(row)
    return out


def claims(n):
    linear, relu = n["after"].values()
    none, *dropped = n["trained"]
    judged = next(row for row in dropped if row["p"] == JUDGED)
    worst = max(row["sigmas"] for row in linear)
    off = min(row["sigmas"] for row in relu)
    scalings = max(row["scalings differ"] for row in linear + relu)
    best = min(dropped, key=lambda row: row["test err"])
    return [
        Claim(
            "a linear layer after it: the mean over masks is what the scaled net computes",
            f"at most {worst:.1f} standard errors off, {n['masks']} masks",
            worst < 4,
        ),
        Claim(
            "a relu layer after it: not so; the scaled net is not the mean",
            "; ".join(f"p = {r['p']}: {r['mean']:.3f} against {r['tested']:.3f}" for r in relu)
            + f"; at least {off:.0f} standard errors",
            off > 5,
        ),
        Claim(
            "both scalings are one net, but for the next layer's weights, mask by mask",
            f"they differ by {scalings:.1e}",
            scalings < 1e-12,
        ),
        Claim(
            f"p = {JUDGED}: the test cross-entropy is less than 0.85 of the plain net's",
            f"{judged['test ce']:.3f} against {none['test ce']:.3f}",
            judged["test ce"] < 0.85 * none["test ce"],
        ),
        Claim(
            f"p = {JUDGED}: without the factor 1 − p in testing it is larger",
            f"{judged['unscaled ce']:.3f} against {judged['test ce']:.3f}",
            judged["unscaled ce"] > judged["test ce"],
        ),
        Claim(
            "least test error",
            f"{best['test err']:.3f} at p = {best['p']}, {none['test err']:.3f} without dropout",
            None,
        ),
    ]


def draw(n):
    figure, (means, errors, entropies) = panels(3, width=3.6, height=3)
    for style, (after, rows) in zip(STYLES, n["after"].items()):
        p = [row["p"] for row in rows]
        apart = [abs(row["mean"] - row["tested"]) for row in rows]
        means.semilogy(p, apart, **style, label=f"{after} next")
        means.semilogy(p, [r["standard error"] for r in rows], **style | {"linewidth": 0.5}, label=f"{after} next: standard error")
    means.set(title=f"mean over {n['masks']} masks", xlabel="p, share dropped", ylabel="|mean − scaled net|")
    means.set_ylim(top=20)  # room for the legend
    means.legend()
    rows = n["trained"]
    p = [row["p"] for row in rows]
    for style, part, name in zip(STYLES, ("test", "train"), ("test images", "training images")):
        errors.plot(p, [row[f"{part} err"] for row in rows], **style, label=name)
    errors.set(title="trained nets", xlabel="p, share dropped", ylabel="share of wrong answers")
    errors.legend()
    for style, part, name in zip(STYLES, ("test", "unscaled"), ("scaled by 1 − p", "not scaled")):
        entropies.plot(p, [row[f"{part} ce"] for row in rows], **style, label=name)
    entropies.set(title="trained nets, test images", xlabel="p, share dropped", ylabel="cross-entropy (nats)")
    entropies.legend()
    return figure
