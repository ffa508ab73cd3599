"""`sluiceway guardrails …`: try what shall watch a release, before it does."""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

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
from . import snapshots
from .document_files import Document, read_documents
from .get import table
from .session import AlreadyReported, CliSession, CommandFailed, checked_name, command

app = typer.Typer(help="Try the guardrails of a pipeline.", no_args_is_help=True)

Files = Annotated[
    list[str], typer.Option("--file", "-f", help="A file with pipelines; - for standard input.")
]
PrometheusUrl = Annotated[
    str,
    typer.Option("--prometheus", envvar="SLUICEWAY_PROMETHEUS_URL", help="The Prometheus to ask."),
]
Token = Annotated[
    str | None,
    typer.Option("--prometheus-token", envvar="SLUICEWAY_PROMETHEUS_TOKEN", help="A bearer token for it."),
]
FeatureName = Annotated[str, typer.Option("--feature", help="What {{ feature }} shall stand for.")]


class GuardrailTrial(NamedTuple):
    """A guardrail to be asked about one region."""

    phase: Phase
    guardrail: MetricGuardrail
    ask: GuardrailQuery


@command(
    app,
    "try",
    "sluiceway guardrails try -f pipeline.yaml --prometheus http://127.0.0.1:9090",
    needs_broker=False,
)
async def try_guardrails(
    session: CliSession,
    file: Files,
    open_prometheus: PrometheusUrl = "http://127.0.0.1:9090",
    token: Token = None,
    feature: FeatureName = "example",
) -> None:
    """Run each query once, now, and show its value, what it would say, and why.

    Regions are those of the files, and of the catalogue where a broker answers. Ends with 1 where
    something would fail, or cannot be told.
    """
    documents = read_documents(file)
    pipelines = [document for document in documents if isinstance(document, Pipeline)]
    if not pipelines:
        raise CommandFailed("the file names no pipeline: give a document with kind: ReleasePipeline")
    regions, environments = await _places(session, documents)
    key = FeatureKey(FeatureKind.GATE, checked_name("feature", feature))
    trials = []
    for pipeline in pipelines:
        if faults := pipeline_errors(pipeline, environments or _named(pipeline), regions):
            raise CommandFailed(f"pipeline {pipeline.id}: {'; '.join(faults)}")
        trials += list(_trials(pipeline, key, regions))
    measured = await _measured(trials, open_prometheus, token)
    _show(session, pipelines, list(zip(trials, measured, strict=True)))


async def _places(session: CliSession, documents: list[Document]) -> tuple[list[Region], set[str]]:
    """Return the regions and the names of environments: those that are saved, and those of the files."""
    regions: dict[str, Region] = {}
    environments: set[str] = set()
    try:
        async with session.connecting():
            catalogue = await snapshots.catalogue(session.connection)
            regions, environments = dict(catalogue.regions), set(catalogue.environments)
    except Unavailable as error:
        session.note(f"only what the files hold is known: {error}")
    regions |= {document.name: document for document in documents if isinstance(document, Region)}
    environments |= {document.name for document in documents if isinstance(document, Environment)}
    return list(regions.values()), environments


def _named(pipeline: Pipeline) -> set[str]:
    """Return the environments that a pipeline names: without a catalogue all of them are believed."""
    return {name for phase in pipeline.phases for rule in phase.rules for name in rule.environments or ()}


def _trials(pipeline: Pipeline, key: FeatureKey, regions: list[Region]) -> Iterator[GuardrailTrial]:
    for index, phase in enumerate(pipeline.phases):
        trigger = simulated_trigger(pipeline, index, key, now_ms())
        for guardrail in phase.guardrails:
            if isinstance(guardrail, AlertGuardrail):
                continue
            found = guardrail_queries(guardrail, trigger, phase, regions)
            if not found and is_regional(guardrail.query):
                where = f"guardrail {guardrail.name} of phase {phase.id}"
                raise CommandFailed(
                    f"{where}: the phase covers no known region; add Region documents with -f"
                )
            yield from (GuardrailTrial(phase, guardrail, ask) for ask in found)


async def _measured(trials: list[GuardrailTrial], url: str, token: str | None) -> list[Measurement]:
    try:
        from ..prometheus import open_prometheus
    except ImportError as error:
        raise CommandFailed("asking a Prometheus needs aiohttp: pip install 'sluiceway[monitor]'") from error
    begun_ms = now_ms()
    found = []
    async with open_prometheus(url, now_ms, token) as asked:
        for trial in trials:
            queries = [] if trial.ask.error else [trial.ask.query, *(trial.ask.baseline or ())]
            queries += [trial.ask.samples] if trial.ask.samples else []
            answers = {query: await asked.query(query, not_before_ms=begun_ms) for query in queries}
            found.append(evaluate_measurement(trial.guardrail, trial.ask, answers))
    return found


def _show(
    session: CliSession, pipelines: list[Pipeline], told: list[tuple[GuardrailTrial, Measurement]]
) -> None:
    waiting = [
        {"phase": phase.id, "guardrail": one.name, "matchLabels": one.alert.match_labels}
        for pipeline in pipelines
        for phase in pipeline.phases
        for one in phase.guardrails
        if isinstance(one, AlertGuardrail)
    ]
    document: list[dict[str, Any]] = [
        {"phase": trial.phase.id, "guardrail": trial.guardrail.name, **one.to_jsonable()}
        for trial, one in told
    ]
    session.show(document + waiting, lambda: _table(told, waiting))
    bad = [one for _, one in told if one.judgement is not Judgement.SUCCESS]
    if bad:
        raise AlreadyReported(f"{len(bad)} of {len(told)} measurements would not pass, first: {bad[0].why}")


def _table(told: list[tuple[GuardrailTrial, Measurement]], waiting: list[dict[str, Any]]) -> Table:
    rows = [
        (
            trial.phase.id,
            trial.guardrail.name,
            "" if one.region == EVERYWHERE else one.region,
            "" if one.value is None else f"{one.value:g}",
            str(one.judgement),
            one.why,
        )
        for trial, one in told
    ]
    rows += [
        (one["phase"], one["guardrail"], "", "", "waits", f"for alerts with {_labels(one['matchLabels'])}")
        for one in waiting
    ]
    return table(("phase", "guardrail", "region", "value", "says", "why"), rows)


def _labels(labels: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in labels.items())
