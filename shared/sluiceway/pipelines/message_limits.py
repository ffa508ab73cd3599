"""How much one thing may take of a message, by what the broker takes as one.

What is saved leaves room in the message: for its headers, and for what every later step adds.
"""

from collections.abc import Sequence

from ..contracts.short_texts import start_of

#: The bytes of a message, headers included, that a broker takes by default (its `max_payload`).
MESSAGE_BYTES_MAX = 2**20
#: Bytes of a rule document; headers and the key need room as well.
DOCUMENT_BYTES_MAX = 1_000_000
#: The part of a smaller message that a rule document may use, in percent.
DOCUMENT_PERCENT = 96
#: What a change may use of it: later events add which trigger was taken back, and longer numbers.
SAVED_DOCUMENT_BYTES_MAX = DOCUMENT_BYTES_MAX - 10_000
#: The same part of a smaller document, in percent.
SAVED_DOCUMENT_PERCENT = 98
#: Bytes of the event that saves a feature: all its versions, and the release with its copy of the pipeline.
STATE_BYTES_MAX = 400_000
#: The part of a smaller message that such an event may use, in percent.
STATE_PERCENT = 39
#: Bytes of a pipeline or another document of the catalogue; a release counts its pipeline twice.
CATALOGUE_DOCUMENT_BYTES_MAX = 150_000
#: The part of a smaller message that such a document may use, in percent.
CATALOGUE_DOCUMENT_PERCENT = 15
#: Bytes of the names of the features that a feature and its release refer to; they are headers too.
REFERENCE_BYTES_MAX = 40_000
#: The part of a smaller message that they may use, in percent.
REFERENCE_PERCENT = 4
#: Bytes of an alert, and of a guardrail's measurement, in the event that they cause.
EVIDENCE_BYTES_MAX = 64 * 1024
#: Bytes of the actions that a release carries; the log holds them all.
ACTIONS_BYTES_MAX = 64 * 1024
#: Bytes of the reason of one action; its event has the whole reason.
ACTION_REASON_BYTES_MAX = 2_000
#: Reasons why a phase is held, and bytes of each.
HOLDS_MAX = 20
HOLD_BYTES_MAX = 500
#: Freezes that one event names as overridden.
OVERRODE_MAX = 20

#: What an event says it leaves out if it drops the record of a release that ended before it.
EARLIER_RELEASE = "earlier release"


def document_bytes_max(message_bytes_max: int) -> int:
    """Return the bytes of a rule document that may be published."""
    return min(DOCUMENT_BYTES_MAX, message_bytes_max * DOCUMENT_PERCENT // 100)


def saved_document_bytes_max(message_bytes_max: int) -> int:
    """Return the bytes of a rule document that a change may lead to when it is saved."""
    published = document_bytes_max(message_bytes_max)
    return min(SAVED_DOCUMENT_BYTES_MAX, published * SAVED_DOCUMENT_PERCENT // 100)


def state_bytes_max(message_bytes_max: int) -> int:
    """Return the bytes of an event that saves a feature."""
    return min(STATE_BYTES_MAX, message_bytes_max * STATE_PERCENT // 100)


def catalogue_document_bytes_max(message_bytes_max: int) -> int:
    """Return the bytes of a document that may be saved in the catalogue."""
    return min(CATALOGUE_DOCUMENT_BYTES_MAX, message_bytes_max * CATALOGUE_DOCUMENT_PERCENT // 100)


def reference_bytes_max(message_bytes_max: int) -> int:
    """Return the bytes of the names of other features that a feature may refer to."""
    return min(REFERENCE_BYTES_MAX, message_bytes_max * REFERENCE_PERCENT // 100)


def bounded_holds(holds: Sequence[str]) -> tuple[str, ...]:
    """Return the reasons why a phase is held, as a state can hold them."""
    named = tuple(start_of(hold, HOLD_BYTES_MAX) for hold in holds[:HOLDS_MAX])
    others = len(holds) - len(named)
    return (*named[:-1], f"{named[-1]} (and {others} others)") if others else named


def bounded_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of overridden freezes, as an event can hold them."""
    named = tuple(names[:OVERRODE_MAX])
    others = len(names) - len(named)
    return (*named, f"(and {others} others)") if others else named
