"""What an older version set when it created a stream, and this one has to change.

A setting is changed only while it has the value that the older version gave it: another one is the
operator's. Flags that a stream needs are set, and replicas added, in any case. Settings that this
version does not know stay as they are.
"""

import json
import logging
from collections.abc import Mapping

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError
from pydantic import JsonValue, TypeAdapter

from ..contracts import subjects
from ..errors import error_text
from .jetstream_api import API, CONSUMERS_LIMIT, request_jetstream
from .stream_creation import warn_of_consumers
from .stream_replicas import match_replicas

log = logging.getLogger(__name__)

MAX_CONSUMERS = "max_consumers"
#: What versions set that left the number of consumers to nats-server: 1,000.
_FEW_CONSUMERS: Mapping[str, tuple[JsonValue, ...]] = {MAX_CONSUMERS: (-1,)}
#: Stream → setting → the values that older versions gave it.
OLDER: Mapping[str, Mapping[str, tuple[JsonValue, ...]]] = {
    subjects.ALERTS_STREAM: {
        # A day, in which a sender could use up the ids of another one.
        "duplicate_window": (86_400_000_000_000,),
        "max_msgs_per_subject": (-1,),
        "max_msg_size": (-1,),
    },
    subjects.VERDICTS_STREAM: {"max_msgs_per_subject": (-1,)},
    subjects.DEAD_LETTERS_STREAM: {
        "subjects": ([subjects.DEAD_LETTERS],),
        "max_msgs_per_subject": (-1,),
    },
    # A message with `Nats-Rollup` deletes all others of its subject or stream, which nobody needs.
    **{
        bucket: {"allow_rollup_hdrs": (True,), **_FEW_CONSUMERS}
        for bucket in (subjects.CATALOG_STREAM, subjects.RULES_STREAM)
    },
    subjects.FEATURES_STREAM: _FEW_CONSUMERS,
    subjects.REGIONS_STREAM: _FEW_CONSUMERS,
    # One region could fill the stream of all with few reports.
    subjects.APPLIED_STREAM: {
        "allow_rollup_hdrs": (True,),
        "max_msg_size": (-1, 65_536),
        "max_msgs_per_subject": (64,),
        **_FEW_CONSUMERS,
    },
}
#: What a stream has to allow or deny if this version declares it so, also one that an operator has created.
FLAGS = ("allow_direct", "allow_msg_ttl", "deny_delete", "deny_purge")
_DOCUMENT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


async def upgrade(js: JetStreamContext, declared: StreamConfig) -> None:
    """Change the settings of an existing stream that an older version gave it, and add replicas and flags.

    A failure is only logged.
    """
    name = str(declared.name)
    try:
        info = await request_jetstream(js._nc, f"{API}.STREAM.INFO.{name}")
        stored = _DOCUMENT.validate_python(info["config"])
        if changes := _changes(name, stored, declared):
            changed = await _change(js, name, stored, changes)
            log.info("changed the stream %s as this version needs it: %s", name, json.dumps(changed))
            stored = {**stored, **changed}
        await match_replicas(js, stored, declared.num_replicas or 1)
    except (NatsError, TimeoutError) as error:
        description = error.description if isinstance(error, APIError) else None
        log.warning("cannot change the stream %s: %s", name, description or error_text(error))


async def _change(
    js: JetStreamContext, name: str, stored: Mapping[str, JsonValue], changes: dict[str, JsonValue]
) -> dict[str, JsonValue]:
    """Change settings; return those that were changed: all, or all but the number of consumers."""
    try:
        await request_jetstream(js._nc, f"{API}.STREAM.UPDATE.{name}", {**stored, **changes})
    except APIError as error:
        if error.err_code != CONSUMERS_LIMIT or MAX_CONSUMERS not in changes:
            raise
        warn_of_consumers(name, changes.pop(MAX_CONSUMERS))
        if changes:
            await request_jetstream(js._nc, f"{API}.STREAM.UPDATE.{name}", {**stored, **changes})
    return changes


def _changes(name: str, stored: Mapping[str, JsonValue], declared: StreamConfig) -> dict[str, JsonValue]:
    wanted = _DOCUMENT.validate_python(declared.as_dict())
    older = {
        setting: wanted[setting]
        for setting, values in OLDER.get(name, {}).items()
        if stored.get(setting, -1) in values and wanted[setting] != stored.get(setting, -1)
    }
    flags = {flag: True for flag in FLAGS if wanted.get(flag) is True and stored.get(flag) is not True}
    return {**older, **flags}
