"""What the catalogue takes and refuses."""

from dataclasses import replace
from typing import Any

import pytest

from sluiceway.contracts.commands import (
    Command,
    DeleteEnvironment,
    DeleteFreeze,
    DeletePipeline,
    DeleteRegion,
    SaveEnvironment,
    SaveFreeze,
    SavePipeline,
    SaveRegion,
)
from sluiceway.contracts.identifiers import FeatureKey, FeatureKind
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.pipelines.catalogue_decisions import PutDocument, Usage, decide_catalogue
from sluiceway.pipelines.decision import Catalogue, Unchanged
from tests.support.builders import a_catalogue, a_freeze, a_phase, a_pipeline, a_region

CATALOGUE = a_catalogue(a_pipeline())
WITH_REGION = Catalogue(CATALOGUE.environments, {"dev": a_region("dev")}, CATALOGUE.pipelines)
FREEZE = a_freeze("quiet", environments=["production"], regions=["dev"], pipelines=["release"])
FROZEN = replace(WITH_REGION, freezes={"quiet": FREEZE})
GATE_X = FeatureKey(FeatureKind.GATE, "x")
RUNNING = Usage(attached={"release": (GATE_X,)}, running={"release": (GATE_X,)})


def decided(
    model: type[Command], catalogue: Catalogue = CATALOGUE, usage: Usage | None = None, **fields: Any
) -> Any:
    return decide_catalogue(model(actor="ada", **fields), catalogue, usage or Usage())


def test_a_new_document_is_written_and_the_same_again_is_not() -> None:
    region = a_region("dev")

    assert decided(SaveRegion, region=region) == PutDocument("region", "dev", region)
    assert isinstance(decided(SaveRegion, WITH_REGION, region=region), Unchanged)
    assert isinstance(decided(SavePipeline, pipeline=a_pipeline()), Unchanged)
    assert isinstance(decided(SaveEnvironment, environment=CATALOGUE.environments["staging"]), Unchanged)


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (decided(SaveRegion, region=a_region("x", "mars")), RefusalCode.UNKNOWN_ENVIRONMENT),
        (decided(SavePipeline, pipeline=a_pipeline(a_phase(environments=["mars"]))), RefusalCode.INVALID),
        (decided(SavePipeline, usage=RUNNING, pipeline=a_pipeline(a_phase("other"))), RefusalCode.IN_USE),
        (
            decided(DeletePipeline, usage=Usage(attached={"release": (GATE_X,)}), pipeline_id="release"),
            RefusalCode.IN_USE,
        ),
        (decided(DeletePipeline, pipeline_id="nope"), RefusalCode.UNKNOWN_PIPELINE),
        (decided(DeleteEnvironment, WITH_REGION, name="development"), RefusalCode.IN_USE),
        (decided(DeleteEnvironment, name="mars"), RefusalCode.UNKNOWN_ENVIRONMENT),
        (decided(DeleteRegion, name="mars"), RefusalCode.UNKNOWN_REGION),
        (decided(SaveFreeze, freeze=a_freeze(environments=["mars"])), RefusalCode.UNKNOWN_ENVIRONMENT),
        (decided(SaveFreeze, freeze=a_freeze(regions=["mars"])), RefusalCode.UNKNOWN_REGION),
        (decided(SaveFreeze, freeze=a_freeze(pipelines=["mars"])), RefusalCode.UNKNOWN_PIPELINE),
        (decided(DeleteFreeze, name="mars"), RefusalCode.UNKNOWN_FREEZE),
        (decided(DeleteEnvironment, FROZEN, name="production"), RefusalCode.IN_USE),
        (decided(DeleteRegion, FROZEN, name="dev"), RefusalCode.IN_USE),
        (decided(DeletePipeline, FROZEN, pipeline_id="release"), RefusalCode.IN_USE),
    ],
)
def test_what_would_break_something_is_refused(decision: Refusal, code: RefusalCode) -> None:
    assert decision.code is code


def test_what_nobody_uses_can_be_deleted() -> None:
    assert decided(DeleteRegion, WITH_REGION, name="dev") == PutDocument("region", "dev", None)
    assert decided(DeletePipeline, pipeline_id="release") == PutDocument("pipeline", "release", None)


def test_a_freeze_is_written_where_its_scope_is_known() -> None:
    assert decided(SaveFreeze, WITH_REGION, freeze=FREEZE) == PutDocument("freeze", "quiet", FREEZE)
    assert isinstance(decided(SaveFreeze, FROZEN, freeze=FREEZE), Unchanged)
    assert decided(DeleteFreeze, FROZEN, name="quiet") == PutDocument("freeze", "quiet", None)


def test_a_freeze_that_names_what_is_not_there_is_told_what_is() -> None:
    refusal = decided(SaveFreeze, freeze=a_freeze(environments=["production", "prod"]))

    assert refusal.message == (
        "freeze quiet: unknown environment 'prod' (known: development, production, staging)"
    )


def test_a_refusal_names_some_of_many_features() -> None:
    keys = [FeatureKey(FeatureKind.GATE, f"g{n:03}") for n in range(100)]

    refusal = decided(DeletePipeline, usage=Usage(attached={"release": keys}), pipeline_id="release")

    assert isinstance(refusal, Refusal)
    assert refusal.message.endswith("gate.g018, gate.g019 and 80 others; detach it there first")
