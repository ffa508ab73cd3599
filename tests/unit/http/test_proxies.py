"""What a request says about its client and its scheme, and who is believed."""

import socket
from typing import Any

import pytest
from pydantic import ValidationError

from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings
from tests.support.http import http_client
from tests.support.proxies import app_that_tells

FORWARDED = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"}
LOOPBACK = ("127.0.0.1", "http")
SAID = ("203.0.113.9", "https")


async def ready() -> dict[str, str]:
    return {}


async def seen(settings: ServiceSettings, host: str = "127.0.0.1") -> tuple[str, str]:
    """Return client and scheme of a request that says where it comes from."""
    scopes: list[dict[str, Any]] = []
    async with health_server(settings, ready, app_that_tells(scopes)) as url, http_client() as http:
        await http.get(f"http://{host}:{url.rpartition(':')[2]}/", headers=FORWARDED)
    return scopes[0]["client"][0], scopes[0]["scheme"]


async def test_nobody_is_believed_without_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")

    assert await seen(ServiceSettings()) == LOOPBACK


@pytest.mark.parametrize(
    ("trusted", "expected"),
    [
        ("127.0.0.1", SAID),
        ("10.0.0.0/8, 127.0.0.0/8", SAID),
        ("*", SAID),
        ("10.0.0.0/8", LOOPBACK),
        ("::1", LOOPBACK),
    ],
)
async def test_a_trusted_proxy_is_believed(trusted: str, expected: tuple[str, str]) -> None:
    assert await seen(ServiceSettings(trusted_proxies=trusted)) == expected


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this system has no IPv6")
async def test_an_ipv4_proxy_is_known_by_its_address_on_a_socket_of_ipv6() -> None:
    believed = await seen(ServiceSettings(http_host="::", trusted_proxies="127.0.0.1"))
    not_believed = await seen(ServiceSettings(http_host="::", trusted_proxies="::1"))

    assert (believed, not_believed) == (SAID, LOOPBACK)


@pytest.mark.parametrize("trusted", ["nginx", "10.0.0.1/8", "10.0.0.0/8,"])
def test_what_is_not_an_address_is_refused(trusted: str) -> None:
    with pytest.raises(ValidationError, match="use addresses and networks such as"):
        ServiceSettings(trusted_proxies=trusted)


@pytest.mark.parametrize(
    ("written", "url", "path"),
    [
        ("https://flags.example.com", "https://flags.example.com", ""),
        ("HTTPS://flags.example.com/", "https://flags.example.com", ""),
        ("http://flags.example.com:8080/edge/eu/", "http://flags.example.com:8080/edge/eu", "/edge/eu"),
        ("https://[fd00::2]/a%20b", "https://[fd00::2]/a%20b", "/a b"),
    ],
)
def test_a_public_url_has_a_host_and_perhaps_a_path(written: str, url: str, path: str) -> None:
    settings = ServiceSettings(public_url=written)

    assert (settings.public_url, settings.public_path) == (url, path)


@pytest.mark.parametrize(
    "written",
    [
        "flags.example.com",
        "ftp://x",
        "https://",
        "https://x/?a",
        "https://u:p@x",
        "https://x:y",
        "https://x//",
    ],
)
def test_an_invalid_public_url_is_refused(written: str) -> None:
    with pytest.raises(ValidationError):
        ServiceSettings(public_url=written)


async def test_the_health_pages_are_served_under_the_public_path_too() -> None:
    settings = ServiceSettings(public_url="https://flags.example.com/edge")
    async with health_server(settings, ready) as url, http_client(base_url=url) as http:
        paths = ("/healthz", "/edge/healthz", "/edge/readyz", "/edgehealthz", "/other/healthz")
        statuses = [(await http.get(path)).status_code for path in paths]

    assert statuses == [200, 200, 200, 404, 404]
