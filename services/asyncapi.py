"""`python -m services.asyncapi`: the public interface as an AsyncAPI document, on standard output.

What is heard comes from the FastStream apps themselves; what is said into streams and buckets is
declared here, since conditional writes need more than a FastStream publisher gives.
"""

import sys
from typing import Any, NoReturn

import yaml
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI
from pydantic import BaseModel, RootModel

from sluiceway import __version__
from sluiceway.contracts import subjects
from sluiceway.contracts.alerts import AnsweredAlert
from sluiceway.contracts.applied_reports import AppliedReport
from sluiceway.contracts.catalogue import Environment, Region, SdkKey
from sluiceway.contracts.events import FeatureEvent
from sluiceway.contracts.freeze import Freeze
from sluiceway.contracts.measurements import Round, VerdictChanged
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import Reply
from sluiceway.contracts.rule_document import RuleDocument
from sluiceway.messaging.dead_letters import DeadLetters

from .monitor import app as monitor
from .monitor.settings import Settings as MonitorSettings
from .scheduler import app as scheduler
from .scheduler.settings import Settings as SchedulerSettings


class CatalogueEntry(RootModel[Environment | Region | Pipeline | Freeze | SdkKey]):
    """A document of the catalogue."""


class DeadLetter(RootModel[bytes]):
    """The rejected message as it came; the headers say why, and where it was published."""


#: Subject, model, and what a follower must know.
PUBLICATIONS: tuple[tuple[str, type[BaseModel], str], ...] = (
    (
        "sluiceway.features.<kind>.<name>",
        FeatureEvent,
        "Stream FEATURES, by the scheduler: the log of each feature; the last message is its state. "
        "Headers: ce-type, ce-id, ce-time, ce-source, Sluiceway-Status, Sluiceway-Due, Sluiceway-Pipeline.",
    ),
    (
        "$KV.RULES.<region>.<kind>.<name>",
        RuleDocument,
        "Bucket RULES, by the evaluator-publisher: what a region evaluates a feature by. A message with "
        "the header KV-Operation: DEL takes it away. Headers: Sluiceway-Revision, Sluiceway-Event-Time.",
    ),
    (
        "$KV.CATALOG.<environment|region|pipeline|freeze|key>.<id>",
        CatalogueEntry,
        "Bucket CATALOG, by the scheduler. Headers: Sluiceway-Actor, Sluiceway-Reason.",
    ),
    (
        "$KV.APPLIED.<region>.<instance>",
        AppliedReport,
        "Bucket APPLIED, by whoever follows a region: what it has applied. Vanishes a minute after its last.",
    ),
    (
        "sluiceway.measurements.<trigger>.<phase>.<guardrail>",
        Round,
        "Stream MEASUREMENTS, by the monitor: each look at a guardrail, and the counts after it; bounded.",
    ),
    (
        "sluiceway.verdicts.<trigger>",
        VerdictChanged,
        "Stream VERDICTS, by the monitor: a guardrail says something else than before, or was tripped by an "
        "alert.",
    ),
    (
        "sluiceway.answered_alerts.<source>",
        AnsweredAlert,
        "Stream VERDICTS, by the monitor: what became of an alert, also where it was about nothing.",
    ),
    (
        "sluiceway.dead_letters.<service>",
        DeadLetter,
        "Stream DEAD_LETTERS, by every service. Headers: Sluiceway-Dead-Reason, Sluiceway-Dead-Subject.",
    ),
)


def document() -> str:
    """Return the AsyncAPI document as YAML."""
    heard = (
        scheduler.build_broker(SchedulerSettings(), _nobody, _no_letters(), _nobody),
        monitor.build_broker(MonitorSettings(), _nobody, _no_letters()),
        monitor.build_clearance_broker(MonitorSettings(), _nobody),
    )
    said = NatsBroker()
    for subject, model, description in PUBLICATIONS:
        said.publisher(subject, schema=model, title=subject, description=description)
    specification = AsyncAPI(
        *heard,
        said,
        title="Sluiceway",
        version=__version__,
        description="Release pipelines for feature gates and dynamic configs.",
    )
    content = _with_one_server(_with_replies(specification.to_specification().to_jsonable()))
    return yaml.safe_dump(content, width=110)


def _with_replies(content: dict[str, Any]) -> dict[str, Any]:
    """Add what a command is answered with, which FastStream leaves out."""
    reply = Reply.model_json_schema(ref_template="#/components/schemas/{model}")
    content["components"]["schemas"].update({**reply.pop("$defs"), "Reply": reply})
    content["components"]["messages"]["Reply"] = {
        "title": "Reply",
        "payload": {"$ref": "#/components/schemas/Reply"},
    }
    content["channels"]["reply"] = {
        "address": None,
        "description": "The inbox that the sender of a command names.",
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


async def _nobody(*_: object) -> NoReturn:
    raise NotImplementedError("the document is generated, nothing is answered")


def _no_letters() -> DeadLetters:
    return DeadLetters.__new__(DeadLetters)


if __name__ == "__main__":
    sys.stdout.write(document())
