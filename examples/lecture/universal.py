"""One hidden layer of sigmoids approximates any bounded continuous function.

By construction: H steep sigmoids at c_i = (i − ½)/H, whose output weights are f(i/H) − f((i−1)/H), make a staircase through
f(0), f(1/H), …, f(1). Between two steps it lies between two neighbouring values, so its error is at most f's modulus of
continuity ω(1/H) = max |f(x) − f(y)| over |x − y| ≤ 1/H, which goes to 0. And by training, from random weights.
"""

import numpy as np

from claim import Claim
from figure import STYLES, panels
from tool import Net

TITLE = "One hidden layer approximates every continuous function"
FUNCTIONS = {
    "smooth": lambda x: np.sin(2 * np.pi * x),
    "kinked": lambda x: 1 - 3 * abs(x - 0.37),
    "oscillating": lambda x: np.sin(16 * np.pi * x),
}
FINE = 8192  # pieces of [0, 1] on which errors are taken
STEEPNESS = 60  # of the staircase, per width of a step


def staircase(f, H):
    values = f(np.arange(H + 1) / H)
    return {
        "hidden.w": np.full(H, STEEPNESS * H, float),
        "hidden.c": (np.arange(H) + 0.5) / H,
        "sum.W": np.diff(values)[:, None],
        "sum.b": values[:1],
    }


def modulus(values, H):
    """ω(1/H) on the fine grid."""
    return max(float(abs(values[lag:] - values[:-lag]).max()) for lag in range(1, FINE // H + 1))


def errors(fit, values):
    return {"sup": float(abs(fit - values).max()), "L2": float(np.sqrt(np.mean((fit - values) ** 2)))}


def measure(seed, small):
    fine = np.arange(FINE + 1) / FINE
    points = np.arange(0, FINE + 1, FINE // 256) / FINE
    shown = 128 if small else 32
    out = {"shown": shown, "functions": {}}
    for name, f in FUNCTIONS.items():
        values, rows, fits = f(fine), [], {}
        for H in [2, shown] if small else [2, 4, 8, 16, shown, 64, 128, 256, 512]:
            net = Net("universal", H=H)
            trained, _ = net.train({"x": points[:, None], "t": f(points)[:, None]}, seed)
            row = {"H": H, "bound": modulus(values, H)}
            for kind, weights in (("built", staircase(f, H)), ("trained", trained)):
                fit = net.run({"x": fine[:, None]}, weights)["fit"][:, 0]
                row[kind] = errors(fit, values)
                if H == shown:
                    fits[kind] = [round(float(y), 3) for y in fit[:: FINE // 256]]
            rows.append(row)
        out["functions"][name] = {"rows": rows, "fits": fits}
    return out


def claims(n):
    out = []
    for name, at in n["functions"].items():
        rows = at["rows"]
        first, last = rows[0], rows[-1]
        out.append(
            Claim(
                f"{name}: the staircase's sup error is at most ω(1/H) for every H",
                f"{last['built']['sup']:.2g} ≤ {last['bound']:.2g} with {last['H']} sigmoids",
                all(row["built"]["sup"] <= row["bound"] + 1e-9 for row in rows),
            )
        )
        out.append(
            Claim(
                f"{name}: {last['H']} trained sigmoids come at least ten times as close as {first['H']}, in L2",
                f"{last['trained']['L2']:.2g} against {first['trained']['L2']:.2g}",
                10 * last["trained"]["L2"] < first["trained"]["L2"],
            )
        )
        best = min(rows, key=lambda row: row["trained"]["sup"])
        out.append(
            Claim(
                f"{name}: least sup error by training",
                f"{best['trained']['sup']:.2g} with {best['H']} sigmoids; "
                f"the staircase of as many: {best['built']['sup']:.2g}",
                None,
            )
        )
    return out


def draw(n):
    figure, axes = panels(3, rows=2, width=3.4, height=2.8)
    for (name, at), errors_at, fits_at in zip(n["functions"].items(), axes[:3], axes[3:]):
        rows = at["rows"]
        width = [row["H"] for row in rows]
        errors_at.loglog(width, [row["bound"] for row in rows], color="#7f7f7f", linestyle=":", label="ω(1/H)")
        errors_at.loglog(width, [row["built"]["sup"] for row in rows], **STYLES[0], label="staircase, sup")
        errors_at.loglog(width, [row["trained"]["sup"] for row in rows], **STYLES[1], label="trained, sup")
        errors_at.loglog(width, [row["trained"]["L2"] for row in rows], **STYLES[2], label="trained, L2")
        errors_at.set(title=name, xlabel="sigmoids H", ylabel="error")
        errors_at.legend()
        x = np.linspace(0, 1, 257)
        fits_at.plot(x, FUNCTIONS[name](x), color="#bbbbbb", linewidth=4, label="f")
        fits_at.plot(x, at["fits"]["built"], **STYLES[0] | {"marker": ""}, label="staircase")
        fits_at.plot(x, at["fits"]["trained"], **STYLES[1] | {"marker": ""}, label="trained")
        fits_at.set(xlabel="x", ylabel=f"y, {n['shown']} sigmoids")
        low, high = fits_at.get_ylim()
        fits_at.set_ylim(top=high + 0.6 * (high - low))  # room for the legend
        fits_at.legend()
    return figure
