"""What the catalogue takes and refuses."""

from typing import Any

import pytest

from sluiceway.contracts.commands import (
    Command,
    DeleteEnvironment,
    DeletePipeline,
    DeleteRegion,
    SaveEnvironment,
    SavePipeline,
    SaveRegion,
)
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.pipelines.cataloguing import Put, Usage, decide_catalogue
from sluiceway.pipelines.decide import Catalogue, Unchanged
from tests.support.builders import a_catalogue, a_phase, a_pipeline, a_region

CATALOGUE = a_catalogue(a_pipeline())
WITH_REGION = Catalogue(CATALOGUE.environments, {"dev": a_region("dev")}, CATALOGUE.pipelines)
RUNNING = Usage(attached={"release": ("gate.x",)}, running={"release": ("gate.x",)})


def decided(
    model: type[Command], catalogue: Catalogue = CATALOGUE, usage: Usage | None = None, **fields: Any
) -> Any:
    return decide_catalogue(model(actor="ada", **fields), catalogue, usage or Usage())


def test_a_new_document_is_written_and_the_same_again_is_not() -> None:
    region = a_region("dev")

    assert decided(SaveRegion, region=region) == Put("region", "dev", region)
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
            decided(DeletePipeline, usage=Usage(attached={"release": ("gate.x",)}), pipeline_id="release"),
            RefusalCode.IN_USE,
        ),
        (decided(DeletePipeline, pipeline_id="nope"), RefusalCode.UNKNOWN_PIPELINE),
        (decided(DeleteEnvironment, WITH_REGION, name="development"), RefusalCode.IN_USE),
        (decided(DeleteEnvironment, name="mars"), RefusalCode.UNKNOWN_ENVIRONMENT),
        (decided(DeleteRegion, name="mars"), RefusalCode.UNKNOWN_REGION),
    ],
)
def test_what_would_break_something_is_refused(decision: Refusal, code: RefusalCode) -> None:
    assert decision.code is code


def test_what_nobody_uses_can_be_deleted() -> None:
    assert decided(DeleteRegion, WITH_REGION, name="dev") == Put("region", "dev", None)
    assert decided(DeletePipeline, pipeline_id="release") == Put("pipeline", "release", None)
