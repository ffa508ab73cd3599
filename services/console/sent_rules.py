"""The rules that a stream of RULES holds: what each region of a group was sent."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping

import msgspec

from sluiceway.contracts import subjects
from sluiceway.contracts.identifiers import FeatureKey
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.feature_view import FeatureView
from sluiceway.messaging.stream_follower import Follower
from sluiceway.messaging.stream_history import StreamPlace
from sluiceway.messaging.stream_records import START, Position, Record
from sluiceway.messaging.stream_view import StreamView
from sluiceway.telemetry import metrics

from .held_rules import HeldRules, RulesOfRegion

NO_RULES = RulesOfRegion()


class _Document(msgspec.Struct):
    """The fields of a rule document that are kept in memory."""

    revision: int = 0
    trigger: str | None = None


_DECODER = msgspec.json.Decoder(_Document)


class SentRules(StreamView):
    """Follows the stream that `find` returns while the block runs.

    `on_change` is called with a region and a feature whose rules it was sent; `on_caught_up` once everything
    is read.
    """

    def __init__(
        self,
        connection: Connection,
        features: FeatureView,
        find: Callable[[], Awaitable[StreamPlace]],
        on_change: Callable[[str, FeatureKey], None],
        on_caught_up: Callable[[], None],
    ) -> None:
        self._features = features
        self._on_change = on_change
        self._held: dict[str, RulesOfRegion] = defaultdict(RulesOfRegion)
        #: The newest position per region, deletions included.
        self._newest: dict[str, Position] = {}
        self.follower = Follower(
            connection,
            subjects.RULES_STREAM,
            [subjects.RULES],
            self._handle,
            on_reset=self._reset,
            on_caught_up=on_caught_up,
            find=find,
        )

    def held(self, region: str) -> Mapping[FeatureKey, HeldRules]:
        """Return the rules that a region was sent."""
        return self._held.get(region, NO_RULES)

    def newest(self, region: str) -> Position:
        """Return the position of what a region was sent last."""
        return self._newest.get(region, START)

    def _reset(self) -> None:
        self._held.clear()
        self._newest.clear()

    def _handle(self, record: Record) -> None:
        position = Position("", record.sequence, record.time_ms)
        if subjects.is_complete_set(record.subject):
            self._newest[subjects.parse_region(record.subject)] = position
            return
        try:
            region, key = subjects.parse_rule(record.subject)
        except ValueError:  # of no region and feature
            metrics.INVALID_RECORDS.labels(subjects.RULES_STREAM).inc()
            return
        self._newest[region] = position
        if record.is_deletion:
            self._held[region].discard(key)
        else:
            document = _DECODER.decode(record.data)
            self._held[region].set(
                self._shared(key), record.sequence, record.time_ms, document.revision, document.trigger
            )
        if self.follower.is_caught_up:
            self._on_change(region, key)

    def _shared(self, key: FeatureKey) -> FeatureKey:
        """Return the one key of a feature that all regions share."""
        entry = self._features.get(key)
        return entry.key if entry else key
