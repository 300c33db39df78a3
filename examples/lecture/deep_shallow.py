"""Some functions need few neurons deep, and many shallow: error 1/n against 1/n^layers.

The target is Takagi's function T = Σ_k tent^(k+1) / 2^(k+1), a sum of iterated tent maps on [0, 1]. It is continuous,
nowhere differentiable, and similar to itself: T(x) = P(x) + T(fold(x)) / n for n = 2^m, where `fold` is tent^m, a zigzag
of n pieces, and P, the first m terms, is piecewise linear on the same n pieces. So one layer of n relu neurons computes
both, and the next layer goes on with fold(x). L layers leave T / n^L of an error.
"""

import numpy as np

from claim import Claim
from figure import STYLES, panels
from tool import Net

TITLE = "Deep against shallow"
PIECES = 4096  # the sup error is exact where n^L divides this: T's maxima are at j / (3 · PIECES)


def takagi(numerators, denominator):
    """T at rationals, exact up to rounding: the fractions of 2^k x stay integers."""
    total, rest = np.zeros(len(numerators)), np.asarray(numerators)
    for k in range(60):
        rest = rest % denominator
        total += np.minimum(rest, denominator - rest) / denominator / 2.0**k
        rest = rest * 2
    return total


def corner_slopes(values):
    """Coefficients c of Σ cᵢ relu(u − i/n), which goes through these values at i/n, the first of which is 0."""
    slopes = np.diff(values) * (len(values) - 1)
    return np.diff(slopes, prepend=0)


def built(n, layers):
    """Weights by hand, as the docstring above has it."""
    corners = np.arange(n) / n
    fold = corner_slopes(np.arange(n + 1) % 2 * 1.0)
    part = corner_slopes(takagi(np.arange(n + 1), n))
    weights = {"layer1.W": np.ones((1, n)), "layer1.b": -corners}
    from_below = np.zeros(n)  # how a layer's neurons give the sum so far: at first, not at all
    for layer in range(2, layers + 1):
        share = float(n) ** (2 - layer)
        carried = part * share if layer == 2 else np.append(part * share, 1.0)
        folded = fold if layer == 2 else np.append(fold, 0.0)
        weights[f"layer{layer}.W"] = np.column_stack([np.tile(folded[:, None], (1, n)), carried])
        weights[f"layer{layer}.b"] = np.append(-corners, 0.0)
    last = part * float(n) ** (1 - layers)
    weights["sum.W"] = (last if layers == 1 else np.append(last, 1.0))[:, None]
    weights["sum.b"] = np.zeros(1)
    return weights


def neurons(n, layers):
    return n + (layers - 1) * (n + 1)


def slope(rows):
    """Of log error against log n."""
    return float(np.polyfit(np.log([r["n"] for r in rows]), np.log([r["sup"] for r in rows]), 1)[0])


def measure(seed, small):
    grid = {1: [2, 4, 8, 16, 32, 64, 128, 256], 2: [2, 4, 8, 16, 32, 64], 3: [2, 4, 8, 16], 4: [2, 4, 8]}
    if small:
        grid = {1: [2, 32], 2: [2, 8], 3: [2, 8], 4: [2, 8]}
    judged = np.arange(3 * PIECES + 1)
    x, t = (judged / (3 * PIECES))[:, None], takagi(judged, 3 * PIECES)
    train_x, train_t = (np.arange(1025) / 1024)[:, None], takagi(np.arange(1025), 1024)[:, None]
    out = {}
    for layers, sizes in grid.items():
        rows = []
        for n in sizes:
            net = Net("deep_shallow", n=n, L=layers)
            error = net.run({"x": x}, built(n, layers))["fit"][:, 0] - t
            row = {"n": n, "neurons": neurons(n, layers), "sup": float(abs(error).max())}
            if not small:
                trained, _ = net.train({"x": train_x, "t": train_t}, seed)
                row["trained"] = float(abs(net.run({"x": x}, trained)["fit"][:, 0] - t).max())
            rows.append(row)
        out[str(layers)] = {"rows": rows, "slope": slope(rows)}
    return {"layers": out}


def claims(n):
    out = []
    for layers, at in n["layers"].items():
        out.append(
            Claim(
                f"{layers} layer(s): the error of the net built by hand falls as n^−{layers}",
                f"slope {at['slope']:.3f}",
                abs(at["slope"] + int(layers)) < 0.02,
            )
        )
    shallow = min(n["layers"]["1"]["rows"], key=lambda r: abs(r["neurons"] - neurons(8, 4)))
    deep = n["layers"]["4"]["rows"][-1]
    out.append(
        Claim(
            f"with about {deep['neurons']} neurons, four layers are more than 50 times as exact as one",
            f"{deep['sup']:.2g} against {shallow['sup']:.2g}",
            deep["sup"] * 50 < shallow["sup"],
        )
    )
    if "trained" in deep:
        out.append(
            Claim(
                "training from random weights does not find the deep nets' weights",
                f"four layers of 8 reach {deep['trained']:.2g}, built by hand {deep['sup']:.2g}",
                None,
            )
        )
    return out


def draw(n):
    figure, axes = panels(2, width=4, height=3.4)
    for style, (layers, at) in zip(STYLES, n["layers"].items()):
        rows, label = at["rows"], f"{layers} layer{'s' * (layers != '1')}"
        count = [r["neurons"] for r in rows]
        axes[0].loglog(count, [r["sup"] for r in rows], **style, label=f"{label}, ∝ n$^{{{at['slope']:.2f}}}$")
        if "trained" in rows[0]:
            axes[1].loglog(count, [r["trained"] for r in rows], **style, label=label)
    axes[0].set(title="weights written down", xlabel="neurons in all layers", ylabel="sup error")
    axes[0].set_ylim(1e-4, 10)  # room for the legend
    axes[0].legend(title="n neurons a layer: error")
    if "trained" in n["layers"]["1"]["rows"][0]:
        axes[1].set(title="trained from random weights", xlabel="neurons in all layers", ylabel="sup error")
        axes[1].set_ylim(axes[0].get_ylim())
        axes[1].legend()
    else:
        axes[1].set_axis_off()
    return figure
