"""The unmodified official SDK for Node at an edge follows a release and its rollback."""

from pathlib import Path

from tests.support.cli.calls import Cli
from tests.support.local import edges_of, local_system
from tests.support.node import installed_packages, running_script

CHANGE = "deploy/examples/changes/new_checkout.yaml"


async def test_the_node_sdk_follows_a_release_and_its_rollback(tmp_path: Path) -> None:
    installed_packages()
    async with local_system(tmp_path, *edges_of("dev")) as system:
        cli = Cli(system.nats_url)
        key = (await cli.succeeds("key", "create", "--region", "dev")).out
        edge = system.processes()["edge-dev"]["http"]
        # The SDK posts its own faults to a fixed address elsewhere.
        nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9"}
        async with running_script("follow.mjs", edge, key.strip(), "new_checkout", **nowhere) as follower:
            before = await follower.value()
            await cli.succeeds("apply", "-f", CHANGE)
            released = await follower.value()
            await cli.succeeds("alert", "fire", "CheckoutErrors", "--label", "gate=new_checkout")
            reverted = await follower.value()

    assert (before, released, reverted) == (False, True, False)
