"""How the pictures look: readable in greyscale, labelled, and the same bytes at every run."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402: the backend must be chosen first

matplotlib.rcParams.update(
    {
        "svg.hashsalt": "mlpc",
        "svg.fonttype": "none",
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.grid": True,
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


def panels(columns, rows=1, width=3.4, height=2.8):
    """A figure and its axes, in one flat list."""
    figure, axes = plt.subplots(rows, columns, figsize=(width * columns, height * rows), squeeze=False)
    return figure, list(axes.flat)


def problems(figure):
    """What a reader would miss in a picture: a label of an axis, a legend for several lines."""
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
    return found


def save(figure, directory, name):
    """Writes NAME.svg and NAME.png."""
    if found := problems(figure):
        raise ValueError(f"{name}: " + "; ".join(found))
    figure.savefig(directory / f"{name}.svg", metadata={"Date": None, "Creator": None})
    figure.savefig(directory / f"{name}.png", dpi=130, metadata={"Software": None})
    plt.close(figure)
