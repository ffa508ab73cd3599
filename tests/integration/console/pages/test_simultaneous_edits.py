"""Nobody saves over a change of another user that they have not seen."""

import asyncio

from tests.integration.console.conftest import Served
from tests.support.browsers import browsing
from tests.support.system import EVERYONE

from .forms import field, noticed, text


async def test_nobody_overwrites_a_change_they_have_not_seen(served: Served) -> None:
    await served.driver.save_gate("dark_mode", EVERYONE)
    await served.console.backend.features.catch_up()
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/gate/dark_mode/edit")
        mine, revision = text(browser), field(browser, "revision")
        await served.driver.save_gate("dark_mode", EVERYONE, description="by ada")
        await served.console.backend.features.catch_up()

        edited = {"text": f"{mine}description: x\n", "revision": revision, "back": "/features"}
        shown = await browser.post("/drafts/preview", **edited)
        saved = await browser.post("/drafts/save", **edited)

    for answer in (shown, saved):
        assert answer.status_code == 409
        assert "gate.dark_mode was changed by ada at 20" in answer.text
        assert "since you read it: description;" in answer.text
        assert '<span class="minus">- description: by ada</span>' in answer.text
        assert '<span class="plus">+ description: x</span>' in answer.text
        assert ">Save<" not in answer.text
    assert text(browser) == edited["text"]
    assert (await served.driver.feature("dark_mode")).versions == 2


async def test_a_user_who_came_second_goes_on_from_the_newest_version(served: Served) -> None:
    await served.driver.save_gate("dark_mode", EVERYONE)
    await served.console.backend.features.catch_up()
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/gate/dark_mode/edit")
        mine = f"{text(browser)}idType: companyID\n"
        revision = field(browser, "revision")
        await served.driver.save_gate("dark_mode", EVERYONE, description="by ada")
        await browser.post("/drafts/save", text=mine, revision=revision)

        both = f"{text(browser)}description: by ada\n"
        await browser.post("/drafts/preview", text=both, revision=field(browser, "revision"))
        saved = await browser.post("/drafts/save", text=both, revision=field(browser, "revision"))

    stored = (await served.driver.feature("dark_mode")).base
    assert saved.status_code == 200
    assert stored
    assert (stored.description, stored.id_type) == ("by ada", "companyID")


async def test_of_two_users_who_save_at_the_same_time_the_second_sees_both_versions(
    served: Served,
) -> None:
    await served.driver.save_gate("dark_mode", EVERYONE)
    await served.console.backend.features.catch_up()
    async with (
        browsing(served.console.url, served.console.key) as one,
        browsing(served.console.url, served.console.key) as other,
    ):
        for run in range(10):
            drafts = []
            for browser, name in ((one, "one"), (other, "other")):
                await browser.get("/features/gate/dark_mode/edit")
                lines = [line for line in text(browser).splitlines() if "description" not in line]
                edited = "\n".join([*lines, f"description: {name} {run}", ""])
                drafts.append({"text": edited, "revision": field(browser, "revision")})

            answers = await asyncio.gather(
                one.post("/drafts/save", **drafts[0]), other.post("/drafts/save", **drafts[1])
            )

            stored = (await served.driver.feature("dark_mode")).base
            assert stored
            assert sorted(answer.status_code for answer in answers) == [200, 409]
            loser, winner = (0, 1) if answers[0].status_code == 409 else (1, 0)
            assert stored.description == f"{('one', 'other')[winner]} {run}"
            assert text((one, other)[loser]) == drafts[loser]["text"]
            assert f"- description: {stored.description}" in (one, other)[loser].page


async def test_a_form_that_is_sent_twice_is_saved_once(served: Served) -> None:
    await served.driver.save_gate("dark_mode", EVERYONE)
    await served.console.backend.features.catch_up()
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/gate/dark_mode/edit")
        draft = {"text": f"{text(browser)}description: x\n", "revision": field(browser, "revision")}
        await browser.post("/drafts/preview", **draft)
        form = {**draft, "command": field(browser, "command"), "csrf": browser.csrf}

        answers = [await browser.post("/drafts/save", **form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (await served.driver.feature("dark_mode")).versions == 2


async def test_a_pipeline_form_saves_nothing_over_a_change_it_does_not_show(served: Served) -> None:
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/pipelines/prod-release/form")
        revision = field(browser, "revision")
        await noticed(served)
        form = {
            **{"revision": revision, "do": "preview", "name": "mine", "scope": "trigger"},
            **{"phase-0-name": "dev", "phase-0-bake": "1h", "phase-0-rules": "- name: dev"},
        }
        shown = await browser.post("/pipelines/prod-release/form", **form)
        merged = field(browser, "revision")
        saved = await browser.post("/drafts/save", text=text(browser), revision=revision)

    assert (shown.status_code, saved.status_code) == (409, 409)
    assert "pipeline prod-release was changed by ada at 20" in shown.text
    assert "phases.prod-eu" in shown.text
    assert "triggerNotice" in shown.text
    assert "name: mine" in text(browser)
    assert merged != revision


async def test_a_feature_is_archived_and_a_pipeline_deleted_only_as_they_were_seen(served: Served) -> None:
    await served.driver.save_gate("dark_mode", EVERYONE)
    await served.console.backend.features.catch_up()
    async with browsing(served.console.url, served.console.key) as browser:
        await browser.get("/features/gate/dark_mode/archive")
        seen = field(browser, "revision")
        await served.driver.save_gate("dark_mode", EVERYONE, description="by ada")
        archived = await browser.post("/features/gate/dark_mode/archive", revision=seen)
        await browser.get("/pipelines/prod-release/delete")
        seen = field(browser, "revision")
        await noticed(served)
        deleted = await browser.post("/pipelines/prod-release/delete", revision=seen)

    assert (archived.status_code, deleted.status_code) == (409, 409)
    assert "since you read it: description;" in archived.text
    assert not (await served.driver.feature("dark_mode")).archived
    assert "prod-release" in served.console.backend.documents().pipelines
