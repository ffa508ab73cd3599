"""Entity tags are compared as RFC 9110 says."""

import pytest

from sluiceway.http.etags import TAGS_MAX, EntityTag, TagCondition, tag_condition

ONE, WEAK_ONE, TWO = EntityTag("1"), EntityTag("1", is_weak=True), EntityTag("2")


@pytest.mark.parametrize(
    ("left", "right", "strongly", "weakly"),
    [
        (WEAK_ONE, WEAK_ONE, False, True),
        (WEAK_ONE, EntityTag("2", is_weak=True), False, False),
        (WEAK_ONE, ONE, False, True),
        (ONE, ONE, True, True),
    ],
)
def test_the_comparisons_are_those_of_the_table_in_the_rfc(
    left: EntityTag, right: EntityTag, strongly: bool, weakly: bool
) -> None:
    assert left.equals_strongly(right) is strongly
    assert left.equals_weakly(right) is weakly


@pytest.mark.parametrize(
    ("lines", "tags"),
    [
        (['"1"'], (ONE,)),
        (['W/"1"'], (WEAK_ONE,)),
        (['"1", W/"1" ,"2"'], (ONE, WEAK_ONE, TWO)),
        (['"1"', '"2"'], (ONE, TWO)),
        (['"a,b"'], (EntityTag("a,b"),)),
        ([' , "1",, "2", '], (ONE, TWO)),
        (['""'], (EntityTag(""),)),
        (['"\xfc"'], (EntityTag("\xfc"),)),
    ],
)
def test_a_header_is_a_list_of_tags(lines: list[str], tags: tuple[EntityTag, ...]) -> None:
    assert tag_condition(lines) == TagCondition(tags)


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        ",",
        "1",
        "'1'",
        '"1',
        'w/"1"',
        'W/1"',
        '"1" "2"',
        '"1"x',
        '"a b"',
        '"a"b"',
        '*, "1"',
        '"1", *',
        "W/*",
    ],
)
def test_a_header_that_is_no_list_of_tags_is_refused(header: str) -> None:
    with pytest.raises(ValueError, match="invalid list of entity tags"):
        tag_condition([header])


def test_a_list_is_bounded() -> None:
    assert tag_condition([", ".join(['"1"'] * TAGS_MAX)])

    with pytest.raises(ValueError, match=f"at most {TAGS_MAX} tags"):
        tag_condition([", ".join(['"1"'] * (TAGS_MAX + 1))])


def test_without_the_header_there_is_no_condition() -> None:
    assert tag_condition([]) is None


def test_a_star_matches_whatever_is_there_and_nothing_else() -> None:
    star = tag_condition(["*"])

    assert star
    assert star.matches_strongly(ONE)
    assert star.matches_weakly(WEAK_ONE)
    assert not star.matches_strongly(None)
    assert not star.matches_weakly(None)


def test_one_of_several_tags_may_match() -> None:
    condition = tag_condition(['"2", W/"1"'])

    assert condition
    assert condition.matches_weakly(ONE)
    assert not condition.matches_strongly(ONE)
    assert condition.matches_strongly(TWO)


def test_a_tag_is_written_as_it_was_read() -> None:
    condition = tag_condition(['W/"1", "2"'])

    assert condition
    assert [str(tag) for tag in condition.tags] == ['W/"1"', '"2"']
