"""What Prometheus sees of the console."""

from prometheus_client import REGISTRY

from tests.support.waiting import eventually

from .conftest import Served

REQUESTS = "sluiceway_console_requests_total"


def counted(route: str, status: str) -> float:
    return REGISTRY.get_sample_value(REQUESTS, {"route": route, "status": status}) or 0.0


def answered(surface: str) -> float:
    return REGISTRY.get_sample_value("sluiceway_console_request_seconds_count", {"surface": surface}) or 0.0


async def test_requests_are_counted_by_route_and_never_by_name(served: Served) -> None:
    route, surfaces = "/console/v1/gates/{id}", ("official", "ours", "page")
    before = counted(route, "404"), counted("/api/v1/me", "200"), counted("none", "404")
    times = [answered(surface) for surface in surfaces]

    for name in ("one", "another"):
        await served.console.admin.get(f"/console/v1/gates/{name}")
    await served.console.admin.get("/api/v1/me")
    await served.console.admin.get("/no-such-page")

    after = counted(route, "404"), counted("/api/v1/me", "200"), counted("none", "404")
    assert [now - then for now, then in zip(after, before, strict=True)] == [2, 1, 1]
    assert [answered(surface) - then for surface, then in zip(surfaces, times, strict=True)] == [2, 1, 1]


async def test_listeners_are_counted_while_they_listen(served: Served) -> None:
    def listeners() -> float | None:
        return REGISTRY.get_sample_value("sluiceway_console_listeners")

    before = listeners()
    assert before is not None
    async with served.console.admin.stream("GET", "/api/v1/events"):
        await eventually(lambda: listeners() == before + 1, "it is counted")
    await served.console.backend.events.__aexit__(None, None, None)

    await eventually(lambda: listeners() == before, "it is counted no more")
