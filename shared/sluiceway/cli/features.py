"""`sluiceway gate …`, `sluiceway config …`: quick changes of one feature."""

import json
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from ..contracts.commands import ArchiveFeature, SaveFeature
from ..contracts.conditions import ConditionType
from ..contracts.faults import faults_of
from ..contracts.feature import DynamicConfig, Feature, FeatureGate, Spec
from ..contracts.identifiers import FeatureKind
from ..contracts.replies import Outcome, Reply
from . import reading
from .apply import summary
from .session import Failed, Reason, Session, command

gates = typer.Typer(help="Change a gate.", no_args_is_help=True)
configs = typer.Typer(help="Change a dynamic config.", no_args_is_help=True)

RULE_NAME = "set"

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
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]


@command(
    gates,
    "set",
    "sluiceway gate set new_checkout --on --pass 10 --pipeline prod-release;  sluiceway gate set old --off",
)
async def set_gate(
    session: Session,
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
    description: Description = None,
    reason: Reason = None,
) -> None:
    """Save a gate; what is not named stays as it is."""
    feature = await reading.feature(session.connection, FeatureKind.GATE, name)
    document = _document(feature, "FeatureGate", name, pipeline, no_pipeline, description)
    is_narrowed = percentage is not None or environment or where
    if on is False and is_narrowed:
        raise Failed("--off is for everybody; it goes with no --pass, --environment or --where")
    if on is False:
        document["rules"] = []
    elif on or is_narrowed:
        document["isEnabled"] = True
        document["rules"] = [
            {**_rule(environment, where), "passPercentage": 100 if percentage is None else percentage}
        ]
    await _save(session, FeatureGate, document, reason)


@command(
    configs,
    "set",
    """sluiceway config set checkout_limits --value '{"maxItems": 200}' --pipeline prod-release""",
)
async def set_config(
    session: Session,
    name: Name,
    value: Annotated[str | None, typer.Option("--value", help="A JSON object.")] = None,
    environment: Environments = None,
    where: Where = None,
    pipeline: Pipeline = None,
    no_pipeline: NoPipeline = False,
    description: Description = None,
    reason: Reason = None,
) -> None:
    """Save a config; with --where or --environment the value is for those alone."""
    feature = await reading.feature(session.connection, FeatureKind.DYNAMIC_CONFIG, name)
    document = _document(feature, "DynamicConfig", name, pipeline, no_pipeline, description)
    if (environment or where) and value is None:
        raise Failed("--where and --environment need a --value")
    if value is not None:
        parsed = _json_object(value)
        if environment or where:
            others = [rule for rule in document["rules"] if (rule.get("id") or rule["name"]) != RULE_NAME]
            document["rules"] = [{**_rule(environment, where), "returnValue": parsed}, *others]
        else:
            document["defaultValue"] = parsed
    await _save(session, DynamicConfig, document, reason)


@command(gates, "archive", "sluiceway gate archive old_checkout --reason 'nobody asks for it'")
async def archive_gate(session: Session, name: Name, reason: Reason = None) -> None:
    """Take a gate out of every region, at once."""
    await _archive(session, FeatureKind.GATE, name, reason)


@command(configs, "archive", "sluiceway config archive old_limits")
async def archive_config(session: Session, name: Name, reason: Reason = None) -> None:
    """Take a config out of every region, at once."""
    await _archive(session, FeatureKind.DYNAMIC_CONFIG, name, reason)


def _document(
    feature: Feature | None,
    kind: str,
    name: str,
    pipeline: str | None,
    no_pipeline: bool,
    description: str | None,
) -> dict[str, Any]:
    """Return the feature as it is live now, as its author would write it, with what was named changed."""
    document: dict[str, Any] = {"kind": kind, "name": name, "rules": []}
    if feature:
        document["releasePipelineID"] = feature.release_pipeline_id
    if feature and feature.base:
        document.update(_authored(feature.base, kind))
    if pipeline or no_pipeline:
        document["releasePipelineID"] = None if no_pipeline else pipeline
    if description is not None:
        document["description"] = description
    return document


def _authored(spec: Spec, kind: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "isEnabled": spec.is_enabled,
        "description": spec.description,
        "idType": spec.id_type,
        "rules": [rule.to_jsonable() for rule in spec.rules],
    }
    return fields if kind == "FeatureGate" else {**fields, "defaultValue": spec.default_value}


def _rule(environments: list[str] | None, where: list[str] | None) -> dict[str, Any]:
    conditions = [_condition(text) for text in where or ()] or [{"type": "public"}]
    return {"name": RULE_NAME, "environments": environments or None, "conditions": conditions}


def _condition(text: str) -> dict[str, Any]:
    parts = text.split(maxsplit=2)
    if len(parts) != 3:
        raise Failed(f"--where {text!r}: write FIELD OPERATOR VALUE, for example 'country any US,DE'")
    field, operator, values = parts
    target: Any = values.split(",") if operator in ("any", "none") else _number_or_text(values)
    condition: dict[str, Any] = {"operator": operator, "targetValue": target}
    if field in set(ConditionType) - {
        ConditionType.CUSTOM_FIELD,
        ConditionType.UNIT_ID,
        ConditionType.PUBLIC,
    }:
        return {"type": field, **condition}
    return {"type": "custom_field", "field": field, **condition}


def _number_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Failed(f"--value is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise Failed("--value must be a JSON object, for example '{\"maxItems\": 200}'")
    return value


async def _save(
    session: Session,
    model: type[FeatureGate] | type[DynamicConfig],
    document: dict[str, Any],
    reason: str | None,
) -> None:
    try:
        feature = model.model_validate(document)
    except ValidationError as error:
        raise Failed(faults_of(error)) from error
    _tell(session, await session.send(SaveFeature(actor=session.actor, reason=reason, feature=feature)))


async def _archive(session: Session, kind: FeatureKind, name: str, reason: str | None) -> None:
    try:
        archive = ArchiveFeature(actor=session.actor, reason=reason, kind=kind, name=name)
    except ValidationError as error:
        raise Failed(faults_of(error)) from error
    reply = await session.send(archive)
    text = reply.message if reply.outcome is Outcome.UNCHANGED else f"{kind}.{name}: archived"
    session.show(reply.to_jsonable(), text or "")


def _tell(session: Session, reply: Reply) -> None:
    assert reply.feature
    text = reply.message or ""
    if reply.outcome is Outcome.ACCEPTED:
        text = f"{reply.feature.key}: {summary(reply.feature)}"
        trigger = reply.feature.active_trigger
        if trigger and trigger.pipeline.trigger_notice:
            text += f"\n  {trigger.pipeline.trigger_notice}"
    session.show(reply.to_jsonable(), text)
