"""The unmodified official SDK for Node at an edge follows a release and its rollback."""

from pathlib import Path

from tests.support.local import local_system, sluiceway
from tests.support.node import installed_packages, running_script

CHANGE = "deploy/examples/changes/new_checkout.yaml"


async def test_the_node_sdk_follows_a_release_and_its_rollback(tmp_path: Path) -> None:
    installed_packages()
    async with local_system(tmp_path) as system:
        url = system.nats_url
        _, key, _ = await sluiceway(url, "key", "create", "--region", "dev")
        edge = system.processes()["edge-dev"]["http"]
        # The SDK posts its own faults to a fixed address elsewhere.
        nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9"}
        async with running_script("follow.mjs", edge, key.strip(), "new_checkout", **nowhere) as follower:
            before = await follower.value()
            await sluiceway(url, "apply", "-f", CHANGE)
            released = await follower.value()
            await sluiceway(url, "alert", "fire", "CheckoutErrors", "--label", "gate=new_checkout")
            reverted = await follower.value()

    assert (before, released, reverted) == (False, True, False)
