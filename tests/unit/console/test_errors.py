"""What a refused command looks like over HTTP."""

import httpx2
from fastapi import FastAPI
from starlette.responses import Response

from services.console.errors import CommandRefused, add_error_handlers
from sluiceway.pipelines import refusals


async def test_a_sender_of_too_many_commands_is_told_when_to_send_again() -> None:
    app = FastAPI()
    add_error_handlers(app, lambda request, problem: Response())

    @app.get("/api/v1/x")
    async def route() -> None:
        raise CommandRefused(refusals.rate_limited("console ada", 1.2))

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://console") as client:
        answer = await client.get("/api/v1/x")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")
    assert answer.json()["code"] == "rate_limited"
