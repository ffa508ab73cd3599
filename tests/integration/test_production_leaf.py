"""The leaf node of a region, with the configuration that we write: TLS, a seed, one account at the hub."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import nkeys
import pytest
import pytest_asyncio

from services.scheduler import region_accounts, region_leaves
from sluiceway.contracts import subjects
from sluiceway.errors import Unavailable
from sluiceway.messaging.connection import connected
from sluiceway.settings import BrokerSettings
from tests.support.broker_forms import (
    Production,
    leaf_broker,
    loopback_hosts,
    production,
    seed_of,
    write_config,
)
from tests.support.catalogues import apply_catalogue
from tests.support.edges import create_key, running_edge
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOUND_SECONDS = 60.0
REFUSED = "Authorization Violation"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Production]:
    folder, hosts = tmp_path_factory.mktemp("hub"), loopback_hosts()
    await write_config(folder, "--host", hosts[0])
    with production(folder, hosts) as running:
        yield running


async def test_an_edge_works_at_a_leaf_node(
    hub: Production, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region_leaves, "CHECK_EVERY_SECONDS", 0.2)
    monkeypatch.setattr(region_accounts, "CHECK_EVERY_SECONDS", 0.2)
    with await leaf_broker(tmp_path, hub) as leaf:
        async with AsyncExitStack() as stack:
            for service in hub.services(tmp_path):
                await stack.enter_async_context(service)
            admin = await stack.enter_async_context(hub.admin())
            await apply_catalogue(admin)
            key = await create_key(admin, region="dev")
            await admin.save_gate("everywhere", EVERYONE)
            settings = Production((leaf,), tmp_path / "secrets").settings("edge-dev")
            async with running_edge(region="dev", folder=tmp_path / "edge", key=key, **settings) as running:
                rules = running.edge.rules
                await eventually(
                    lambda: rules.check_gate({}, "everywhere"), "it has the rules", BOUND_SECONDS
                )

                async def has_reported() -> bool:
                    info = await admin.connection.js.stream_info(
                        subjects.APPLIED_STREAM, subjects_filter="$KV.APPLIED.dev.*"
                    )
                    return bool(info.state.subjects)

                await eventually(has_reported, "its report has arrived")
                assert await running.edge.readiness() == {}
                (link,) = (await hub.brokers[0].monitored("leafz"))["leafs"]
                assert (link["account"], link["name"]) == ("REGION_dev", "leaf-dev")
                assert (await leaf.monitored("varz"))["tls_required"] is True


UNKNOWN = nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER).decode()


@pytest.mark.parametrize(
    ("lacks", "problem"),
    [("a seed", REFUSED), ("the seed of a leaf node", REFUSED), ("the authority", "certificate")],
)
async def test_a_leaf_node_that_lacks_what_the_hub_gave_is_not_linked(
    hub: Production, tmp_path: Path, lacks: str, problem: str
) -> None:
    """Not by the seed of an edge either: it would open more ways than an edge needs."""
    given = {
        "a seed": {"HUB_SEED": UNKNOWN},
        "the seed of a leaf node": {"HUB_SEED": seed_of(hub.secrets, "edge-dev")},
        "the authority": {"HUB_CA": str(tmp_path / "secrets" / "ca.pem")},
    }[lacks]
    with await leaf_broker(tmp_path, hub, **given) as leaf:
        await eventually(lambda: problem in leaf.log.read_text(), "it is refused", BOUND_SECONDS)
        assert (await hub.brokers[0].monitored("leafz"))["leafnodes"] == 0


async def test_the_seed_of_a_leaf_node_opens_nothing_to_a_client(hub: Production) -> None:
    settings = BrokerSettings(**hub.settings("leaf-dev"))

    with pytest.raises(Unavailable, match=f"(?i){REFUSED}"):
        async with connected(settings, "tests", wait_for_broker=False):
            pass
