"""What happened to a feature: one event per decision, with the whole state after it."""

from typing import Annotated, Any

from pydantic import Field

from .feature import Feature
from .models import WireEnum, WireModel, is_absent, with_field
from .persons import Account

#: What the last version wrote into `left_out` if it left out default values: a reader loses nothing.
DEFAULTS = "default values"
#: An object that is empty by default. Pydantic would copy a default value deeply, for each event.
_Object = Annotated[dict[str, Any], Field(json_schema_extra={"default": {}})]


class EventType(WireEnum):
    """What happened, in the past tense. The `ce-type` of the message is `sluiceway.` and this."""

    #: saved and immediately live: no pipeline, or only opted-out environments are touched
    FEATURE_CHANGED = "feature_changed"
    FEATURE_ARCHIVED = "feature_archived"
    #: a candidate was saved; its first phase started or waits for review
    TRIGGER_STARTED = "trigger_started"
    #: a bake is over, and the next phase started or waits for review
    PHASE_ADVANCED = "phase_advanced"
    #: the last approval that the phase needed; it started
    PHASE_APPROVED = "phase_approved"
    #: one approval of several; the phase waits for the others
    APPROVAL_GIVEN = "approval_given"
    PHASE_SKIPPED = "phase_skipped"
    #: the current phase bakes for longer
    BAKE_EXTENDED = "bake_extended"
    #: a bake is over, but the trigger may not leave the phase yet
    PHASE_HELD = "phase_held"
    TRIGGER_PAUSED = "trigger_paused"
    TRIGGER_UNPAUSED = "trigger_unpaused"
    #: the candidate became the base everywhere after the last phase
    TRIGGER_COMPLETED = "trigger_completed"
    #: the candidate became the base everywhere, by a person's decision
    TRIGGER_ROLLED_OUT = "trigger_rolled_out"
    TRIGGER_ABORTED = "trigger_aborted"
    #: the monitor took the candidate back; or, of a completed release, restored what was before it
    TRIGGER_ROLLED_BACK = "trigger_rolled_back"
    #: the monitor took the newest phase back, and the trigger is paused
    PHASE_ROLLED_BACK = "phase_rolled_back"


class FeatureEvent(WireModel):
    """One entry of a feature's log. The last one is the feature's state."""

    type: EventType
    #: Milliseconds since the epoch.
    time_ms: int
    actor_id: str
    #: Who vouches for the actor: the id of a key, or a service; absent: nobody.
    vouched_by: str | None = None
    #: The actor's account at an identity provider; absent: unknown.
    account: Annotated[Account | None, Field(exclude_if=is_absent)] = None
    reason: str | None = None
    command_id: str
    #: The phase that the command acted on, or whose bake ended.
    phase_id: str | None = None
    feature: Feature
    #: The freezes that the actor overrode.
    overrode: tuple[str, ...] = ()
    #: What the event leaves out, so that it fits into a message; the events before it have it, if anything.
    left_out: tuple[str, ...] = ()
    #: The alert that caused a rollback.
    alert: _Object = Field(default_factory=dict)
    #: The guardrail that caused a rollback or a pause: query, value, limit, region.
    guardrail: _Object = Field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the JSON form that is stored, in UTF-8: without default values, and each phase's plan once.

        The last version reads it as well.
        """
        return self.to_json_with(self.feature.to_stored_json())

    def to_json_with(self, feature: bytes) -> bytes:
        """Return that form, with the feature as `Feature.to_stored_json` has encoded it."""
        rest = self.model_dump_json(exclude_defaults=True, exclude={"feature"})
        return with_field(rest.encode(), "feature", feature)

    @property
    def full_size(self) -> int:
        """Bytes of the form with all fields: what a state is bounded by when it is saved."""
        return len(super().to_json())
