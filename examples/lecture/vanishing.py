"""Gradients do not reach the first layers of a deep sigmoid net; other activations, initialisation and shortcuts help.

‖∂L/∂h_l‖ by layer, mean over 32 images of Fashion-MNIST, before training. Where a tap is before an activation and another
after it, the quotient of their gradients is the activation's derivative: a neuron is saturated where that is less than a
twentieth of the greatest.
"""

import numpy as np

from claim import Claim
from figure import STYLES, panels
from images import samples
from tool import Net

TITLE = "Vanishing gradients"
# Constants of the .net file; the initialiser that keeps the size of signals; the derivative's greatest value.
UNITS = {
    "sigmoid": ({"act": "sigmoid"}, "xavier", 0.25),
    "tanh": ({"act": "tanh"}, "xavier", 1),
    "relu": ({"act": "relu"}, "he", 1),
    "leaky relu": ({"act": "leaky_relu"}, "he", 1),
    "maxout": ({"act": "identity", "pieces": 2}, "lecun", None),
}
FLAT = 0.05  # of the greatest derivative


def one(data, unit, depth, init, shortcuts, seed):
    constants, _, steepest = UNITS[unit]
    net = Net("vanishing", level=1, L=depth, init=init, shortcuts=str(shortcuts).lower(), **constants)
    grads = net.run(data, net.init(seed), entry="grad")
    by_h = [grads[f"h[{l}].t"] for l in range(depth)]
    row = {"unit": unit, "depth": depth, "init": init, "shortcuts": shortcuts}
    row["norms"] = [float(np.linalg.norm(g, axis=1).mean()) for g in by_h]
    # What a layer makes of a norm on its way down, the geometric mean over all layers.
    row["factor"] = (row["norms"][0] / row["norms"][-1]) ** (1 / (depth - 1))
    if steepest:
        flat = [abs(grads[f"z[{l}].t"]) < FLAT * steepest * abs(by_h[l]) for l in range(depth)]
        row["saturated"] = float(np.mean(flat))
    return row


def plan(small):
    """Unit, depth, initialiser, and whether there are shortcuts."""
    for unit, (_, own, _) in UNITS.items():
        if small and unit in ("tanh", "leaky relu"):
            continue
        for depth in [20] if small else [5, 20, 50]:
            yield unit, depth, own, False
            if not small or unit == "sigmoid":
                yield unit, depth, own, True
        if not small or unit == "relu":
            yield unit, 20, "small", False
    if not small:
        yield from ((unit, 20, "large", False) for unit in ("sigmoid", "tanh"))
        yield from (("sigmoid", 20, "he", False), ("tanh", 20, "he", False), ("relu", 20, "xavier", False))


def measure(seed, small):
    ((x, y), _) = samples(seed, [32], 1, 14, 0)
    data = {"x": x.reshape(32, 196).astype(np.float64), "y": y}
    return {"rows": [one(data, *case, seed) for case in plan(small)]}


def found(n, **wanted):
    return [row for row in n["rows"] if all(row[key] == value for key, value in wanted.items())]


def own_rows(n, depth, shortcuts):
    """Each unit with its own initialiser."""
    rows = found(n, depth=depth, shortcuts=shortcuts)
    return [row for row in rows if row["init"] == UNITS[row["unit"]][1]]


def first_over_last(row):
    return row["norms"][0] / row["norms"][-1]


def claims(n):
    out = []
    deepest = max(row["depth"] for row in n["rows"])
    (sigmoid,) = found(n, unit="sigmoid", depth=20, init="xavier", shortcuts=False)
    out.append(
        Claim(
            "sigmoid, 20 layers: each layer takes more than half of the gradient's norm",
            f"a factor of {sigmoid['factor']:.3f} a layer, {first_over_last(sigmoid):.1e} over all",
            sigmoid["factor"] < 0.5,
        )
    )
    for row in own_rows(n, 20, False):
        unit, own = row["unit"], row["init"]
        if unit == "tanh":
            out.append(Claim("tanh, xavier, 20 layers", f"a factor of {row['factor']:.3f} a layer", None))
        elif unit != "sigmoid":
            out.append(
                Claim(
                    f"{unit}, {own}, 20 layers: a layer keeps the norm to within a tenth",
                    f"a factor of {row['factor']:.3f} a layer",
                    abs(row["factor"] - 1) < 0.1,
                )
            )
    small = found(n, init="small")
    worst = max(small, key=lambda row: row["factor"])
    out.append(
        Claim(
            "with weights of deviation 0.01 every activation loses more than half a layer",
            f"at most a factor of {worst['factor']:.3f} ({worst['unit']})",
            worst["factor"] < 0.5,
        )
    )
    short = found(n, depth=deepest, shortcuts=True)
    least = min(short, key=first_over_last)
    out.append(
        Claim(
            f"with shortcuts the first of {deepest} layers gets at least half of what the last gets",
            f"at least {first_over_last(least):.2g} times ({least['unit']})",
            first_over_last(least) > 0.5,
        )
    )
    most = max(short, key=first_over_last)
    out.append(
        Claim(
            f"with shortcuts and nothing else, gradients may explode: {deepest} layers",
            f"up to {first_over_last(most):.1e} times ({most['unit']})",
            None,
        )
    )
    out.append(
        Claim(
            "sigmoid, xavier: no neuron need be saturated for the gradient to vanish",
            f"{100 * sigmoid['saturated']:.1f} % are; σ' is never more than ¼",
            None,
        )
    )
    for unit in ("sigmoid", "tanh"):
        for row in found(n, unit=unit, init="large"):
            text = f"{100 * row['saturated']:.0f} % saturated, a factor of {row['factor']:.2f} a layer"
            out.append(Claim(f"{unit}, weights of deviation 1, 20 layers: the large weights make up for it", text, None))
    return out


WEIGHTS = {"small": "deviation 0.01", "large": "deviation 1"}  # others are called as in the language


def name_of(row):
    return f"{row['unit']}, {WEIGHTS.get(row['init'], row['init'])}"


def lines(axes, rows, title):
    """A style is an activation's in all panels, where each has one line."""
    units = [row["unit"] for row in rows]
    one_each, one_init = len(set(units)) == len(units), len({row["init"] for row in rows}) == 1
    for i, row in enumerate(rows):
        style = STYLES[list(UNITS).index(row["unit"]) if one_each else i]
        label = row["unit"] if one_init and len(rows) > 1 else name_of(row)
        l = np.arange(1, row["depth"] + 1)
        axes.semilogy(l, np.array(row["norms"]) / row["norms"][-1], **style, markevery=4, label=label)
    axes.set(title=title, xlabel="layer l", ylabel="‖∂L/∂h$_l$‖ / ‖∂L/∂h$_{last}$‖")
    if not one_each:  # room for a legend
        low, high = axes.get_ylim()
        axes.set_ylim(bottom=low * (low / high) ** 0.6)
    axes.legend()


def bars(axes, rows):
    rows = sorted(rows, key=lambda row: -list(UNITS).index(row["unit"]))
    axes.barh([name_of(row) for row in rows], [100 * row["saturated"] for row in rows], color="#7f7f7f")
    axes.set(title="20 layers", xlabel="saturated neurons (%)", ylabel="activation, weights")
    axes.tick_params(axis="y", labelsize=7)


def draw(n):
    """By layer: at each depth without shortcuts, then with them; other weights; saturation."""
    shown = []
    for shortcuts, text in ((False, "layers"), (True, "layers with shortcuts")):
        for depth in sorted({row["depth"] for row in n["rows"]}):
            shown.append((own_rows(n, depth, shortcuts), f"{depth} {text}"))
    shown.append((found(n, init="small"), "20 layers, weights of deviation 0.01"))
    own = [row for row in n["rows"] if row["init"] in ("small", UNITS[row["unit"]][1])]
    if others := [row for row in n["rows"] if row not in own]:
        shown.append((others, "20 layers, other weights"))
    figure, axes = panels(3, rows=-(-(len(shown) + 1) // 3), width=3.7, height=3.1)
    for at, (rows, title) in zip(axes, shown):
        lines(at, rows, title)
    bars(axes[len(shown)], [row for row in found(n, depth=20, shortcuts=False) if "saturated" in row])
    for at in axes[len(shown) + 1 :]:
        at.set_axis_off()
    return figure
