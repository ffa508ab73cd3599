"""Releases in a real browser: approved by two users, rolled back live, seen by all immediately."""

import time
from collections.abc import Callable

from playwright.async_api import Page, expect

from sluiceway.clock import now_ms
from sluiceway.contracts.commands import SavePipeline, SkipPhase
from sluiceway.contracts.feature import TriggerStatus
from sluiceway.contracts.identity import Role
from tests.support.catalogues import phase, pipeline
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE

from .conftest import Stage, sign_in

HOUR = 3_600_000
TRIGGER = "gate.new_checkout.1"
PAGE = f"/triggers/{TRIGGER}"


async def release(stage: Stage, **approvals: object) -> None:
    """Start a release that bakes for an hour in each of two phases, the second behind a review."""
    second = phase("staging", bake_ms=HOUR, review=True, **approvals)
    await stage.driver.accepted(SavePipeline, pipeline=pipeline(phase("dev", bake_ms=HOUR), second))
    await stage.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await stage.console.backend.features.catch_up()


async def status(page: Page, words: str) -> None:
    """Wait until the page of a release shows its status."""
    await expect(page.get_by_role("main").get_by_role("status")).to_have_text(words)


async def do(page: Page, action: str, reason: str = "") -> None:
    """Follow an action to its confirmation, and confirm it."""
    await page.get_by_role("link", name=action).click()
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_role("button", name=action.removesuffix(" …")).click()


async def test_two_people_approve_and_both_see_it(stage: Stage) -> None:
    await release(stage, approvals={"count": 2, "groups": ["sre"]})
    await stage.driver.act(SkipPhase, TRIGGER)
    bob = await stage.person("bob", Role.APPROVER, groups=["sre"])
    cleo = await stage.person("cleo", Role.APPROVER, groups=["sre"])
    await cleo.goto(PAGE)
    await bob.goto(PAGE)

    await do(bob, "Approve …", "looks good")

    await expect(cleo.get_by_text("waits for review, 1 of 2 approvals").first).to_be_visible()
    await expect(bob.get_by_text("bob has already approved 'staging' of")).to_be_visible()
    await expect(bob.get_by_role("button", name="Approve")).to_be_disabled()
    await stage.picture(bob, "one-of-two")

    await do(cleo, "Approve …")

    await status(bob, "in progress")
    staging = bob.locator("#phase-staging")
    await expect(staging.get_by_text("bakes", exact=True)).to_be_visible()
    trigger = await stage.driver.trigger(TRIGGER)
    assert [given.actor_id for given in trigger.phases[1].approvals] == ["bob", "cleo"]


async def test_a_rollback_is_seen_live(stage: Stage) -> None:
    await release(stage)
    page = await stage.person("ada", Role.VIEWER)
    await page.goto(PAGE)
    await status(page, "in progress")

    await stage.driver.alert("CheckoutErrors", gate="new_checkout")

    await status(page, "rolled back")
    await expect(page.get_by_text("taken back").first).to_be_visible()
    await expect(page.get_by_role("cell", name="trigger rolled back")).to_be_visible()
    await stage.picture(page, "rolled-back")


async def test_two_browsers_see_each_others_change(
    stage: Stage, record_property: Callable[[str, object], None]
) -> None:
    await release(stage)
    one = await stage.person("ada", Role.OPERATOR)
    other = await stage.person("bob", Role.VIEWER)
    await other.goto("/")
    await expect(other.get_by_text("1 active release")).to_be_visible()
    await one.goto(f"{PAGE}/pause")

    begun = time.monotonic()
    await one.get_by_role("button", name="Pause").click()
    await expect(other.locator(f"[id='release-{TRIGGER}']").get_by_text("paused").first).to_be_visible()

    record_property("figure", f"console: another browser saw a pause after {time.monotonic() - begun:.2f} s")


async def test_what_a_person_may_not_do_is_not_offered(stage: Stage) -> None:
    await release(stage)
    page = await stage.person("vera", Role.VIEWER)
    await page.goto(PAGE)

    await expect(page.get_by_role("button", name="Abort")).to_be_disabled()
    await expect(page.get_by_text("vera may not abort here: this needs the role operator")).to_be_visible()
    await page.goto(f"{PAGE}/abort")
    await expect(page.get_by_role("alert")).to_contain_text("needs the role operator")
    await stage.picture(page, "refused")

    assert (await stage.driver.trigger(TRIGGER)).status is TriggerStatus.IN_PROGRESS


async def test_an_expired_key_signs_nobody_in_and_ends_what_it_began(stage: Stage) -> None:
    lifetime_ms = 2_000
    key = await create_api_key(stage.driver, Role.VIEWER, owner="eve", expires_ms=now_ms() + lifetime_ms)
    await stage.console.backend.catalogue.catch_up()
    page, later = await stage.page(), await stage.page()
    await sign_in(page, key)

    while not page.url.endswith("/sign-in?next=%2F"):
        await page.goto("/")  # bounded by the test's own time
    await sign_in(later, key)

    await expect(later.get_by_role("alert")).to_have_text("This key is wrong, revoked or expired.")


async def test_a_release_can_be_aborted_with_the_keyboard_alone(stage: Stage) -> None:
    await release(stage)
    page = await stage.person("ada", Role.OPERATOR)
    await page.goto(PAGE)

    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    for _ in range(20):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent.trim()") == "Abort …":
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Reason")).to_be_focused()
    await page.keyboard.type("wrong price")
    await page.keyboard.press("Enter")

    await status(page, "aborted")
    await expect(page.get_by_role("cell", name="wrong price")).to_be_visible()
