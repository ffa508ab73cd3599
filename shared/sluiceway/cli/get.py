"""`sluiceway get …`: show features, triggers, rules and the catalogue."""

from collections.abc import Collection, Sequence
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError
from rich.table import Table

from ..clock import now_ms
from ..contracts.durations import format_duration
from ..contracts.envelope import rfc3339
from ..contracts.feature import Feature, Trigger
from ..contracts.freeze import Freeze
from ..contracts.identifiers import FeatureKey, FeatureKind, TriggerId, feature_of, run_of
from ..contracts.pipeline import Phase
from ..contracts.revisions import sequence_of
from ..contracts.rule_document import RuleDocument
from ..errors import Unavailable
from ..feature_summary import NOUNS, feature_status, feature_summary
from ..messaging.feature_log import FeatureLog, LoggedEvent
from ..messaging.stall_retries import through_stalls
from ..pipelines.freezes import describe_windows, next_change_ms, open_window
from ..trigger_view import trigger_view
from .current_state import counted, read_catalogue, read_feature, read_features, read_reports, read_rules
from .session import CliSession, CommandFailed, command

app = typer.Typer(help="Show features, triggers, rules and the catalogue.", no_args_is_help=True)

NameArgument = Annotated[str | None, typer.Argument(help="Show only this one.")]
GateOrConfig = Annotated[
    bool | None, typer.Option("--gate/--config", help="Select one if a gate and a config have the same name.")
]


@command(app, "environments", "sluiceway get environments --json")
async def environments(session: CliSession, name: NameArgument = None) -> None:
    """Show the environments."""
    environments = (await read_catalogue(session.connection)).environments
    rows = [
        (e.name, "yes" if e.is_production else "", "yes" if e.requires_release_pipeline else "no")
        for e in environments.values()
    ]
    _show(
        session,
        "environment",
        name,
        {key: value.to_jsonable() for key, value in environments.items()},
        ("environment", "production", "requires a pipeline"),
        rows,
    )


@command(app, "regions", "sluiceway get regions;  sluiceway get regions prod-eu --json")
async def regions(session: CliSession, name: NameArgument = None) -> None:
    """Show the regions, and the edges and clients that follow their rules now."""
    regions = (await read_catalogue(session.connection)).regions
    live = await read_reports(session.connection)
    documents = {
        key: {**region.to_jsonable(), "instances": [report.to_jsonable() for report in live.get(key, ())]}
        for key, region in regions.items()
    }
    rows = [
        (
            region.name,
            region.environment,
            ", ".join(f"{key}={value}" for key, value in region.attributes.items()),
            ", ".join(f"{report.instance} (at {report.sequence})" for report in live.get(region.name, ())),
        )
        for region in regions.values()
    ]
    _show(session, "region", name, documents, ("region", "environment", "attributes", "followed by"), rows)


@command(app, "pipelines", "sluiceway get pipelines;  sluiceway get pipelines prod-release --json")
async def pipelines(session: CliSession, name: NameArgument = None) -> None:
    """Show the pipelines."""
    pipelines = (await read_catalogue(session.connection)).pipelines
    rows = [
        (
            pipeline.id,
            " → ".join(
                f"{_review(phase)}{phase.id} {format_duration(phase.time_interval_ms)}"
                for phase in pipeline.phases
            ),
        )
        for pipeline in pipelines.values()
    ]
    documents = {key: pipeline.to_jsonable() for key, pipeline in pipelines.items()}
    _show(session, "pipeline", name, documents, ("pipeline", "phases"), rows)


def _review(phase: Phase) -> str:
    if phase.approvals and phase.approvals.count > 1:
        return f"{phase.approvals.count} approvals, "
    return "review, " if phase.required_review else ""


@command(app, "alert-sources", "sluiceway get alert-sources;  sluiceway get alert-sources ci --json")
async def alert_sources(session: CliSession, name: NameArgument = None) -> None:
    """Show what the alerts of each source may take back; one that is not listed has no scope of its own."""
    sources = (await read_catalogue(session.connection)).alert_sources
    documents = {source.name: source.to_jsonable() for source in sources.values()}
    rows = []
    for source in sources.values():
        scopes = (source.pipelines, source.features, source.regions)
        rows.append((source.name, *(", ".join(names or ("all",)) for names in scopes)))
    columns = ("alert source", "pipelines", "features", "regions")
    _show(session, "alert source", name, documents, columns, rows)


@command(app, "freezes", "sluiceway get freezes;  sluiceway get freezes weekends --json")
async def freezes(session: CliSession, name: NameArgument = None) -> None:
    """Show the freezes: when and where no phase starts, and which are active now."""
    freezes = (await read_catalogue(session.connection)).freezes
    now = now_ms()
    documents, rows = {}, []
    for freeze in freezes.values():
        is_on, change = open_window(freeze, now) is not None, next_change_ms(freeze, now)
        documents[freeze.name] = {**freeze.to_jsonable(), "isOn": is_on, "nextChangeMs": change}
        rows.append(
            (
                freeze.name,
                "\n".join(describe_windows(freeze)),
                _scope(freeze),
                _describe_now(is_on, change, now),
            )
        )
    _show(session, "freeze", name, documents, ("freeze", "windows", "where", "now"), rows)


@command(app, "gates", "sluiceway get gates;  sluiceway get gates new_checkout --json")
async def gates(session: CliSession, name: NameArgument = None) -> None:
    """Show the gates."""
    await _show_features(session, FeatureKind.GATE, name)


@command(app, "configs", "sluiceway get configs;  sluiceway get configs checkout_limits --json")
async def configs(session: CliSession, name: NameArgument = None) -> None:
    """Show the dynamic configs."""
    await _show_features(session, FeatureKind.DYNAMIC_CONFIG, name)


@command(app, "segments", "sluiceway get segments;  sluiceway get segments beta --json")
async def segments(session: CliSession, name: NameArgument = None) -> None:
    """Show the segments."""
    await _show_features(session, FeatureKind.SEGMENT, name)


@command(app, "triggers", "sluiceway get triggers;  sluiceway get triggers gate.new_checkout.1 --json")
async def triggers(session: CliSession, name: NameArgument = None) -> None:
    """Show the newest trigger of each feature, or any trigger by its id."""
    if name is not None:
        found, _ = await find_trigger(session, name)
        (feature,) = await counted(session.connection, [found])
        trigger = feature.trigger
        assert trigger
        view = trigger_view(feature, trigger)
        session.print_result(view.to_jsonable(), lambda: _trigger_table([(feature, trigger)]))
        return
    newest = [logged.event.feature for logged in await read_features(session.connection)]
    features = await counted(session.connection, newest)
    releases = [(feature, feature.trigger) for feature in features if feature.trigger]
    views = [trigger_view(f, t).to_jsonable() for f, t in releases]
    session.print_result(views, lambda: _trigger_table(releases))


@command(
    app,
    "rules",
    "sluiceway get rules --region prod-eu;  sluiceway get rules new_checkout --region dev --json",
)
async def rules(
    session: CliSession,
    name: NameArgument = None,
    is_gate: GateOrConfig = None,
    region: Annotated[str, typer.Option("--region", help="The region.")] = ...,  # type: ignore[assignment]
) -> None:
    """Show the rule documents that are published for a region."""
    if name is not None:
        document = await find_rules(session, region, name, is_gate)
        session.print_result(document.to_jsonable(), lambda: _rule_table([document]))
        return
    await _check_region(session, region)
    documents = await read_rules(session.connection, region)
    session.print_result([document.to_jsonable() for document in documents], lambda: _rule_table(documents))


async def find_rules(session: CliSession, region: str, name: str, is_gate: bool | None) -> RuleDocument:
    """Return the rules of a feature in a region; `CommandFailed` if there are none, or two kinds."""
    await _check_region(session, region)
    kinds = {None: tuple(FeatureKind), True: (FeatureKind.GATE,), False: (FeatureKind.DYNAMIC_CONFIG,)}
    documents = [
        document
        for document in await read_rules(session.connection, region)
        if document.name == name and document.kind in kinds[is_gate]
    ]
    if not documents:
        raise CommandFailed(f"region {region} has no rules for {name!r}")
    if len(documents) > 1:
        raise CommandFailed(f"{name} is both a gate and a dynamic config; use --gate or --config")
    return documents[0]


async def find_trigger(session: CliSession, trigger_id: str) -> tuple[Feature, Trigger]:
    """Return a trigger by its id, and its feature; `CommandFailed` if it does not exist.

    `Unavailable` if a replica that is behind may lack it.
    """
    key = feature_of_trigger(trigger_id)
    reading = await read_feature(session.connection, *key)
    newest = reading.feature
    if newest and newest.trigger and newest.trigger.id == trigger_id:
        return newest, newest.trigger
    if newest and run_of(trigger_id) <= newest.runs:
        for logged in reversed(await _history(session, key, until=sequence_of(reading.revision))):
            feature = logged.event.feature
            if feature.trigger and feature.trigger.id == trigger_id:
                return feature, feature.trigger
    if reading.may_be_old:
        raise Unavailable(f"trigger {trigger_id} is not found, but no scheduler confirms it; try again")
    raise CommandFailed(f"trigger {trigger_id} does not exist")


def feature_of_trigger(trigger_id: str) -> FeatureKey:
    """Return the feature that the id of a trigger names; `CommandFailed` if the id is invalid."""
    try:
        return feature_of(TypeAdapter(TriggerId).validate_python(trigger_id))
    except ValidationError:
        raise CommandFailed(
            f"invalid trigger id {trigger_id!r}: use KIND.NAME.NUMBER, for example gate.new_checkout.1"
        ) from None


async def _history(session: CliSession, key: FeatureKey, until: int) -> list[LoggedEvent]:
    log = FeatureLog(session.connection, "")
    return await through_stalls(lambda: log.read_history(key, until))


def _scope(freeze: Freeze) -> str:
    parts = (
        ("environment", freeze.environments),
        ("region", freeze.regions),
        ("pipeline", freeze.pipelines),
    )
    return ", ".join(f"{noun} {' or '.join(names)}" for noun, names in parts if names) or "everywhere"


def _describe_now(is_on: bool, change: int | None, now: int) -> str:
    """Return whether a freeze is on, and when that changes."""
    left = format_duration((change - now) // 1_000 * 1_000) if change is not None else ""
    if is_on:
        return f"on, ends in {left}" if left else "on, always"
    return f"off, starts in {left}" if left else "over"


async def _show_features(session: CliSession, kind: FeatureKind, name: str | None) -> None:
    found = [e for e in await read_features(session.connection) if e.event.feature.kind is kind]
    features = [logged.event.feature for logged in found]
    documents = {
        e.event.feature.name: {**feature_summary(e.event.feature).to_jsonable(), "revision": e.revision_tag}
        for e in found
    }
    rows = [
        (
            f.name,
            feature_status(f),
            str(f.base.version) if f.base else "",
            f.release_pipeline_id or "",
            f.active_trigger.id if f.active_trigger else "",
        )
        for f in features
    ]
    noun = NOUNS[kind]
    columns = (noun, "status", "version", "pipeline", "trigger")
    _show(session, noun, name, documents, columns, rows)


def _show(
    session: CliSession,
    noun: str,
    name: str | None,
    documents: dict[str, dict[str, Any]],
    columns: Sequence[str],
    rows: Sequence[tuple[str, ...]],
) -> None:
    if name is not None:
        check_known(noun, name, documents)
        rows = [row for row in rows if row[0] == name]
        session.print_result(documents[name], lambda: table(columns, rows))
    else:
        session.print_result(list(documents.values()), lambda: table(columns, rows))


async def _check_region(session: CliSession, region: str) -> None:
    check_known("region", region, (await read_catalogue(session.connection)).regions)


def check_known(noun: str, name: str, known: Collection[str]) -> None:
    """Raise `CommandFailed` if `name` is not one of the known names."""
    if name not in known:
        raise CommandFailed(f"unknown {noun} {name!r} (known: {', '.join(sorted(known)) or 'none'})")


def _rule_table(documents: Sequence[RuleDocument]) -> Table:
    columns = ("feature", "revision", "released by", "reverted", "bytes")
    rows = [
        (str(d.key), str(d.revision), d.trigger or "", d.reverted or "", f"{len(d.to_json())}")
        for d in documents
    ]
    return table(columns, rows)


def _trigger_table(releases: Sequence[tuple[Feature, Trigger]]) -> Table:
    columns = ("trigger", "status", "phase", "bake ends in", "started", "by")
    rows = []
    for _, trigger in releases:
        is_active = trigger.status.is_active
        left = format_duration(max(0, trigger.due_ms - now_ms())) if trigger.due_ms else ""
        phase = trigger.current_run.phase.id if is_active else ""
        rows.append(
            (trigger.id, str(trigger.status), phase, left, rfc3339(trigger.created_ms), trigger.creator_id)
        )
    return table(columns, rows)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a table without borders."""
    result = Table(box=None, pad_edge=False)
    for column in columns:
        result.add_column(column, overflow="fold")
    for row in rows:
        result.add_row(*row)
    return result
