"""Every page, checked by axe for accessibility: roles, labels, contrast, order; also on phones.

The rules are those of https://dequeuniversity.com/rules/axe, of which WCAG 2.2 A and AA are a part.
"""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, ViewportSize

from sluiceway.contracts.commands import SkipPhase
from sluiceway.contracts.feature import TriggerStatus
from tests.support.catalogues import apply_catalogue, phase
from tests.support.system import EVERYONE

from .conftest import Stage, sign_in

HOUR = 3_600_000
DONE, ACTIVE = "gate.old_checkout.1", "gate.new_checkout.1"
PAGES = {
    "overview": "/",
    "release": f"/triggers/{ACTIVE}",
    "ended release": f"/triggers/{DONE}",
    "confirmation": f"/triggers/{ACTIVE}/approve",
    "features": "/features",
    "new feature": "/features/new",
    "feature": "/features/gate/new_checkout",
    "archiving": "/features/gate/old_checkout/archive",
    "pipelines": "/pipelines",
    "pipeline": "/pipelines/prod-release",
    "pipeline as a form": "/pipelines/prod-release/form",
    "pipeline as YAML": "/pipelines/prod-release/edit",
    "audit": "/audit",
    "nothing": "/features/gate/nothing",
}
OFF = "kind: FeatureGate\nname: old_checkout\nreleasePipelineID: prod-release\nrules: []\n"
PHONE: ViewportSize = {"width": 390, "height": 844}
DESK: ViewportSize = {"width": 1200, "height": 900}


@pytest.mark.parametrize(("scheme", "viewport"), [("light", DESK), ("dark", DESK), ("light", PHONE)])
async def test_every_page_is_for_everybody(stage: Stage, scheme: str, viewport: ViewportSize) -> None:
    await apply_catalogue(
        stage.driver,
        phase("dev", bake_ms=HOUR),
        phase("prod-us-west", review=True, bake_ms=HOUR, approvals={"count": 2}),
    )
    for gate in ("old_checkout", "new_checkout"):
        await stage.driver.save_gate(gate, EVERYONE, releasePipelineID="prod-release")
        await stage.driver.act(SkipPhase, f"gate.{gate}.1")
    await stage.driver.act(SkipPhase, DONE)
    await stage.driver.reaches(DONE, TriggerStatus.COMPLETED)
    page = await stage.page(color_scheme=scheme, reduced_motion="reduce")
    await page.set_viewport_size(viewport)
    await page.goto("/sign-in")
    found = {"sign-in": await violations(page)}
    await sign_in(page, stage.console.key)
    await page.get_by_role("heading", name="Releases").wait_for()

    for name, address in PAGES.items():
        await page.goto(address)
        await stage.picture(page, name)
        found[name] = await violations(page)

    await page.goto("/features/gate/old_checkout/edit")
    await page.get_by_label("As YAML").fill(OFF)
    await page.get_by_role("button", name="Preview …").click()
    await page.get_by_role("button", name="Bypass the pipeline …").wait_for()
    await stage.picture(page, "preview")
    found["preview"] = await violations(page)

    assert {name: wrong for name, wrong in found.items() if wrong} == {}


async def violations(page: Page) -> list[str]:
    """Return what axe has against a page, and whether it has to be pushed aside to be read."""
    results = await Axe().run(page)
    wrong = [f"{one['id']}: {one['nodes'][0]['html']}" for one in results.response["violations"]]
    width = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return wrong + ([f"{width} px too wide"] if width > 0 else [])
