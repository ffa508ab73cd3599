"""Requests to JetStream with their answers as they are: nats-py drops settings that it does not know."""

import json
from typing import Any

from nats.aio.client import Client
from nats.js.errors import APIError

#: For one reply.
ANSWER_SECONDS = 2.0
API = "$JS.API"


async def request_jetstream(client: Client, subject: str, body: object = None) -> dict[str, Any]:
    """Return the answer to a request; raise `APIError` if it is an error, and nats-py's own errors."""
    data = b"" if body is None else json.dumps(body).encode()
    reply = await client.request(subject, data, timeout=ANSWER_SECONDS)
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        APIError.from_error(answer["error"])
    return answer
