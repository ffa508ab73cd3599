"""A line that would repeat many times a second is logged once a minute, and its end once."""

import logging

import pytest

from sluiceway.repeated_logs import RepeatedLogs

log = logging.getLogger("tests")


class Log:
    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        self._caplog = caplog
        self.now = 0.0
        self.repeated = RepeatedLogs(log, clock=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records]


def test_five_lines_a_second_become_one_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    written = Log(caplog)

    for written.now in (second / 5 for second in range(601)):
        written.repeated.warning("advance", "could not advance")

    assert written.lines == [
        "could not advance",
        "could not advance (299 more like this were left out)",
        "could not advance (299 more like this were left out)",
    ]


def test_the_end_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    written = Log(caplog)

    written.repeated.end("advance", "advancing again")
    written.repeated.warning("advance", "could not advance")
    written.repeated.end("advance", "advancing again")
    written.repeated.end("advance", "advancing again")

    assert written.lines == ["could not advance", "advancing again"]


def test_the_log_does_not_say_that_something_is_over_which_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    written = Log(caplog)

    written.repeated.warning("advance", "could not advance")
    written.now = 1
    written.repeated.end("advance", "advancing again")
    for written.now in range(2, 59):
        written.repeated.warning("advance", "could not advance")
    written.repeated.end("advance", "advancing again")

    assert written.lines == ["could not advance", "advancing again", "could not advance"]

    written.now = 61
    written.repeated.end("advance", "advancing again")

    assert written.lines[3:] == ["advancing again"]


def test_what_fails_and_works_in_turns_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    written = Log(caplog)

    for written.now in (second / 5 for second in range(601)):
        written.repeated.warning("advance", "could not advance")
        written.repeated.end("advance", "advancing again")

    assert len(written.lines) == 6
