"""`python -m tests.benchmarks.constant LOOP URL_FILE ANSWER`: the edge's framework with nothing behind it.

uvicorn and Starlette with an edge's settings, on asyncio's event loop or uvloop's. One route answers
with always the same JSON, and does not even read its request.
"""

import asyncio
import socket
import sys
from pathlib import Path

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sluiceway.http.server import write_atomically

ROUTE = "/ofrep/v1/evaluate/flags/{key}"
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def serve(url_file: Path, answer: bytes) -> None:
    async def constant(request: Request) -> Response:
        return Response(answer, media_type="application/json")

    listener = socket.create_server(("127.0.0.1", 0))
    # Head and body are two writes: without this, the second waits for the caller to acknowledge the first.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    app = Starlette(routes=[Route(ROUTE, constant, methods=["POST"]), Route("/", constant)])
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", server_header=False)
    write_atomically(url_file, f"http://127.0.0.1:{listener.getsockname()[1]}")
    await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    loop, url_file, answer = sys.argv[1:]
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(serve(Path(url_file), answer.encode()))
