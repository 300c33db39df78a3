"""Residual nets have hundreds of layers: deep plain nets do not train, residual ones of equal size and budget do.

Nets of 32 relu neurons a layer learn 1024 images of Fashion-MNIST; training loss after equally many steps. What a residual
layer adds is divided by the number of layers, so that the sum of all is of the size of one.
"""

import concurrent.futures
import itertools
import math
import multiprocessing

from claim import Claim
from figure import STYLES, panels
from images import samples
from tool import Net

TITLE = "Residual nets of hundreds of layers"
IMAGES, SIDE = 1024, 14
SHORTCUTS = {"plain": "false", "residual": "true"}
GUESSING = math.log(10)  # the cross-entropy of ten equally likely classes


def one(case):
    data, seed, depth, kind = case
    net = Net("resnet", level=1, depth=depth, shortcuts=SHORTCUTS[kind])  # -O2 compiles six times as long
    _, log = net.train(data, seed, validation=data, log_every=1)  # "validation": the loss on all images, epoch by epoch
    return {
        "kind": kind,
        "depth": depth,
        "steps": [line["step"] for line in log],
        "curve": [round(line["validation"]["ce"], 5) for line in log],
    }


def measure(seed, small):
    ((x, y), _) = samples(seed, [IMAGES], 1, SIDE, 0)
    depths = [2, 60] if small else [20, 100, 500]
    cases = itertools.product([{"x": x, "y": y}], [seed], depths, SHORTCUTS)
    # Two at a time, each with scratch files of its own: what takes long is compiling, which is done by one thread.
    fresh = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=fresh) as two:
        return {"nets": list(two.map(one, cases))}


def claims(n):
    ends = {(net["kind"], net["depth"]): net["curve"][-1] for net in n["nets"]}
    depths = sorted({net["depth"] for net in n["nets"]})
    out = []
    for depth in depths[1:]:
        plain, residual = ends["plain", depth], ends["residual", depth]
        out.append(
            Claim(
                f"{depth} layers: the residual net's training loss is less than half of the plain one's",
                f"{residual:.3f} against {plain:.3f}",
                residual < 0.5 * plain,
            )
        )
    first, last = (ends["residual", depth] for depth in (depths[0], depths[-1]))
    out.append(
        Claim(
            f"residual: {depths[-1]} layers train as well as {depths[0]}, to within a fifth, and to half of guessing",
            f"{last:.3f} against {first:.3f}; guessing has {GUESSING:.3f}",
            last < min(1.2 * first, 0.5 * GUESSING),
        )
    )
    text = ", ".join(f"{ends['plain', depth]:.3f} of {depth}" for depth in depths)
    return out + [Claim("plain nets: training loss by layers", text, None)]


def draw(n):
    figure, axes = panels(2, width=4, height=3.2)
    depths = sorted({net["depth"] for net in n["nets"]})
    top = 1.1 * max(GUESSING, *(max(net["curve"]) for net in n["nets"]))
    for at, kind in zip(axes, SHORTCUTS):
        for net in n["nets"]:
            if net["kind"] == kind:
                style = STYLES[depths.index(net["depth"])]
                at.plot(net["steps"], net["curve"], **style, markevery=4, label=f"{net['depth']} layers")
        at.axhline(GUESSING, color="#7f7f7f", linestyle=":", label="guessing")
        at.set(title=kind, xlabel="steps", ylabel="training cross-entropy (nats)", ylim=(0, top))
        at.legend()
    return figure
