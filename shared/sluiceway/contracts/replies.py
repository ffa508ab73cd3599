"""What the sender of a command is told."""

from enum import StrEnum

from .feature import Feature
from .models import WireModel


class RefusalCode(StrEnum):
    """Why a command was refused."""

    #: the message is no valid command
    INVALID = "invalid"
    #: there is no such verb
    UNKNOWN_COMMAND = "unknown_command"
    TOO_LARGE = "too_large"
    UNKNOWN_FEATURE = "unknown_feature"
    UNKNOWN_TRIGGER = "unknown_trigger"
    UNKNOWN_PIPELINE = "unknown_pipeline"
    UNKNOWN_ENVIRONMENT = "unknown_environment"
    UNKNOWN_REGION = "unknown_region"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_FREEZE = "unknown_freeze"
    #: the feature has an active trigger
    TRIGGER_ACTIVE = "trigger_active"
    #: the trigger has ended
    TRIGGER_ENDED = "trigger_ended"
    #: the command was meant for another phase than the current one
    STALE_PHASE = "stale_phase"
    #: the state of the trigger does not allow it
    NOT_POSSIBLE = "not_possible"
    #: another person has to do it
    NOT_ALLOWED = "not_allowed"
    #: a phase would start inside a freeze
    FROZEN = "frozen"
    #: it refers to what is not there, or to itself, or to too much
    UNSAFE_REFERENCE = "unsafe_reference"
    #: it is still in use
    IN_USE = "in_use"
    #: the bake is not over
    NOT_DUE = "not_due"
    #: it could not be stored now; the same command may be sent again
    UNAVAILABLE = "unavailable"


class Refusal(WireModel):
    """A command that changed nothing, why, and what would be possible."""

    code: RefusalCode
    message: str
    #: Verbs that the present state allows, or the next thing to do.
    possible: tuple[str, ...] = ()


class Outcome(StrEnum):
    """What became of a command."""

    #: done, and safely stored
    ACCEPTED = "accepted"
    #: nothing to do: it is so already, or this very command was done before
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class Reply(WireModel):
    """The answer to every command."""

    outcome: Outcome
    #: Set where the command was about a feature: its state now.
    feature: Feature | None = None
    #: Sequence of that state in FEATURES (or of the document in CATALOG).
    revision: int | None = None
    #: In words.
    message: str | None = None
    refusal: Refusal | None = None
