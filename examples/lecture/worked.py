"""The lecture's own network, ../lecture.net: each derivative in its closed form, forward phase and backward phase.

    x1 ─w5─┐          ┌─w3─ z1 ─ a1 ─w1─┐
           z3 ─ a3 ───┤                 ŷ,  L = (y − ŷ)²
    x2 ─w6─┘          └─w4─ z2 ─ a2 ─w2─┘
"""

import numpy as np

from claim import Claim
from figure import panels
from tool import HERE, Net

TITLE = "The lecture's network, by hand"
WEIGHTS = ["w1", "w2", "w3", "w4", "w5", "w6"]


def closed_forms(x1, x2, y, w1, w2, w3, w4, w5, w6):
    """Forward values, and the derivatives of L that the lecture derives, in the order in which each phase has them."""
    forward = {"z3": w5 * x1 + w6 * x2}
    forward["a3"] = max(forward["z3"], 0.0)
    forward |= {"z1": w3 * forward["a3"], "z2": w4 * forward["a3"]}
    forward |= {"a1": max(forward["z1"], 0.0), "a2": max(forward["z2"], 0.0)}
    forward["ŷ"] = w1 * forward["a1"] + w2 * forward["a2"]
    forward["L"] = (y - forward["ŷ"]) ** 2
    step = {name: float(forward[name] > 0) for name in ("z1", "z2", "z3")}
    bar = {"L": 1.0, "ŷ": -2 * (y - forward["ŷ"])}
    bar |= {"w1": bar["ŷ"] * forward["a1"], "w2": bar["ŷ"] * forward["a2"]}
    bar |= {"a1": bar["ŷ"] * w1, "a2": bar["ŷ"] * w2}
    bar |= {"z1": bar["a1"] * step["z1"], "z2": bar["a2"] * step["z2"]}
    bar |= {"w3": bar["z1"] * forward["a3"], "w4": bar["z2"] * forward["a3"]}
    through_z1, through_z2 = bar["z1"] * w3 * step["z3"] * x1, bar["z2"] * w4 * step["z3"] * x1
    bar["a3"] = bar["z1"] * w3 + bar["z2"] * w4
    bar["z3"] = bar["a3"] * step["z3"]
    bar |= {"w5": through_z1 + through_z2, "w6": bar["z3"] * x2}
    return forward, bar, {"through z1": through_z1, "through z2": through_z2}


def measure(seed, small):
    net = Net(HERE.parent / "lecture.net")
    rng = np.random.default_rng(seed)
    rows = []
    for point in range(2 if small else 4):
        weights = net.init(seed + point)
        if point % 2:  # so that one relu is off
            weights["w3"] = -weights["w3"]
        data = {name: float(rng.uniform(0.2, 2)) for name in ("x1", "x2", "y")}
        results = net.run(data, weights, entry="grad")
        mlpc = {name: float(results[name]) for name in WEIGHTS}
        values = {name: float(weights[name]) for name in WEIGHTS}
        forward, bar, through = closed_forms(**data, **values)
        rows.append({"inputs": data, "weights": values, "mlpc": mlpc, "forward": forward, "bar": bar, "paths": through})
    return {"points": rows}


def claims(n):
    worst = max(
        abs(row["mlpc"][w] - row["bar"][w]) / max(abs(row["bar"][w]), 1e-3) for row in n["points"] for w in WEIGHTS
    )
    both = max(abs(row["mlpc"]["w5"] - sum(row["paths"].values())) for row in n["points"])
    one = min(min(map(abs, row["paths"].values())) for row in n["points"][::2])
    return [
        Claim("∂L/∂w1 … ∂L/∂w6 of mlpc are the closed forms", f"they differ by {worst:.1e} of their size", worst < 1e-14),
        Claim(
            "∂L/∂w5 is the sum of two paths, through z1 and through z2, neither of them zero",
            f"differs by {both:.1e}; the smaller path gives {one:.2g}",
            both < 1e-14 and one > 1e-3,
        ),
    ]


PLACES = {
    "x1": (0, 2.2), "x2": (0, 0), "z3": (2, 1.1), "a3": (3.6, 1.1),
    "z1": (5.6, 2.2), "a1": (7.2, 2.2), "z2": (5.6, 0), "a2": (7.2, 0), "ŷ": (9.2, 1.1), "L": (10.8, 1.1),
}  # fmt: skip
WIRES = [
    ("x1", "z3", "w5"), ("x2", "z3", "w6"), ("z3", "a3", ""), ("a3", "z1", "w3"), ("a3", "z2", "w4"),
    ("z1", "a1", ""), ("z2", "a2", ""), ("a1", "ŷ", "w1"), ("a2", "ŷ", "w2"), ("ŷ", "L", ""),
]  # fmt: skip


def draw(n):
    """The network with both phases: above each node its value, below it ∂L/∂node; on each wire w and ∂L/∂w."""
    row = n["points"][0]
    figure, (axes,) = panels(1, width=10, height=3.6)
    axes.set_axis_off()
    axes.set(xlim=(-0.6, 11.5), ylim=(-0.9, 3.0))
    values = row["inputs"] | row["forward"]
    for a, b, weight in WIRES:
        (x, y), (u, v) = PLACES[a], PLACES[b]
        axes.annotate("", (u, v), (x, y), arrowprops={"arrowstyle": "->", "shrinkA": 14, "shrinkB": 14})
        if weight:
            text = f"{weight} = {row['weights'][weight]:.3f}\n∂L/∂{weight} = {row['mlpc'][weight]:+.3f}"
            axes.text((x + u) / 2, (y + v) / 2, text, ha="center", va="center", fontsize=7, backgroundcolor="white")
    for name, (x, y) in PLACES.items():
        axes.text(x, y, name, ha="center", va="center", bbox={"boxstyle": "circle", "fc": "white"})
        axes.text(x, y + 0.42, f"{values[name]:.3f}", ha="center", color="#2166ac")
        if name in row["bar"]:
            axes.text(x, y - 0.52, f"{row['bar'][name]:+.3f}", ha="center", color="#b2182b", style="italic")
    axes.set_title("forward phase: values, upright above;   backward phase: ∂L/∂node, slanted below")
    return figure
