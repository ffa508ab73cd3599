"""An edge knows whether what publishers write arrives at it."""

import json

from services.edge.link_age import STALE_AFTER_SECONDS, LinkAge
from sluiceway.contracts.heartbeats import HEARTBEAT_EVERY_SECONDS, Heartbeat
from sluiceway.messaging.nats_client import RawMessage

#: Heartbeats until rules without a newer one would count as old, several times over.
MANY = 20


class Region:
    """The link of a region's edge, and a clock that the test moves."""

    def __init__(self, *, expects_heartbeats: bool = True) -> None:
        self.now = 1_000_000.0
        self.applied = 0
        self.link = LinkAge("dev", expects_heartbeats=expects_heartbeats, clock=lambda: self.now)
        self.link.applied = lambda: self.applied

    def hear(self, sequence: int) -> None:
        """Receive a heartbeat, and let the time until the next one pass."""
        self.hear_data(Heartbeat(sequence=sequence).to_json())
        self.now += HEARTBEAT_EVERY_SECONDS

    def hear_data(self, data: bytes) -> None:
        self.link.receive(RawMessage("sluiceway.heartbeats.dev", data))


def test_an_edge_that_starts_while_its_link_is_down_is_stale_after_ten_seconds() -> None:
    region = Region()

    region.now += STALE_AFTER_SECONDS
    assert region.link.problem is None
    region.now += 1
    assert region.link.problem == (
        "no word from a publisher since the start 11 s ago: the link to them is down, none runs, or the "
        "broker's permissions or all publishers are of an older version"
    )
    region.hear(0)
    assert region.link.problem is None


def test_an_edge_that_is_told_to_expect_no_heartbeats_is_not_stale_before_the_first_one() -> None:
    region = Region(expects_heartbeats=False)

    region.now += 1_000 * STALE_AFTER_SECONDS
    assert region.link.problem is None
    region.hear(0)
    region.now += STALE_AFTER_SECONDS

    assert region.link.problem


def test_an_edge_without_a_word_from_a_publisher_for_ten_seconds_is_stale_until_the_next_one() -> None:
    region = Region()
    region.hear(0)

    region.now += STALE_AFTER_SECONDS - HEARTBEAT_EVERY_SECONDS
    assert region.link.problem is None
    region.now += 1
    assert region.link.problem == (
        "no word from a publisher for 11 s: the link to them is down, or all of them are"
    )
    region.hear(0)
    assert region.link.problem is None


def test_three_heartbeats_may_be_late() -> None:
    assert 3 * HEARTBEAT_EVERY_SECONDS < STALE_AFTER_SECONDS


def test_an_edge_whose_copy_of_the_rules_stands_still_is_stale_although_it_is_told_so() -> None:
    region = Region()
    region.applied = 7
    region.hear(7)

    for _ in range(MANY):
        region.hear(9)

    assert region.link.problem == (
        "behind for 63 s: message 9 of RULES is published, and 7 applied; the copy of the rules, or the "
        "link to it, is down"
    )
    region.applied = 9
    assert region.link.problem is None


def test_an_edge_that_is_always_a_moment_behind_is_not_stale() -> None:
    region = Region()
    for sequence in range(MANY):
        region.hear(sequence)
        region.applied = sequence

        assert region.link.problem is None


def test_a_region_that_was_never_current_is_stale_ten_seconds_after_the_first_word() -> None:
    region = Region()

    region.hear(5)
    assert region.link.problem is None
    for _ in range(3):
        region.hear(5)

    assert region.link.problem


def test_a_history_that_goes_back_makes_nobody_stale() -> None:
    region = Region()
    region.applied = 900
    region.hear(900)

    for _ in range(MANY):
        region.applied = 3
        region.hear(3)

        assert region.link.problem is None


def test_the_word_of_a_publisher_that_lags_behind_counts_no_less() -> None:
    region = Region()
    region.applied = 9
    for _ in range(MANY):
        region.hear(9)
        region.hear(4)

        assert region.link.problem is None


def test_an_invalid_heartbeat_proves_nothing_and_ends_nothing() -> None:
    region = Region()
    region.hear(0)

    for data in (b"", b"\xff", b"{}", b'{"sequence":-1}', b'{"sequence":"soon"}'):
        region.now += STALE_AFTER_SECONDS
        region.hear_data(data)
        assert region.link.problem

    region.hear_data(json.dumps({"sequence": 0, "ofALaterVersion": 1}).encode())
    assert region.link.problem is None
