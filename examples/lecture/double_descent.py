"""Past the width at which a net can fit its data exactly, the test error falls again.

Two models of the same 300 small images, a fifth of whose labels is wrong: random relu features with the linear layer in
closed form (the least-norm solution), and a net of one hidden layer, all of whose weights mlpc trains.
"""

import numpy as np

from claim import Claim
from figure import STYLES, panels
from images import samples
from tool import Net

TITLE = "Double descent"
SAMPLES, CLASSES, WRONG, SIDE = 300, 10, 0.2, 7
EYE = np.eye(CLASSES, dtype=np.float32)


def random_features(train, test, width, rng):
    """Error rate and squared error on both sets of the least-squares fit to relu(x W + b), with W and b drawn. The
    number of features is that of unknowns for each class, so the threshold is width = SAMPLES."""
    weights, bias = rng.normal(0, 1 / SIDE, (SIDE * SIDE, width)), rng.normal(0, 0.5, width)

    def features(x):
        return np.maximum(0, x.reshape(len(x), -1) @ weights + bias)

    head = np.linalg.lstsq(features(train[0]), EYE[train[1]], rcond=1e-10)[0]
    out = {}
    for name, (x, y) in (("train", train), ("test", test)):
        z = features(x) @ head
        out[name] = {"err": float(np.mean(z.argmax(1) != y)), "loss": float(np.mean(np.sum((z - EYE[y]) ** 2, 1)))}
    return out


def inputs(data):
    x, y = data
    return {"x": x, "t": EYE[y], "y": y}


def trained(train, test, width, seed, epochs):
    net = Net("double_descent", H=width)
    weights, _ = net.train(inputs(train), seed, settings={"epochs": epochs})
    out = {}
    for name, data in (("train", train), ("test", test)):
        values = net.evaluate(inputs(data), weights)
        out[name] = {"err": values["err"], "loss": values["e"]}
    return out


def mean_of(runs):
    """The mean over runs of {"train": {"err", "loss"}, "test": …}."""
    return {
        part: {key: float(np.mean([run[part][key] for run in runs])) for key in ("err", "loss")}
        for part in ("train", "test")
    }


def curve(train, test, width, seed, epochs):
    """Test error by epoch, of one net. A quarter of the test images is enough for a curve."""
    net = Net("double_descent", H=width)
    few = (test[0][::4], test[1][::4])
    _, log = net.train(inputs(train), seed, validation=inputs(few), settings={"epochs": epochs}, log_every=10)
    return {
        "epoch": [line["epoch"] for line in log],
        "train": [line["training"]["err"] for line in log],
        "test": [line["validation"]["err"] for line in log],
    }


def measure(seed, small):
    feature_widths = [60, 300, 4000] if small else [10, 20, 40, 80, 150, 220, 270, 300, 330, 400, 600, 1000, 2000, 4000]
    widths = [4, 40, 512] if small else [1, 4, 8, 16, 24, 32, 48, 64, 96, 160, 256, 512]
    draws, epochs = (1, 1500) if small else (2, 3000)
    out = {"features": [], "net": [], "epochs": {}}
    sets = [samples(1000 * seed + i, [SAMPLES], 500 if small else 2000, SIDE, WRONG) for i in range(draws)]
    rng = np.random.default_rng(seed)
    for width in feature_widths:
        out["features"].append({"width": width} | mean_of([random_features(*s, width, rng) for s in sets]))
    for width in widths:
        row = mean_of([trained(*s, width, seed + i, epochs) for i, s in enumerate(sets)])
        out["net"].append({"width": width, "parameters": width * (SIDE**2 + 1 + CLASSES) + CLASSES} | row)
    if not small:
        out["epochs"] = {str(width): curve(*sets[0], width, seed, epochs) for width in (40, 512)}
    return out


def at_width(rows, width):
    return next(row for row in rows if row["width"] == width)


def claims(n):
    features, net = n["features"], n["net"]
    peak, wide = at_width(features, SAMPLES)["test"]["loss"], features[-1]["test"]["loss"]
    before = min(row["test"]["loss"] for row in features if row["width"] < SAMPLES)
    fits = [row["train"]["loss"] for row in features if row["width"] > SAMPLES]
    worst = max(net, key=lambda row: row["test"]["loss"])
    narrow, widest = net[0], net[-1]
    rates = [(row["width"], row["test"]["err"]) for row in net]
    return [
        Claim(
            f"random features: at the threshold, {SAMPLES} features for {SAMPLES} samples, the squared test error is at "
            "least 10 times that of both sides",
            f"{before:.3g} before, {peak:.3g} at it, {wide:.3g} with {features[-1]['width']}",
            peak > 10 * max(before, wide),
        ),
        Claim(
            "random features: beyond it, all training data are fitted exactly",
            f"squared error {max(fits):.1e}",
            max(fits) < 1e-6,
        ),
        Claim(
            "trained net: the squared test error rises, and falls again: its peak is at least 1.5 times both ends",
            f"{narrow['test']['loss']:.2f} with {narrow['width']} neurons, {worst['test']['loss']:.2f} with "
            f"{worst['width']}, {widest['test']['loss']:.2f} with {widest['width']}",
            worst["test"]["loss"] > 1.5 * max(narrow["test"]["loss"], widest["test"]["loss"]),
        ),
        Claim(
            "the widest net's share of wrong test answers, and the lowest of all widths",
            f"{rates[-1][1]:.3f} with {rates[-1][0]}, " + "{1:.3f} with {0}".format(*min(rates, key=lambda r: r[1])),
            None,
        ),
    ] + ([] if not n["epochs"] else epoch_claims(n["epochs"]))


def epoch_claims(curves):
    out = []
    for width, rows in curves.items():
        best, last = min(rows["test"]), rows["test"][-1]
        out.append(
            Claim(
                f"against epochs, the test error of {width} neurons: lowest, highest after that, last",
                f"{best:.3f}, {max(rows['test'][rows['test'].index(best) :]):.3f}, {last:.3f}",
                None,
            )
        )
    return out


def draw(n):
    figure, axes = panels(3, width=3.8, height=3.2)
    by_epoch = axes[2]
    for panel, rows, key in ((axes[0], n["features"], "width"), (axes[1], n["net"], "parameters")):
        x = [row[key] for row in rows]
        panel.loglog(x, [row["test"]["loss"] for row in rows], **STYLES[0], label="test, squared")
        panel.loglog(x, [row["test"]["err"] for row in rows], **STYLES[2], label="test, wrong answers")
        panel.loglog(x, [row["train"]["loss"] for row in rows], **STYLES[1], label="training, squared")
        panel.set(ylabel="squared error; share of wrong answers", ylim=(1e-4, 2e3))
    axes[0].axvline(SAMPLES, color="#7f7f7f", linestyle=":", label="features = samples")
    axes[0].set(title="random features, least squares", xlabel="features")
    axes[1].axvline(SAMPLES * CLASSES, color="#7f7f7f", linestyle=":", label="parameters = samples × classes")
    axes[1].set(title="one hidden layer, trained", xlabel="parameters")
    for style, (width, rows) in zip(STYLES, n["epochs"].items()):
        plain = style | {"marker": ""}
        by_epoch.semilogx(rows["epoch"], rows["test"], **plain, label=f"test error, {width} neurons")
        by_epoch.semilogx(rows["epoch"], rows["train"], **plain | {"linewidth": 0.7}, label=f"training error, {width}")
    by_epoch.set(title="against epochs", xlabel="epochs", ylabel="share of wrong answers", ylim=(-0.02, 1))
    if not n["epochs"]:
        by_epoch.set_axis_off()
    for panel in axes:
        if panel.axison:
            panel.legend(fontsize=7)
    return figure
