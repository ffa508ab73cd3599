"""Features and pipelines in a real browser: written, checked while typing, released to the end."""

from playwright.async_api import expect

from sluiceway.contracts.commands import SavePipeline
from sluiceway.contracts.identity import Role
from tests.support.catalogues import REGIONS, phase, pipeline

from .conftest import Stage

HOUR = 3_600_000
GATE = """kind: FeatureGate
name: new_checkout
releasePipelineID: prod-release
rules:
- {name: everyone, conditions: [{type: public}]}
"""


async def test_a_release_from_save_to_completion(stage: Stage) -> None:
    phases = [phase(name, bake_ms=300, review=name == "prod-us-west") for name in REGIONS]
    notice = "Is somebody watching?"
    await stage.driver.accepted(SavePipeline, pipeline=pipeline(*phases, triggerNotice=notice))
    page = await stage.person("ada", Role.EDITOR, Role.APPROVER)
    await page.goto("/features")
    await page.get_by_role("link", name="New gate").click()
    written = page.get_by_label("As YAML")

    await written.fill(GATE.replace("prod-release", "nowhere"))
    await expect(page.get_by_text("unknown pipeline 'nowhere'")).to_be_visible()
    await expect(written).to_have_attribute("aria-invalid", "true")
    await written.fill(GATE)
    await expect(page.get_by_text("Valid. Saving starts the release gate.new_checkout.1")).to_be_visible()
    await stage.picture(page, "editor")
    await page.get_by_role("button", name="Preview …").click()
    await expect(page.get_by_text(notice)).to_be_visible()
    await expect(page.get_by_role("row", name="prod-us-west").get_by_text("all")).to_have_count(3)
    await stage.picture(page, "preview")
    await page.get_by_label("Reason").fill("try it")
    await page.get_by_role("button", name="Save").click()

    status = page.get_by_role("main").get_by_role("status")
    await expect(status).to_have_text("waits for review")
    await page.get_by_role("link", name="Approve …").click()
    await expect(page.get_by_text("1 of 5 regions")).to_be_visible()
    await page.get_by_role("button", name="Approve").click()
    await expect(status).to_have_text("completed")
    await stage.picture(page, "completed")
    await page.goto("/features/gate/new_checkout")
    await expect(page.get_by_role("main").get_by_role("status")).to_have_text("live")


async def test_a_pipeline_is_changed_as_a_form(stage: Stage) -> None:
    page = await stage.person("root", Role.ADMIN)
    await page.goto("/pipelines/prod-release")
    await page.get_by_role("link", name="Edit as a form …").click()

    await page.get_by_role("button", name="Add a phase").click()
    last = page.get_by_role("group", name="Phase 6")
    await last.get_by_label("Name").fill("everywhere")
    await last.get_by_label("Bakes for").fill("2h")
    await last.get_by_label("Needs a review before it starts").check()
    await stage.picture(page, "form")
    await page.get_by_role("button", name="Preview …").click()
    await expect(page.get_by_text("timeInterval: 2h")).to_be_visible()
    await page.get_by_role("button", name="Save").click()

    await expect(page.get_by_role("heading", name="6. everywhere")).to_be_visible()
