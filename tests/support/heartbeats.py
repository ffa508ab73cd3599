"""Heartbeats of streams that come more often than in use, for tests of what happens without them."""

import pytest

from sluiceway.messaging import stream_consumer

HEARTBEAT_SECONDS = 0.1


def make_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let followers expect ten times as many heartbeats as usual."""
    monkeypatch.setattr(stream_consumer, "HEARTBEAT_SECONDS", HEARTBEAT_SECONDS)
    monkeypatch.setattr(stream_consumer, "SILENCE_MAX_SECONDS", 3 * HEARTBEAT_SECONDS)
    monkeypatch.setattr(stream_consumer, "LISTEN_SECONDS", HEARTBEAT_SECONDS / 2)
