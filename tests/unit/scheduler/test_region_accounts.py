"""An account that does not work concerns its own region alone."""

from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.errors import NoRespondersError
from nats.js.errors import ServiceUnavailableError

from services.scheduler import region_accounts
from services.scheduler.region_accounts import RegionAccounts
from sluiceway.contracts import subjects
from sluiceway.contracts.catalogue import Region
from sluiceway.messaging.catalogue_store import CatalogueView
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.region_documents import RegionDocuments
from sluiceway.messaging.region_streams import copy_config
from sluiceway.messaging.rules_streams import RulesStreams
from sluiceway.pipelines.decision import Catalogue

CREATED = "2026-11-28T12:00:00Z"
REGIONS = {name: Region(name=name, environment="staging") for name in ("first", "broken", "last")}


class Accounts(RegionAccounts):
    """Looks at accounts of which one does not work, and keeps what was asked and written."""

    def __init__(self, broken: Exception | dict[str, Any] | None) -> None:
        catalogue = SimpleNamespace(catalogue=lambda: Catalogue(regions=REGIONS), catch_up=self._do_nothing)
        documents = SimpleNamespace(follower=SimpleNamespace(resets=0), write=self._write)
        connection = SimpleNamespace(replies=None)
        super().__init__(
            cast(Connection, connection), cast(CatalogueView, catalogue), cast(RegionDocuments, documents), 1
        )
        self.broken = broken
        self.asked: list[str] = []
        self.written: set[str] = set()

    async def _do_nothing(self) -> None:
        pass

    async def _write(self, documents: Mapping[str, bytes], but_of: Collection[str] = ()) -> None:
        self.written = {subjects.parse_region(subject) for subject in documents} - set(but_of)

    async def _info(self, subject: str, body: object = None) -> dict[str, Any]:
        self.asked.append(subject)
        if subject.startswith(subjects.region_api("broken", "")) and self.broken is not None:
            if isinstance(self.broken, Exception):
                raise self.broken
            return self.broken
        origin = subjects.RULES_STREAM if subject.endswith("KV_RULES") else subjects.REGIONS_STREAM
        config = copy_config(subject.rpartition(".")[2], origin, "x", 1) | {"name": origin}
        state = {"last_seq": 0, "last_ts": CREATED}
        return {"config": config, "created": CREATED, "state": state}


@pytest.fixture(autouse=True)
def rules_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(replies: object) -> RulesStreams:
        return RulesStreams()

    monkeypatch.setattr(region_accounts, "read_rules_streams", read)
    monkeypatch.setattr(region_accounts, "CHECK_EVERY_SECONDS", 0.0)


@pytest.mark.parametrize(
    "broken",
    [
        ServiceUnavailableError(code=503, err_code=10039, description="JetStream not enabled for account"),
        TimeoutError(),
        {"no": "description"},
    ],
)
async def test_the_regions_after_it_are_kept_and_their_keys_written(
    broken: Exception | dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    accounts = Accounts(broken)

    for _ in range(3):
        await accounts.update()

    assert accounts.written == {"first", "last"}
    assert accounts.asked.count(subjects.region_api("last", "STREAM.INFO.KV_CATALOG")) == 3
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("cannot update the account of broken; its keys stay as they are, trying again: ")


async def test_its_keys_are_written_once_it_works_again() -> None:
    accounts = Accounts(TimeoutError())
    await accounts.update()
    accounts.broken = None

    await accounts.update()

    assert accounts.written == {"first", "broken", "last"}


async def test_the_keys_of_a_region_without_an_account_are_written() -> None:
    """Nothing copies them: they are there when it gets one."""
    accounts = Accounts(NoRespondersError())

    await accounts.update()

    assert accounts.written == {"first", "broken", "last"}
