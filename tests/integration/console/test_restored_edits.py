"""What was read before the broker's store went back is not taken for what is there now."""

from functools import partial
from pathlib import Path

import pytest

from sluiceway.contracts.commands import AbortTrigger
from sluiceway.contracts.revisions import sequence_of
from tests.support.brokers import Broker
from tests.support.history import SavedStore
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

from .conftest import Served

GATE = "/console/v1/gates/one"
REGION = "/api/v1/regions/dev"


@pytest.fixture
def store(broker: Broker, tmp_path: Path) -> SavedStore:
    if not (tmp_path / "broker" / "jetstream").exists():
        pytest.skip("the store of a broker in a container cannot be replaced")
    return SavedStore(broker, tmp_path / "broker")


async def is_back(served: Served) -> None:
    await eventually(partial(served.driver.answered, AbortTrigger, trigger="gate.unknown.1"), "it is back")
    await served.console.backend.features.catch_up()
    await served.console.backend.catalogue.catch_up()


async def test_an_edit_of_a_lost_revision_is_refused_although_its_sequence_is_there_again(
    served: Served, store: SavedStore
) -> None:
    admin = served.console.admin
    region = {"environment": "development", "attributes": {}}
    await served.driver.save_gate("one", EVERYONE)
    store.save()
    await is_back(served)
    await admin.patch(GATE, json={"description": "lost"})
    await admin.put(REGION, json={**region, "attributes": {"zone": "lost"}})
    read = [(await admin.get(path)).headers["ETag"] for path in (GATE, REGION)]

    store.restore()
    await is_back(served)
    await admin.patch(GATE, json={"description": "newer"})
    await admin.put(REGION, json={**region, "attributes": {"zone": "newer"}})
    newest = [(await admin.get(path)).headers["ETag"] for path in (GATE, REGION)]
    refused = [
        await admin.patch(GATE, json={"description": "mine"}, headers={"If-Match": read[0]}),
        await admin.put(REGION, json=region, headers={"If-Match": read[1]}),
    ]

    for before, now in zip(read, newest, strict=True):
        assert sequence_of(before.strip('"')) == sequence_of(now.strip('"'))
        assert before != now
    assert [answer.status_code for answer in refused] == [412, 412]
    assert "gate.one was changed by admin at 20" in refused[0].json()["message"]
    feature = await served.driver.feature("one")
    assert feature.base
    assert feature.base.description == "newer"
