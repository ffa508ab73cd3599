"""`sluiceway gate|config|segment …`: change or archive one feature."""

from typing import Annotated
from uuid import uuid4

import typer

from ..contracts.commands import ArchiveFeature
from ..contracts.feature import DynamicConfig, FeatureDocument, FeatureGate
from ..contracts.identifiers import FeatureKind
from ..contracts.replies import Outcome, Reply
from ..messaging.feature_edits import FeatureEdit
from ..trigger_view import describe_override
from .apply import describe_progress
from .current_state import read_feature
from .edits import (
    changed,
    json_object,
    rule_scope,
    rule_to_change,
    with_rule,
    with_settings,
)
from .session import CliSession, CommandFailed, OverrideFreeze, Reason, command, validated_name

gates = typer.Typer(help="Change or archive a gate.", no_args_is_help=True)
configs = typer.Typer(help="Change or archive a dynamic config.", no_args_is_help=True)
segments = typer.Typer(
    help="Archive a segment. To create or change one, apply a file (`sluiceway apply -f`).",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The name: letters, digits, - and _.")]
Environments = Annotated[
    list[str] | None, typer.Option("--environment", help="Only in this environment. Can be repeated.")
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        help="A condition: 'FIELD OPERATOR VALUE[,VALUE]', for example 'country any US,DE'. "
        "Can be repeated; all must hold.",
    ),
]
Pipeline = Annotated[str | None, typer.Option("--pipeline", help="Attach this release pipeline.")]
NoPipeline = Annotated[bool, typer.Option("--no-pipeline", help="Detach the release pipeline.")]
AtOnce = Annotated[
    bool,
    typer.Option("--at-once", help="Go live immediately, without a release. The pipeline stays attached."),
]
Description = Annotated[str | None, typer.Option("--description", help="A description.")]


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
        bool | None,
        typer.Option("--on/--off", help="On for the users that the other options name, or off for everyone."),
    ] = None,
    percentage: Annotated[
        float | None, typer.Option("--pass", min=0, max=100, help="Percentage of users who pass.")
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
    """Change a gate, or create it. Without --on, only the options that you give change.

    With --on, the gate is on for everyone, or for the users that the other options name.
    """
    scope = rule_scope(environment, where)
    names_users = scope.is_given or percentage is not None
    if on is False and names_users:
        raise CommandFailed("--off is for everyone; leave out --pass, --environment and --where")

    def change(document: FeatureDocument) -> FeatureDocument:
        assert isinstance(document, FeatureGate)
        gate = with_settings(document, pipeline, no_pipeline, description)
        if on is False:
            return changed(gate, rules=())
        if not on and not names_users:
            return gate
        rule = scope.apply_to(rule_to_change(gate.rules, for_everyone=on is True))
        if percentage is not None:
            rule = rule.model_copy(update={"pass_percentage": percentage})
        return changed(gate, is_enabled=on or gate.is_enabled, rules=(rule,))

    edit = FeatureEdit(
        id=uuid4().hex,
        actor=session.actor,
        change=change,
        new=FeatureGate(name=validated_name("gate", name)),
        reason=reason,
        at_once=at_once,
        override_freeze=override_freeze,
        is_forced=on is False,
    )
    await _send_edit(session, edit, brings_back="--on", is_brought_back=on is True)


@command(
    configs,
    "set",
    """sluiceway config set checkout_limits --value '{"maxItems": 200}' --pipeline prod-release""",
)
async def set_config(
    session: CliSession,
    name: Name,
    value: Annotated[str | None, typer.Option("--value", help="The value: a JSON object.")] = None,
    environment: Environments = None,
    where: Where = None,
    pipeline: Pipeline = None,
    no_pipeline: NoPipeline = False,
    at_once: AtOnce = False,
    description: Description = None,
    override_freeze: OverrideFreeze = False,
    reason: Reason = None,
) -> None:
    """Change a config, or create it. With --where or --environment, the value is only for those users."""
    scope = rule_scope(environment, where)
    if scope.is_given and value is None:
        raise CommandFailed("--where and --environment require --value")
    new_value = None if value is None else json_object(value)

    def change(document: FeatureDocument) -> FeatureDocument:
        assert isinstance(document, DynamicConfig)
        config = with_settings(document, pipeline, no_pipeline, description)
        if new_value is None:
            return config
        if scope.is_given:
            return changed(config, rules=with_rule(config.rules, scope, new_value))
        return changed(config, default_value=new_value)

    edit = FeatureEdit(
        id=uuid4().hex,
        actor=session.actor,
        change=change,
        new=DynamicConfig(name=validated_name("config", name)),
        reason=reason,
        at_once=at_once,
        override_freeze=override_freeze,
    )
    await _send_edit(session, edit, brings_back="--value", is_brought_back=value is not None)


@command(gates, "archive", "sluiceway gate archive old_checkout --reason 'no longer used'")
async def archive_gate(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Archive a gate: remove it from every region immediately."""
    await _archive(session, FeatureKind.GATE, name, reason)


@command(configs, "archive", "sluiceway config archive old_limits")
async def archive_config(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Archive a dynamic config: remove it from every region immediately."""
    await _archive(session, FeatureKind.DYNAMIC_CONFIG, name, reason)


@command(segments, "archive", "sluiceway segment archive beta")
async def archive_segment(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Archive a segment that nothing refers to: remove it from every region immediately."""
    await _archive(session, FeatureKind.SEGMENT, name, reason)


async def _send_edit(
    session: CliSession, edit: FeatureEdit, *, brings_back: str, is_brought_back: bool
) -> None:
    """Make an edit of the newest state; one that does not say so brings back nothing that is archived."""
    assert edit.new
    read = await read_feature(session.connection, *edit.new.key)
    if read.is_archived and not is_brought_back:
        raise CommandFailed(f"{edit.new.key} is archived; bring it back with {brings_back}")
    _print_reply(session, await session.send_edit(edit, read))


async def _archive(session: CliSession, kind: FeatureKind, name: str, reason: str | None) -> None:
    reply = await session.send(ArchiveFeature(actor=session.actor, reason=reason, kind=kind, name=name))
    text = reply.message if reply.outcome is Outcome.UNCHANGED else f"{kind}.{name}: archived"
    session.print_result(reply.to_jsonable(), text or "")


def _print_reply(session: CliSession, reply: Reply) -> None:
    assert reply.feature
    text = reply.message or ""
    if reply.outcome is Outcome.ACCEPTED:
        text = f"{reply.feature.key}: {describe_progress(reply.feature)}"
        trigger = reply.feature.active_trigger
        if trigger:
            text += describe_override(trigger.actions[-1].overrode)
        if trigger and trigger.pipeline.trigger_notice:
            text += f"\n  {trigger.pipeline.trigger_notice}"
    session.print_result(reply.to_jsonable(), text)
