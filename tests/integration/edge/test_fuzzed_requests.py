"""Whatever somebody with a key sends to an edge: no internal error, and no new series of metrics."""

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from tests.integration.edge.conftest import Served
from tests.support.sockets import connected_from
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

NUMBERS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["9" * 400, "9" * 5_000, "-0", "+1", "1_0", "٣", "²", "0x1", "1e400", "NaN", " 1", ""]),
)
VALUES = NUMBERS | st.text(max_size=30)
NAMES = {
    "GET": [
        "v2/download_config_specs",
        "v1/download_config_specs/{key}.json",
        "sluiceway/v1/rules",
        "v1/id_lists/{value}",
        "ofrep/v1/events",
        "{value}",
    ],
    "POST": [
        "v1/get_id_lists",
        "v1/log_event",
        "ofrep/v1/evaluate/flags",
        "ofrep/v1/evaluate/flags/{value}",
        "v1/rgstr",
    ],
}
#: `checksum` without `sinceTime`: a poll that has the newest rules would be held.
QUERY = st.dictionaries(
    st.sampled_from(["sinceTime", "checksum", "key", "expires", "token", "known", "x"]), VALUES, max_size=4
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "statsig-event-count",
            "statsig-server-session-id",
            "range",
            "if-none-match",
            "last-event-id",
            "host",
            "origin",
            "accept-encoding",
            "x-forwarded-for",
            "x-forwarded-proto",
            "authorization",
            "access-control-request-method",
        ]
    ),
    VALUES,
    max_size=4,
)
CONTEXTS = st.dictionaries(
    st.sampled_from(["targetingKey", "email", "custom", "customIDs", "appVersion", "x"]),
    st.one_of(NUMBERS.map(lambda number: number or "0"), st.text(max_size=10).map(repr), st.just("[[{}]]")),
)


def _body(context: dict[str, str]) -> bytes:
    members = ",".join(f'"{name}":{value}' for name, value in context.items())
    return f'{{"context":{{{members}}}}}'.encode("utf-8", "surrogatepass")


BODIES = CONTEXTS.map(_body) | st.binary(max_size=50)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, dict[str, str], dict[str, str], bytes]:
    method = draw(st.sampled_from(sorted(NAMES)))
    path = draw(st.sampled_from(NAMES[method])).replace("{value}", quoted(draw(VALUES)))
    return method, path, draw(QUERY), draw(HEADERS), draw(BODIES) if method == "POST" else b""


def quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def series() -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in REGISTRY.collect()
        for sample in family.samples
        if "outcome" not in sample.labels and "reason" not in sample.labels
    }


async def test_no_request_is_an_internal_error_or_makes_a_series_of_its_own(dev: Served) -> None:
    driver, edge, _ = dev
    await driver.save_gate("checkout", EVERYONE)
    await eventually(lambda: edge.edge.rules.gate({}, "checkout").revision > 0, "the edge has checkout")
    before, loop = series(), asyncio.get_running_loop()

    @given(request=requests())
    @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    def fuzz(request: tuple[Any, ...]) -> None:
        asyncio.run_coroutine_threadsafe(_is_answered(dev, *request), loop).result(30)

    await asyncio.to_thread(fuzz)

    assert series() - before == set()
    outcomes = REGISTRY.get_sample_value("sluiceway_ofrep_evaluations_total", {"outcome": "answered"}) or 0
    events = REGISTRY.get_sample_value("sluiceway_sdk_events_total") or 0
    assert outcomes < 10**6
    assert events < 10**9


async def _is_answered(
    dev: Served, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    target = path.replace("{key}", dev.key)
    target += "?" + "&".join(f"{name}={quoted(value)}" for name, value in query.items()) if query else ""
    fields = {"x-api-key": dev.key, "statsig-api-key": dev.key} | headers
    fields |= {"content-length": str(len(body)), "connection": "close"}
    lines = b"".join(name.encode() + b": " + _field_value(value) + b"\r\n" for name, value in fields.items())
    async with connected_from(dev.edge.url) as client:
        await client.send(f"{method} /{target} HTTP/1.1\r\n".encode() + lines + b"\r\n" + body)
        status = int((await client.until(b"\r\n")).split()[1])

    assert status < 500, (method, target, headers, body)


def _field_value(value: str) -> bytes:
    """Return what may stand in a header: other bytes are refused before the edge sees them."""
    return bytes(byte for byte in value.encode("utf-8", "surrogatepass") if byte >= 0x20 and byte != 0x7F)
