"""Backups of streams, as the command `nats account backup` makes and restores them."""

import json
from typing import Any, NamedTuple

from nats.aio.client import Client

from sluiceway.messaging.connection import Connection
from sluiceway.messaging.jetstream_api import API, request_jetstream

ANSWER_SECONDS = 10.0


class Backup(NamedTuple):
    """A stream as it was: its configuration and state, and the parts of its content."""

    description: dict[str, Any]
    parts: list[bytes]


async def back_up(connection: Connection) -> list[Backup]:
    """Return all streams of an account."""
    client = connection.client
    names = (await request_jetstream(client, f"{API}.STREAM.NAMES"))["streams"]
    return [await _back_up(client, name) for name in names]


async def restore(connection: Connection, backups: list[Backup]) -> None:
    """Store these streams in another account, or at another broker, which has none of them."""
    for description, parts in backups:
        name = description["config"]["name"]
        begun = await request_jetstream(connection.client, f"{API}.STREAM.RESTORE.{name}", description)
        for part in (*parts, b""):
            reply = await connection.client.request(begun["deliver_subject"], part, timeout=ANSWER_SECONDS)
        assert "error" not in json.loads(reply.data), reply.data


async def _back_up(client: Client, name: str) -> Backup:
    inbox = client.new_inbox()
    parts: list[bytes] = []
    subscription = await client.subscribe(inbox)
    asked = {"deliver_subject": inbox, "no_consumers": True}
    begun = await request_jetstream(client, f"{API}.STREAM.SNAPSHOT.{name}", asked)
    while data := (message := await subscription.next_msg(ANSWER_SECONDS)).data:
        parts.append(data)
        if message.reply:
            await client.publish(message.reply, b"")
    await subscription.unsubscribe()
    return Backup({"config": begun["config"], "state": begun["state"]}, parts)
