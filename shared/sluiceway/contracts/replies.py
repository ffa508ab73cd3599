"""Replies to commands."""

from functools import cached_property

import msgspec
from pydantic import Field, InstanceOf, SerializerFunctionWrapHandler, field_serializer
from pydantic.json_schema import SkipJsonSchema

from .feature import Feature
from .models import WireEnum, WireModel, with_field
from .revisions import RevisionTag
from .short_texts import start_of

#: Bytes of each text in a reply that was too large.
SHORT_TEXT_BYTES = 4_000


class RefusalCode(WireEnum):
    """Why a command was refused."""

    #: the message is not a valid command
    INVALID = "invalid"
    #: the verb does not exist
    UNKNOWN_COMMAND = "unknown_command"
    TOO_LARGE = "too_large"
    UNKNOWN_FEATURE = "unknown_feature"
    UNKNOWN_TRIGGER = "unknown_trigger"
    UNKNOWN_PIPELINE = "unknown_pipeline"
    UNKNOWN_ENVIRONMENT = "unknown_environment"
    UNKNOWN_REGION = "unknown_region"
    UNKNOWN_KEY = "unknown_key"
    UNKNOWN_FREEZE = "unknown_freeze"
    UNKNOWN_ALERT_SOURCE = "unknown_alert_source"
    #: the feature has an active trigger
    TRIGGER_ACTIVE = "trigger_active"
    #: the trigger has ended
    TRIGGER_ENDED = "trigger_ended"
    #: the command names a phase that is not the current one
    STALE_PHASE = "stale_phase"
    #: it was made from a reading, and somebody has changed the document since
    STALE = "stale"
    #: the state of the trigger does not allow it
    NOT_POSSIBLE = "not_possible"
    #: the sender lacks a role, or another person has to do it
    NOT_ALLOWED = "not_allowed"
    #: a phase would start inside a freeze
    FROZEN = "frozen"
    #: it refers to a feature that does not exist, to itself, or to too many features
    UNSAFE_REFERENCE = "unsafe_reference"
    #: it is still in use
    IN_USE = "in_use"
    #: the bake is not over
    NOT_DUE = "not_due"
    #: its sender has sent too many; the same command may be sent again after `retryAfterMs`
    RATE_LIMITED = "rate_limited"
    #: it could not be stored now; the same command may be sent again: after `retryAfterMs`, if that is known
    UNAVAILABLE = "unavailable"


class Refusal(WireModel):
    """Why a command changed nothing, and what would be possible."""

    code: RefusalCode
    message: str
    #: Verbs that the state allows now, or the next thing to do.
    possible: tuple[str, ...] = ()
    #: When the same command may be sent again, if that is known.
    retry_after_ms: int | None = None


class Outcome(WireEnum):
    """What a command resulted in."""

    #: done and stored
    ACCEPTED = "accepted"
    #: nothing to do: the state is already like this, or this command was applied before
    UNCHANGED = "unchanged"
    REFUSED = "refused"


class EncodedFeature:
    """A feature as JSON, which is parsed when somebody asks for it; most senders of commands never do."""

    def __init__(self, data: bytes, feature: Feature | None = None) -> None:
        """`feature`: what `data` is when it is parsed, if that is known."""
        #: Its JSON, as events have it.
        self.data = data
        if feature:
            self.__dict__["feature"] = feature

    @cached_property
    def feature(self) -> Feature:
        """The feature; raises pydantic's `ValidationError` if the JSON is not one."""
        return Feature.model_validate_json(self.data, extra="ignore")

    def __eq__(self, other: object) -> bool:
        return self.feature == (other.feature if isinstance(other, EncodedFeature) else other)

    __hash__ = None  # type: ignore[assignment]  # a feature has none either

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.data!r})"


class Reply(WireModel):
    """The answer to every command."""

    outcome: Outcome
    #: The state now, if the command was about a feature; see `feature`.
    state: Feature | SkipJsonSchema[InstanceOf[EncodedFeature]] | None = Field(default=None, alias="feature")
    #: Sequence of that state in FEATURES (or of the document in CATALOG).
    revision: int | None = None
    #: Names that state, for `expectedRevision` of the next command; `0` if there is none.
    revision_tag: RevisionTag | None = None
    #: The result in a sentence.
    message: str | None = None
    refusal: Refusal | None = None

    @classmethod
    def read(cls, data: bytes) -> "Reply":
        """Return the reply in `data`; its feature is parsed when somebody asks for it.

        Raises pydantic's `ValidationError` if anything else is invalid. Unknown fields are ignored.
        """
        try:
            fields = _FIELDS.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return cls.model_validate_json(data, extra="ignore")  # says what is wrong
        feature = bytes(fields.pop("feature", NULL))
        reply = cls.model_validate_json(_ENCODER.encode(fields), extra="ignore")
        return reply if feature == NULL else reply.model_copy(update={"state": EncodedFeature(feature)})

    @property
    def feature(self) -> Feature | None:
        """The state now, if the command was about a feature.

        Raises pydantic's `ValidationError` if the scheduler has sent something else.
        """
        return self.state.feature if isinstance(self.state, EncodedFeature) else self.state

    def to_json(self) -> bytes:
        """Return the JSON form without default values, in UTF-8; a reader loses nothing."""
        rest = self.model_dump_json(exclude_defaults=True, exclude={"state"}).encode()
        if self.state is None:
            return rest
        state = self.state.data if isinstance(self.state, EncodedFeature) else self.state.to_stored_json()
        return with_field(rest, "feature", state)

    @field_serializer("state", mode="wrap")
    def _plain(self, state: object, encode: SerializerFunctionWrapHandler) -> object:
        return encode(self.feature)

    def without_state(self, why: str) -> "Reply":
        """Return a reply that fits into any message: without the state, and with short texts."""
        refusal = self.refusal and Refusal(
            code=self.refusal.code, message=start_of(self.refusal.message, SHORT_TEXT_BYTES)
        )
        note = start_of(f"the reply leaves out the state of the feature: {why}", SHORT_TEXT_BYTES)
        return self.model_copy(update={"state": None, "refusal": refusal, "message": note})

    @property
    def is_stale(self) -> bool:
        """Whether the command was refused because it was made from an old reading."""
        return self.refusal is not None and self.refusal.code is RefusalCode.STALE


#: A field that is absent.
NULL = b"null"
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
