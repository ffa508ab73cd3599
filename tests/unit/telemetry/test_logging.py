"""What a service's log leaves out."""

import logging

import pytest

from sluiceway.telemetry.logging import set_up_logging


@pytest.mark.parametrize("library", ["httpx", "uvicorn.access"])
def test_a_log_does_not_tell_of_every_single_request(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # the root logger is pytest's

    set_up_logging("monitor", form="text", level="INFO")

    assert not logging.getLogger(library).isEnabledFor(logging.INFO)
    assert logging.getLogger(library).isEnabledFor(logging.WARNING)
