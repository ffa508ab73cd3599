"""When a version is in the last of many regions, as the process that holds them says it."""

import time
from collections import defaultdict

from .lines import say

#: Of the process that holds the regions; on either side.
CONNECTIONS_MAX = 50


class Arrivals:
    """Says each version and when the last region has it, by the clock that all processes of a host share."""

    def __init__(self, regions: int) -> None:
        self._regions = regions
        self._holders: defaultdict[int, set[int]] = defaultdict(set)

    def note(self, region: int, version: int) -> None:
        holders = self._holders[version]
        holders.add(region)
        if len(holders) == self._regions:
            say(version, time.perf_counter())
            del self._holders[version]
