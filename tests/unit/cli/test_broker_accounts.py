"""Each service may read and change the streams that it needs, and no others."""

from collections.abc import Mapping

import pytest

from sluiceway.cli.broker_accounts import BrokerUser, broker_accounts
from sluiceway.messaging.streams import streams
from tests.hostile.roles import covers

SERVICES: Mapping[str, BrokerUser] = {
    user.name: user
    for user in broker_accounts(["dev"], [], [], operators=["ops"])[0].users
    if user.name != "jetstream_admin"
}
STREAMS = sorted(config.name or "" for config in streams(1))
READS = ("STREAM.MSG.GET.{}", "DIRECT.GET.{}", "CONSUMER.CREATE.{}.name", "CONSUMER.MSG.NEXT.{}.name")
CHANGES = ("STREAM.DELETE.{}", "STREAM.PURGE.{}", "STREAM.MSG.DELETE.{}", "STREAM.RESTORE.{}")
#: What is in no stream but that of the same name may be read in order to follow it.
FOLLOWED = {"FEATURES", "KV_CATALOG"}


def streams_of(user: str, *requests: str) -> set[str]:
    """Return the streams for which a user may send one of these requests to JetStream."""
    return {
        stream for stream in STREAMS for request in requests if may(user, f"$JS.API.{request.format(stream)}")
    }


def may(user: str, subject: str) -> bool:
    row = SERVICES[user]
    return any(covers(pattern, subject) for pattern in row.publish) and subject not in row.denied


@pytest.mark.parametrize(
    ("user", "others"),
    [
        ("scheduler", {"KV_REGIONS", "KV_APPLIED", "AUDIT", "KV_RULES"}),
        ("evaluator_publisher", {"KV_RULES"}),
        ("monitor", {"MEASUREMENTS", "ALERTS", "VERDICTS"}),
        ("ops", {"KV_RULES", "KV_APPLIED", "MEASUREMENTS", "VERDICTS", "AUDIT", "DEAD_LETTERS"}),
        ("console", {"KV_RULES", "KV_APPLIED", "MEASUREMENTS", "VERDICTS", "SESSIONS", "AUDIT"}),
    ],
)
def test_a_service_reads_the_streams_that_it_needs(user: str, others: set[str]) -> None:
    assert streams_of(user, *READS) == FOLLOWED | others


@pytest.mark.parametrize("user", SERVICES)
def test_no_service_takes_anything_out_of_a_stream_that_is_kept(user: str) -> None:
    assert streams_of(user, *CHANGES) == ({"PROBES", "KV_RULES"} if user == "scheduler" else set())


@pytest.mark.parametrize("user", SERVICES)
def test_only_the_scheduler_creates_and_changes_streams(user: str) -> None:
    assert bool(streams_of(user, "STREAM.CREATE.{}", "STREAM.UPDATE.{}")) == (user == "scheduler")


def test_a_region_adds_three_imports_to_the_account_of_the_services() -> None:
    """With 18 of each, nats-server 2.15 read a configuration of 1,000 regions in 46 s; with three, in 1 s."""
    regions = [
        account for account in broker_accounts(["a", "b"], [], []) if account.name.startswith("REGION_")
    ]

    assert [len(region.exports) for region in regions] == [3, 3]
