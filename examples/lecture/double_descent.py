"""Test error falls again past the interpolation threshold.

150 points in 10 dimensions, t = tanh(2 u·x) + noise of deviation ½, |u| ≈ 1. One net, fitted in two ways: its hidden layer as
drawn and the head of least squares and least norm, in closed form (random features); or all of it trained by mlpc. Test
errors are taken on 2000 points without noise.
"""

import numpy as np

from claim import Claim
from figure import STYLES, panels
from tool import Net

TITLE = "Double descent"
POINTS, DIMENSIONS, NOISE, TESTS = 150, 10, 0.5, 2000
EPOCHS = 2000  # of the curves over epochs; the nets of each width have the .net file's
FITTED = 0.01  # a training error below this is the noise learnt by heart; the noise's variance is 0.25


def data(seed):
    """Training data and test data, as inputs of the net."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=DIMENSIONS) / np.sqrt(DIMENSIONS)
    x, u = rng.normal(size=(POINTS, DIMENSIONS)), rng.normal(size=(TESTS, DIMENSIONS))
    noisy = np.tanh(2 * x @ direction) + NOISE * rng.normal(size=POINTS)
    return {"x": x, "t": noisy[:, None]}, {"x": u, "t": np.tanh(2 * u @ direction)[:, None]}


def random_features(net, train, test, seed):
    """The head in closed form: least squares, and of all that fit equally well the least norm. Its bias is 0."""
    weights = net.init(seed)
    features = net.run(train, weights)["features"]
    weights["head.W"] = np.linalg.lstsq(features, train["t"], rcond=None)[0]
    return [net.evaluate(part, weights)["e"] for part in (train, test)]


def trained(net, train, test, seed):
    weights, _ = net.train(train, seed)
    return [net.evaluate(part, weights)["e"] for part in (train, test)]


def by_width(fit, widths, seeds):
    """Medians over draws: near the threshold a mean is that of the worst."""
    rows = []
    for H in widths:
        runs = [fit(Net("double_descent", level=1, H=H), *data(seed), seed) for seed in seeds]
        low, middle, high = np.quantile([test for _, test in runs], [0.25, 0.5, 0.75])
        rows.append({"H": H, "train": float(np.median([train for train, _ in runs])), "test": float(middle)})
        rows[-1]["quartiles"] = [float(low), float(high)]
    return rows


def by_epoch(H, seed):
    """Errors along a training at a constant rate, the test data being what it validates on."""
    train, test = data(seed)
    test = {name: rows[:500] for name, rows in test.items()}
    _, log = Net("double_descent", H=H).train(
        train, seed, validation=test, settings={"optimizer": "adam(lr = 0.003)", "epochs": EPOCHS}, log_every=1
    )
    chosen = sorted({round(float(epoch)) for epoch in np.geomspace(1, EPOCHS, 60)})
    kept = [log[epoch - 1] for epoch in chosen]
    curve = {"epochs": chosen, "train": [line["training"]["e"] for line in kept]}
    return curve | {"test": [line["validation"]["e"] for line in kept]}


def measure(seed, small):
    seeds = [1000 * seed + i for i in range(1 if small else 3)]
    features, neurons = [10, 150, 2000], [2, 16, 256]
    if not small:
        features = [5, 10, 20, 50, 100, 130, 150, 170, 200, 300, 500, 1000, 2000]
        neurons = [1, 2, 4, 8, 12, 16, 20, 24, 32, 64, 128, 256]
    out = {
        "random features": by_width(random_features, features, seeds),
        "trained": by_width(trained, neurons, seeds),
    }
    if not small:
        out["epochs"] = {str(H): by_epoch(H, seeds[0]) for H in (4, 16, 128)}
    return out


def descents(rows, around):
    """The least error before the threshold, the greatest around it, and the widest net's."""
    before = min(row["test"] for row in rows if row["H"] < around[0])
    peak = max((row for row in rows if around[0] <= row["H"] <= around[1]), key=lambda row: row["test"])
    return before, peak, rows[-1]


def hump(curve):
    """The greatest factor by which a curve rises above its least so far and falls again: 1 if it never does."""
    return max(min(y / min(curve[: i + 1]), y / min(curve[i:])) for i, y in enumerate(curve))


def claims(n):
    out = []
    for fit, around in (("random features", (0.8 * POINTS, 1.25 * POINTS)), ("trained", (12, 24))):
        before, peak, widest = descents(n[fit], around)
        out.append(
            Claim(
                f"{fit}: the test error at the threshold is more than 1.5 times that before it and that far past it",
                f"{before:.3g} at best before, {peak['test']:.3g} with {peak['H']} neurons, "
                f"{widest['test']:.3g} with {widest['H']}",
                peak["test"] > 1.5 * max(before, widest["test"]),
            )
        )
        out.append(
            Claim(
                f"{fit}: past the threshold even the noise is learnt by heart",
                f"training error {widest['train']:.1e}; the noise's variance is {NOISE**2}",
                widest["train"] < FITTED,
            )
        )
        out.append(
            Claim(
                f"{fit}: the widest net against the best narrow one",
                f"{widest['test']:.3g} against {before:.3g}",
                None,
            )
        )
    for H, curve in n.get("epochs", {}).items():
        best = min(curve["test"])
        at = curve["epochs"][curve["test"].index(best)]
        text = f"{best:.3g} at epoch {at}, {curve['test'][-1]:.3g} at {curve['epochs'][-1]}; "
        text += f"it rises and falls again by a factor of {hump(curve['test']):.2f}"
        out.append(Claim(f"over epochs, {H} neurons: least test error, last, and a second descent", text, None))
    return out


def draw(n):
    figure, axes = panels(3 if "epochs" in n else 2, width=3.8, height=3.1)
    thresholds = {
        "random features": (POINTS, "neurons = points"),
        "trained": ((POINTS - 1) / (DIMENSIONS + 2), "weights = points"),
    }
    for at, (fit, (threshold, text)) in zip(axes, thresholds.items()):
        rows = n[fit]
        H = [row["H"] for row in rows]
        at.loglog(H, [row["test"] for row in rows], **STYLES[1], label="test")
        at.fill_between(H, *np.transpose([row["quartiles"] for row in rows]), color="#b2182b", alpha=0.2, linewidth=0)
        at.loglog(H, [max(row["train"], 1e-4) for row in rows], **STYLES[0], label="training (≥ 10$^{−4}$)")
        at.axvline(threshold, color="#7f7f7f", linestyle=":", label=text)
        at.set(title=fit, xlabel="neurons H", ylabel="mean squared error")
        at.legend(loc="lower left")
    for style, (H, curve) in zip(STYLES, n.get("epochs", {}).items()):
        axes[2].loglog(curve["epochs"], curve["test"], **style | {"marker": ""}, label=f"{H} neurons")
    if "epochs" in n:
        axes[2].set(title="trained, by epoch", xlabel="epochs", ylabel="mean squared error, test")
        axes[2].set_yticks([0.2, 0.3, 0.5, 1, 2], ["0.2", "0.3", "0.5", "1", "2"])
        axes[2].tick_params(axis="y", which="minor", labelleft=False)
        axes[2].legend()
    return figure
