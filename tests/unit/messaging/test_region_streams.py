"""What is copied into the account of a region, and when a copy is of another history."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from sluiceway.contracts.catalogue import Environment, Region, SdkKey
from sluiceway.messaging.connection import Connection
from sluiceway.messaging.publishing import ConditionalMessage
from sluiceway.messaging.region_documents import RegionDocuments, region_documents
from sluiceway.messaging.region_streams import StreamEnd
from sluiceway.messaging.stream_records import Record
from sluiceway.pipelines.decision import Catalogue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("copied", "original", "is_other"),
    [
        (StreamEnd(LATER, 5), StreamEnd(NOW, 5), False),
        (StreamEnd(LATER, 4), StreamEnd(NOW, 5), False),
        (StreamEnd(LATER, 0), StreamEnd(NOW, 0), False),
        (StreamEnd(LATER, 6), StreamEnd(NOW, 5), True),
        (StreamEnd(NOW, 4), StreamEnd(LATER, 5), True),
        (StreamEnd(NOW, 0), StreamEnd(LATER, 0), True),
    ],
)
def test_a_copy_that_is_ahead_or_older_is_of_another_history(
    copied: StreamEnd, original: StreamEnd, is_other: bool
) -> None:
    assert copied.is_of_another_history(original) == is_other


def test_a_region_gets_its_own_document_and_the_keys_that_open_it() -> None:
    keys = [
        SdkKey(id=id_, region=region, environment=environment, digest="0" * 64, created_ms=0)
        for id_, region, environment in (
            ("a", "dev", None),
            ("b", "prod-eu", None),
            ("c", None, "production"),
            ("d", None, "development"),
            ("e", "deleted", None),
        )
    ]
    catalogue = Catalogue(
        environments={name: Environment(name=name) for name in ("development", "production")},
        regions={
            "dev": Region(name="dev", environment="development"),
            "prod-eu": Region(name="prod-eu", environment="production"),
        },
        keys={key.id: key for key in keys},
    )

    assert set(region_documents(catalogue)) == {
        "$KV.REGIONS.dev.region.dev",
        "$KV.REGIONS.dev.key.a",
        "$KV.REGIONS.dev.key.d",
        "$KV.REGIONS.prod-eu.region.prod-eu",
        "$KV.REGIONS.prod-eu.key.b",
        "$KV.REGIONS.prod-eu.key.c",
    }


async def test_documents_of_a_region_that_is_held_back_stay_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = RegionDocuments(
        cast(Connection, SimpleNamespace(client=None, replies=None, writes=None, js=None))
    )
    written: set[str] = set()

    async def append_all(messages: Sequence[ConditionalMessage]) -> None:
        written.update(message.subject for message in messages)

    async def catch_up() -> None:
        pass

    monkeypatch.setattr(documents, "_publisher", SimpleNamespace(append_all=append_all))
    monkeypatch.setattr(documents, "catch_up", catch_up)
    for region in ("dev", "prod-eu"):
        subject = f"$KV.REGIONS.{region}.key.revoked"
        documents._newest[subject] = Record(subject, 1, 0, b"{}", {})

    new = {f"$KV.REGIONS.{region}.key.new": b"{}" for region in ("dev", "prod-eu")}
    await documents.write(new, but_of={"dev"})

    assert written == {"$KV.REGIONS.prod-eu.key.revoked", "$KV.REGIONS.prod-eu.key.new"}
