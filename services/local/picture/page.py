"""The whole picture: title, legend, both releases, propagation, footer."""

from datetime import UTC, datetime
from html import escape

from ..demo_record import RecordedRun
from .drawing import MARGIN, RIGHT, WIDTH, Block, box, element, group, line, text, width_of
from .propagation import propagation
from .style import style_sheet
from .timeline import pixels_per_ms, timeline

GAP = 38
TITLE = "What a release looks like"
MADE_FROM = (
    "Recorded {date} by “make dashboards”: a NATS broker, the scheduler, publisher and monitor, and an edge"
    " per region,",
    "each a process of its own on one machine. The demo itself approves, and fires the alert.",
)
LEGEND = (
    ("the region serves the candidate", "held"),
    ("a phase bakes", "odd"),
    ("a phase waits for its review", "wait", "striped"),
)
STRIPES = (
    '<defs><pattern id="stripes" width="8" height="8" patternUnits="userSpaceOnUse"'
    ' patternTransform="rotate(45)"><line x1="0" y1="0" x2="0" y2="8" class="stripe"/></pattern></defs>'
)


def draw(run: RecordedRun) -> str:
    """Return a picture of a run as the text of an SVG file."""
    regions = _in_order(run)
    run = RecordedRun(regions, run.releases)
    blocks = [_head(run)]
    scale = pixels_per_ms(run.releases)
    for release in run.releases:
        blocks.append(timeline(release, regions, blocks[-1].bottom + GAP, scale))
    blocks.append(propagation(run, blocks[-1].bottom + GAP))
    blocks.append(_foot(run, blocks[-1].bottom + GAP))
    height = round(blocks[-1].bottom)
    return element(
        "svg",
        "\n",
        element("title", TITLE, id="title"),
        element("desc", _description(run), id="desc"),
        element("style", style_sheet()),
        STRIPES,
        box(0.5, 0.5, WIDTH - 0.5, height - 0.5, "page", 8),
        *(block.svg for block in blocks),
        "\n",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH,
        height=height,
        role="img",
        aria_labelledby="title desc",
    )


def _in_order(run: RecordedRun) -> tuple[str, ...]:
    """Return the regions in the order in which the releases reached them, then the others."""
    reached = (region for release in run.releases for step in release.steps for region in step.applied)
    return tuple(dict.fromkeys((*reached, *run.regions)))


def _head(run: RecordedRun) -> Block:
    subtitle = f"{len(run.releases)} releases through {len(run.regions)} regions, as they were recorded"
    return Block(
        group(
            "head",
            text(MARGIN, 46, TITLE, "title"),
            text(MARGIN, 68, subtitle, "quiet"),
            *_legend(98),
        ),
        104,
    )


def _legend(y: float) -> list[str]:
    """Draw the keys of the timelines."""
    x, parts = float(MARGIN), []
    for words, *classes in LEGEND:
        parts += [box(x, y - 11, x + 20, y + 1, class_, 2) for class_ in classes]
        parts.append(text(x + 28, y, words, "ink"))
        x += 28 + width_of(words) + 20
    return parts


def _foot(run: RecordedRun, top: float) -> Block:
    date = datetime.fromtimestamp(run.releases[0].begins_ms / 1000, UTC).date().isoformat()
    lines = [words.format(date=date) for words in MADE_FROM]
    parts = [line(MARGIN, top - 14, RIGHT, top - 14, "grid")]
    parts += [text(MARGIN, top + 10 + 18 * n, words, "quiet") for n, words in enumerate(lines)]
    return Block(group("foot", *parts), top + 10 + 18 * len(lines) + 6)


def _description(run: RecordedRun) -> str:
    stories = []
    for release in run.releases:
        outcome = release.last.status.lower().replace("_", " ")
        reached = [region for region in run.regions if release.held(region)]
        stories.append(f"{release.trigger} reached {', '.join(reached)} and was {outcome}.")
    return escape(" ".join(stories))
