"""Polling an edge goes on, whatever it answers."""

from typing import cast

import pytest

from sluiceway.client.edge_transport import EdgeTransport
from sluiceway.client.region_rules import RegionRules


@pytest.mark.parametrize(
    "body", [b"", b"\xff", b'{"checksum": "\xff"}', b'{"x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"]
)
def test_an_answer_that_is_none_is_asked_for_again(body: bytes) -> None:
    class Answering(EdgeTransport):
        polls = 0

        def _poll(self) -> tuple[int, bytes]:
            self.polls += 1
            return 200, body

        def _wait(self, seconds: float) -> None:
            if self.polls == 2:
                self.stop()

    transport = Answering("http://127.0.0.1:1", "key")

    transport.follow(cast(RegionRules, None), ready=lambda: None)

    assert transport.polls == 2
