"""Whether a stream lost messages, or only the broker that answers for it is behind.

On a cluster, a broker that was frozen or cut off answers for streams that it led with what it has, until it
learns that there is another leader: milliseconds after a freeze, up to 20 s while it is cut off. Without a
leader, any broker that has a replica answers. So a loss is believed if a leader that hears most replicas
says so for longer than such a leader can be out of date. That a stream has nothing more is believed of such a
leader immediately: the others elect no other one as long as it is heard.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from nats.errors import Error as NatsError
from nats.js.api import StreamInfo

#: A leader hears each replica at least once a second. The others elect another one after 4 s without it.
HEARD_SECONDS = 3.0
#: A leader that was replaced counts for `HEARD_SECONDS` at most, or until the next word of a replica; and
#: what it heard before it was frozen may be handled later.
CONFIRMED_SECONDS = 10.0
ASK_EVERY_SECONDS = 0.5
NANOSECONDS = 1_000_000_000


class NoQuorum(NatsError):
    """The broker that answers for a stream does not hear most of its replicas: it proves nothing."""

    def __str__(self) -> str:
        return "the broker that answers does not hear most of its replicas"


async def settled(
    ask: Callable[[], Awaitable[StreamInfo]], is_loss: Callable[[StreamInfo], bool]
) -> StreamInfo:
    """Return the first answer about a stream that shows no loss, or one whose loss is confirmed.

    A stream without replicas is believed immediately, another one after `CONFIRMED_SECONDS`. Raises what
    `ask` raises, and `NoQuorum`.
    """
    loop = asyncio.get_running_loop()
    asked_first = loop.time()
    while is_loss(info := await ask()) and _has_replicas(info):
        if not _hears_most(info):
            raise NoQuorum
        if loop.time() - asked_first >= CONFIRMED_SECONDS:
            break
        await asyncio.sleep(ASK_EVERY_SECONDS)
    return info


def _has_replicas(info: StreamInfo) -> bool:
    return bool(info.cluster and info.cluster.replicas)


def _hears_most(info: StreamInfo) -> bool:
    cluster = info.cluster
    replicas = (cluster and cluster.replicas) or []
    heard = {str(replica.name): replica.active or 0 for replica in replicas}
    return cluster is not None and hears_most(cluster.leader, heard)


def hears_most(leader: str | None, heard_ns: Mapping[str, int]) -> bool:
    """Return whether an answer comes from a leader that has lately heard enough replicas to lead.

    `heard_ns`: how long ago the broker that answers has heard each of the others; 0 means never.
    """
    if not leader or leader in heard_ns:
        return False
    heard = sum(0 < ago < HEARD_SECONDS * NANOSECONDS for ago in heard_ns.values())
    return 2 * (1 + heard) > 1 + len(heard_ns)
