"""What a decision depends on, and what it can be: an event, a refusal, or no change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..contracts.alert_sources import AlertSource
from ..contracts.catalogue import Environment, Region, SdkKey
from ..contracts.commands import FeatureCommand
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import RECENT_COMMANDS_MAX, Feature
from ..contracts.freeze import Freeze
from ..contracts.identity import ApiKey
from ..contracts.pipeline import Pipeline
from ..contracts.replies import Refusal
from .message_limits import MESSAGE_BYTES_MAX
from .reference_graph import ReferenceGraph


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The documents that a decision may depend on."""

    environments: Mapping[str, Environment] = field(default_factory=dict)
    regions: Mapping[str, Region] = field(default_factory=dict)
    pipelines: Mapping[str, Pipeline] = field(default_factory=dict)
    keys: Mapping[str, SdkKey] = field(default_factory=dict)
    api_keys: Mapping[str, ApiKey] = field(default_factory=dict)
    freezes: Mapping[str, Freeze] = field(default_factory=dict)
    alert_sources: Mapping[str, AlertSource] = field(default_factory=dict)
    #: All features that are not archived, and what they refer to.
    references: ReferenceGraph = field(default_factory=ReferenceGraph)
    #: The bytes of a message, headers included, that the broker takes.
    message_bytes_max: int = MESSAGE_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Nothing changes, and why."""

    message: str


Decision = FeatureEvent | Unchanged | Refusal


class Evidence(NamedTuple):
    """The alert or guardrail that an event answers; `left_out` names what of it is too large."""

    alert: dict[str, Any]
    guardrail: dict[str, Any]
    left_out: tuple[str, ...] = ()


NO_EVIDENCE = Evidence({}, {})


def event_of(
    type_: EventType,
    feature: Feature,
    command: FeatureCommand,
    now_ms: int,
    *,
    phase_id: str | None = None,
    reason: str | None = None,
    evidence: Evidence = NO_EVIDENCE,
) -> FeatureEvent:
    """Return the event of a command, with the command in the feature's recent ones."""
    recent = (*feature.recent_commands, command.idempotency_key.scoped_id)[-RECENT_COMMANDS_MAX:]
    return FeatureEvent(
        type=type_,
        time_ms=now_ms,
        actor_id=command.actor,
        vouched_by=command.identity.vouched_by if command.identity else None,
        account=command.account,
        reason=reason or command.reason,
        command_id=command.id,
        phase_id=phase_id,
        feature=feature.changed(recent_commands=recent),
        left_out=evidence.left_out,
        alert=evidence.alert,
        guardrail=evidence.guardrail,
    )
