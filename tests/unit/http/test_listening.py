"""Listening on addresses of IPv4 and IPv6, and how their URLs are written."""

import socket

import pytest

from sluiceway.http.listening import authority
from sluiceway.http.server import health_server
from sluiceway.settings import ServiceSettings
from tests.support.http import http_client

needs_ipv6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this system has no IPv6")


async def ready() -> dict[str, str]:
    return {}


async def answers(url: str) -> bool:
    async with http_client() as http:
        return (await http.get(f"{url}/readyz")).status_code == 200


@needs_ipv6
@pytest.mark.parametrize("host", ["::", "[::]", "0::0"])
async def test_a_server_on_all_addresses_answers_ipv6_and_ipv4(host: str) -> None:
    async with health_server(ServiceSettings(http_host=host), ready) as url:
        port = url.rpartition(":")[2]

        assert url == f"http://[::]:{port}"
        assert await answers(url)
        assert await answers(f"http://127.0.0.1:{port}")
        assert await answers(f"http://[::1]:{port}")


@needs_ipv6
async def test_a_server_on_one_ipv6_address_announces_it_in_brackets() -> None:
    async with health_server(ServiceSettings(http_host="::1"), ready) as url:
        assert url.startswith("http://[::1]:")
        assert await answers(url)


async def test_a_server_on_an_ipv4_address_announces_it_as_it_is() -> None:
    async with health_server(ServiceSettings(http_host="127.0.0.1"), ready) as url:
        assert url.startswith("http://127.0.0.1:")
        assert await answers(url)


def test_only_an_ipv6_address_stands_in_brackets() -> None:
    assert authority("fd00::2", 80) == "[fd00::2]:80"
    assert authority("10.0.0.1", 80) == "10.0.0.1:80"
    assert authority("edge.internal", 80) == "edge.internal:80"
