"""What the HTTP application answers around its routes."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.edge.http_app import build_http_app
from services.edge.public_address import PublicAddress

FAILED = "internal error; see the log of the edge"


async def echo(request: Request) -> Response:
    return JSONResponse({"params": request.path_params, "path": request.url.path})


async def stored(request: Request) -> Response:
    return Response(b"stored", headers={"cache-control": "private, no-cache"})


async def fail(request: Request) -> Response:
    raise ValueError("a secret-key in a text")


async def leave(request: Request) -> Response:
    raise ClientDisconnect


ROUTES = [
    Route("/v2/specs/{key:path}", echo, methods=["GET"]),
    Route("/v2/specs", echo, methods=["GET"]),
    Route("/flags/{key}", echo, methods=["POST"]),
    Route("/flags", echo, methods=["POST", "GET"]),
    Route("/stored", stored, methods=["GET"]),
    Route("/fail", fail, methods=["GET"]),
    Route("/leave", leave, methods=["GET"]),
]


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    app = build_http_app(ROUTES, PublicAddress("https://flags.example.com/edge"))
    async with httpx2.AsyncClient(base_url="http://edge", transport=httpx2.ASGITransport(app=app)) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "params"),
    [
        ("GET", "/v2/specs", {}),
        ("GET", "/v2/specs/", {"key": ""}),
        ("GET", "/v2/specs/secret-1/a.json", {"key": "secret-1/a.json"}),
        ("GET", "/edge/v2/specs/x", {"key": "x"}),
        ("POST", "/flags/new%20checkout", {"key": "new checkout"}),
        ("POST", "//flags/a", {"key": "a"}),
        ("GET", "/flags", {}),
    ],
)
async def test_a_path_is_answered_by_its_route(
    http: httpx2.AsyncClient, method: str, path: str, params: dict[str, str]
) -> None:
    answer = await http.request(method, f"http://edge{path}")

    assert (answer.status_code, answer.json()["params"]) == (200, params)
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("path", ["/", "/flags/", "/flags/a/b", "/v2", "/edge", "/edge/none", "/v2/specsx"])
async def test_another_path_is_not_found(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.post(path)

    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found", "errorDetails": "Not Found"})
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/flags/a", "POST"),
        ("POST", "/v2/specs", "GET, HEAD"),
        ("OPTIONS", "/flags", "GET, HEAD, POST"),
    ],
)
async def test_another_method_is_refused_with_those_that_are_allowed(
    http: httpx2.AsyncClient, method: str, path: str, allowed: str
) -> None:
    answer = await http.request(method, path)

    assert (answer.status_code, answer.json()["message"]) == (405, "Method Not Allowed")
    assert sorted(answer.headers["allow"].split(", ")) == allowed.split(", ")


async def test_a_head_request_is_answered_like_a_get_request(http: httpx2.AsyncClient) -> None:
    assert (await http.head("/v2/specs")).status_code == 200


async def test_a_failure_is_an_internal_error_that_says_nothing_of_it(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/fail")

    expected = {"message": FAILED, "errorCode": "GENERAL", "errorDetails": FAILED}
    assert (answer.status_code, answer.json()) == (500, expected)


async def test_a_client_that_left_is_no_failure(
    http: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await http.get("/leave")

    assert answer.status_code == 408
    assert not caplog.records


@pytest.mark.parametrize("path", ["/v2/specs", "/stored", "/fail", "/none"])
async def test_a_browser_of_any_origin_may_read_every_answer(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers={"origin": "https://shop.example.com"})

    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-expose-headers"] == "ETag, Retry-After"


async def test_an_answer_that_may_be_stored_says_that_browsers_get_another_one(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.get("/stored")

    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("private, no-cache", "Origin")


async def preflight(http: httpx2.AsyncClient, **asked: Any) -> Any:
    names = {"method": "access-control-request-method", "headers": "access-control-request-headers"}
    headers = {"origin": "https://shop.example.com", **{names[name]: text for name, text in asked.items()}}
    return await http.options("/flags/a", headers=headers)


async def test_a_browser_may_ask_what_it_may_send(http: httpx2.AsyncClient) -> None:
    allowed = await preflight(http, method="POST", headers="content-type,x-api-key,if-none-match")
    refused = await preflight(http, method="DELETE", headers="x-other")
    no_browser = await http.options("/flags/a", headers={"access-control-request-method": "POST"})

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "*"
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert (refused.status_code, no_browser.status_code) == (400, 405)
