"""The streams that hold the rules: one, or one for each of several groups of regions.

For each consumer a broker looks through the messages of its neighbours in the stream, so that the cost of an
event grows with the square of its regions. Each stream lists the regions of its group in its subjects:
who publishes or subscribes by subject does not notice the groups. How many there are stands in the metadata
of the first stream. Without it, and in the account of a region, which has a copy of its own, one stream holds
all rules.
"""

import zlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec
from nats.js.errors import APIError

from ..contracts import subjects
from .jetstream_api import ANSWER_SECONDS, API
from .reply_inbox import ReplyInbox

#: Where the first stream says how many there are.
COUNT_METADATA = "sluiceway.rules_streams"
#: Each stream has replicas of its own in a cluster.
STREAMS_MAX = 64


class RulesStreams(NamedTuple):
    """How the rules are spread over streams."""

    groups: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """All streams, the first one first."""
        return tuple(subjects.rules_stream(group) for group in range(self.groups))

    def of(self, region: str) -> str:
        """Return the stream that holds the rules of a region."""
        return subjects.rules_stream(self.group_of(region))

    def group_of(self, region: str) -> int:
        """Return the group of a region; it depends on the name and the number of groups only."""
        return zlib.crc32(region.encode()) % self.groups

    def subjects(self, group: int, regions: Iterable[str]) -> list[str]:
        """Return the subjects of the stream of a group, if there are these regions in all."""
        if self.groups == 1:
            return [subjects.RULES]
        own = sorted(region for region in regions if self.group_of(region) == group)
        return [subjects.checkpoint(group), *map(subjects.rules_of, own)]

    @property
    def metadata(self) -> dict[str, str]:
        """What each stream says of this; what the first one says counts."""
        return {COUNT_METADATA: str(self.groups)} if self.groups > 1 else {}

    @classmethod
    def parse(cls, metadata: dict[str, str]) -> "RulesStreams":
        """Read what the first stream says; `ValueError` if no version of ours has written it."""
        text = metadata.get(COUNT_METADATA, "1")
        count = int(text) if text.isascii() and text.isdigit() else 0
        if not 1 <= count <= STREAMS_MAX:
            raise ValueError(f"invalid number of streams for rules: {text!r} (1 to {STREAMS_MAX})")
        return cls(count)


class _Config(msgspec.Struct):
    metadata: dict[str, str] = {}


class _Info(msgspec.Struct):
    config: _Config | None = None
    error: dict[str, object] | None = None


_INFOS = msgspec.json.Decoder(_Info)


async def read_rules_streams(replies: ReplyInbox) -> RulesStreams:
    """Return how the rules are spread now, as the leader of the first stream knows it.

    Raises `APIError`, nats-py's `NotFoundError` included, and its errors of a request that is not answered.
    """
    reply = await replies.request(f"{API}.STREAM.INFO.{subjects.RULES_STREAM}", timeout=ANSWER_SECONDS)
    try:
        info = _INFOS.decode(reply)
        if info.error is not None:
            APIError.from_error(info.error)
        return RulesStreams.parse(info.config.metadata if info.config else {})
    except (msgspec.MsgspecError, ValueError) as error:
        raise APIError(description=f"cannot tell the streams of rules: {error}") from error
