"""∇(g∘f) = ∇g · ∇f, and if f(x) = Ax then ∇f = A.

f and g are layers of random weights; `jacobian` in the language gives ∇f at x, ∇g at f(x), and ∇(g∘f) at x.
"""

import numpy as np

from claim import Claim
from figure import panels
from tool import Net

TITLE = "The chain rule, module by module"
ACTIVATIONS = ["tanh", "sigmoid", "relu", "gelu"]
# act' by the values of act, where these are enough: a closed form that the compiler has no part in.
SLOPES = {
    "identity": np.ones_like, "tanh": lambda h: 1 - h**2, "sigmoid": lambda h: h * (1 - h), "relu": lambda h: (h > 0) * 1.0,
}  # fmt: skip


def apart(a, b):
    return float(abs(a - b).max())


def jacobians(rng, act, N, M, K, seed):
    """One draw of weights, biases and x; and how far the rules are from what mlpc says."""
    net = Net("modular", level=1, N=N, M=M, K=K, act=act)
    weights = net.init(seed)
    for name in ("f.b", "g.b"):
        weights[name] = rng.normal(size=weights[name].shape)
    out = net.run({"x": rng.normal(size=N)}, weights)
    row = {"act": act, "extents": [N, M, K], "greatest": float(abs(out["J_gf"]).max())}
    row["product"] = apart(out["J_g"] @ out["J_f"], out["J_gf"])
    if act in SLOPES:
        J_f = SLOPES[act](out["f_x"])[:, None] * weights["f.W"].T
        J_g = SLOPES[act](out["g_f_x"])[:, None] * weights["g.W"].T
        row["closed form"] = apart(J_g @ J_f, out["J_gf"])
    if act == "identity":
        row["linear"] = apart(out["J_f"], weights["f.W"].T)
    return row, {name: out[name].tolist() for name in ("J_g", "J_f", "J_gf")}


def measure(seed, small):
    rng = np.random.default_rng(seed)
    draws, shown = [], None
    for act in ["identity", "tanh", "relu"] if small else ["identity", *ACTIVATIONS]:
        for i in range(1 if small else 3):
            extents = (int(n) for n in rng.integers(2, 9, 3)) if i else (4, 5, 3)
            row, matrices = jacobians(rng, act, *extents, seed + i)
            draws.append(row)
            if act == "tanh" and i == 0:
                shown = matrices
    return {"draws": draws, "shown": shown}


def claims(n):
    draws = n["draws"]
    product = max(row["product"] for row in draws)
    judged = [row["closed form"] for row in draws if "closed form" in row]
    by_hand = max(judged)
    linear = max(row["linear"] for row in draws if "linear" in row)
    least = min(row["greatest"] for row in draws if row["act"] != "relu")  # a relu net may be off, and ∇ 0
    return [
        Claim(
            "∇(g∘f) = ∇g · ∇f: the Jacobian of both layers is the product of theirs",
            f"they differ by {product:.1e}, in {len(draws)} nets whose greatest elements are {least:.2g} and more",
            product < 1e-13 and least > 1e-3,
        ),
        Claim(
            "and it is diag(g') B diag(f') A, by hand",
            f"differs by {by_hand:.1e}, in the {len(judged)} nets whose act' is known by hand",
            by_hand < 1e-13,
        ),
        Claim("f(x) = Ax + b: ∇f = A", f"differs by {linear:.1e}", linear == 0),
    ]


def draw(n):
    J = {name: np.array(value) for name, value in n["shown"].items()}
    shown = {"∇g at f(x)": J["J_g"], "∇f at x": J["J_f"], "∇g · ∇f": J["J_g"] @ J["J_f"], "∇(g∘f) at x": J["J_gf"]}
    most = max(abs(value).max() for value in shown.values())
    sides = [("element of g", "element of f"), ("element of f", "element of x")] + [("element of g", "element of x")] * 2
    ratios = [value.shape[1] for value in shown.values()]  # so that all elements are of one size
    figure, axes = panels(4, width=2.7, height=3.4, width_ratios=ratios)
    for at, (title, value), (rows, columns) in zip(axes, shown.items(), sides):
        at.imshow(value, cmap="gray", vmin=-most, vmax=most)
        for (i, j), number in np.ndenumerate(value):
            at.text(j, i, f"{number:.2f}", ha="center", va="center", fontsize=8, color="k" if number > 0 else "w")
        at.grid(False)
        at.set(title=title, xlabel=columns, ylabel=rows, xticks=range(value.shape[1]), yticks=range(value.shape[0]))
    return figure
