"""The picture of a run: what is in it, where it lies, and that it can be read."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

import pytest

from services.local.demo_record import Alarm, RecordedRelease, RecordedRun, RecordedStep
from services.local.picture.drawing import LEFT, RIGHT, TEXT, WIDTH, Scale, log_ticks, ticks, width_of
from services.local.picture.flags import Flag, places_of
from services.local.picture.page import draw
from services.local.picture.style import DARK, GROUNDS, LIGHT, TEXTS
from sluiceway.contracts.events import EventType
from sluiceway.contracts.feature import TriggerStatus

SVG = "{http://www.w3.org/2000/svg}"
START = 1_700_000_000_000
REGIONS = ("dev", "eu", "us")
PHASES = ("development", "america", "europe")
IN_PROGRESS, WAITING = TriggerStatus.IN_PROGRESS, TriggerStatus.WAITING_FOR_REVIEW


def a_step(
    type_: EventType, seconds: float, status: TriggerStatus, phase: str, **applied: float
) -> RecordedStep:
    return RecordedStep(type_, START + round(seconds * 1000), status, phase, "ada", "looks good", applied)


BEGINNING = (
    a_step(EventType.TRIGGER_STARTED, 0, IN_PROGRESS, "development", dev=5),
    a_step(EventType.PHASE_ADVANCED, 2, WAITING, "america"),
    a_step(EventType.PHASE_APPROVED, 4, IN_PROGRESS, "america", us=7),
)


def a_completed_release(trigger: str = "gate.new_checkout.1") -> RecordedRelease:
    end = (
        a_step(EventType.PHASE_ADVANCED, 6, IN_PROGRESS, "europe", eu=40),
        a_step(EventType.TRIGGER_COMPLETED, 8, TriggerStatus.COMPLETED, "europe"),
    )
    return RecordedRelease(trigger, BEGINNING + end)


def a_rolled_back_release() -> RecordedRelease:
    end = a_step(EventType.TRIGGER_ROLLED_BACK, 5.01, TriggerStatus.ROLLED_BACK, "america", dev=8, us=12)
    return RecordedRelease("dynamic_config.limits.1", (*BEGINNING, end), Alarm("ErrorsHigh", START + 5_000))


def a_run(*releases: RecordedRelease) -> RecordedRun:
    return RecordedRun(REGIONS, releases or (a_completed_release(), a_rolled_back_release()))


def drawn(*releases: RecordedRelease) -> ET.Element:
    return ET.fromstring(draw(a_run(*releases)))


def of_class(root: ET.Element, name: str) -> list[ET.Element]:
    return [found for found in root.iter() if name in found.get("class", "").split()]


def texts(root: ET.Element) -> list[str]:
    return [found.text or "" for found in root.iter(f"{SVG}text")]


def edges(rect: ET.Element) -> tuple[float, float]:
    left = float(rect.get("x", "nan"))
    return left, left + float(rect.get("width", "nan"))


def test_it_is_a_picture_with_a_title_and_a_description_and_refers_to_nothing_outside() -> None:
    root = drawn()

    assert (root.tag, root.get("role")) == (f"{SVG}svg", "img")
    assert root.findtext(f"{SVG}title")
    assert "gate.new_checkout.1 reached dev, us, eu and was completed." in str(root.findtext(f"{SVG}desc"))
    tags = {found.tag.removeprefix(SVG) for found in root.iter()}
    assert not tags & {"script", "image", "use", "foreignObject", "a"}
    assert "@import" not in draw(a_run())
    assert "url(http" not in draw(a_run())


def test_every_region_every_phase_and_what_happened_is_in_it() -> None:
    for release in of_class(drawn(), "release"):
        found = texts(release)

        assert set(REGIONS) <= set(found)
        assert {"started by ada", "approved by ada"} <= set(found)

    completed, rolled_back = (texts(release) for release in of_class(drawn(), "release"))
    assert set(PHASES) | {"completed"} <= set(completed)
    assert {"alert ErrorsHigh", "rolled back by ada", "22 ms from the alert to the last region"} <= set(
        rolled_back
    )


def test_what_people_wrote_is_escaped() -> None:
    root = drawn(a_completed_release('gate.<b>"&1'))

    assert 'gate.<b>"&1' in texts(root)
    assert 'gate.<b>"&1 reached' in str(root.findtext(f"{SVG}desc"))


def test_bars_and_phases_lie_inside_the_axes() -> None:
    for release in of_class(drawn(), "release"):
        for shape in of_class(release, "bar") + of_class(release, "phase"):
            left, right = edges(shape)
            assert LEFT <= left <= right <= RIGHT


def test_phases_follow_each_other_without_a_gap() -> None:
    for release in of_class(drawn(), "release"):
        spans = [edges(phase) for phase in of_class(release, "phase")]

        for (_, end), (begin, _) in pairwise(spans):
            assert begin == pytest.approx(end, abs=0.02)


def test_a_bar_begins_when_the_region_had_applied_the_candidate_and_ends_at_the_completion() -> None:
    release = a_completed_release()

    assert release.held("us") == (START + 4_007, START + 8_000)
    (drawing,) = of_class(drawn(release), "release")
    begins = [edges(bar)[0] for bar in of_class(drawing, "bar")]
    assert begins == sorted(begins)
    assert len({edges(bar)[1] for bar in of_class(drawing, "bar")}) == 1


def test_a_rolled_back_release_ends_its_bars_when_the_region_served_the_base_again() -> None:
    release = a_rolled_back_release()

    assert [release.held(region) for region in REGIONS] == [
        (START + 5, START + 5_018),
        None,
        (START + 4_007, START + 5_022),
    ]
    (drawing,) = of_class(drawn(release), "release")
    assert texts(drawing).count("never received the candidate") == 1
    (enlarged,) = of_class(drawing, "enlarged")
    assert [found for found in texts(enlarged) if found in ("18 ms", "22 ms")] == ["18 ms", "22 ms"]


def test_regions_stand_in_the_order_in_which_they_were_reached() -> None:
    (release,) = of_class(drawn(a_completed_release()), "release")

    assert [found for found in texts(release) if found in REGIONS] == ["dev", "us", "eu"]


def test_each_application_of_an_event_is_a_dot_beside_its_figures() -> None:
    (propagation,) = of_class(drawn(), "propagation")

    assert len(of_class(propagation, "dot")) == 7
    assert texts(propagation)[-4:] == ["all regions", "7", "7 ms", "40 ms"]


def test_no_text_hides_another_or_leaves_the_picture() -> None:
    root = drawn()
    areas = [_area(found) for found in root.iter(f"{SVG}text")]

    for area in areas:
        assert area.left >= 0
        assert area.right <= WIDTH
        assert 0 <= area.y <= float(root.get("height", "nan"))
    for one, other in combinations(areas, 2):
        assert not one.hits(other), (one, other)


@pytest.mark.parametrize("apart_ms", [0, 1, 100, 1_000, 9_000])
def test_flags_however_close_do_not_hit_each_other(apart_ms: int) -> None:
    flags = [Flag(START + n * apart_ms, f"approved by person-{n}", "circle", "go") for n in range(5)]

    places = places_of(flags, Scale(START, START + 40_000, LEFT, RIGHT))

    assert not [pair for pair in combinations(places, 2) if pair[0].hits(pair[1])]


def test_words_that_do_not_fit_right_of_their_pole_stand_left_of_it() -> None:
    scale = Scale(0, 10, LEFT, RIGHT)

    first, last = places_of(
        [Flag(0, "started", "circle", "go"), Flag(10, "completed", "square", "good")], scale
    )

    assert not first.is_left_of_pole
    assert last.is_left_of_pole
    assert first.lane == last.lane == 0


def test_a_release_that_is_still_under_way_is_drawn_as_far_as_it_came() -> None:
    release = RecordedRelease("gate.new_checkout.1", BEGINNING)

    assert set(REGIONS) <= set(texts(drawn(release)))
    assert release.held("dev") is not None


def test_a_release_that_has_just_begun_is_drawn_too() -> None:
    assert "started by ada" in texts(drawn(RecordedRelease("gate.new_checkout.1", BEGINNING[:1])))


def test_the_same_run_gives_the_same_picture() -> None:
    assert draw(a_run()) == draw(a_run())


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa_on_every_ground(colours: dict[str, str]) -> None:
    for text in TEXTS:
        for ground in GROUNDS:
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_bars_stand_out_from_every_ground(colours: dict[str, str]) -> None:
    for ground in GROUNDS:
        assert _contrast(colours["held"], colours[ground]) >= 3, ground


def test_a_logarithmic_scale_gives_each_decade_the_same_room_and_clips() -> None:
    scale = Scale(1, 100, 0, 200, logarithmic=True)

    assert [scale(value) for value in (0, 1, 10, 100, 1_000)] == [0, 0, 100, 200, 200]


def test_ticks_are_round_numbers() -> None:
    assert ticks(11.6, 12) == list(range(12))
    assert ticks(24, 4) == [0, 10, 20]
    assert log_ticks(1, 50) == [1, 2, 5, 10, 20, 50]


@dataclass(frozen=True)
class Area:
    """About where a text stands."""

    words: str
    left: float
    right: float
    y: float

    def hits(self, other: "Area") -> bool:
        return abs(self.y - other.y) < TEXT and self.left < other.right and other.left < self.right


def _area(found: ET.Element) -> Area:
    words, classes = found.text or "", found.get("class", "").split()
    size = {"title": 22, "heading": 16}.get(classes[0], TEXT)
    width, x = width_of(words, size), float(found.get("x", "nan"))
    left = x - width * {"start": 0, "middle": 0.5, "end": 1}[found.get("text-anchor", "start")]
    return Area(words, left, left + width, float(found.get("y", "nan")))


def _contrast(one: str, other: str) -> float:
    """Return the ratio of two colours (https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio)."""
    darker, brighter = sorted((_luminance(one), _luminance(other)))
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    red, green, blue = _linear(colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(colour: str) -> Iterator[float]:
    for digits in (colour[1:3], colour[3:5], colour[5:7]):
        part = int(digits, 16) / 255
        yield part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
