"""The chart of a run: what it shows, that nothing hides anything, and that it can be read."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import combinations

import pytest

from services.local.demo_record import RecordedRelease, RecordedRun
from tests.support.recorded_runs import (
    BEGINNING,
    PHASES,
    REGIONS,
    a_completed_release,
    a_rolled_back_release,
    a_run,
)

pytest.importorskip("matplotlib", reason="only `make dashboards` needs matplotlib")

from matplotlib import style
from matplotlib.text import Text

from services.local.chart_style import BACKGROUNDS, COLOURS, RC_PARAMS, TEXTS
from services.local.propagation_chart import applications
from services.local.release_chart import draw_run, run_figure

SVG = "{http://www.w3.org/2000/svg}"
HREF = "{http://www.w3.org/1999/xlink}href"


def drawn(*releases: RecordedRelease) -> ET.Element:
    return ET.fromstring(draw_run(a_run(*releases)))


def texts(root: ET.Element) -> list[str]:
    return [found.text or "" for found in root.iter(f"{SVG}text")]


def test_it_has_a_title_and_a_description_and_refers_to_nothing_outside() -> None:
    root = drawn()

    assert (root.tag, root.get("role")) == (f"{SVG}svg", "img")
    assert root.findtext(f"{SVG}title")
    assert "gate.new_checkout.1 reached dev, us, eu and was completed." in str(root.findtext(f"{SVG}desc"))
    tags = {found.tag.removeprefix(SVG) for found in root.iter()}
    assert not tags & {"script", "image", "foreignObject", "a"}
    assert all(found.get(HREF, "#").startswith("#") for found in root.iter())
    assert "@import" not in draw_run(a_run())
    assert "url(http" not in draw_run(a_run())


def test_every_region_every_phase_and_every_labelled_event_is_in_it() -> None:
    for release in (a_completed_release(), a_rolled_back_release()):
        found = texts(drawn(release))

        assert {*REGIONS, "started by ada", "approved by ada", "review 2.0 s"} <= set(found)

    assert {*PHASES, "completed", "completed: 8.0 s, 3 of 3 regions"} <= set(
        texts(drawn(a_completed_release()))
    )
    assert {
        "alert ErrorsHigh",
        "rolled back by ada",
        "rolled back: 22 ms from the alert to the last region",
    } <= set(texts(drawn(a_rolled_back_release())))


def test_a_rolled_back_release_shows_how_long_each_region_took_and_which_never_had_the_candidate() -> None:
    found = texts(drawn(a_rolled_back_release()))

    assert found.count("never received the candidate") == 1
    assert {"18 ms", "22 ms"} <= set(found)


def test_names_are_escaped() -> None:
    root = drawn(a_completed_release('gate.<b>"&1$x$'))

    assert 'gate.<b>"&1$x$' in texts(root)
    assert 'gate.<b>"&1$x$ reached' in str(root.findtext(f"{SVG}desc"))


def test_each_application_of_an_event_is_a_dot_beside_its_figures() -> None:
    assert len(list(applications(a_run()))) == 7
    found = texts(drawn())
    figures = [tuple(found[n : n + 3]) for n in range(len(found))]
    assert ("1", "40 ms", "40 ms") in figures
    assert ("7", "7 ms", "40 ms") in figures


@pytest.mark.parametrize(
    "run",
    [a_run(), a_run(a_completed_release("gate." + "long_name_" * 4)), a_run(a_rolled_back_release())],
    ids=["both", "long name", "rolled back"],
)
def test_no_text_hides_another_or_leaves_the_picture(run: RecordedRun) -> None:
    with style.context(RC_PARAMS):
        figure = run_figure(run)
        figure.draw_without_rendering()
        boxes = [
            (text.get_text(), text.get_window_extent())
            for text in figure.findobj(Text)
            if isinstance(text, Text) and text.get_text().strip() and text.get_visible()
        ]

    assert len(boxes) > 20
    for words, box in boxes:
        assert box.x0 >= 0, words
        assert box.y0 >= 0, words
        assert box.x1 <= figure.bbox.width, words
        assert box.y1 <= figure.bbox.height, words
    for (words, box), (other_words, other) in combinations(boxes, 2):
        assert not box.padded(-1).overlaps(other.padded(-1)), (words, other_words)


def test_a_release_that_is_still_in_progress_is_drawn() -> None:
    release = RecordedRelease("gate.new_checkout.1", BEGINNING)

    assert set(REGIONS) <= set(texts(drawn(release)))
    assert release.candidate_span("dev") is not None


def test_a_release_that_has_just_started_is_drawn() -> None:
    assert "started by ada" in texts(drawn(RecordedRelease("gate.new_checkout.1", BEGINNING[:1])))


def test_the_same_run_gives_the_same_picture() -> None:
    assert draw_run(a_run()) == draw_run(a_run())


def test_every_text_has_the_contrast_of_wcag_aa_on_every_background() -> None:
    for text in TEXTS:
        for background in BACKGROUNDS:
            assert _contrast(COLOURS[text], COLOURS[background]) >= 4.5, (text, background)


def test_bars_stand_out_from_every_background() -> None:
    for background in BACKGROUNDS:
        assert _contrast(COLOURS["candidate"], COLOURS[background]) >= 3, background


def _contrast(colour: str, other: str) -> float:
    """Return the ratio of two colours (https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio)."""
    darker, brighter = sorted((_luminance(colour), _luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = _linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(colour: str) -> Iterator[float]:
    for digits in (colour[1:3], colour[3:5], colour[5:7]):
        part = int(digits, 16) / 255
        yield part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
