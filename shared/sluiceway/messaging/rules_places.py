"""Where the rules of a region, or of a group of regions, are now: followers ask before each consumer."""

from nats.js.errors import NotFoundError

from ..contracts import subjects
from .reply_inbox import ReplyInbox
from .rules_streams import RulesStreams, read_rules_streams
from .stream_history import StreamPlace


async def find_region(replies: ReplyInbox, region: str) -> StreamPlace:
    """Return where the rules of a region are; raises as `read_rules_streams` does."""
    streams = await read_rules_streams(replies)
    return place_of(streams, streams.group_of(region))


async def find_group(replies: ReplyInbox, group: int) -> StreamPlace:
    """Return where the rules of a group are; raises as `read_rules_streams` does, also without the group."""
    streams = await read_rules_streams(replies)
    if group >= streams.groups:
        raise NotFoundError(description=f"there are {streams.groups} streams of rules")
    return place_of(streams, group)


def place_of(streams: RulesStreams, group: int) -> StreamPlace:
    """Return the place of a group. It is another one after each change of the number of groups."""
    share = f"{group}/{streams.groups}" if streams.groups > 1 else ""
    return StreamPlace(subjects.rules_stream(group), share)
