"""The copies of a region's rules and keys in the account of the region, which opens nothing else.

A user who may ask JetStream for anything may have the answer, or what a consumer delivers, sent to any
subject of its account. So a region that is not trusted gets an account, in which there is nothing but a
mirror of its rules and a copy of the documents that concern it. The broker fills both.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from nats.js.api import StreamInfo

from ..contracts import subjects
from .rules_streams import RulesStreams

#: Copies that an account holds: of the rules, and of the documents.
COPIES = (subjects.RULES_STREAM, subjects.CATALOG_STREAM)


def origin_of(copy: str, region: str, rules: RulesStreams) -> str:
    """Return the stream that a copy of a region is filled from."""
    return rules.of(region) if copy == subjects.RULES_STREAM else subjects.REGIONS_STREAM


def copy_config(stream: str, origin: str, region: str, replicas: int) -> dict[str, Any]:
    """Return the configuration of a copy, as JetStream reads it.

    The rules keep their sequences, by which regions confirm what they have applied. The documents get the
    subjects that they have in CATALOG, where an edge of any version looks for them.
    """
    external = {"api": subjects.hub_api(), "deliver": subjects.delivered(region)}
    common = {
        "name": stream,
        "storage": "file",
        "num_replicas": replicas,
        "max_msgs_per_subject": 1,
        "discard": "old",
        "allow_direct": True,
    }
    if stream == subjects.RULES_STREAM:
        mirror = {"name": origin, "filter_subject": subjects.rules_of(region), "external": external}
        return {**common, "mirror_direct": True, "mirror": mirror}
    transform = {"src": subjects.region_documents(region), "dest": subjects.CATALOG}
    source = {"name": origin, "subject_transforms": [transform], "external": external}
    return {**common, "sources": [source]}


def copied_from(info: dict[str, Any]) -> str:
    """Return the stream that a copy is filled from, by the broker's answer about the copy."""
    config = info["config"]
    origin: str = (config.get("mirror") or config["sources"][0])["name"]
    return origin


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """Where a stream ends, by the broker's answer about it."""

    created: datetime
    #: Of the original: of a copy, the last message that it has from there.
    sequence: int
    time: datetime | None = None

    @classmethod
    def of(cls, info: dict[str, Any]) -> "StreamEnd":
        """Read an answer about a stream, or about a copy."""
        state, sources = info["state"], info.get("sources")
        created = datetime.fromisoformat(info["created"])
        if sources is not None:
            return cls(created, max((source.get("seq", 0) for source in sources), default=0))
        return cls(created, state["last_seq"], datetime.fromisoformat(state["last_ts"]))

    @classmethod
    def of_original(cls, info: StreamInfo) -> "StreamEnd":
        """Read an answer about a stream, as nats-py has it: without a time."""
        assert info.created
        return cls(info.created, info.state.last_seq)

    def is_of_another_history(self, original: "StreamEnd") -> bool:
        """Return whether a copy ends behind its original, which then was restored or created again."""
        return original.created > self.created or self.sequence > original.sequence
