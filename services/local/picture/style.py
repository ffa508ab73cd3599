"""The colours, one palette for light and one for dark, and the style sheet made of them."""

from collections.abc import Mapping

#: Told apart by every common form of colour vision (after Okabe and Ito, https://jfly.uni-koeln.de/color/),
#: and, where it matters, by shape too.
LIGHT = {
    "page": "#ffffff",
    "edge": "#d1d9e0",
    "ink": "#1f2328",
    "quiet": "#57606a",
    "even": "#f3f5f8",
    "odd": "#e9edf2",
    "wait": "#fff3d1",
    "stripe": "#e3b341",
    "grid": "#d8dee4",
    "held": "#2f74c0",
    "go": "#1f66b5",
    "good": "#0b7560",
    "bad": "#b93a08",
}
DARK = {
    "page": "#0d1117",
    "edge": "#30363d",
    "ink": "#f0f6fc",
    "quiet": "#a5adb6",
    "even": "#151b23",
    "odd": "#1d242e",
    "wait": "#2c2410",
    "stripe": "#7d5f17",
    "grid": "#2b323b",
    "held": "#4493f8",
    "go": "#79b8ff",
    "good": "#43d1b0",
    "bad": "#ff9466",
}
#: Which texts stand on which grounds.
TEXTS = ("ink", "quiet", "go", "good", "bad")
GROUNDS = ("page", "even", "odd", "wait")

_SHAPES = """
text { font: 12px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }
.title { font-size: 22px; font-weight: 600 }
.heading { font-size: 16px; font-weight: 600 }
.code { font-family: ui-monospace, "SF Mono", Menlo, "Liberation Mono", monospace }
.strong { font-weight: 600 }
.number { font-variant-numeric: tabular-nums }
.never { font-style: italic }
.striped { fill: url(#stripes); fill-opacity: .5 }
.decided { stroke-dasharray: 3 3 }
"""


def style_sheet() -> str:
    """Return the content of <style>: what is the same in both, light, and dark where that is preferred."""
    return f"{_SHAPES}{_rules(LIGHT)}@media (prefers-color-scheme: dark) {{\n{_rules(DARK)}}}\n"


def _rules(colour: Mapping[str, str]) -> str:
    rules = {f".{name}": f"fill: {colour[name]}" for name in ("ink", "quiet", "even", "odd", "wait", "held")}
    rules |= {
        "text": f"fill: {colour['ink']}",
        "text.quiet": f"fill: {colour['quiet']}",
        ".page": f"fill: {colour['page']}; stroke: {colour['edge']}",
        ".stripe": f"stroke: {colour['stripe']}; stroke-width: 2",
        ".grid": f"stroke: {colour['grid']}",
        ".lens": f"fill: {colour['bad']}; fill-opacity: .09",
        ".range": f"fill: {colour['quiet']}; fill-opacity: .45",
        ".median": f"stroke: {colour['ink']}; stroke-width: 2",
        ".decided": f"stroke: {colour['ink']}; stroke-width: 1.5",
        ".dot": f"stroke: {colour['page']}",
    }
    for name in ("go", "good", "bad"):
        rules[f".{name}, text.{name}"] = f"fill: {colour[name]}"
        rules[f"line.{name}"] = f"stroke: {colour[name]}; stroke-width: 1.5"
        rules[f"rect.pill.{name}"] = f"fill: none; stroke: {colour[name]}"
    return "".join(f"{selector} {{ {rule} }}\n" for selector, rule in rules.items())
