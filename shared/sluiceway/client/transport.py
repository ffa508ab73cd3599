"""How rules reach an application: over NATS itself, or over the HTTP of a region's edge."""

from collections.abc import Callable
from typing import Protocol

from .region_rules import RegionRules

#: For a transport to pause before a fork.
PAUSE_SECONDS = 2.0


class Transport(Protocol):
    """Keeps rules current, in a thread of its own, until it is stopped."""

    def follow(self, rules: RegionRules, ready: Callable[[], None]) -> None:
        """Follow until `stop` is called; call `ready` once all that the region holds is applied."""

    def stop(self) -> None:
        """End `follow`; may be called from any thread."""

    def pause(self) -> None:
        """Pause `follow` at a point without locks, and return then, so that the process may fork."""

    def resume(self) -> None:
        """Resume `follow`."""
