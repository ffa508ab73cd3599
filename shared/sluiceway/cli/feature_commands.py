"""`sluiceway gate …`, `sluiceway config …`: quick changes of one feature."""

from typing import Annotated, Any

import typer

from ..contracts.commands import ArchiveFeature, SaveFeature
from ..contracts.feature import DynamicConfig, Feature, FeatureGate
from ..contracts.identifiers import FeatureKind
from ..contracts.replies import Outcome, Reply
from ..feature_summary import NOUNS
from ..trigger_view import describe_override
from . import snapshots
from .apply import summary
from .edits import document_of, json_object, kept, segment, with_rule
from .session import CliSession, CommandFailed, OverrideFreeze, Reason, checked_name, command

gates = typer.Typer(help="Change a gate.", no_args_is_help=True)
configs = typer.Typer(help="Change a dynamic config.", no_args_is_help=True)
segments = typer.Typer(
    help="Change a segment; a file (`sluiceway apply -f`) creates one.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Letters, digits, - and _.")]
Environments = Annotated[list[str] | None, typer.Option("--environment", help="Only there; may be repeated.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where", help="'FIELD OPERATOR VALUE[,VALUE]', for example 'country any US,DE'; all must hold."
    ),
]
Pipeline = Annotated[str | None, typer.Option("--pipeline", help="Attach this pipeline.")]
NoPipeline = Annotated[bool, typer.Option("--no-pipeline", help="Detach the pipeline.")]
AtOnce = Annotated[bool, typer.Option("--at-once", help="Go live past the pipeline, which stays attached.")]
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]


@command(
    gates,
    "set",
    "sluiceway gate set new_checkout --on --pass 10 --pipeline prod-release;  "
    "sluiceway gate set bad --off --at-once",
)
async def set_gate(
    session: CliSession,
    name: Name,
    on: Annotated[
        bool | None, typer.Option("--on/--off", help="On for whom the rest names, or off for all.")
    ] = None,
    percentage: Annotated[
        float | None, typer.Option("--pass", min=0, max=100, help="Percent of the users.")
    ] = None,
    environment: Environments = None,
    where: Where = None,
    pipeline: Pipeline = None,
    no_pipeline: NoPipeline = False,
    at_once: AtOnce = False,
    description: Description = None,
    override_freeze: OverrideFreeze = False,
    reason: Reason = None,
) -> None:
    """Save a gate; what is not named stays as it is. With --on, what is not named is everyone."""
    feature = await _now(session, FeatureKind.GATE, name)
    document = document_of(feature, "FeatureGate", name, pipeline, no_pipeline, description)
    named: dict[str, Any] = segment(environment, where)
    if percentage is not None:
        named["passPercentage"] = percentage
    if on is False and named:
        raise CommandFailed("--off is for everybody; it goes with no --pass, --environment or --where")
    if on is False:
        document["rules"] = []
    elif on or named:
        document["isEnabled"] = on or document.get("isEnabled", True)
        document["rules"] = [{**kept(document["rules"], anew=on is True), **named}]
    await _save(session, FeatureGate, document, reason, at_once=at_once, override_freeze=override_freeze)


@command(
    configs,
    "set",
    """sluiceway config set checkout_limits --value '{"maxItems": 200}' --pipeline prod-release""",
)
async def set_config(
    session: CliSession,
    name: Name,
    value: Annotated[str | None, typer.Option("--value", help="A JSON object.")] = None,
    environment: Environments = None,
    where: Where = None,
    pipeline: Pipeline = None,
    no_pipeline: NoPipeline = False,
    at_once: AtOnce = False,
    description: Description = None,
    override_freeze: OverrideFreeze = False,
    reason: Reason = None,
) -> None:
    """Save a config; with --where or --environment the value is for those alone."""
    feature = await _now(session, FeatureKind.DYNAMIC_CONFIG, name)
    document = document_of(feature, "DynamicConfig", name, pipeline, no_pipeline, description)
    if (environment or where) and value is None:
        raise CommandFailed("--where and --environment need a --value")
    if value is not None:
        parsed = json_object(value)
        if environment or where:
            document["rules"] = with_rule(document["rules"], segment(environment, where), parsed)
        else:
            document["defaultValue"] = parsed
    await _save(session, DynamicConfig, document, reason, at_once=at_once, override_freeze=override_freeze)


@command(gates, "archive", "sluiceway gate archive old_checkout --reason 'nobody asks for it'")
async def archive_gate(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Take a gate out of every region, at once."""
    await _archive(session, FeatureKind.GATE, name, reason)


@command(configs, "archive", "sluiceway config archive old_limits")
async def archive_config(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Take a config out of every region, at once."""
    await _archive(session, FeatureKind.DYNAMIC_CONFIG, name, reason)


@command(segments, "archive", "sluiceway segment archive beta")
async def archive_segment(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Take a segment out of every region, at once; nothing may refer to it any more."""
    await _archive(session, FeatureKind.SEGMENT, name, reason)


async def _now(session: CliSession, kind: FeatureKind, name: str) -> Feature | None:
    return await snapshots.feature(session.connection, kind, checked_name(NOUNS[kind], name))


async def _save(
    session: CliSession,
    model: type[FeatureGate] | type[DynamicConfig],
    document: dict[str, Any],
    reason: str | None,
    *,
    at_once: bool,
    override_freeze: bool,
) -> None:
    save = SaveFeature(
        actor=session.actor,
        reason=reason,
        feature=model.model_validate(document),
        at_once=at_once,
        override_freeze=override_freeze,
    )
    _tell(session, await session.send(save))


async def _archive(session: CliSession, kind: FeatureKind, name: str, reason: str | None) -> None:
    reply = await session.send(ArchiveFeature(actor=session.actor, reason=reason, kind=kind, name=name))
    text = reply.message if reply.outcome is Outcome.UNCHANGED else f"{kind}.{name}: archived"
    session.show(reply.to_jsonable(), text or "")


def _tell(session: CliSession, reply: Reply) -> None:
    assert reply.feature
    text = reply.message or ""
    if reply.outcome is Outcome.ACCEPTED:
        text = f"{reply.feature.key}: {summary(reply.feature)}"
        trigger = reply.feature.active_trigger
        if trigger:
            text += describe_override(trigger.actions[-1].overrode)
        if trigger and trigger.pipeline.trigger_notice:
            text += f"\n  {trigger.pipeline.trigger_notice}"
    session.show(reply.to_jsonable(), text)
