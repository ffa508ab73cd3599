"""What an edge answers to whoever has no key of its region: nothing but that."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from starlette.routing import Route

from services.edge.http_app import build_http_app
from sluiceway import console_keys, sdk_keys
from tests.support.edges import RunningEdge, create_key, running_edge
from tests.support.secured import Secured

pytestmark = [pytest.mark.hostile, pytest.mark.asyncio(loop_scope="module")]
NAMES = {"{key}": "new_checkout", "{key:path}": "SDK_KEY.json", "{name}": "seg"}
BODIES: dict[str, Any] = {"POST": {"context": {"targetingKey": "u1"}, "events": []}}


class Attacked:
    """A running edge, its routes, and a key of another region."""

    def __init__(self, edge: RunningEdge, routes: list[Route], other: str) -> None:
        self.http = edge.http
        self.other = other
        self._routes = routes

    def paths(self, key: str) -> Iterator[tuple[str, str]]:
        """Give method and path of every route; a path that names a key names `key`."""
        for route in self._routes:
            path = str(getattr(route, "path", ""))
            for name, value in NAMES.items():
                path = path.replace(name, value.replace("SDK_KEY", key or "none"))
            for method in sorted(set(getattr(route, "methods", None) or ()) - {"HEAD"}):
                yield method, path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(attacked: Secured, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Attacked]:
    routes: list[Route] = []

    def recording(these: list[Route], *rest: Any) -> Any:
        routes.extend(these)
        return build_http_app(these, *rest)

    admin = await attacked.admin()
    own, other = await create_key(admin, region="dev"), await create_key(admin, region="prod-eu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.edge.app.build_http_app", recording)
        url, folder = attacked.url("edge-dev", "edge"), tmp_path_factory.mktemp("edge")
        async with running_edge(url, "dev", folder, own) as running:
            yield Attacked(running, routes, other)


async def test_without_a_key_of_its_region_every_route_is_refused(edge: Attacked) -> None:
    wrong = ("", "client-x", edge.other, sdk_keys.mint(), console_keys.mint(), "x" * 5_000)

    for key in wrong:
        headers = dict.fromkeys(("x-api-key", "statsig-api-key"), key)
        for method, path in edge.paths(key):
            answer = await edge.http.request(method, path, json=BODIES.get(method), headers=headers)

            assert answer.status_code == 401, (key, method, path, answer.text)
