"""A copy on the leaf node of a region: its configuration, what it reads at the hub, and what is said of it.

What a leaf node answers is not trusted: everybody who has its credentials may answer anything.
"""

import re
from typing import Any, NoReturn, TypeVar

import msgspec
from nats.js.errors import APIError

from ..contracts import subjects
from ..errors import DECODE_ERRORS

#: The hub forgets a consumer that its leaf has not read for so long; then the leaf copies everything again.
CONSUMER_KEPT_SECONDS = 7 * 24 * 3_600
#: For what says nothing, a consumer says that it is there; the broker demands this number.
HEARTBEAT_SECONDS = 1
NANOSECONDS = 1_000_000_000
#: Characters of a text in an answer that an error repeats.
TEXT_MAX = 200

_is_consumer = re.compile("leaf-[0-9a-f]{12}").fullmatch


class ApiFailure(msgspec.Struct):
    """Why a request to JetStream failed."""

    code: int = 500
    err_code: int | None = None
    description: str = ""

    def raise_error(self) -> NoReturn:
        """Raise it as nats-py does, with no more of its text than a log or a terminal should have."""
        cut = msgspec.structs.replace(self, description=_harmless(self.description))
        APIError.from_error(msgspec.to_builtins(cut))
        raise AssertionError("nats-py raises one of its errors")


class _External(msgspec.Struct):
    api: str


class _Consumer(msgspec.Struct):
    name: str
    deliver_subject: str


class _Mirror(msgspec.Struct):
    name: str
    external: _External | None = None
    consumer: _Consumer | None = None
    filter_subject: str | None = None


class _Config(msgspec.Struct):
    name: str
    num_replicas: int = 1
    max_msgs_per_subject: int = -1
    max_msgs: int = -1
    max_bytes: int = -1
    max_age: int = 0
    allow_direct: bool = False
    mirror: _Mirror | None = None


class CopyState(msgspec.Struct):
    """What a stream holds."""

    messages: int
    bytes: int
    first_seq: int
    last_seq: int
    first_ts: str = ""
    last_ts: str = ""
    num_deleted: int = 0
    #: If that was asked for: its subjects, and which messages between its ends it does not hold any more.
    subjects: dict[str, int] = {}
    deleted: list[int] = []

    @property
    def contents(self) -> tuple[int, int, int, str, str]:
        """What tells which messages it holds, but for those between its ends."""
        return self.messages, self.bytes, self.first_seq, self.first_ts, self.last_ts

    def holds_the_same(self, hub: "CopyState") -> bool | None:
        """Return whether both hold the same messages, by subjects and sequences; None while one has more."""
        if (self.last_seq, self.contents) != (hub.last_seq, hub.contents):
            return None
        return self.subjects == hub.subjects and self.deleted == hub.deleted


class StreamAnswer(msgspec.Struct):
    """An answer about a stream."""

    config: _Config | None = None
    state: CopyState | None = None
    error: ApiFailure | None = None


class LeafCopy(msgspec.Struct, frozen=True):
    """A copy, as its leaf node describes it."""

    config: _Config
    state: CopyState

    @property
    def consumer(self) -> str | None:
        """The consumer that it reads; None if none of ours can have that name."""
        mirror = self.config.mirror
        name = mirror.consumer.name if mirror and mirror.consumer else ""
        return name if _is_consumer(name) else None

    def is_declared_as(self, copy: str) -> bool:
        """Return whether its configuration is the one that we declare for a copy and its consumer."""
        if self.consumer is None:
            return False
        wanted = msgspec.convert(leaf_copy_config(copy, self.consumer, 1), _Config)
        wanted.num_replicas = self.config.num_replicas
        return self.config == wanted

    def is_of_another_history(self, hub: CopyState) -> bool:
        """Return whether what the hub has, by an answer that is not older, cannot be what was copied.

        Up to the same message, both have the last message of each subject, and so the same ones.
        """
        ours = self.state
        if ours.last_seq != hub.last_seq:
            return ours.last_seq > hub.last_seq
        return bool(ours.messages or hub.messages) and ours.contents != hub.contents

    def is_behind(self, hub: CopyState) -> bool:
        """Return whether the hub holds something that is not copied yet."""
        return self.state.last_seq < hub.last_seq and self.state.contents != hub.contents


class AnyAnswer(msgspec.Struct):
    """An answer to any request."""

    error: ApiFailure | None = None


Decoded = TypeVar("Decoded")


def decoded(model: type[Decoded], answer: bytes) -> Decoded:
    """Return an answer as a model; `APIError` if it is none."""
    try:
        return msgspec.json.decode(answer, type=model)
    except DECODE_ERRORS as error:
        text = _harmless(str(error))
        raise APIError(description=f"not an answer of JetStream: {text}") from error


def _harmless(text: str) -> str:
    """Return the beginning of a text, which does nothing to a terminal."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text[:TEXT_MAX]
    )


def leaf_copy_config(copy: str, consumer: str, replicas: int) -> dict[str, Any]:
    """Return the configuration of a copy on a leaf node, as JetStream reads it."""
    return {
        "name": copy,
        "storage": "file",
        "num_replicas": replicas,
        "max_msgs_per_subject": 1,
        "discard": "old",
        "allow_direct": True,
        "mirror_direct": True,
        "mirror": {
            "name": copy,
            "external": {"api": subjects.domain_api(subjects.HUB_DOMAIN), "deliver": ""},
            "consumer": {"name": consumer, "deliver_subject": subjects.copied_to_leaf(consumer)},
        },
    }


def consumer_config(consumer: str) -> dict[str, Any]:
    """Return the configuration of what a copy reads, in the account of its region at the hub."""
    return {
        "name": consumer,
        "durable_name": consumer,
        "deliver_subject": subjects.copied_to_leaf(consumer),
        "deliver_policy": "all",
        "ack_policy": "flow_control",
        "flow_control": True,
        "idle_heartbeat": HEARTBEAT_SECONDS * NANOSECONDS,
        "max_deliver": -1,
        "inactive_threshold": CONSUMER_KEPT_SECONDS * NANOSECONDS,
    }
