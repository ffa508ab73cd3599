"""Colours, fonts and sizes of the charts. Sizes are in points, 72 to the inch."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.textpath import TextPath

WIDTH = 880
MARGIN = 28
#: Where plots begin, right of the names of the regions.
LEFT = 140
ROW = 28
TEXT_SIZE = 12

#: Told apart by every common form of colour vision (after Okabe and Ito, https://jfly.uni-koeln.de/color/),
#: and, if it matters, by shape too. The page is opaque, so that it reads the same on a dark page.
COLOURS = {
    "page": "#ffffff",
    "text": "#1f2328",
    "muted": "#57606a",
    "even": "#f3f5f8",
    "odd": "#e6eaf0",
    "waiting": "#fff3d1",
    "stripes": "#e3b341",
    "grid": "#d8dee4",
    "range": "#b4b9be",
    "candidate": "#2f74c0",
    "progress": "#1f66b5",
    "success": "#0b7560",
    "failure": "#b93a08",
    "lens": "#fbeee9",
}
#: The colours of texts, and the backgrounds that they are drawn on.
TEXTS = ("text", "muted", "progress", "success", "failure")
BACKGROUNDS = ("page", "even", "odd", "waiting")

RC_PARAMS: dict[str, Any] = {
    "font.family": "sans-serif",
    # The first font comes with matplotlib, so texts are measured alike everywhere; it is also the widest.
    "font.sans-serif": ["DejaVu Sans", "Helvetica Neue", "Helvetica", "Arial"],
    "font.monospace": ["DejaVu Sans Mono", "Menlo", "Consolas"],
    "font.size": TEXT_SIZE,
    "text.parse_math": False,
    "text.color": COLOURS["text"],
    "axes.edgecolor": COLOURS["grid"],
    "axes.facecolor": COLOURS["page"],
    "axes.axisbelow": True,
    "axes.spines.bottom": False,
    "axes.spines.left": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": COLOURS["grid"],
    "xtick.labelcolor": COLOURS["muted"],
    "ytick.labelcolor": COLOURS["text"],
    "hatch.color": COLOURS["stripes"],
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0,
    "legend.handletextpad": 0.6,
    # Text stays text, and ids depend on nothing random: the same run gives the same file.
    "svg.fonttype": "none",
    "svg.hashsalt": "sluiceway",
}


def text_width(text: str, size: float = TEXT_SIZE) -> float:
    """Return how wide a text is, in points."""
    return float(TextPath((0, 0), text, size=size).get_extents().width) if text.strip() else 0.0


def name_rows(axes: Axes, names: tuple[str, ...]) -> None:
    """Write the names left of the rows 0, 1, 2 … of a plot that begins at `LEFT`."""
    axes.set_yticks(range(len(names)), names, ha="left")
    axes.tick_params(axis="y", length=0, pad=LEFT - MARGIN)


def add_title(axes: Axes, title: str, family: str = "sans-serif") -> None:
    """Write a title above the names of the rows."""
    left = (MARGIN - LEFT) / (WIDTH - MARGIN - LEFT)
    heading = axes.annotate(
        title, (left, 1), xytext=(0, 14), xycoords="axes fraction", textcoords="offset points",
        family=family, weight="bold", size=16,
    )  # fmt: skip
    heading.set_annotation_clip(False)
