"""`sluiceway check`: what a user gets in a region. `sluiceway simulate`: who will get a candidate when."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from ..clock import now_ms
from ..contracts.catalogue import Environment, Region
from ..contracts.feature import DynamicConfig, FeatureGate
from ..contracts.identifiers import FeatureKind
from ..contracts.pipeline import Pipeline
from ..evaluation.condition_tests import ProcessContext
from ..evaluation.rule_set import RuleSet
from ..pipelines.segments import Extent
from ..pipelines.simulation import simulate_coverage
from ..pipelines.validation import pipeline_errors
from . import snapshots
from .document_files import read_documents
from .get import Which, find_rules
from .session import CliSession, CommandFailed

MARKS = {Extent.FULLY: "fully", Extent.PARTLY: "partly", Extent.NONE: "·"}

NameArgument = Annotated[str, typer.Argument(help="The gate, config or segment.")]
RegionOption = Annotated[str, typer.Option("--region", help="Where.")]
UserOption = Annotated[str, typer.Option("--user", help="The user as JSON, with the fields of the SDKs.")]
FileOption = Annotated[
    list[str], typer.Option("--file", "-f", help="A pipeline, or a feature with one; - for stdin.")
]


async def check(
    session: CliSession,
    name: NameArgument,
    region: RegionOption,
    user: UserOption = "{}",
    is_gate: Which = None,
) -> None:
    """Evaluate a feature for a user, by the rules that a region holds now."""
    asked = _user(user)
    document = await find_rules(session, region, name, is_gate)
    rules = RuleSet(ProcessContext(clock=now_ms))
    for one in await snapshots.rules(session.connection, region):
        rules.apply(one)
    is_config = document.kind is FeatureKind.DYNAMIC_CONFIG
    answer = (rules.config if is_config else rules.gate)(asked, document.spec_name)
    text = (
        f"{json.dumps(answer.value)}  (rule {answer.rule_id}, {answer.reason}, revision {answer.revision}"
        + (f", released by {answer.trigger})" if answer.trigger else ")")
    )
    session.show(answer._asdict(), text)


async def show_simulation(session: CliSession, file: FileOption) -> None:
    """Show, phase by phase, which regions would hold the candidate fully, partly, not at all."""
    documents = read_documents(file)
    catalogue = await snapshots.catalogue(session.connection)
    regions = {**catalogue.regions, **{d.name: d for d in documents if isinstance(d, Region)}}
    pipelines = {**catalogue.pipelines, **{d.id: d for d in documents if isinstance(d, Pipeline)}}
    wanted = _pipelines(documents, pipelines)
    environments = {*catalogue.environments, *(d.name for d in documents if isinstance(d, Environment))}
    if faults := [
        fault for pipeline in wanted for fault in pipeline_errors(pipeline, environments, regions.values())
    ]:
        raise CommandFailed("; ".join(faults))
    if not regions:
        raise CommandFailed("there are no regions yet; apply some, or name them in the file")
    results = {
        pipeline.id: {
            phase: {region: str(extent) for region, extent in extents.items()}
            for phase, extents in simulate_coverage(pipeline, regions.values()).items()
        }
        for pipeline in wanted
    }
    session.show(results, lambda: _tables(results, list(regions)))


def _pipelines(documents: list[Any], known: dict[str, Pipeline]) -> list[Pipeline]:
    found = [d for d in documents if isinstance(d, Pipeline)]
    for document in documents:
        if isinstance(document, FeatureGate | DynamicConfig) and (id_ := document.release_pipeline_id):
            if id_ not in known:
                raise CommandFailed(
                    f"there is no pipeline {id_!r} (known: {', '.join(sorted(known)) or 'none'})"
                )
            found.append(known[id_])
    if not found:
        raise CommandFailed(
            "the file names no pipeline: give a ReleasePipeline, or a feature with releasePipelineID"
        )
    return found


def _tables(results: dict[str, dict[str, dict[str, str]]], regions: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("after the start of", *regions):
        table.add_column(column)
    for pipeline, phases in results.items():
        for phase, extents in phases.items():
            table.add_row(f"{pipeline}: {phase}", *(MARKS[Extent(extents[region])] for region in regions))
    return table


def _user(text: str) -> dict[str, Any]:
    try:
        user = json.loads(text)
    except ValueError as error:
        raise CommandFailed(f"--user is no JSON: {error}") from error
    if not isinstance(user, dict):
        raise CommandFailed("""--user must be a JSON object, for example '{"userID": "u1"}'""")
    return user
