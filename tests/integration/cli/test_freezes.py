"""Freezes from the command line: applied, shown, enforced, overridden, deleted."""

from tests.support.cli.calls import EXAMPLES, Cli

from .documents import CATALOGUE, RELEASE

ALWAYS = """\
kind: Freeze
name: always
description: Nobody watches
weekly:
  - {from: Mon 00:00, to: Thu 00:00}
  - {from: Thu 00:00, to: Sun 24:00}
environments: [development, production]
"""
OVER = (
    "{kind: Freeze, name: over, timeZone: Europe/Berlin, from: 2020-12-20, to: 2020-12-27, pipelines: [slow]}"
)
LATER = "{kind: Freeze, name: later, from: 2970-01-01, to: 2971-01-01, regions: [eu]}"
TRIGGER = "gate.checkout.1"
WHY = ("--override-freeze", "--reason", "a hotfix")


async def test_freezes_are_applied_shown_with_their_state_and_deleted(cli: Cli) -> None:
    documents = f"{ALWAYS}---\n{OVER}\n---\n{LATER}\n---\n{CATALOGUE}"

    applied = await cli.succeeds("apply", "-f", "-", stdin=documents)
    again = await cli.succeeds("apply", "-f", "-", stdin=documents)
    table = (await cli.succeeds("get", "freezes")).out
    listed = (await cli.succeeds("get", "freezes", "--json")).json
    one = (await cli.succeeds("get", "freezes", "later", "--json")).json
    deleted = await cli.succeeds("freeze", "delete", "always", "--reason", "somebody watches")
    unknown = await cli.refused("freeze", "delete", "always", "--json")

    assert "freeze always: created" in applied.out
    assert "freeze always: unchanged" in again.out
    lines = [" ".join(line.split()) for line in table.splitlines()[1:]]
    assert lines[0] == "always Mon 00:00 to Thu 00:00 UTC environment development or production on, always"
    assert lines[1] == "Thu 00:00 to Mon 00:00 UTC"
    assert lines[2] == "over 2020-12-20 00:00 to 2020-12-27 00:00 Europe/Berlin pipeline slow over"
    assert lines[3].startswith("later 2970-01-01 00:00 to 2971-01-01 00:00 UTC region eu off, starts in ")
    assert [(freeze["name"], freeze["isOn"]) for freeze in listed] == [
        ("always", True),
        ("over", False),
        ("later", False),
    ]
    assert one["nextChangeMs"] == 31_556_995_200_000
    assert deleted.out == "always deleted\n"
    assert unknown.json["error"]["code"] == "unknown_freeze"
    assert unknown.line == "unknown freeze 'always' (known: later, over)"


async def test_an_invalid_freeze_is_refused_with_the_field_and_the_known_names(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)

    zone = await cli.refused("apply", "-f", "-", stdin=ALWAYS + "timeZone: Europe/Berln")
    scope = await cli.refused("apply", "-f", "-", "--dry-run", stdin=ALWAYS.replace("production", "prod"))

    assert zone.line == (
        "standard input, document 1 (Freeze): timeZone: unknown time zone "
        "'Europe/Berln'; did you mean Europe/Berlin?"
    )
    assert "unknown environment 'prod' (known: development, production)" in scope.out


async def test_a_refusal_by_a_freeze_says_how_to_override_and_the_log_shows_the_override(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{ALWAYS}")

    rehearsed = await cli.refused("apply", "-f", "-", "--dry-run", stdin=RELEASE)
    frozen = await cli.refused("apply", "-f", "-", stdin=RELEASE)
    unsaid = await cli.refused("apply", "-f", "-", "--override-freeze", stdin=RELEASE)
    would = await cli.succeeds("apply", "-f", "-", "--dry-run", *WHY, stdin=RELEASE)
    started = await cli.succeeds("apply", "-f", "-", *WHY, stdin=RELEASE)
    waits = await cli.succeeds("trigger", "skip", TRIGGER)
    refused = await cli.refused("trigger", "approve", TRIGGER, "--json")
    await cli.succeeds("trigger", "approve", TRIGGER, *WHY)
    rolled_out = await cli.succeeds("trigger", "rollout", TRIGGER)
    log = (await cli.succeeds("trigger", "log", TRIGGER)).out.splitlines()
    entries = (await cli.succeeds("trigger", "log", TRIGGER, "--json")).json

    assert "would be refused: save_feature of gate.checkout would release more during freeze always (" in (
        rehearsed.out
    )
    assert "--override-freeze --reason" in frozen.out
    assert "overriding a freeze needs a reason" in unsaid.out
    line = f"gate checkout: trigger {TRIGGER} started (IN_PROGRESS, phase dev) (overrode freeze always)"
    assert started.out.splitlines()[0] == line
    assert would.out.splitlines()[0] == line.replace("started", "would start")
    assert "WAITING_FOR_REVIEW" in waits.out
    assert refused.json["error"]["code"] == "frozen"
    assert "COMPLETED" in rolled_out.out
    assert [entry["overrode"] for entry in entries] == [["always"], [], ["always"], []]
    assert [line.endswith("a hotfix (overrode freeze always)") for line in log[1:]] == [
        True,
        False,
        True,
        False,
    ]


async def test_gate_set_can_override_a_freeze_and_at_once_needs_no_override(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{ALWAYS}")
    change = ("gate", "set", "page", "--on", "--pipeline", "slow")

    frozen = await cli.refused(*change)
    overridden = await cli.succeeds(*change, *WHY)
    await cli.succeeds("trigger", "abort", "gate.page.1")
    direct = await cli.succeeds("gate", "set", "page", "--off", "--at-once")

    assert "--override-freeze" in frozen.line
    assert "(overrode freeze always)" in overridden.out
    assert direct.out == "gate.page: live\n"


async def test_commands_that_start_no_phase_have_no_override_option(cli: Cli) -> None:
    for action in ("pause", "abort"):
        call = await cli("trigger", action, TRIGGER, "--override-freeze")

        assert call.code == 2
        assert "No such option" in call.error


async def test_the_example_freezes_can_be_applied_to_the_example_catalogue(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", str(EXAMPLES / "catalogue"))

    applied = await cli.succeeds("apply", "-f", str(EXAMPLES / "freezes.yaml"))

    assert [line.rpartition(": ")[2] for line in applied.out.splitlines()] == ["created"] * 3
