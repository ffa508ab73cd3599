"""The actions on a release, one row each: the command, what it records, when it is allowed, who may do it.

To add an action, add its command (`contracts/commands.py`), its event and action types
(`contracts/events.py`, `contracts/feature.py`), its transition (`transitions.py`) and a row here.
The decisions, the permissions, the page, the APIs and the command line derive from these rows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic.fields import FieldInfo

from ..contracts.commands import (
    AbortTrigger,
    AdvancePhase,
    ApprovePhase,
    ExtendBake,
    GuardrailCommand,
    PauseTrigger,
    PhaseCommand,
    RollBackTrigger,
    RollOutTrigger,
    SkipPhase,
    StartingCommand,
    TriggerCommand,
    UnpauseTrigger,
)
from ..contracts.durations import format_duration
from ..contracts.events import EventType
from ..contracts.feature import ActionType, Trigger, TriggerStatus
from ..contracts.identity import Role
from ..contracts.replies import Refusal
from . import transitions
from .approvals import approve
from .decision import Unchanged
from .rollbacks import roll_back
from .transitions import Variant

#: Returns the trigger after the action, or why nothing happens; None: it is not possible after all.
#: It takes the row's own command.
Transition = Callable[[Trigger, Any, int], Trigger | Variant | Unchanged | Refusal | None]

_COMMON_FIELDS = frozenset(
    field
    for model in (TriggerCommand, PhaseCommand, StartingCommand, GuardrailCommand)
    for field in model.model_fields
)

IN_PROGRESS = frozenset({TriggerStatus.IN_PROGRESS})
PAUSED = frozenset({TriggerStatus.PAUSED})
WAITING = frozenset({TriggerStatus.WAITING_FOR_REVIEW})
ACTIVE = IN_PROGRESS | PAUSED | WAITING


class ActionScope(StrEnum):
    """The phases whose regions an action opens, stops or takes back; roles must cover them."""

    CURRENT_PHASE = "current_phase"
    CURRENT_AND_NEXT_PHASE = "current_and_next_phase"
    #: every phase up to the current one
    REACHED_PHASES = "reached_phases"
    EVERYWHERE = "everywhere"


class ActionOption(NamedTuple):
    """What one action asks for and no other, for example how long to extend a bake, as people write it."""

    #: A length of time, `by_ms` in the command, is written as `by: 30m`.
    name: str
    default: str
    description: str


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """One action."""

    command: type[TriggerCommand]
    #: What it records, unless the transition returns a `Variant`.
    event: EventType
    action: ActionType
    #: The statuses that allow it.
    statuses: frozenset[TriggerStatus]
    #: What its sender must be granted, for the regions in `scope`.
    role: Role
    scope: ActionScope
    transition: Transition
    #: Statuses that allow it to a guardrail as well.
    guardrail_statuses: frozenset[TriggerStatus] = frozenset()
    #: Whether people do it; the other actions follow from time, alerts and guardrails.
    is_manual: bool = True

    @property
    def name(self) -> str:
        """The verb of its command."""
        return self.command.verb

    @property
    def acts_on_phase(self) -> bool:
        """Whether the sender names the phase that is expected to be current."""
        return issubclass(self.command, PhaseCommand)

    @property
    def may_start_phase(self) -> bool:
        """Whether it may start a phase, which a freeze may forbid."""
        return issubclass(self.command, StartingCommand)

    @property
    def options(self) -> tuple[ActionOption, ...]:
        """The fields of its command that the other actions do not have."""
        return tuple(
            _option(name, field)
            for name, field in self.command.model_fields.items()
            if name not in _COMMON_FIELDS
        )


def _option(name: str, field: FieldInfo) -> ActionOption:
    is_length = name.endswith("_ms")
    default = format_duration(field.default) if is_length else str(field.default)
    return ActionOption(name.removesuffix("_ms"), default, field.description or "")


_ROWS = (
    ActionSpec(
        command=ApprovePhase,
        event=EventType.PHASE_APPROVED,
        action=ActionType.APPROVED_FOR,
        statuses=WAITING,
        role=Role.APPROVER,
        scope=ActionScope.CURRENT_PHASE,
        transition=approve,
    ),
    ActionSpec(
        command=PauseTrigger,
        event=EventType.TRIGGER_PAUSED,
        action=ActionType.PAUSED,
        statuses=IN_PROGRESS,
        guardrail_statuses=WAITING,
        role=Role.OPERATOR,
        scope=ActionScope.CURRENT_PHASE,
        transition=transitions.pause,
    ),
    ActionSpec(
        command=UnpauseTrigger,
        event=EventType.TRIGGER_UNPAUSED,
        action=ActionType.UNPAUSED,
        statuses=PAUSED,
        role=Role.OPERATOR,
        scope=ActionScope.CURRENT_PHASE,
        transition=transitions.unpause,
    ),
    ActionSpec(
        command=SkipPhase,
        event=EventType.PHASE_SKIPPED,
        action=ActionType.SKIPPED,
        statuses=ACTIVE,
        role=Role.OPERATOR,
        scope=ActionScope.CURRENT_AND_NEXT_PHASE,
        transition=transitions.skip,
    ),
    ActionSpec(
        command=ExtendBake,
        event=EventType.BAKE_EXTENDED,
        action=ActionType.EXTENDED,
        statuses=IN_PROGRESS | PAUSED,
        role=Role.OPERATOR,
        scope=ActionScope.CURRENT_PHASE,
        transition=transitions.extend,
    ),
    ActionSpec(
        command=AbortTrigger,
        event=EventType.TRIGGER_ABORTED,
        action=ActionType.ABORTED,
        statuses=ACTIVE,
        role=Role.OPERATOR,
        scope=ActionScope.REACHED_PHASES,
        transition=transitions.abort,
    ),
    ActionSpec(
        command=RollOutTrigger,
        event=EventType.TRIGGER_ROLLED_OUT,
        action=ActionType.FULL_ROLL_OUT,
        statuses=ACTIVE,
        role=Role.OPERATOR,
        scope=ActionScope.EVERYWHERE,
        transition=transitions.roll_out,
    ),
    ActionSpec(
        command=RollBackTrigger,
        event=EventType.TRIGGER_ROLLED_BACK,
        action=ActionType.ROLLED_BACK,
        statuses=ACTIVE,
        role=Role.OPERATOR,
        scope=ActionScope.REACHED_PHASES,
        transition=roll_back,
        is_manual=False,
    ),
    ActionSpec(
        command=AdvancePhase,
        event=EventType.PHASE_ADVANCED,
        action=ActionType.ADVANCED,
        statuses=IN_PROGRESS,
        role=Role.OPERATOR,
        scope=ActionScope.CURRENT_AND_NEXT_PHASE,
        transition=transitions.advance,
        is_manual=False,
    ),
)

#: By command, in the order in which surfaces show them.
ACTIONS: Mapping[type[TriggerCommand], ActionSpec] = {row.command: row for row in _ROWS}
#: What people do, by verb.
MANUAL_ACTIONS: Mapping[str, ActionSpec] = {row.name: row for row in _ROWS if row.is_manual}


def possible_actions(status: TriggerStatus) -> tuple[str, ...]:
    """Return the verbs of what people may do to a trigger with this status."""
    return tuple(name for name, action in MANUAL_ACTIONS.items() if status in action.statuses)
