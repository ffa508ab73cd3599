"""Forms are read as UTF-8 whatever they claim to be, and only after the request is counted."""

from collections.abc import AsyncIterator

import httpx2
import pytest

from services.console.app import build
from services.console.backend import BackendProvider
from services.console.csrf import FORM_FIELDS_MAX, FORM_TYPE
from services.console.settings import Settings

MULTIPART = "multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\n\xff\r\n--x--\r\n'


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a console that takes ten requests at once, and one a second after that."""
    app = build(Settings(requests_per_second=1), BackendProvider())
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, raise_app_exceptions=False), base_url="http://console"
    ) as client:
        yield client


@pytest.mark.parametrize("charset", ["punycode", "undefined", "utf-8", "idna"])
async def test_a_form_in_parts_is_refused_whatever_its_charset(
    client: httpx2.AsyncClient, charset: str
) -> None:
    headers = {"content-type": f"{MULTIPART}; charset={charset}"}

    answer = await client.post("/sign-in", content=PART, headers=headers)

    assert answer.status_code == 400
    assert FORM_TYPE in answer.json()["message"]


async def test_a_form_with_too_many_fields_is_a_bad_request(client: httpx2.AsyncClient) -> None:
    content = b"a=1&" * (FORM_FIELDS_MAX + 1)

    answer = await client.post("/sign-in", content=content, headers={"content-type": FORM_TYPE})

    assert answer.status_code == 400


async def test_a_form_is_counted_before_it_is_read(client: httpx2.AsyncClient) -> None:
    answers = [await client.post("/sign-in", data={"key": "x"}) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [403] * 10 + [429]
