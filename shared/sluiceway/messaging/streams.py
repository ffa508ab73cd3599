"""Declares every stream and bucket. The scheduler does so when it starts; the other services wait.

A stream that several senders write to keeps so many messages of each subject that no sender can evict what
others have sent: there is one subject per sender.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StreamConfig
from nats.js.errors import APIError, NotFoundError

from ..backoff import Backoff
from ..contracts import subjects
from ..contracts.alerts import ALERT_BYTES_MAX
from ..errors import error_text
from ..repeated_logs import RepeatedLogs
from .rules_declaration import RulesDeclaration
from .stream_creation import create_stream
from .stream_replicas import choose_replicas
from .stream_sizes import LARGEST, NoSpace, fitting_sizes
from .stream_upgrades import upgrade

log = logging.getLogger(__name__)
repeated = RepeatedLogs(log)

DAY_SECONDS = 86_400
#: A report that is not repeated within this time belongs to a dead instance.
APPLIED_LIFETIME_SECONDS = 60
#: How fast a service reads reports, which edges write as fast as they like: some 5,000 a second.
APPLIED_BITS_PER_SECOND = 16_000_000
#: Reports kept of each instance, so that a reader misses none of them in a burst.
APPLIED_HISTORY = 16
#: Bytes of a report with its headers: as many changes as it may list fit, whatever their names are.
APPLIED_BYTES_MAX = 16 * 1024
CATALOG_HISTORY = 64
#: Consumers that a stream takes if processes of each region read it: two of each of 10,000 regions, or the
#: copies in the accounts of regions. nats-server takes 1,000 if nothing is said.
FOLLOWERS_MAX = 20_000
#: The least that nats-server takes. Ids are one name space for all senders: one could use up another's.
ALERT_DUPLICATES_SECONDS = 0.1
#: Bytes of an alert with its headers. A larger one is refused when it is published.
ALERT_STORED_BYTES_MAX = ALERT_BYTES_MAX + 16 * 1024
#: Alerts kept of each source, where they take at most this part of the stream: so many sources may flood.
ALERTS_OF_SOURCE_MAX = 500
FLOODING_SOURCES = 4
#: Outcomes of alerts, or verdicts, kept of each source or trigger.
VERDICTS_OF_SUBJECT_MAX = 1_000
#: Bytes of a dead letter with its headers, and how many are kept of each sender.
DEAD_LETTER_BYTES_MAX = 20 * 1024
DEAD_LETTERS_OF_SENDER_MAX = 500
FLOODING_SENDERS = 16
PROBE_LIFETIME_SECONDS = 600
#: The longest session on the page; sessions that were ended are remembered for as long.
SESSION_SECONDS_MAX = 30 * DAY_SECONDS
#: A stream that exists for a moment only.
SPACE_STREAM = f"{subjects.PROBES_STREAM}_SPACE"
#: So much, or the largest message, must fit into the store before it counts as having space again; and
#: within this time.
SPACE_BYTES = 256 * 1024
SPACE_SECONDS = 0.6
#: Rounds kept of each guardrail of a trigger.
ROUNDS_KEPT = 200
#: Before streams are declared again: JetStream may be starting, or have no space for a long time.
RETRY_SECONDS = (0.5, 5.0)


class AuditRetention(NamedTuple):
    """For how long AUDIT keeps records, and how many bytes of them at most."""

    seconds: float = 400 * DAY_SECONDS
    size_bytes: int = LARGEST[subjects.AUDIT_STREAM]


DEFAULT_AUDIT_RETENTION = AuditRetention()


def streams(
    replicas: int,
    sizes: Mapping[str, int] = LARGEST,
    audit: AuditRetention = DEFAULT_AUDIT_RETENTION,
) -> tuple[StreamConfig, ...]:
    """Return the configuration of every stream; a bucket is a stream named `KV_…`.

    `sizes`: `max_bytes` of the streams that have a limit.
    """
    sizes = {**LARGEST, **sizes}
    return (
        StreamConfig(
            name=subjects.FEATURES_STREAM,
            subjects=[subjects.FEATURES],
            num_replicas=replicas,
            max_consumers=FOLLOWERS_MAX,
            allow_direct=True,
            deny_delete=True,
            deny_purge=True,
        ),
        StreamConfig(
            name=subjects.ALERTS_STREAM,
            subjects=[subjects.ALERTS],
            num_replicas=replicas,
            max_age=7 * DAY_SECONDS,
            max_bytes=sizes[subjects.ALERTS_STREAM],
            max_msg_size=ALERT_STORED_BYTES_MAX,
            max_msgs_per_subject=_per_subject(
                sizes[subjects.ALERTS_STREAM] // FLOODING_SOURCES,
                ALERT_STORED_BYTES_MAX,
                ALERTS_OF_SOURCE_MAX,
            ),
            duplicate_window=ALERT_DUPLICATES_SECONDS,
        ),
        StreamConfig(
            name=subjects.MEASUREMENTS_STREAM,
            subjects=[subjects.MEASUREMENTS],
            num_replicas=replicas,
            max_age=7 * DAY_SECONDS,
            max_bytes=sizes[subjects.MEASUREMENTS_STREAM],
            max_msgs_per_subject=ROUNDS_KEPT,
            allow_direct=True,
        ),
        StreamConfig(
            name=subjects.VERDICTS_STREAM,
            subjects=[subjects.VERDICTS, subjects.ANSWERED_ALERTS],
            num_replicas=replicas,
            max_age=30 * DAY_SECONDS,
            max_bytes=sizes[subjects.VERDICTS_STREAM],
            max_msgs_per_subject=_per_subject(
                sizes[subjects.VERDICTS_STREAM] // FLOODING_SOURCES, ALERT_BYTES_MAX, VERDICTS_OF_SUBJECT_MAX
            ),
        ),
        StreamConfig(
            name=subjects.DEAD_LETTERS_STREAM,
            subjects=[subjects.DEAD_LETTERS, subjects.DEAD_LETTERS_OF_SENDERS],
            num_replicas=replicas,
            max_age=30 * DAY_SECONDS,
            max_bytes=sizes[subjects.DEAD_LETTERS_STREAM],
            max_msgs_per_subject=_per_subject(
                sizes[subjects.DEAD_LETTERS_STREAM] // FLOODING_SENDERS,
                DEAD_LETTER_BYTES_MAX,
                DEAD_LETTERS_OF_SENDER_MAX,
            ),
        ),
        StreamConfig(
            name=subjects.AUDIT_STREAM,
            subjects=[subjects.AUDIT],
            num_replicas=replicas,
            max_age=audit.seconds,
            max_bytes=min(audit.size_bytes, sizes[subjects.AUDIT_STREAM]),
            allow_direct=True,
            deny_delete=True,
            deny_purge=True,
        ),
        StreamConfig(
            name=subjects.SESSIONS_STREAM,
            subjects=[subjects.ENDED_SESSIONS, subjects.USED_SIGN_INS],
            num_replicas=replicas,
            max_age=SESSION_SECONDS_MAX + DAY_SECONDS,
            max_bytes=sizes[subjects.SESSIONS_STREAM],
            max_msgs_per_subject=1,
            discard=DiscardPolicy.NEW,
            allow_msg_ttl=True,
            allow_direct=True,
            deny_delete=True,
            deny_purge=True,
        ),
        _probes(replicas),
        _bucket(subjects.CATALOG_STREAM, subjects.CATALOG, replicas, history=CATALOG_HISTORY),
        rules_config(replicas),
        _bucket(
            subjects.APPLIED_STREAM,
            subjects.APPLIED,
            replicas,
            history=APPLIED_HISTORY,
            max_age=APPLIED_LIFETIME_SECONDS,
            max_bytes=sizes[subjects.APPLIED_STREAM],
            max_msg_size=APPLIED_BYTES_MAX,
        ),
        _bucket(subjects.REGIONS_STREAM, subjects.REGIONS, replicas, history=1),
    )


def rules_config(replicas: int) -> StreamConfig:
    """Return the configuration of the stream of rules, if it is the only one."""
    return _bucket(subjects.RULES_STREAM, subjects.RULES, replicas, history=1)


def _per_subject(share_bytes: int, message_bytes: int, largest: int) -> int:
    """Return how many messages of a subject are kept, so that they take at most this share of a stream."""
    return max(1, min(largest, share_bytes // message_bytes))


def _probes(replicas: int) -> StreamConfig:
    return StreamConfig(
        name=subjects.PROBES_STREAM,
        subjects=[subjects.PROBES],
        num_replicas=replicas,
        max_msgs_per_subject=1,
        max_age=PROBE_LIFETIME_SECONDS,
    )


async def recreate_probes(js: JetStreamContext, replicas: int) -> None:
    """Create the stream of probes again if there is space: nats-server does not write to the old one.

    To delete the old one first would make room for a few probes on a disk that is still full.
    """
    try:
        if await _has_space(js):
            await js.delete_stream(subjects.PROBES_STREAM)
            await js.add_stream(_probes(replicas))
    except (NatsError, TimeoutError) as error:
        log.warning("cannot recreate the stream %s: %s", subjects.PROBES_STREAM, error_text(error))


async def _has_space(js: JetStreamContext) -> bool:
    """Return whether a new stream can store a large message."""
    await js.add_stream(StreamConfig(name=SPACE_STREAM, subjects=[subjects.space_probe()]))
    try:
        await js.publish(
            subjects.space_probe(), bytes(min(SPACE_BYTES, js._nc.max_payload)), timeout=SPACE_SECONDS
        )
    except (NatsError, TimeoutError):
        return False
    finally:
        await js.delete_stream(SPACE_STREAM)
    return True


async def declare(
    js: JetStreamContext,
    replicas: int | None,
    on_wait: Callable[[str], None] = lambda reason: None,
    audit: AuditRetention = DEFAULT_AUDIT_RETENTION,
    rules_streams: int | None = None,
) -> int:
    """Create the missing streams, as large as JetStream allows; return how many replicas they have.

    Existing streams get the replicas that they lack, and otherwise keep their settings. Without `replicas`,
    the broker suggests how many (`stream_replicas`).

    With another number of `rules_streams` than there are, all rules are deleted, if JetStream takes so many;
    None: leave what exists.
    Settings belong to the operator, except for what an older version of ours has set and this one must
    change (`stream_upgrades`). Waits until JetStream is ready, and calls `on_wait` with the reason.
    """
    backoff, chosen = Backoff(*RETRY_SECONDS), 0
    rules: RulesDeclaration | None = None
    while True:
        try:
            chosen = chosen or await choose_replicas(js, replicas)
            rules = rules or RulesDeclaration(js, rules_config(chosen))
            await _declare(js, chosen, audit)
            await rules.declare(rules_streams)
            return chosen
        except NoSpace as error:
            reason = f"cannot create the streams: {error}"
        except (NatsError, TimeoutError) as error:
            description = error.description if isinstance(error, APIError) else None
            reason = f"JetStream is not ready: {description or error_text(error)}"
        repeated.error(reason, "%s; trying again", reason)
        on_wait(reason)
        await asyncio.sleep(backoff.next_seconds())


async def _declare(js: JetStreamContext, replicas: int, audit: AuditRetention) -> None:
    """Declare all streams but those of rules."""
    existing = await _existing_sizes(js, [str(config.name) for config in streams(replicas)])
    missing = [str(config.name) for config in streams(replicas) if config.name not in existing]
    sizes = await fitting_sizes(js, missing, replicas)
    for config in streams(replicas, {**existing, **sizes}, audit):
        if config.name == subjects.RULES_STREAM:
            continue
        if config.name in existing:
            await upgrade(js, config)
        else:
            await create_stream(js, config)


async def _existing_sizes(js: JetStreamContext, names: Sequence[str]) -> dict[str, int]:
    """Return `max_bytes` of each stream that exists; the largest if it has no limit."""
    sizes: dict[str, int] = {}
    for name in names:
        try:
            max_bytes = (await js.stream_info(name)).config.max_bytes or 0
        except NotFoundError:
            continue
        sizes[name] = max_bytes if max_bytes > 0 else LARGEST.get(name, 0)
    return sizes


def _bucket(
    name: str,
    subject: str,
    replicas: int,
    *,
    history: int,
    max_age: float | None = None,
    max_bytes: int | None = None,
    max_msg_size: int | None = None,
) -> StreamConfig:
    return StreamConfig(
        name=name,
        subjects=[subject],
        num_replicas=replicas,
        max_msgs_per_subject=history,
        max_age=max_age,
        max_bytes=max_bytes,
        max_msg_size=max_msg_size,
        max_consumers=FOLLOWERS_MAX,
        discard=DiscardPolicy.OLD,
        allow_direct=True,
    )
