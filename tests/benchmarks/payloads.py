"""How large our messages are: the raw side sends as many bytes."""

from dataclasses import dataclass

from nats.js.api import RawStreamMsg

from sluiceway.contracts import subjects
from sluiceway.contracts.commands import Command
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.rules_streams import read_rules_streams


@dataclass(frozen=True)
class Payloads:
    """Bytes with headers."""

    command: int
    event: int
    document: int


async def payloads(connection: Connection, gate: str, region: str, command: Command) -> Payloads:
    """Return the sizes of a command, and of what is stored of a gate: its last event and its rules."""
    key = FeatureKey(FeatureKind.GATE, gate)
    event = await connection.js.get_last_msg(subjects.FEATURES_STREAM, subjects.feature(key))
    streams = await read_rules_streams(connection.replies)
    document = await connection.js.get_last_msg(streams.of(region), subjects.rule(region, key))
    return Payloads(len(command.to_json()), size_bytes(event), size_bytes(document))


def size_bytes(message: RawStreamMsg) -> int:
    """Return the bytes of a stored message, with its headers."""
    headers = sum(len(name) + len(value) for name, value in (message.headers or {}).items())
    return len(message.data or b"") + headers
