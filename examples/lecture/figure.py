"""How the pictures look: readable in greyscale, labelled, and the same bytes at every run."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402: the backend must be chosen first
import numpy as np  # noqa: E402

matplotlib.rcParams.update(
    {
        "svg.hashsalt": "mlpc",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.linewidth": 0.3,
        "legend.fontsize": 8,
        "lines.linewidth": 1.3,
        "lines.markersize": 4,
        "figure.constrained_layout.use": True,
    }
)

# Lines differ in grey level, dash and marker, so that no pair depends on its colour.
STYLES = [
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#b2182b", "linestyle": "--", "marker": "s"},
    {"color": "#2166ac", "linestyle": "-.", "marker": "^"},
    {"color": "#7f7f7f", "linestyle": ":", "marker": "D"},
    {"color": "#e08214", "linestyle": (0, (5, 1)), "marker": "v"},
    {"color": "#5e3c99", "linestyle": (0, (3, 1, 1, 1)), "marker": "x"},
]


def panels(columns, rows=1, width=3.4, height=2.8, width_ratios=None):
    """A figure and its axes, in one flat list; each `width` by `height` inches, on average."""
    size = (width * columns, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, width_ratios=width_ratios)
    return figure, list(axes.flat)


def problems(figure):
    """What a reader would miss in a picture: a label of an axis, a legend for several lines, a part of the data."""
    found = []
    for number, axes in enumerate(figure.axes, start=1):
        if not axes.axison:
            continue
        where = f"panel {number}"
        if not axes.get_xlabel() or not axes.get_ylabel():
            found.append(f"{where} has an axis without a label")
        named = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
        if len(named) > 1 and axes.get_legend() is None:
            found.append(f"{where} has {len(named)} lines and no legend")
        if not axes.has_data():
            found.append(f"{where} shows nothing")
        found += [f"{where}: {line.get_label()} has points that are not in it" for line in axes.get_lines() if _is_cut(line)]
    return found


def _is_cut(line):
    """Whether a point of the data is no number, or outside of the axes' limits."""
    if line.get_transform() != line.axes.transData:
        return False  # a line across the whole panel
    low, high = np.sort([line.axes.get_xlim(), line.axes.get_ylim()]).T
    points = line.get_xydata()
    return not ((low <= points) & (points <= high)).all()  # NaN is neither


def save(figure, directory, name):
    """Writes NAME.svg and NAME.png."""
    if found := problems(figure):
        raise ValueError(f"{name}: " + "; ".join(found))
    figure.savefig(directory / f"{name}.svg", metadata={"Date": None, "Creator": None})
    figure.savefig(directory / f"{name}.png", dpi=130, metadata={"Software": None})
    plt.close(figure)
