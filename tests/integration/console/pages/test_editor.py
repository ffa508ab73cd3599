"""Features on the page: edited, previewed and saved."""

import re

from sluiceway.contracts.commands import SaveFreeze
from sluiceway.contracts.identity import Role
from tests.integration.console.conftest import Served
from tests.support.browsers import browsing
from tests.support.consoles import create_api_key
from tests.support.system import EVERYONE

from .forms import GATE, field, noticed, text


async def test_saving_first_says_what_it_will_do_then_does_it(served: Served) -> None:
    await noticed(served)
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/new")
        await browser.post("/drafts/preview", text=GATE, revision="0", back="/features")
        shown = browser.page
        await browser.post(
            "/drafts/save", text=field(browser, "text"), revision=field(browser, "revision"), reason="try it"
        )

    assert "Saving starts the release gate.new_checkout.1 through prod-release." in shown
    assert "Is somebody watching?" in shown
    assert re.search(r'<th scope="row">dev</th><td><span class="state good">all</span>', shown)
    assert "rule everyone: everyone" in shown
    assert "<h1>gate.new_checkout.1</h1>" in browser.page
    assert (await served.driver.trigger("gate.new_checkout.1")).description == "try it"


async def attached(served: Served) -> None:
    """Have a live gate that is attached to a pipeline."""
    await noticed(served)
    await served.driver.save_gate("new_checkout", EVERYONE)
    await served.driver.save_gate("new_checkout", EVERYONE, releasePipelineID="prod-release")
    await served.console.backend.features.catch_up()


async def test_an_operator_switches_off_past_the_pipeline(served: Served) -> None:
    await attached(served)
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/gate/new_checkout/edit")
        off = {"text": f"{text(browser)}isEnabled: false\n", "revision": field(browser, "revision")}
        await browser.post("/drafts/preview", **off)
        first = browser.page
        await browser.post("/drafts/preview", **off, way="at_once")
        second = browser.page
        await browser.post("/drafts/save", **off, way=field(browser, "way"), reason="incident 7")

    gate = await served.driver.feature("new_checkout")
    assert 'name="way" value="at_once">Bypass the pipeline …<' in first
    assert (
        "live immediately, in every region that it affects, bypassing the pipeline, which stays attached."
        in second
    )
    assert "Bypass the pipeline …" not in second
    assert gate.base
    assert not gate.base.is_enabled
    assert (gate.active_trigger, gate.release_pipeline_id) == (None, "prod-release")


async def test_an_editor_sees_why_it_may_not_go_past_the_pipeline(served: Served) -> None:
    await attached(served)
    key = await create_api_key(served.driver, Role.EDITOR, owner="edna")
    await served.console.backend.catalogue.catch_up()
    async with browsing(served.console.url, key) as browser:
        await browser.get("/features/gate/new_checkout/edit")
        off = {"text": f"{text(browser)}isEnabled: false\n", "revision": field(browser, "revision")}
        await browser.post("/drafts/preview", **off)
        shown = browser.page
        refused = await browser.post("/drafts/save", **off, way="at_once")

    assert "Bypass the pipeline: edna may not save feature here: this needs the role operator" in shown
    assert ">Save<" in shown
    assert refused.status_code == 403


async def test_a_freeze_may_be_overridden_with_a_reason_alone(served: Served) -> None:
    await attached(served)
    freeze = {"name": "night", "from": "2020-01-01T00:00:00Z", "to": "2099-01-01T00:00:00Z"}
    await served.driver.accepted(SaveFreeze, freeze=freeze)
    await served.console.backend.catalogue.catch_up()
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/gate/new_checkout/edit")
        changed = {"text": f"{text(browser)}isEnabled: false\n", "revision": field(browser, "revision")}
        await browser.post("/drafts/preview", **changed)
        frozen = browser.page
        await browser.post("/drafts/preview", **changed, way="override_freeze")
        overriding = browser.page
        without_reason = await browser.post("/drafts/save", **changed, way="override_freeze")
        await browser.post("/drafts/save", **changed, way="override_freeze", reason="hotfix")

    assert "would release more during freeze night" in frozen
    assert "Override the freeze …" in frozen
    assert "Saving starts the release gate.new_checkout.1" in overriding
    assert without_reason.status_code == 400
    assert "overrode freeze night" in browser.page


async def test_a_text_is_checked_while_it_is_written(served: Served) -> None:
    await noticed(served)
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/new")
        token = browser.csrf

        async def check(text: str) -> str:
            return (await browser.post("/drafts/check", text=text, csrf=token)).text

        assert "Valid. Saving starts the release" in await check(GATE)
        assert "invalid YAML" in await check("kind: [")
        assert "unknown kind &#39;Cat&#39;: use one of FeatureGate" in await check("kind: Cat")
        assert "colour: Extra inputs" in await check(f"{GATE}colour: red")
        assert "unknown pipeline &#39;x&#39;" in await check(GATE.replace("prod-release", "x"))
        assert "an alias refers to what contains it" in await check("kind: &a [*a]\nname: x")


async def test_an_invalid_text_is_shown_again_for_correction(served: Served) -> None:
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/new")
        answer = await browser.post("/drafts/preview", text="kind: FeatureGate\nname: a b", back="/features")

    assert answer.status_code == 400
    assert "name: String should match pattern" in answer.text
    assert text(browser) == "kind: FeatureGate\nname: a b"


async def test_a_feature_shows_what_is_live_and_how_it_came_to_be(served: Served) -> None:
    await served.driver.save_gate("base", EVERYONE)
    needs = {"name": "those", "conditions": [{"type": "passes_gate", "targetValue": "base"}]}
    await served.driver.save_gate("dark_mode", needs, description="Dark <colours>")
    await served.console.backend.features.catch_up()

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/gate/dark_mode")
        dark = browser.page
        await browser.get("/features/gate/base")

    assert "passes gate base" in dark
    assert "Dark &lt;colours&gt;" in dark
    assert "<dt>Refers to</dt><dd>base</dd>" in dark
    assert "<dt>Used by</dt><dd>dark_mode</dd>" in browser.page


async def test_features_are_searched_and_paged(served: Served) -> None:
    for n in range(3):
        await served.driver.save_gate(f"gate_{n}")
    await served.console.backend.features.catch_up()

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features?q=GATE_1")
        one = browser.page
        await browser.get("/features?kind=segment")

    assert "gate_1" in one
    assert "gate_2" not in one
    assert "No feature with that name" in browser.page


async def test_a_feature_is_archived_after_confirmation(served: Served) -> None:
    await served.driver.save_gate("dark_mode", EVERYONE)
    await served.console.backend.features.catch_up()

    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/gate/dark_mode/archive")
        confirmation = browser.page
        await browser.post("/features/gate/dark_mode/archive", reason="done")

    assert "It is removed from" in confirmation
    assert (await served.driver.feature("dark_mode")).archived


async def test_a_viewer_sees_why_nothing_can_be_edited_and_is_refused(served: Served) -> None:
    await noticed(served)
    await served.driver.save_gate("dark_mode", EVERYONE)
    key = await create_api_key(served.driver, Role.VIEWER, owner="vera")
    await served.console.backend.catalogue.catch_up()
    await served.console.backend.features.catch_up()

    async with browsing(served.console.url, key) as browser:
        await browser.get("/features/gate/dark_mode")
        shown = browser.page
        await browser.get("/pipelines/prod-release")
        pipeline_page = browser.page
        token = browser.csrf
        answer = await browser.post("/drafts/save", text=GATE, revision="0")
        unread = [
            await browser.post(path, csrf=token, text="[", revision="0")
            for path in ("/drafts/check", "/drafts/preview", "/drafts/save")
        ]

    assert [each.status_code for each in unread] == [403] * 3
    assert all("this needs the role editor or admin" in each.text for each in unread)
    assert "vera may not save feature here" in shown
    assert '<button class="quiet" disabled aria-describedby="why-edit">Edit</button>' in shown
    assert 'href="/pipelines/prod-release/form"' not in pipeline_page
    assert "vera may not save pipeline here" in pipeline_page
    assert answer.status_code == 403
