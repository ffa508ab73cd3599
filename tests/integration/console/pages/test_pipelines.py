"""Pipelines on the page: edited as a form, and deleted."""

import html
import re

from tests.integration.console.conftest import Served
from tests.support.browsers import browsing
from tests.support.system import EVERYONE

from .forms import field, noticed


async def test_a_pipeline_is_edited_as_a_form(served: Served) -> None:
    await noticed(served)
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/pipelines/prod-release/form")
        fields = dict(
            re.findall(r'name="(phase-\d+-(?:id|name|bake|count|groups))" value="([^"]*)"', browser.page)
        )
        areas = re.findall(r'<textarea id="(phase-\d+-\w+)"[^>]*>(.*?)</textarea>', browser.page, re.S)
        fields |= {name: html.unescape(value) for name, value in areas}
        fields |= {"name": "prod-release", "revision": field(browser, "revision"), "scope": "trigger"}

        await browser.post("/pipelines/prod-release/form", **fields, do="add")
        added = browser.page
        await browser.post("/pipelines/prod-release/form", **{**fields, "phase-1-bake": "soon"}, do="preview")
        refused = browser.page
        await browser.post(
            "/pipelines/prod-release/form",
            **{**fields, "phase-1-bake": "45m", "phase-1-count": "2", "phase-1-groups": "sre"},
            do="preview",
        )
        shown = browser.page
        await browser.post("/drafts/save", text=field(browser, "text"), revision=field(browser, "revision"))

    assert "Phase 3" in added
    assert "invalid duration" in refused
    assert "+   timeInterval: 45m" in shown
    assert "2 approvals by sre" in browser.page


async def test_a_pipeline_that_runs_names_what_runs_and_is_not_edited(served: Served) -> None:
    await noticed(served)
    await served.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/pipelines/prod-release")
        shown = browser.page
        await browser.get("/pipelines/prod-release/delete")

    assert "is running for gate.new_checkout" in shown
    assert 'href="/pipelines/prod-release/edit"' not in shown
    assert "is used by gate.new_checkout" in browser.page


async def test_a_pipeline_that_nobody_uses_is_deleted(served: Served) -> None:
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/pipelines/prod-release/delete")
        await browser.post("/pipelines/prod-release/delete", reason="gone")

    assert "No pipeline yet." in browser.page
