"""`python -m services.asyncapi`: prints the public interface as an AsyncAPI document.

The messages that services receive come from their FastStream apps. The messages that they publish are listed
here, because the services publish with conditional writes, not with FastStream publishers.
"""

import inspect
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import yaml
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel, RootModel

from sluiceway import __version__
from sluiceway.contracts import subjects
from sluiceway.contracts.alert_sources import AlertSource
from sluiceway.contracts.alerts import AnsweredAlert
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.audit_records import AuditRecord
from sluiceway.contracts.catalogue import Environment, Region, SdkKey
from sluiceway.contracts.commands import PUBLIC_COMMANDS, QUERIES, Command
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.freeze import Freeze
from sluiceway.contracts.heartbeats import Heartbeat
from sluiceway.contracts.measurements import Round, VerdictChanged
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import Reply
from sluiceway.contracts.rule_document import CompleteSet, RuleDocument
from sluiceway.contracts.session_ends import SessionEnd

from .monitor import app as monitor
from .monitor.settings import Settings as MonitorSettings


class CatalogueEntry(RootModel[Environment | Region | Pipeline | Freeze | AlertSource | SdkKey]):
    """A document in the catalogue."""


class DeadLetter(RootModel[bytes]):
    """The first 16 KiB of a rejected message. The headers have the reason and its subject."""


class Probe(RootModel[bytes]):
    """A message without content: it only has to be stored."""


#: Subject, model, and what subscribers must know.
PUBLICATIONS: tuple[tuple[str, type[BaseModel], str], ...] = (
    (
        "sluiceway.features.<kind>.<name>",
        FeatureEvent,
        "Stream FEATURES, by the scheduler: the log of each feature. The last message is its state. "
        "Headers: ce-type, ce-id, ce-time, ce-source, Sluiceway-Command, Sluiceway-Status, Sluiceway-Due, "
        "Sluiceway-Pipeline.",
    ),
    (
        "$KV.RULES.<region>.<kind>.<name>",
        RuleDocument,
        "Bucket RULES, by the evaluator-publisher: the rules of a feature in a region. A message with "
        "the header KV-Operation: DEL deletes them. Headers: Sluiceway-Epoch, Sluiceway-Revision, "
        "Sluiceway-Event-Time.",
    ),
    (
        "$KV.RULES.<region>.complete",
        CompleteSet,
        "Bucket RULES, by the evaluator-publisher: RULES holds everything that the region receives. It is "
        "written again, with a greater epoch, whenever a publisher has read the log from the start.",
    ),
    (
        "sluiceway.heartbeats.<region>",
        Heartbeat,
        "By the evaluator-publisher, every three seconds, not stored: it is current, and the region has "
        "everything once it has applied this sequence.",
    ),
    (
        "$KV.CATALOG.<environment|region|pipeline|freeze|alert_source|key>.<id>",
        CatalogueEntry,
        "Bucket CATALOG, by the scheduler. Headers: Sluiceway-Actor, Sluiceway-Reason.",
    ),
    (
        "$KV.REGIONS.<region>.<region|key>.<id>",
        CatalogueEntry,
        "Bucket REGIONS, by the scheduler: what of CATALOG concerns one region, if regions have accounts.",
    ),
    (
        "$KV.APPLIED.<region>.<instance>",
        AppliedReport,
        "Bucket APPLIED, by every instance that follows a region: what it has applied. An entry expires "
        "one minute after its last update.",
    ),
    (
        "sluiceway.measurements.<trigger>.<phase>.<guardrail>",
        Round,
        "Stream MEASUREMENTS, by the monitor: each evaluation of a guardrail, with the counts so far. "
        "The number of messages is limited.",
    ),
    (
        "sluiceway.verdicts.<trigger>",
        VerdictChanged,
        "Stream VERDICTS, by the monitor: a guardrail has a new verdict, or an alert made it fail.",
    ),
    (
        "sluiceway.answered_alerts.<source>",
        AnsweredAlert,
        "Stream VERDICTS, by the monitor: the result of each alert, even if it matched no release.",
    ),
    (
        "sluiceway.dead_letters.<service>",
        DeadLetter,
        "Stream DEAD_LETTERS, by every service. The subject goes on with the sender of the message, if "
        "it is known. Headers: Sluiceway-Dead-Reason, Sluiceway-Dead-Subject.",
    ),
    (
        "sluiceway.audit.<service>",
        AuditRecord,
        "Stream AUDIT, by the scheduler and the console: refusals, sign-ins, keys. Each record has the hash "
        "of the one before it.",
    ),
    (
        "sluiceway.sessions.ended.<key or account>.<session>",
        SessionEnd,
        "Stream SESSIONS, by the console: a session on the page was ended; without the last token, all "
        "sessions of the key or account. The tokens are digests.",
    ),
    (
        "sluiceway.probes.<service>",
        Probe,
        "Stream PROBES, by every service except the edges: proves that the broker stores what is written.",
    ),
)


def document() -> str:
    """Return the AsyncAPI document as YAML."""
    subscribers = (
        _command_broker(),
        monitor.build_broker(MonitorSettings(), _unused_handler),
        monitor.build_clearance_broker(MonitorSettings(), _unused_handler),
    )
    publishers = NatsBroker()
    for subject, model, description in PUBLICATIONS:
        publishers.publisher(subject, schema=model, title=subject, description=description)
    specification = AsyncAPI(
        *subscribers,
        publishers,
        title="Sluiceway",
        version=__version__,
        description="Release pipelines for feature gates and dynamic configs.",
    )
    content = _with_one_server(_with_replies(specification.to_specification().to_jsonable()))
    return yaml.safe_dump(content, width=110)


def _command_broker() -> NatsBroker:
    """Return the description of the scheduler's subscription: one subject per command and kind of sender."""
    broker = NatsBroker(description="Release pipelines for feature gates and dynamic configs.")
    for model in PUBLIC_COMMANDS + QUERIES:
        for principal in (None, "*"):
            subject = subjects.command(model.verb, principal)
            description = inspect.getdoc(model)
            broker.subscriber(
                subject, queue=subjects.SCHEDULER_QUEUE, title=subject, description=description
            )(_handler(model))
    return broker


def _handler(model: type[Command]) -> Callable[..., Awaitable[Reply]]:
    async def handle(command: Command) -> Reply:
        raise NotImplementedError("the document only describes the handlers; none is called")

    handle.__annotations__["command"] = model
    handle.__name__ = model.verb
    handle.__doc__ = inspect.getdoc(model)
    return handle


def _with_replies(content: dict[str, Any]) -> dict[str, Any]:
    """Add the reply to each command, which FastStream leaves out."""
    reply = Reply.model_json_schema(ref_template="#/components/schemas/{model}")
    content["components"]["schemas"].update({**reply.pop("$defs"), "Reply": reply})
    content["components"]["messages"]["Reply"] = {
        "title": "Reply",
        "payload": {"$ref": "#/components/schemas/Reply"},
    }
    content["channels"]["reply"] = {
        "address": None,
        "description": "The reply subject of the command.",
        "messages": {"Reply": {"$ref": "#/components/messages/Reply"}},
    }
    for name, operation in content["operations"].items():
        if name.startswith(subjects.command("")):
            operation["reply"] = {"channel": {"$ref": "#/channels/reply"}}
    return content


def _with_one_server(content: dict[str, Any]) -> dict[str, Any]:
    for channel in content["channels"].values():
        channel["servers"] = [{"$ref": "#/servers/nats"}]
    content["servers"] = {"nats": {"host": "127.0.0.1:4222", "protocol": "nats"}}
    return content


async def _unused_handler(*_: object) -> NoReturn:
    raise NotImplementedError("the document only describes the handlers; none is called")


if __name__ == "__main__":
    sys.stdout.write(document())
