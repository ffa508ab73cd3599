"""`sluiceway pipeline|region|environment|freeze|alert-source delete`: delete something from the catalogue."""

from typing import Annotated

import typer

from ..contracts.commands import (
    Command,
    DeleteAlertSource,
    DeleteEnvironment,
    DeleteFreeze,
    DeletePipeline,
    DeleteRegion,
)
from .session import CliSession, Reason, command

pipelines = typer.Typer(help="Delete a pipeline.", no_args_is_help=True)
regions = typer.Typer(
    help="Delete a region, or provide its leaf node with rules and keys.", no_args_is_help=True
)
environments = typer.Typer(help="Delete an environment.", no_args_is_help=True)
freezes = typer.Typer(help="Delete a freeze.", no_args_is_help=True)
alert_sources = typer.Typer(help="Delete the scope of a source of alerts.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The name.")]


@command(pipelines, "delete", "sluiceway pipeline delete prod-release")
async def delete_pipeline(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Delete a pipeline that no feature uses."""
    await _delete(session, DeletePipeline(actor=session.actor, reason=reason, pipeline_id=name), name)


@command(regions, "delete", "sluiceway region delete prod-eu --reason 'moved to prod-eu-2'")
async def delete_region(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Delete a region and the rules published for it."""
    await _delete(session, DeleteRegion(actor=session.actor, reason=reason, name=name), name)


@command(environments, "delete", "sluiceway environment delete staging")
async def delete_environment(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Delete an environment that has no region."""
    await _delete(session, DeleteEnvironment(actor=session.actor, reason=reason, name=name), name)


@command(freezes, "delete", "sluiceway freeze delete weekends --reason 'on-call covers weekends now'")
async def delete_freeze(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Delete a freeze. Releases that it held continue."""
    await _delete(session, DeleteFreeze(actor=session.actor, reason=reason, name=name), name)


@command(alert_sources, "delete", "sluiceway alert-source delete checkout-team")
async def delete_alert_source(session: CliSession, name: Name, reason: Reason = None) -> None:
    """Delete the scope of a source of alerts. It may then do what one without a document may."""
    await _delete(session, DeleteAlertSource(actor=session.actor, reason=reason, name=name), name)


async def _delete(session: CliSession, delete: Command, name: str) -> None:
    reply = await session.send(delete)
    session.print_result(reply.to_jsonable(), f"{name} deleted")
