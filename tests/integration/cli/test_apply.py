"""`sluiceway apply`: what it prints, what it saves, and what it leaves unchanged."""

from pathlib import Path

from tests.support.cli.calls import EXAMPLES, Cli
from tests.support.system import Driver

from .documents import CATALOGUE, RELEASE

EXAMPLE_LINES = [
    "environment development",
    "environment staging",
    "environment production",
    "region dev",
    "region staging",
    "region prod-us-west",
    "region prod-us-east",
    "region prod-eu",
    "pipeline prod-release",
]


async def test_the_example_catalogue_is_created_and_the_second_time_unchanged(cli: Cli) -> None:
    folder = str(EXAMPLES / "catalogue")

    first = await cli.succeeds("apply", "-f", folder)
    second = await cli.succeeds("apply", "-f", folder)

    features = ["gate new_checkout", "config checkout_limits"]
    assert first.out.splitlines() == [
        *(f"{line}: created" for line in EXAMPLE_LINES),
        *(f"{line}: live immediately" for line in features),
    ]
    assert second.out.splitlines() == [f"{line}: unchanged" for line in EXAMPLE_LINES + features]


async def test_a_first_start_saves_the_catalogue_and_a_later_one_leaves_what_people_made_of_it(
    cli: Cli,
) -> None:
    words = ("apply", "--if-empty", "-f", str(EXAMPLES / "catalogue"))
    first = await cli.succeeds(*words)
    await cli.succeeds("region", "delete", "prod-eu")

    second = await cli.succeeds(*words)
    third = await cli.succeeds(*words, "--json")

    assert "region prod-eu: created" in first.out.splitlines()
    assert second.out == "nothing was saved, since there are 4 regions already\n"
    assert third.json == []


async def test_a_change_starts_a_trigger_and_shows_the_notice_of_its_pipeline(cli: Cli) -> None:
    applied = await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{RELEASE}")

    assert applied.out.splitlines()[-2:] == [
        "gate checkout: trigger gate.checkout.1 started (IN_PROGRESS, phase dev)",
        "  Is somebody watching?",
    ]


async def test_a_changed_document_is_reported_as_changed(cli: Cli) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE)

    changed = await cli.succeeds("apply", "-f", "-", stdin=CATALOGUE.replace("1h", "2h"))

    assert "pipeline slow: changed" in changed.out
    assert "region dev: unchanged" in changed.out


async def test_a_refusal_of_one_document_does_not_stop_the_others(cli: Cli, tmp_path: Path) -> None:
    lost = "{kind: Region, name: lost, environment: nowhere}\n---\n{kind: FeatureGate, name: checkout}"
    (tmp_path / "lost.yaml").write_text(lost)
    (tmp_path / "environment.yaml").write_text("{kind: Environment, name: development}")

    call = await cli.refused("apply", "-f", str(tmp_path), "--json")

    assert [(result["name"], result["outcome"]) for result in call.json] == [
        ("development", "accepted"),
        ("lost", "refused"),
        ("checkout", "accepted"),
    ]
    assert call.json[1]["refusal"]["code"] == "unknown_environment"
    assert call.line.startswith("1 of 3 documents refused, first region lost: refused: ")
    assert (await cli.succeeds("get", "gates", "checkout", "--json")).json["status"] == "live"


async def test_if_one_document_is_invalid_none_is_sent(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mixed.yaml"
    file.write_text("{kind: Environment, name: development}\n---\n{kind: FeatureGate, name: a.b}")

    call = await cli.refused("apply", "-f", str(file))

    assert call.line.startswith(f"{file}, document 2 (FeatureGate): name: String should match")
    assert (await cli.succeeds("get", "environments", "--json")).json == []


async def test_a_dry_run_prints_what_applying_does_and_saves_nothing(cli: Cli) -> None:
    everything = f"{CATALOGUE}---\n{RELEASE}---\n{{kind: DynamicConfig, name: limits}}"

    rehearsed = await cli.succeeds("apply", "-f", "-", "--dry-run", stdin=everything)
    nothing = await cli.succeeds("get", "regions", "--json")
    applied = await cli.succeeds("apply", "-f", "-", stdin=everything)

    assert nothing.json == []
    assert "region eu: would be created" in rehearsed.out
    done = rehearsed.out.replace("would be created", "created").replace("would start", "started")
    assert done.replace("would go live immediately", "live immediately") == applied.out


async def test_a_dry_run_reports_what_would_be_refused(cli: Cli, driver: Driver) -> None:
    await cli.succeeds("apply", "-f", "-", stdin=f"{CATALOGUE}---\n{RELEASE}")

    call = await cli.refused("apply", "-f", "-", "--dry-run", stdin=CATALOGUE.replace("1h", "2h"))

    assert "pipeline slow: would be refused: pipeline slow is running for gate.checkout" in call.out
    assert len(await driver.history("checkout")) == 1


async def test_the_log_has_the_reason_and_the_actor(cli: Cli, driver: Driver) -> None:
    who = ("--reason", "a new page", "--actor", "grace")

    await cli.succeeds("apply", "-f", "-", *who, stdin="{kind: FeatureGate, name: page}")

    (logged,) = await driver.history("page")
    assert (logged.event.actor_id, logged.event.reason) == ("grace", "a new page")


async def test_a_document_that_is_larger_than_a_message_is_refused_with_numbers(
    cli: Cli, tmp_path: Path
) -> None:
    file = tmp_path / "huge.yaml"
    file.write_text(f"kind: DynamicConfig\nname: huge\ndefaultValue:\n  text: {'x' * 1_200_000}\n")

    call = await cli.refused("apply", "-f", str(file))

    assert "at most 262144 are allowed: split the feature into several" in call.out
