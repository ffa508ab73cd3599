"""`sluiceway check`: what a user gets in a region. `sluiceway simulate`: which phase reaches which region."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from ..clock import now_ms
from ..contracts.catalogue import Environment, Region
from ..contracts.feature import DynamicConfig, FeatureGate
from ..contracts.identifiers import FeatureKind
from ..contracts.pipeline import Pipeline
from ..evaluation.compiled_conditions import ProcessContext
from ..evaluation.rule_set import RuleSet
from ..pipelines.segments import Extent
from ..pipelines.simulation import simulate_coverage
from ..pipelines.validation import pipeline_errors
from .current_state import read_catalogue, read_rules
from .document_files import Document, read_documents
from .get import GateOrConfig, check_known, find_rules
from .session import CliSession, CommandFailed

MARKS = {Extent.FULLY: "fully", Extent.PARTLY: "partly", Extent.NONE: "·"}

NameArgument = Annotated[str, typer.Argument(help="The gate, config or segment.")]
RegionOption = Annotated[str, typer.Option("--region", help="The region.")]
UserOption = Annotated[
    str, typer.Option("--user", help="The user as a JSON object, with the fields that SDKs use.")
]
FileOption = Annotated[
    list[str],
    typer.Option(
        "--file", "-f", help="A YAML file with a pipeline, or a feature that uses one; - for standard input."
    ),
]


async def check(
    session: CliSession,
    name: NameArgument,
    region: RegionOption,
    user: UserOption = "{}",
    is_gate: GateOrConfig = None,
) -> None:
    """Evaluate a feature for a user, with the rules that a region has now."""
    user_fields = _parse_user(user)
    document = await find_rules(session, region, name, is_gate)
    rules = RuleSet(ProcessContext(clock=now_ms))
    for published in await read_rules(session.connection, region):
        rules.apply(published)
    is_config = document.kind is FeatureKind.DYNAMIC_CONFIG
    evaluation = (rules.config if is_config else rules.gate)(user_fields, document.spec_name)
    details = f"rule {evaluation.rule_id}, {evaluation.reason}, revision {evaluation.revision}"
    if evaluation.trigger:
        details += f", released by {evaluation.trigger}"
    session.print_result(evaluation._asdict(), f"{json.dumps(evaluation.value)}  ({details})")


async def show_simulation(session: CliSession, file: FileOption) -> None:
    """Show for each phase which regions would get the candidate fully, partly or not at all."""
    documents = read_documents(file)
    catalogue = await read_catalogue(session.connection)
    regions = {**catalogue.regions, **{d.name: d for d in documents if isinstance(d, Region)}}
    pipelines = {**catalogue.pipelines, **{d.id: d for d in documents if isinstance(d, Pipeline)}}
    simulated = _pipelines_in(documents, pipelines)
    environments = {*catalogue.environments, *(d.name for d in documents if isinstance(d, Environment))}
    errors = [e for pipeline in simulated for e in pipeline_errors(pipeline, environments, regions.values())]
    if errors:
        raise CommandFailed("; ".join(errors))
    if not regions:
        raise CommandFailed("no region exists yet: apply one, or add Region documents to the file")
    results = {
        pipeline.id: {
            phase: {region: str(extent) for region, extent in extents.items()}
            for phase, extents in simulate_coverage(pipeline, regions.values()).items()
        }
        for pipeline in simulated
    }
    session.print_result(results, lambda: _table(results, list(regions)))


def _pipelines_in(documents: list[Document], known: dict[str, Pipeline]) -> list[Pipeline]:
    found = [d for d in documents if isinstance(d, Pipeline)]
    for document in documents:
        if isinstance(document, FeatureGate | DynamicConfig) and (id_ := document.release_pipeline_id):
            check_known("pipeline", id_, known)
            found.append(known[id_])
    if not found:
        raise CommandFailed(
            "the file has no pipeline; add a ReleasePipeline, or a feature with releasePipelineID"
        )
    return found


def _table(results: dict[str, dict[str, dict[str, str]]], regions: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("after the start of phase", *regions):
        table.add_column(column)
    for pipeline, phases in results.items():
        for phase, extents in phases.items():
            table.add_row(f"{pipeline}: {phase}", *(MARKS[Extent(extents[region])] for region in regions))
    return table


def _parse_user(text: str) -> dict[str, Any]:
    try:
        user = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandFailed(f"--user is not valid JSON: {error}") from error
    if not isinstance(user, dict):
        raise CommandFailed("""--user must be a JSON object, for example '{"userID": "u1"}'""")
    return user
