"""A phase that covers a part of a region's users, as the official SDK evaluates it."""

from sluiceway.contracts.commands import AbortTrigger, SavePipeline
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from tests.integration.edge.conftest import Served
from tests.support.official import official_sdk, passes
from tests.support.system import EVERYONE
from tests.support.waiting import eventually

LONG_MS = 3_600_000
PRO = {"type": "custom_field", "field": "plan", "operator": "any", "targetValue": ["pro"]}
PIPELINE = {
    "name": "pro-first",
    "phases": [
        {
            "name": "pro",
            "timeIntervalMs": LONG_MS,
            "rules": [{"name": "pro", "environments": ["development"], "conditions": [PRO]}],
        }
    ],
}


async def test_only_the_covered_users_get_the_candidate_and_nobody_after_an_abort(dev: Served) -> None:
    driver, edge, key = dev
    await driver.accepted(SavePipeline, pipeline=PIPELINE)
    await driver.save_gate("checkout", releasePipelineID="pro-first", isEnabled=False)
    feature = FeatureKey(FeatureKind.GATE, "checkout")
    trigger = (await driver.feature("checkout")).active_trigger
    if trigger:  # a first version is released as well
        await driver.act(AbortTrigger, trigger.id)
    reply = await driver.save_gate("checkout", EVERYONE, releasePipelineID="pro-first")
    assert reply.feature
    assert reply.feature.trigger
    await eventually(lambda: (edge.edge.rules.revision(feature) or 0) >= (reply.revision or 0), "it is here")
    async with official_sdk(edge.url, key) as sdk:
        released = [passes(sdk, "checkout", plan=plan) for plan in ("pro", "free")]
        users = [{"custom": {"plan": plan}} for plan in ("pro", "free")]
        ours = [edge.edge.rules.check_gate(user, "checkout") for user in users]

        await driver.act(AbortTrigger, reply.feature.trigger.id)

        await eventually(lambda: not passes(sdk, "checkout", plan="pro"), "the candidate is taken back")

    assert released == ours == [True, False]
