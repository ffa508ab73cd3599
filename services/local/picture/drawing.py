"""SVG elements as text, scales, and ticks at round numbers."""

import math
from dataclasses import dataclass
from html import escape

WIDTH = 880
MARGIN = 28
#: Where plots begin, right of the names of the regions, and where they end.
LEFT, RIGHT = 140, WIDTH - MARGIN
ROW = 28
TEXT = 12
#: Mean width of a letter in the widest of the usual fonts, as a part of the font's size.
LETTER = 0.55
MONOSPACED = 0.6
STRONG = 0.62


@dataclass(frozen=True)
class Block:
    """A part of the picture, and the y where it ends."""

    svg: str
    bottom: float


@dataclass(frozen=True)
class Scale:
    """Puts values on pixels; what lies outside is put at the edge."""

    low: float
    high: float
    left: float
    right: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (self._even(number) for number in (self.low, self.high, value))
        part = (value - low) / (high - low)
        return self.left + min(max(part, 0.0), 1.0) * (self.right - self.left)

    def _even(self, value: float) -> float:
        return math.log10(max(value, self.low)) if self.logarithmic else value


def element(tag: str, *inside: str, **attributes: object) -> str:
    """Return an element; `class_` and `text_anchor` become `class` and `text-anchor`."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{named}>{''.join(inside)}</{tag}>" if inside else f"<{tag}{named}/>"


def group(class_: str, *inside: str) -> str:
    return element("g", "\n", *(f"{line}\n" for line in inside if line), class_=class_)


def text(x: float, y: float, words: str, class_: str, anchor: str = "start") -> str:
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor)


def box(left: float, top: float, right: float, bottom: float, class_: str, radius: float = 0) -> str:
    width, height = max(right - left, 0.0), max(bottom - top, 0.0)
    return element("rect", x=left, y=top, width=width, height=height, rx=radius, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polygon(class_: str, *corners: tuple[float, float]) -> str:
    points = " ".join(f"{_plain(float(x))},{_plain(float(y))}" for x, y in corners)
    return element("polygon", points=points, class_=class_)


def mark(shape: str, x: float, y: float, class_: str, size: float = 5) -> str:
    """Draw a circle, a square, a diamond or a triangle around a point."""
    corners = {
        "square": ((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)),
        "diamond": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
        "triangle": ((0, -1.1), (1.15, 0.9), (-1.15, 0.9)),
    }
    if shape not in corners:
        return element("circle", cx=x, cy=y, r=size, class_=class_)
    return polygon(class_, *((x + size * dx, y + size * dy) for dx, dy in corners[shape]))


def width_of(words: str, size: float = TEXT, letter: float = LETTER) -> float:
    """Return how wide a text is at most, about."""
    return letter * size * len(words)


def ticks(high: float, most: int) -> list[float]:
    """Return at most `most` round numbers from 0 to `high`, evenly apart."""
    power = 10 ** math.floor(math.log10(high / most))
    step = next(power * n for n in (1, 2, 5, 10, 20) if power * n * most >= high)
    return [step * n for n in range(int(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5, 10, 20 … between two values, both included."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [value for power in powers for n in (1, 2, 5) if low <= (value := n * 10.0**power) <= high]


def _plain(value: object) -> str:
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)
