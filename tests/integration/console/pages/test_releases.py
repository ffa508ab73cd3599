"""Releases on the page: what is shown, which actions are offered, and what each one would do."""

import re

from sluiceway.contracts.commands import PauseTrigger, SaveFreeze, SavePipeline
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identity import Role
from tests.integration.console.conftest import Served
from tests.support.browsers import browsing
from tests.support.catalogues import phase, pipeline
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE

HOUR = 3_600_000
TRIGGER = "gate.new_checkout.1"


async def release(served: Served, *phases: dict[str, object]) -> None:
    """Start a release that stays in its first phase."""
    await served.driver.accepted(
        SavePipeline, pipeline=pipeline(*(phases or (phase("dev", bake_ms=HOUR), phase("staging"))))
    )
    await served.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()


async def test_the_overview_shows_active_releases_and_regions(served: Served) -> None:
    await release(served)

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/")

    assert f'href="/triggers/{TRIGGER}"' in browser.page
    assert "1 active release" in browser.page
    assert "bakes" in browser.page
    assert "prod-eu" in browser.page


async def test_an_empty_overview_says_how_to_begin(served: Served) -> None:
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/")

    assert "No release is active." in browser.page


async def test_a_release_shows_its_phases_its_change_and_its_log(served: Served) -> None:
    await release(served)

    async with browsing(served.console.url, served.console.key) as browser:
        answer = await browser.get(f"/triggers/{TRIGGER}")

    assert answer.status_code == 200
    assert "it is new" in browser.page
    assert "region is one of dev in development" in browser.page
    assert "trigger started" in browser.page


async def test_an_action_says_what_it_will_do_and_does_it_with_its_reason(served: Served) -> None:
    await release(served, phase("dev", bake_ms=HOUR), phase("staging", bake_ms=HOUR))

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get(f"/triggers/{TRIGGER}/skip")
        shown = browser.page
        await browser.post(f"/triggers/{TRIGGER}/skip", phase="dev", reason="seen enough")

    assert re.search(r"<strong>1 of 5 regions</strong> will receive the candidate now: staging", shown)
    assert "Phase staging bakes for 1h" in shown
    assert "seen enough" in browser.page
    trigger = await served.driver.trigger(TRIGGER)
    assert trigger.current_run.phase.id == "staging"
    assert trigger.actions[-1].actor_id == "admin"


async def test_an_abort_says_from_how_many_regions_the_candidate_is_taken(served: Served) -> None:
    await release(served)

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get(f"/triggers/{TRIGGER}/abort")

    assert "<strong>1 of 5 regions</strong> will return to what was live before: dev" in browser.page


async def test_an_action_for_a_phase_that_is_over_is_refused(served: Served) -> None:
    await release(served)

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get(f"/triggers/{TRIGGER}/skip")
        answer = await browser.post(f"/triggers/{TRIGGER}/skip", phase="staging")

    assert answer.status_code == 409
    assert "check the release, then try again" in answer.text


async def test_what_a_person_may_not_do_is_not_offered_and_says_why(served: Served) -> None:
    await release(served)
    key = await create_api_key(served.driver, Role.VIEWER, owner="vera")
    await served.console.backend.catalogue.catch_up()

    async with browsing(served.console.url, key) as browser:
        await browser.get(f"/triggers/{TRIGGER}")
        shown = browser.page
        answer = await browser.post(f"/triggers/{TRIGGER}/abort")

    assert f'href="/triggers/{TRIGGER}/abort"' not in shown
    assert "vera may not abort here: this needs the role operator" in shown
    assert answer.status_code == 403
    assert (await served.driver.trigger(TRIGGER)).status is TriggerStatus.IN_PROGRESS


async def test_a_paused_release_says_how_much_of_the_bake_is_left(served: Served) -> None:
    await release(served)
    await served.driver.act(PauseTrigger, TRIGGER)
    await served.console.backend.features.catch_up()

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get(f"/triggers/{TRIGGER}")
        shown = browser.page
        await browser.get(f"/triggers/{TRIGGER}/unpause")

    assert "paused" in shown
    assert "Phase dev bakes for 59m" in browser.page


async def test_a_form_that_is_sent_twice_acts_once(served: Served) -> None:
    await release(served)

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get(f"/triggers/{TRIGGER}/pause")
        command = re.search(r'name="command" value="(\w+)"', browser.page)
        assert command
        first = await browser.post(f"/triggers/{TRIGGER}/pause", phase="dev", command=command[1])
        again = await browser.post(f"/triggers/{TRIGGER}/pause", phase="dev", command=command[1])

    assert first.status_code == again.status_code == 200
    assert [action.type for action in (await served.driver.trigger(TRIGGER)).actions] == ["STARTED", "PAUSED"]


async def test_a_bake_is_extended_by_what_the_form_says(served: Served) -> None:
    await release(served)
    due_ms = (await served.driver.trigger(TRIGGER)).due_ms
    assert due_ms

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get(f"/triggers/{TRIGGER}/extend")
        shown = browser.page
        refused = await browser.post(f"/triggers/{TRIGGER}/extend", phase="dev", by="soon")
        await browser.post(f"/triggers/{TRIGGER}/extend", phase="dev", by="1h30m", reason="low traffic")

    assert 'name="by" value="30m"' in shown
    assert refused.status_code == 400
    assert (await served.driver.trigger(TRIGGER)).due_ms == due_ms + 90 * 60_000
    assert "low traffic" in browser.page


async def test_a_freeze_is_shown_and_can_be_overridden_with_a_reason(served: Served) -> None:
    await release(served, phase("dev", bake_ms=HOUR), phase("staging", bake_ms=HOUR))
    freeze = {"name": "night", "from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
    await served.driver.accepted(SaveFreeze, freeze=freeze)
    await served.console.backend.catalogue.catch_up()

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get(f"/triggers/{TRIGGER}/skip")
        shown = browser.page
        await browser.get(f"/triggers/{TRIGGER}/skip?override=true")
        await browser.post(f"/triggers/{TRIGGER}/skip", phase="dev", override="yes", reason="incident 7")

    assert "would release more during freeze night" in shown
    assert "overrode freeze night" in browser.page


async def test_an_unknown_release_is_an_error_page(served: Served) -> None:
    async with browsing(served.console.url, served.console.key) as browser:
        answer = await browser.get("/triggers/gate.nothing.1")

    assert answer.status_code == 404
    assert "trigger gate.nothing.1 does not exist" in answer.text
