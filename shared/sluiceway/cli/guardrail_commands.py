"""`sluiceway guardrails …`: test the guardrails of a pipeline before a release uses them."""

from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

import typer
from rich.table import Table

from ..clock import now_ms
from ..contracts.catalogue import Environment, Region
from ..contracts.guardrails import AlertGuardrail, MetricGuardrail
from ..contracts.identifiers import FeatureKey, FeatureKind
from ..contracts.measurements import EVERYWHERE, Judgement, Measurement
from ..contracts.pipeline import Phase, Pipeline
from ..errors import Unavailable
from ..pipelines.guardrail_queries import GuardrailQuery, guardrail_queries, is_regional
from ..pipelines.measurement import evaluate_measurement
from ..pipelines.simulation import simulated_trigger
from ..pipelines.validation import pipeline_errors
from ..settings import checked_token
from .current_state import read_catalogue
from .document_files import Document, read_documents
from .get import table
from .session import CliSession, CommandFailed, FailedAfterOutput, command, validated_name

app = typer.Typer(help="Test the guardrails of a pipeline.", no_args_is_help=True)

Files = Annotated[
    list[str], typer.Option("--file", "-f", help="A YAML file with pipelines; - for standard input.")
]
PrometheusUrl = Annotated[
    str,
    typer.Option("--prometheus", envvar="SLUICEWAY_PROMETHEUS_URL", help="URL of the Prometheus to query."),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--prometheus-token", envvar="SLUICEWAY_PROMETHEUS_TOKEN", help="Bearer token for Prometheus."
    ),
]
FeatureName = Annotated[str, typer.Option("--feature", help="Value of {{ feature }} in queries.")]


class GuardrailTrial(NamedTuple):
    """A guardrail, with its query for one region."""

    phase: Phase
    guardrail: MetricGuardrail
    query: GuardrailQuery


@command(
    app,
    "try",
    "sluiceway guardrails try -f pipeline.yaml --prometheus http://127.0.0.1:9090",
    needs_broker=False,
)
async def try_guardrails(
    session: CliSession,
    file: Files,
    prometheus_url: PrometheusUrl = "http://127.0.0.1:9090",
    token: Token = None,
    feature: FeatureName = "example",
) -> None:
    """Run each query once, and show its value, its result and the reason.

    The regions are those of the files, and those of the catalogue if a broker answers. The exit code is 1
    if a result is not a success.
    """
    documents = read_documents(file)
    pipelines = [document for document in documents if isinstance(document, Pipeline)]
    if not pipelines:
        raise CommandFailed("the file has no pipeline; add a document with kind: ReleasePipeline")
    regions, environments = await _regions_and_environments(session, documents)
    key = FeatureKey(FeatureKind.GATE, validated_name("feature", feature))
    trials = []
    for pipeline in pipelines:
        if errors := pipeline_errors(pipeline, environments or _environments_in(pipeline), regions):
            raise CommandFailed(f"pipeline {pipeline.id}: {'; '.join(errors)}")
        trials += list(_trials(pipeline, key, regions))
    measurements = await _measure(trials, prometheus_url, _checked(token))
    _print(session, pipelines, list(zip(trials, measurements, strict=True)))


def _checked(token: str | None) -> str | None:
    try:
        return checked_token(token) if token else None
    except ValueError as error:
        raise CommandFailed(f"invalid --prometheus-token or SLUICEWAY_PROMETHEUS_TOKEN: {error}") from None


async def _regions_and_environments(
    session: CliSession, documents: list[Document]
) -> tuple[list[Region], set[str]]:
    """Return the regions and the names of environments in the catalogue and in the files."""
    regions: dict[str, Region] = {}
    environments: set[str] = set()
    try:
        async with session.open_connection():
            catalogue = await read_catalogue(session.connection)
            regions, environments = dict(catalogue.regions), set(catalogue.environments)
    except Unavailable as error:
        session.warn(f"using only the regions and environments in the files: {error}")
    regions |= {document.name: document for document in documents if isinstance(document, Region)}
    environments |= {document.name for document in documents if isinstance(document, Environment)}
    return list(regions.values()), environments


def _environments_in(pipeline: Pipeline) -> set[str]:
    """Return the environments that a pipeline names; without a catalogue, all of them are valid."""
    return {name for phase in pipeline.phases for rule in phase.rules for name in rule.environments or ()}


def _trials(pipeline: Pipeline, key: FeatureKey, regions: list[Region]) -> Iterator[GuardrailTrial]:
    for index, phase in enumerate(pipeline.phases):
        trigger = simulated_trigger(pipeline, index, key, now_ms())
        for guardrail in phase.guardrails:
            if isinstance(guardrail, AlertGuardrail):
                continue
            queries = guardrail_queries(guardrail, trigger, phase, regions)
            if not queries and is_regional(guardrail.query):
                raise CommandFailed(
                    f"guardrail {guardrail.name}: phase {phase.id} covers no known region; "
                    "add Region documents with -f"
                )
            yield from (GuardrailTrial(phase, guardrail, query) for query in queries)


async def _measure(trials: list[GuardrailTrial], url: str, token: str | None) -> list[Measurement]:
    try:
        from ..prometheus import open_prometheus
    except ImportError as error:
        raise CommandFailed("querying Prometheus needs aiohttp: pip install 'sluiceway[monitor]'") from error
    started_ms = now_ms()
    measurements = []
    async with open_prometheus(url, now_ms, token) as prometheus:
        for trial in trials:
            queries = [] if trial.query.error else [trial.query.query, *(trial.query.baseline or ())]
            queries += [trial.query.samples] if trial.query.samples else []
            answers = {query: await prometheus.query(query, not_before_ms=started_ms) for query in queries}
            measurements.append(evaluate_measurement(trial.guardrail, trial.query, answers))
    return measurements


def _print(
    session: CliSession, pipelines: list[Pipeline], results: list[tuple[GuardrailTrial, Measurement]]
) -> None:
    alerts = [
        (phase, guardrail)
        for pipeline in pipelines
        for phase in pipeline.phases
        for guardrail in phase.guardrails
        if isinstance(guardrail, AlertGuardrail)
    ]
    document = [
        {"phase": trial.phase.id, "guardrail": trial.guardrail.name, **measurement.to_jsonable()}
        for trial, measurement in results
    ]
    document += [
        {"phase": phase.id, "guardrail": guardrail.name, "matchLabels": guardrail.alert.match_labels}
        for phase, guardrail in alerts
    ]
    session.print_result(document, lambda: _table(results, alerts))
    failed = [measurement for _, measurement in results if measurement.judgement is not Judgement.SUCCESS]
    if failed:
        raise FailedAfterOutput(
            f"{len(failed)} of {len(results)} measurements would not pass, first: {failed[0].why}"
        )


def _table(
    results: list[tuple[GuardrailTrial, Measurement]], alerts: list[tuple[Phase, AlertGuardrail]]
) -> Table:
    rows = [
        (
            trial.phase.id,
            trial.guardrail.name,
            "" if measurement.region == EVERYWHERE else measurement.region,
            "" if measurement.value is None else f"{measurement.value:g}",
            str(measurement.judgement),
            measurement.why,
        )
        for trial, measurement in results
    ]
    rows += [
        (
            phase.id,
            guardrail.name,
            "",
            "",
            "waits",
            f"for alerts with {_labels(guardrail.alert.match_labels)}",
        )
        for phase, guardrail in alerts
    ]
    return table(("phase", "guardrail", "region", "value", "result", "reason"), rows)


def _labels(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())
