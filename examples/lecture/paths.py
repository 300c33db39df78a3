"""Naive gradients walk exponentially many paths; back-propagation shares their factors, and its work is linear.

h_l = a_l h_(l−1) + b_l sin(h_(l−1)), l = 1 … depth, L = h_depth: each step can be passed in two ways, so there are
2^(depth − l) paths from h_l to L. A path contributes the product of the derivatives along it.
"""

import itertools
import math
import resource
import time

import numpy as np

from claim import Claim
from dump import graphs_of, paths_between, size_of
from figure import STYLES, panels
from tool import Net

TITLE = "Exponentially many paths, linear work"
X = 0.7
LONGEST_WALK = 16  # beyond this depth the paths are only counted
STEPS = 200000  # of training, to time one of them


def walked(a, b):
    """∂L/∂a and ∂L/∂b, every path walked by itself, and how many there were."""
    h = [X]
    for u, v in zip(a, b):
        h.append(u * h[-1] + v * math.sin(h[-1]))
    ways = [(u, v * math.cos(x)) for u, v, x in zip(a, b, h)]  # ∂h_l/∂h_(l−1): the two that are added
    da, db, count = np.zeros(len(a)), np.zeros(len(a)), 0
    for l in range(len(a)):
        for path in itertools.product(*ways[l + 1 :]):
            along = math.prod(path)
            da[l] += along * h[l]
            db[l] += along * math.sin(h[l])
            count += 1
    return da, db, count


def compared(net, seed, depth):
    """The gradients of mlpc against those of the walk, and the time that this took."""
    weights = net.init(seed)
    a, b = ([float(weights[f"step[{l}].{name}"]) for l in range(depth)] for name in "ab")
    begin = time.process_time()
    da, db, count = walked(a, b)
    took = time.process_time() - begin
    ours = net.run({"x": X}, weights, entry="grad")
    pairs = [(walk[l], float(ours[f"step[{l}].{name}"])) for name, walk in (("a", da), ("b", db)) for l in range(depth)]
    differ = float(np.max([abs(walk - grad) / abs(walk) for walk, grad in pairs]))
    return {"walked": count, "walk": took, "differ": differ}


def seconds_a_step(net, seed):
    """Of a training step, by the processor's time: what more steps take longer, so that loading is not counted; nor is
    compiling, which is done by a first run."""
    took = []
    for steps in (STEPS // 10, STEPS):
        for _ in range(2):
            begin = _used_by_tools()
            net.train({"x": X}, seed, settings={"steps": steps})
        took.append(_used_by_tools() - begin)
    return (took[1] - took[0]) / (STEPS - STEPS // 10)


def _used_by_tools():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def line_of(rows, key):
    """Whether all rows are on one line over depth, and its slope."""
    first, last = rows[0], rows[-1]
    slope = (last[key] - first[key]) / (last["depth"] - first["depth"])
    return all(row[key] - first[key] == slope * (row["depth"] - first["depth"]) for row in rows), slope


def measure(seed, small):
    rows = []
    for depth in [1, 2, 3, 8, 60] if small else [1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, 30, 40, 50, 60]:
        net = Net("paths", unroll=True, depth=depth)
        forward = graphs_of(net, "graph")
        row = {
            "depth": depth,
            "paths": str(paths_between(forward, "forward", "x", "L")),  # JSON's numbers are doubles
            "forward ops": size_of(forward, "forward"),
            "grad ops": size_of(graphs_of(net, "joint"), "grad"),
        }
        if depth <= LONGEST_WALK:
            row |= compared(net, seed, depth)
        if not small:
            row["step"] = seconds_a_step(net, seed)
        rows.append(row)
    return {"depths": rows}


def claims(n):
    rows = n["depths"]
    walks = [row for row in rows if "walked" in row]
    worst = max(row["differ"] for row in walks)
    exact = all(int(row["paths"]) == 2 ** row["depth"] for row in rows)
    linear, slope = line_of(rows, "grad ops")
    most = max(row["grad ops"] / row["forward ops"] for row in rows)
    return [
        Claim(
            "paths from x to L, counted in the compiler's graph, are 2^depth",
            f"{int(rows[-1]['paths']):.3g} at depth {rows[-1]['depth']}",
            exact,
        ),
        Claim(
            "ops of the gradient, forward and backward, are linear in depth: one line through all of them",
            f"{slope:g} more ops a step, {rows[-1]['grad ops']} at depth {rows[-1]['depth']}",
            linear,
        ),
        Claim("and at most five times the forward ops", f"{most:.2f} times", most <= 5),
        Claim(
            "the walk of all paths gives the same gradients",
            f"they differ by {worst:.1e} of their size, up to depth {walks[-1]['depth']}",
            worst < 1e-12,
        ),
    ]


def draw(n):
    rows = n["depths"]
    figure, (counts, times) = panels(2, width=4.2, height=3.2)
    depth = [row["depth"] for row in rows]
    counts.semilogy(depth, [float(row["paths"]) for row in rows], **STYLES[1], label="paths from x to L")
    counts.semilogy(depth, [row["grad ops"] for row in rows], **STYLES[0], label="ops of L and its gradient")
    counts.semilogy(depth, [row["forward ops"] for row in rows], **STYLES[3], label="ops of L")
    counts.set(xlabel="depth (steps)", ylabel="number")
    counts.legend()
    curves = {"walk": (STYLES[1], "all paths, walked in Python"), "step": (STYLES[0], "a training step of mlpc")}
    for key, (style, label) in curves.items():
        timed = [row for row in rows if key in row]
        times.semilogy([row["depth"] for row in timed], [row[key] for row in timed], **style, label=label)
    times.set(xlabel="depth (steps)", ylabel="time of the processor (s)")
    times.legend()
    return figure
