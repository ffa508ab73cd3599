"""`sluiceway trigger …`: every action, and the audit trail that it leaves."""

import pytest

from tests.support.cli.calls import Cli
from tests.support.system import Driver

from .documents import CATALOGUE, RELEASE

TRIGGER = "gate.checkout.1"


@pytest.fixture
async def released(cli: Cli) -> Cli:
    """The trigger in its first phase."""
    await cli.succeeds("apply", "-f", "-", "--reason", "a new page", stdin=f"{CATALOGUE}---\n{RELEASE}")
    return cli


async def test_a_release_is_paused_resumed_extended_skipped_approved_and_rolled_out(released: Cli) -> None:
    paused = await released.succeeds("trigger", "pause", TRIGGER)
    unpaused = await released.succeeds("trigger", "unpause", TRIGGER)
    extended = await released.succeeds("trigger", "extend", TRIGGER, "--by", "2h")
    by_default = await released.succeeds("trigger", "extend", TRIGGER)
    invalid = await released.refused("trigger", "extend", TRIGGER, "--by", "long")
    skipped = await released.succeeds("trigger", "skip", TRIGGER, "--phase", "dev")
    approved = await released.succeeds("trigger", "approve", TRIGGER, "--reason", "[/b] looks :smile: good")
    rolled_out = await released.succeeds("trigger", "rollout", TRIGGER, "--json")
    log = (await released.succeeds("trigger", "log", TRIGGER)).out
    entries = (await released.succeeds("trigger", "log", TRIGGER, "--json")).json

    assert paused.out == f"{TRIGGER} PAUSED, phase dev\n"
    assert unpaused.out.startswith(f"{TRIGGER} IN_PROGRESS, phase dev, next in 59m")
    assert extended.out.startswith(f"{TRIGGER} IN_PROGRESS, phase dev, next in 2h59m")
    assert by_default.out.startswith(f"{TRIGGER} IN_PROGRESS, phase dev, next in 3h29m")
    assert "invalid duration 'long': write for example 30m" in invalid.line
    assert skipped.out == f"{TRIGGER} WAITING_FOR_REVIEW, phase prod, waits for review\n"
    assert approved.out.startswith(f"{TRIGGER} IN_PROGRESS, phase prod")
    assert rolled_out.json["status"] == "COMPLETED"
    assert [(entry["type"], entry["phaseID"], entry["actorID"], entry["reason"]) for entry in entries] == [
        ("trigger_started", "dev", "ada", "a new page"),
        ("trigger_paused", "dev", "ada", None),
        ("trigger_unpaused", "dev", "ada", None),
        ("bake_extended", "dev", "ada", None),
        ("bake_extended", "dev", "ada", None),
        ("phase_skipped", "dev", "ada", None),
        ("phase_approved", "prod", "ada", "[/b] looks :smile: good"),
        ("trigger_rolled_out", "prod", "ada", None),
    ]
    assert [line.split()[1] for line in log.splitlines()[1:]] == [entry["type"] for entry in entries]
    assert "[/b] looks :smile: good" in log


async def test_two_people_approve_and_the_author_may_not(cli: Cli) -> None:
    catalogue = CATALOGUE.replace("requiredReview: true", "approvals: {count: 2}")
    await cli.succeeds("apply", "-f", "-", stdin=f"{catalogue}---\n{RELEASE}")
    await cli.succeeds("trigger", "skip", TRIGGER)

    author = await cli.refused("trigger", "approve", TRIGGER, "--json")
    first = await cli.succeeds("trigger", "approve", TRIGGER, "--actor", "bob")
    again = await cli.succeeds("trigger", "approve", TRIGGER, "--actor", "bob")
    second = await cli.succeeds("trigger", "approve", TRIGGER, "--actor", "eve")
    entries = (await cli.succeeds("trigger", "log", TRIGGER, "--json")).json

    assert author.json["error"]["code"] == "not_allowed"
    assert first.out == f"{TRIGGER} WAITING_FOR_REVIEW, phase prod, waits for review, 1 of 2 approvals\n"
    assert "bob has already approved 'prod'" in again.out
    assert second.out.startswith(f"{TRIGGER} IN_PROGRESS, phase prod, next in")
    assert [(entry["type"], entry["actorID"]) for entry in entries[2:]] == [
        ("approval_given", "bob"),
        ("phase_approved", "eve"),
    ]


async def test_the_log_of_a_trigger_ends_with_its_run(released: Cli, driver: Driver) -> None:
    await released.succeeds("trigger", "abort", TRIGGER, "--reason", "not yet")
    await driver.save_gate("checkout", description="live at once")
    await released.succeeds("apply", "-f", "-", stdin=RELEASE)

    first = (await released.succeeds("trigger", "log", TRIGGER, "--json")).json
    second = (await released.succeeds("trigger", "log", "gate.checkout.2", "--json")).json

    assert [entry["type"] for entry in first] == ["trigger_started", "trigger_aborted"]
    assert [entry["type"] for entry in second] == ["trigger_started"]


async def test_an_action_for_another_phase_or_an_ended_trigger_is_refused(released: Cli) -> None:
    stale = await released.refused("trigger", "skip", TRIGGER, "--phase", "prod", "--json")
    impossible = await released.refused("trigger", "approve", TRIGGER)
    await released.succeeds("trigger", "abort", TRIGGER)
    ended = await released.refused("trigger", "pause", TRIGGER, "--json")
    unknown = await released.refused("trigger", "pause", "gate.checkout.7")

    assert stale.json["error"]["code"] == "stale_phase"
    assert "possible now: pause, skip, extend, abort, roll_out" in impossible.line
    assert ended.json["error"]["code"] == "trigger_ended"
    assert unknown.line == "trigger gate.checkout.7 does not exist"
