"""Dates, numbers, charsets and forms that no client of ours sends: each is the sender's error, never ours."""

import itertools
import logging
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import quote

import httpx2
import pytest

from sluiceway.contracts.identity import Role
from tests.support.browsers import browsing
from tests.support.consoles import create_api_key

from .conftest import Served

DATES = [
    "0001-01-01",
    "0001-01-01T00:00:00",
    "0001-01-01T00:00:00+23:59",
    "1969-12-31",
    "9999-12-31",
    "9999-12-31T23:59:59-23:59",
    "9999-12-31T23:59:59.9999999999Z",
    "2026-02-30",
    "2026-11-24T24:00:00Z",
    "2026-11-24T08:00:60Z",
    "2026-11-24T08:00:00+99:99",
    "-0001-01-01",
    "+12026-01-01",
    "1e400",
    "-1e400",
    "nan",
    "inf",
    "１９７０-01-01",
    "²",
    "1.0.0",
    "P1D",
    "\x00",
    "%ED%A0%80",
    "%FF%FE",
    "",
    "9" * 5_000,
]
NUMBERS = ["0", "-1", "1e3", "9" * 5_000, "nan", "inf", "²", "١", "1_0", "0x10", "1.0", "\x00", "%FF", ""]
DATE_PARAMETERS = [
    ("/api/v1/audit", "since"),
    ("/api/v1/audit", "until"),
    ("/api/v1/audit/export", "since"),
    ("/audit", "since"),
    ("/audit", "until"),
    ("/console/v1/release_pipeline_triggers", "startDate"),
    ("/console/v1/release_pipeline_triggers", "endDate"),
]
NUMBER_PARAMETERS = [
    ("/api/v1/audit", "before"),
    ("/api/v1/audit", "limit"),
    ("/audit", "before"),
    ("/console/v1/gates", "page"),
    ("/console/v1/gates", "limit"),
]
CHARSETS = [
    *(
        "utf-8",
        "punycode",
        "undefined",
        "idna",
        "utf-7",
        "utf-16",
        "utf-32",
        "base64",
        "hex",
        "rot13",
        "zlib",
    ),
    *("unicode_escape", "raw_unicode_escape", "cp65001", "mbcs", "x" * 5_000, '"', "é", ""),
]
TYPES = [
    "multipart/form-data; boundary=x; charset={}",
    "multipart/form-data; charset={}",
    "multipart/form-data; boundary*0*={}''x; boundary*" + "9" * 5_000 + "=y",
    "application/x-www-form-urlencoded; charset={}",
    "application/x-www-form-urlencoded; charset*=punycode''{}",
    "application/json; charset={}",
    "text/plain; charset={}",
    "; charset={}",
    "{}",
]
BODIES = [
    b"",
    b"csrf=\xff%ff&key=%ED%A0%80",
    b"&" * 3_000,
    b"a=1&" * 3_000,
    b'--x\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\xff\xc3\r\n--x--\r\n',
    b"--y\r\n\r\n\r\n",
    b'{"a": "\\ud800"}',
    b"\xff\xfe{\x00}\x00",
]
PATHS = ["/sign-in", "/sign-out", "/api/v1/keys", "/console/v1/gates"]


class Clients(NamedTuple):
    key: httpx2.AsyncClient
    page: httpx2.AsyncClient
    nobody: httpx2.AsyncClient


@pytest.fixture
async def clients(served: Served) -> AsyncIterator[Clients]:
    key = await create_api_key(served.driver, Role.ADMIN)
    async with (
        served.console.caller(key) as api,
        browsing(served.console.url, served.console.key) as browser,
        served.console.caller(None) as nobody,
    ):
        yield Clients(api, browser.http, nobody)


async def test_no_date_or_number_is_an_internal_error(clients: Clients) -> None:
    asked = [
        *itertools.product(DATE_PARAMETERS, DATES),
        *itertools.product(NUMBER_PARAMETERS, NUMBERS),
    ]

    statuses = {}
    for (path, name), value in asked:
        client = clients.page if path == "/audit" else clients.key
        answer = await client.get(f"{path}?{name}={quote(value, safe='%')}")
        statuses[path, name, value[:40]] = answer.status_code

    assert {asked: status for asked, status in statuses.items() if status not in (200, 400)} == {}
    assert statuses["/api/v1/audit", "since", "0001-01-01"] == 400
    assert statuses["/audit", "until", "9999-12-31"] == 400


async def test_no_form_is_an_internal_error_or_fills_the_log(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    types = [type_.format(charset).encode().strip() for type_, charset in itertools.product(TYPES, CHARSETS)]
    bodies = itertools.cycle(BODIES)
    senders = itertools.cycle([clients.nobody, clients.key, clients.page])

    statuses = {}
    for type_, path in itertools.product(types, PATHS):
        client, body = next(senders), next(bodies)
        answer = await client.post(path, content=body, headers={b"content-type": type_})
        statuses[path, type_[:60], body[:20]] = answer.status_code

    assert {asked: status for asked, status in statuses.items() if status >= 500} == {}
    assert [record for record in caplog.records if record.name != "httpx2"] == []
