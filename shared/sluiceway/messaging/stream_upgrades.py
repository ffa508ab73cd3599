"""What an older version set when it created a stream, and this one has to change.

A setting is changed only while it has the value that the older version gave it: another one is the
operator's. Settings that this version does not know stay as they are.
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
from .jetstream_api import API, request_jetstream

log = logging.getLogger(__name__)

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
    **{bucket: {"allow_rollup_hdrs": (True,)} for bucket in (subjects.CATALOG_STREAM, subjects.RULES_STREAM)},
    # One region could fill the stream of all with few reports.
    subjects.APPLIED_STREAM: {
        "allow_rollup_hdrs": (True,),
        "max_msg_size": (-1, 65_536),
        "max_msgs_per_subject": (64,),
    },
}
_DOCUMENT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


async def upgrade(js: JetStreamContext, declared: StreamConfig) -> None:
    """Change the settings of an existing stream that an older version gave it; a failure is only logged."""
    name = str(declared.name)
    if name not in OLDER:
        return
    try:
        info = await request_jetstream(js._nc, f"{API}.STREAM.INFO.{name}")
        stored = _DOCUMENT.validate_python(info["config"])
        if changes := _changes(name, stored, declared):
            await request_jetstream(js._nc, f"{API}.STREAM.UPDATE.{name}", {**stored, **changes})
            log.info("changed the stream %s as this version needs it: %s", name, json.dumps(changes))
    except (NatsError, TimeoutError) as error:
        description = error.description if isinstance(error, APIError) else None
        log.warning("cannot change the stream %s: %s", name, description or error_text(error))


def _changes(name: str, stored: Mapping[str, JsonValue], declared: StreamConfig) -> dict[str, JsonValue]:
    wanted = _DOCUMENT.validate_python(declared.as_dict())
    return {
        setting: wanted[setting]
        for setting, values in OLDER[name].items()
        if stored.get(setting, -1) in values and wanted[setting] != stored.get(setting, -1)
    }
