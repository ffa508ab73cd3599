"""`sluiceway audit …`: records are shown, and whatever was done to them is found."""

import json
from typing import Any

from nats.js import JetStreamContext

from sluiceway.contracts import subjects
from sluiceway.contracts.audit_records import canonical_json, record_hash
from sluiceway.contracts.commands import SaveFeature
from sluiceway.messaging.history import read_records
from sluiceway.messaging.streams import streams
from tests.support.catalogues import apply_catalogue
from tests.support.cli.calls import Cli
from tests.support.system import Driver
from tests.support.waiting import eventually

REFUSALS = 3


async def refuse_some(driver: Driver) -> None:
    """Let the scheduler refuse a few commands, and wait until that is recorded."""
    await apply_catalogue(driver)
    for number in range(REFUSALS):
        document = {"kind": "FeatureGate", "name": f"g{number}", "releasePipelineID": "unknown"}
        await driver.refused(SaveFeature, actor=f"user {number}", feature=document)

    async def look() -> bool:
        return (await driver.connection.js.stream_info(subjects.AUDIT_STREAM)).state.messages == REFUSALS

    await eventually(look, "the refusals are recorded")


async def replace_records(js: JetStreamContext, records: list[dict[str, Any]]) -> None:
    """Write other records, as somebody can who may delete streams or change the broker's files."""
    await js.delete_stream(subjects.AUDIT_STREAM)
    config = next(config for config in streams(1) if config.name == subjects.AUDIT_STREAM)
    await js.add_stream(config.evolve(deny_delete=False))
    for record in records:
        await js.publish(subjects.audit(record["service"]), canonical_json(record))


async def stored(js: JetStreamContext) -> list[dict[str, Any]]:
    history = read_records(js, subjects.AUDIT_STREAM, subjects.AUDIT)
    return [json.loads(record.data) async for record in history]


async def test_records_are_verified_up_to_a_hash_that_was_kept(cli: Cli, driver: Driver) -> None:
    await refuse_some(driver)
    js = driver.connection.js

    first = await cli.succeeds("audit", "verify")
    chain = (await cli.succeeds("audit", "verify", "--json")).json["chains"]["scheduler"]
    again = await cli.succeeds("audit", "verify", "--expect", chain["hash"], "--json")
    records = await stored(js)
    await replace_records(js, records[:-1])
    unnoticed = await cli.succeeds("audit", "verify")
    truncated = await cli("audit", "verify", "--expect", chain["hash"], "--json")

    assert first.out == f"3 records are as they were written\nscheduler 3 {chain['hash']}\n"
    assert (chain["first"], chain["last"], again.json["broken"]) == (1, 3, None)
    assert "2 records" in unnoticed.out
    assert truncated.code == 1
    assert truncated.json["broken"]["service"] == "expected record"
    assert f"no record has the hash {chain['hash']}" in truncated.line


async def test_the_first_record_that_was_altered_or_removed_is_named(cli: Cli, driver: Driver) -> None:
    await refuse_some(driver)
    js, records = driver.connection.js, await stored(driver.connection.js)
    altered = {**records[1], "reason": "never mind"}
    resealed = {**altered, "hash": record_hash(altered)}

    found = []
    for others in (
        [records[0], altered, records[2]],
        [records[0], resealed, records[2]],
        [records[0], records[2]],
        records[1:],
    ):
        await replace_records(js, others)
        call = await cli("audit", "verify")
        found.append((call.code, call.error))

    await replace_records(js, records)
    await js.delete_msg(subjects.AUDIT_STREAM, REFUSALS)
    without_the_last = await cli("audit", "verify", "--json")

    assert [code for code, _ in found] == [1, 1, 1, 1]
    assert without_the_last.json["broken"]["why"] == "1 messages were removed from it"
    assert "scheduler at message 2: record 2 was altered" in found[0][1]
    assert "scheduler at message 3: record 3 does not follow from 2" in found[1][1]
    assert "scheduler at message 2: record 3 follows 1" in found[2][1]
    assert "scheduler at message 1: the first record is 2: those before it were removed" in found[3][1]


async def test_what_strangers_wrote_does_nothing_to_a_terminal(cli: Cli, driver: Driver) -> None:
    document = {"kind": "FeatureGate", "name": "g", "releasePipelineID": "unknown"}
    await driver.refused(SaveFeature, actor="\x1b[2J\u202eeve", feature=document)

    async def look() -> str | None:
        out = (await cli.succeeds("audit", "list")).out
        return out if "eve says" in out else None

    shown = await eventually(look, "the refusal is shown")
    assert "\x1b" not in shown
    assert "\u202e" not in shown


async def test_records_are_listed_by_actor_type_and_time(cli: Cli, driver: Driver) -> None:
    await refuse_some(driver)

    everything = (await cli.succeeds("audit", "list", "--json")).json
    newest = (await cli.succeeds("audit", "list", "--last", "1", "--json")).json
    other_types = (await cli.succeeds("audit", "list", "--type", "signed_in", "--json")).json
    later = (await cli.succeeds("audit", "list", "--since", "2100-01-01T00:00:00Z", "--json")).json
    lately = (await cli.succeeds("audit", "list", "--since", "1h", "--json")).json
    nobody = (await cli.succeeds("audit", "list", "--actor", "ada", "--json")).json
    shown = (await cli.succeeds("audit", "list")).out
    wrong = await cli.refused("audit", "list", "--since", "yesterday")

    assert [record["number"] for record in everything] == [1, 2, 3]
    assert [record["number"] for record in newest] == [3]
    assert (other_types, later, nobody) == ([], [], [])
    assert lately == everything
    assert "save_feature gate.g0" in shown
    assert "write 24h, or 2026-11-24T08:00:00Z" in wrong.line
