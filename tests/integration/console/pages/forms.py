"""What forms of the page hold, and a gate to edit."""

import html
import re

from sluiceway.contracts.commands import SavePipeline
from tests.integration.console.conftest import Served
from tests.support.browsers import Browser
from tests.support.catalogues import phase, pipeline

HOUR = 3_600_000
GATE = """kind: FeatureGate
name: new_checkout
releasePipelineID: prod-release
rules:
- name: everyone
  conditions:
  - type: public
"""


def field(browser: Browser, name: str) -> str:
    """Return what a hidden field of the page holds."""
    found = re.search(rf'name="{name}" value="([^"]*)"', browser.page)
    assert found, browser.page
    return html.unescape(found[1])


def text(browser: Browser) -> str:
    found = re.search(r"<textarea id=\"text\"[^>]*>(.*?)</textarea>", browser.page, re.S)
    assert found, browser.page
    return html.unescape(found[1])


async def noticed(served: Served) -> None:
    fields = pipeline(phase("dev", bake_ms=HOUR), phase("staging"), triggerNotice="Is somebody watching?")
    await served.driver.accepted(SavePipeline, pipeline=fields)
    await served.console.backend.catalogue.catch_up()
