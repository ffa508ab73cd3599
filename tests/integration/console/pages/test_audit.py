"""The audit log on the page."""

from sluiceway.contracts.identity import Role
from tests.integration.console.conftest import Served
from tests.support.browsers import browsing
from tests.support.consoles import create_api_key


async def test_the_audit_log_is_read_filtered_and_exported(served: Served) -> None:
    key = await create_api_key(served.driver, Role.VIEWER, owner="vera")
    await served.driver.save_gate("one")
    await served.console.backend.features.catch_up()
    await served.console.backend.catalogue.catch_up()

    async with browsing(served.console.url, key) as browser:
        await browser.get("/audit")
        features = browser.page
        await browser.get("/audit?actor=nobody")
        nobody = browser.page
        await browser.get("/audit?log=catalogue&actor=ada")
        catalogue = browser.page
        lines = await browser.get("/api/v1/audit/export?log=catalogue")

    assert "gate.one" in features
    assert "No changes found." in nobody
    assert "pipeline.prod-release" in catalogue
    assert "save_pipeline" in lines.text
