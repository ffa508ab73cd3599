"""Commands to the scheduler: one model per verb."""

import hashlib
import json
from collections.abc import Collection
from functools import lru_cache
from typing import Annotated, Any, ClassVar, NamedTuple
from uuid import uuid4

from pydantic import Field, StrictBool, model_validator

from .alert_sources import AlertSource
from .bounded_lists import FIRST_ERROR
from .catalogue import Environment, Region, SdkKey
from .durations import convert_durations
from .feature import FeatureDocument
from .freeze import Freeze
from .identifiers import FeatureKey, FeatureKind, Name, RegionName, TriggerId, feature_of
from .identity import Actor, ApiKey, Identity
from .models import AuthoredModel
from .persons import Account, Person
from .pipeline import INTERVAL_MAX_MS, Pipeline
from .revisions import RevisionTag

#: Bytes of a command; a larger one is refused.
COMMAND_MAX_BYTES = 256 * 1024

Reason = Annotated[str, Field(max_length=2_000)]

#: How each `IdempotencyKey.scoped_id` begins; older versions remembered the id that the sender had chosen.
SCOPED = "by-"


#: Scoped ids that are remembered: each is asked for when a command is looked for, and when it is stored.
SCOPED_IDS_MAX = 128


class IdempotencyKey(NamedTuple):
    """What tells a command that is sent again from others: its id, and its sender.

    A sender may choose any id, also one that another sender will use: that is another command.
    """

    id: str
    actor: Actor
    identity: Identity | None = None

    @property
    def scoped_id(self) -> str:
        """The id as it is remembered; no other sender's command has it."""
        return _scoped_id(*(self.identity.sender if self.identity else (None, self.actor)), self.id)

    def is_among(self, remembered: Collection[str]) -> bool:
        """Return whether the command was remembered; an id that an older version remembered is anybody's."""
        is_plain = not self.id.startswith(SCOPED)
        return self.scoped_id in remembered or (is_plain and self.id in remembered)


class Command(AuthoredModel):
    """What all commands have. A command that one sender sends twice with the same id is applied once."""

    verb: ClassVar[str]

    id: Annotated[str, Field(min_length=1, max_length=200)] = Field(default_factory=lambda: uuid4().hex)
    actor: Actor
    reason: Reason | None = None
    #: The identity that somebody vouches for. The scheduler sets it; a value from a sender counts only if
    #: the sender is the console.
    identity: Identity | None = None
    #: The revision that the sender has read (`revisionTag` of a reply; `0`: nothing is stored yet). The
    #: command is refused as `stale` if the newest revision is another one; absent: it applies to any.
    expected_revision: RevisionTag | None = None

    @property
    def idempotency_key(self) -> IdempotencyKey:
        """What tells this command, if it is sent again, from others."""
        return IdempotencyKey(self.id, self.actor, self.identity)

    @property
    def person(self) -> Person:
        """Who sent it: whom somebody vouches for, else the name that it gives."""
        return self.identity.person if self.identity else Person(self.actor)

    @property
    def account(self) -> Account | None:
        """The sender's account at an identity provider; None if it is unknown."""
        return self.identity.account if self.identity else None


def derived_id(kind: str, *parts: object) -> str:
    """Return an id for the command that follows from these parts: the same parts, the same id."""
    return f"{kind}-{_digest(chr(10).join(str(part) for part in parts))}"


@lru_cache(SCOPED_IDS_MAX)
def _scoped_id(*parts: str | None) -> str:
    return SCOPED + _digest(json.dumps(parts))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class FeatureCommand(Command):
    """A command that results in one event of one feature."""

    @property
    def key(self) -> FeatureKey:
        raise NotImplementedError


class StartingCommand(FeatureCommand):
    """A command that may start a phase, which a freeze can forbid."""

    #: Start the phase even inside a freeze. Needs a reason; the log names the freezes that it overrode.
    override_freeze: StrictBool = False


class SaveFeature(StartingCommand):
    """Save a feature; with a pipeline, an effective change starts a trigger."""

    verb = "save_feature"
    feature: FeatureDocument
    #: Make it live now, without a release; the pipeline stays attached.
    at_once: StrictBool = False

    @property
    def key(self) -> FeatureKey:
        return self.feature.key


class ArchiveFeature(FeatureCommand):
    """Remove a feature from every region, immediately."""

    verb = "archive_feature"
    kind: FeatureKind
    name: Name

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(self.kind, self.name)


class TriggerCommand(FeatureCommand):
    """A command to one trigger."""

    trigger: TriggerId

    @property
    def key(self) -> FeatureKey:
        return feature_of(self.trigger)


class PhaseCommand(TriggerCommand):
    """A command for one phase; it is refused if another phase is current."""

    phase_id: Name


class GuardrailCommand(TriggerCommand):
    """A command that a guardrail may send: with what it measured, which goes into the log."""

    guardrail: dict[str, Any] = {}


class ApprovePhase(PhaseCommand, StartingCommand):
    """Approve the phase that waits for review; with the last approval it starts."""

    verb = "approve"


class PauseTrigger(PhaseCommand, GuardrailCommand):
    """Stop the bake timer; what is released stays released.

    A guardrail may also pause a release that waits for review.
    """

    verb = "pause"


class UnpauseTrigger(PhaseCommand, StartingCommand):
    """Continue the bake with the time that was left."""

    verb = "unpause"


class SkipPhase(PhaseCommand, StartingCommand):
    """End the phase now; a phase that waits for review is not released."""

    verb = "skip"


class ExtendBake(PhaseCommand):
    """Let the phase bake for longer; what is released stays released.

    JSON may say `by: 30m` instead of `byMs`.
    """

    verb = "extend"
    by_ms: Annotated[
        int,
        Field(
            strict=True,
            gt=0,
            le=INTERVAL_MAX_MS,
            description="How long to bake in addition to what is left, for example 30m.",
        ),
    ] = 30 * 60_000

    @model_validator(mode="before")
    @classmethod
    def _convert_durations(cls, data: Any) -> Any:
        return convert_durations(data, "by")


class AbortTrigger(TriggerCommand):
    """Take the candidate back everywhere, and end the trigger."""

    verb = "abort"


class RollOutTrigger(TriggerCommand, StartingCommand):
    """Release the candidate to everyone now."""

    verb = "roll_out"


class RollBackTrigger(GuardrailCommand):
    """Take the candidate back because of an alert or a guardrail.

    It is taken back everywhere, or from the newest phase only if the pipeline says so. For a completed
    release that is still observed, the version before it is restored.
    """

    verb = "roll_back"
    alert: dict[str, Any] = {}


class AdvancePhase(PhaseCommand):
    """End the bake of this phase. The scheduler's own timer sends it; it has no subject."""

    verb = "advance"
    #: Why the trigger may not leave the phase.
    holds: Annotated[tuple[str, ...], FIRST_ERROR] = ()
    #: The sequence of the event that this was asked for; it says nothing about a newer one.
    cleared_revision: int | None = None


class SavePipeline(Command):
    """Create or replace a pipeline; refused while one of its triggers is active."""

    verb = "save_pipeline"
    pipeline: Pipeline


class DeletePipeline(Command):
    """Delete a pipeline that no feature is attached to."""

    verb = "delete_pipeline"
    pipeline_id: Name


class SaveEnvironment(Command):
    """Create or replace an environment."""

    verb = "save_environment"
    environment: Environment


class DeleteEnvironment(Command):
    """Delete an environment that has no region."""

    verb = "delete_environment"
    name: Name


class SaveRegion(Command):
    """Create or replace a region; it receives its rules immediately."""

    verb = "save_region"
    region: Region


class DeleteRegion(Command):
    """Delete a region and the rules published for it."""

    verb = "delete_region"
    name: RegionName


class CreateKey(Command):
    """Let a new key read the rules of a region or environment, or identify somebody."""

    verb = "create_key"
    key: Annotated[SdkKey | ApiKey, Field(discriminator="kind")]


class RevokeKey(Command):
    """Make a key invalid everywhere, from now on."""

    verb = "revoke_key"
    key_id: Name


class SaveFreeze(Command):
    """Create or replace a freeze; it applies to the commands after it."""

    verb = "save_freeze"
    freeze: Freeze


class DeleteFreeze(Command):
    """Delete a freeze; releases that it held continue."""

    verb = "delete_freeze"
    name: Name


class SaveAlertSource(Command):
    """Create or replace the scope of a source of alerts; it applies to the alerts after it.

    The first scope of all, where none is required, applies milliseconds after it was saved.
    """

    verb = "save_alert_source"
    source: AlertSource


class DeleteAlertSource(Command):
    """Delete the scope of a source of alerts."""

    verb = "delete_alert_source"
    name: Name


class ReadFeature(Command):
    """Return the newest state of a feature. It changes nothing, and needs no role.

    For senders who may not ask the leader of the stream: any other replica may be behind.
    """

    verb = "read_feature"
    kind: FeatureKind
    name: Name

    @property
    def key(self) -> FeatureKey:
        return FeatureKey(self.kind, self.name)


#: Every command that has a subject.
PUBLIC_COMMANDS: tuple[type[Command], ...] = (
    SaveFeature,
    ArchiveFeature,
    ApprovePhase,
    PauseTrigger,
    UnpauseTrigger,
    SkipPhase,
    ExtendBake,
    AbortTrigger,
    RollOutTrigger,
    RollBackTrigger,
    SavePipeline,
    DeletePipeline,
    SaveEnvironment,
    DeleteEnvironment,
    SaveRegion,
    DeleteRegion,
    SaveFreeze,
    DeleteFreeze,
    SaveAlertSource,
    DeleteAlertSource,
    CreateKey,
    RevokeKey,
)
#: What is asked in the form of a command, and answered like one: the state, and nothing that was done.
QUERIES: tuple[type[Command], ...] = (ReadFeature,)
#: These verbs only take something back, or keep it from going on: nothing else delays them.
TAKING_BACK_VERBS = frozenset(
    model.verb for model in (AbortTrigger, PauseTrigger, RollBackTrigger, ArchiveFeature, RevokeKey)
)
