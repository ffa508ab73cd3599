"""Every refusal of a command: its code, what is wrong, and what to do. No other module has such texts.

A refusal is a value, not an exception: the command changed nothing, and its sender is told why.
"""

import heapq
import math
from collections.abc import Collection, Iterable, Sequence

from ..contracts.commands import Command, FeatureCommand, TriggerCommand
from ..contracts.durations import format_duration
from ..contracts.events import EventType, FeatureEvent
from ..contracts.feature import Trigger
from ..contracts.identifiers import FeatureKey
from ..contracts.identity import RESERVED_NAMES
from ..contracts.replies import Refusal, RefusalCode
from ..contracts.revisions import NOTHING_STORED, RevisionTag
from .publishability import Unpublishable

#: Verbs that remove a name from a freeze, or from the scope of a source of alerts.
FREEZE_VERBS = ("save_freeze", "delete_freeze")
ALERT_SOURCE_VERBS = ("save_alert_source", "delete_alert_source")
#: What a stalling broker did not store may be sent again after this time.
UNAVAILABLE_RETRY_MS = 100
#: Features that a message names; it says how many others there are.
NAMED_MAX = 20
#: Verbs that end a release.
END_VERBS = ("abort", "roll_out")
#: What does not exist → the code of the refusal.
UNKNOWN = {
    "environment": RefusalCode.UNKNOWN_ENVIRONMENT,
    "region": RefusalCode.UNKNOWN_REGION,
    "pipeline": RefusalCode.UNKNOWN_PIPELINE,
    "freeze": RefusalCode.UNKNOWN_FREEZE,
    "alert_source": RefusalCode.UNKNOWN_ALERT_SOURCE,
    "key": RefusalCode.UNKNOWN_KEY,
    "api_key": RefusalCode.UNKNOWN_KEY,
}


def invalid(errors: Sequence[str]) -> Refusal:
    """The document of a command has these errors."""
    return _refusal(RefusalCode.INVALID, "; ".join(errors))


def unknown(noun: str, name: str, known: Iterable[str], *, where: str = "", verb: str = "") -> Refusal:
    """A document of the catalogue that is named does not exist.

    `noun` is a key of `UNKNOWN`; `where` says what names it, `verb` what would create it.
    """
    prefix = f"{where}: " if where else ""
    names = ", ".join(sorted(known)) or "none"
    message = f"{prefix}unknown {noun.replace('_', ' ')} {name!r} (known: {names})"
    return _refusal(UNKNOWN[noun], message, (verb,) if verb else ())


def unknown_feature(key: FeatureKey) -> Refusal:
    return _refusal(RefusalCode.UNKNOWN_FEATURE, f"{key} does not exist; save it first", ("save_feature",))


def unknown_trigger(trigger_id: str, newest: Trigger | None = None) -> Refusal:
    hint = f"; the newest is {newest.id}" if newest else ""
    return _refusal(RefusalCode.UNKNOWN_TRIGGER, f"trigger {trigger_id} does not exist{hint}")


def trigger_ended(trigger: Trigger) -> Refusal:
    message = f"{trigger.id} has ended ({trigger.status}); save a new change to start a new trigger"
    return _refusal(RefusalCode.TRIGGER_ENDED, message, ("save_feature",))


def not_the_newest_trigger(trigger_id: str, newest: Trigger) -> Refusal:
    message = f"{trigger_id} has ended; the newest is {newest.id} ({newest.status})"
    return _refusal(RefusalCode.TRIGGER_ENDED, message)


def trigger_active(key: FeatureKey, active: Trigger) -> Refusal:
    """A feature cannot be changed while it is being released."""
    message = (
        f"{key} is being released by {active.id} ({active.status}, phase {active.current_run.phase.id}); "
        "wait until it ends, or abort it or roll it out"
    )
    return _refusal(RefusalCode.TRIGGER_ACTIVE, message, END_VERBS)


def stale_phase(
    command: TriggerCommand, phase_id: str, trigger: Trigger, possible: tuple[str, ...]
) -> Refusal:
    """The command was meant for another phase than the current one."""
    message = (
        f"{command.verb} was meant for phase {phase_id!r}, but {trigger.id} is at phase "
        f"{trigger.current_run.phase.id!r} ({trigger.status}); check the release, then try again"
    )
    return _refusal(RefusalCode.STALE_PHASE, message, possible)


def archived_meanwhile(key: FeatureKey) -> Refusal:
    """An edit was made for a live feature, which somebody has archived since."""
    return _refusal(RefusalCode.STALE, f"{key} is archived; unarchive it first")


def stale(
    subject: object,
    expected: RevisionTag,
    newest: RevisionTag,
    *,
    change: str = "",
    fields: str | None = None,
) -> Refusal:
    """The command was made from another revision of a document than the newest one.

    `change` is what led to the newest one: who, when and how. `fields` names what differs (empty: no field
    of the document; None: unknown).
    """
    if newest == NOTHING_STORED:
        return _refusal(RefusalCode.STALE, f"{subject} does not exist (any more); read it again")
    by = f" {change}" if change else ""
    if expected == NOTHING_STORED:
        message = f"{subject} exists already, last changed{by} (revision {newest}); read it, then change it"
        return _refusal(RefusalCode.STALE, message)
    what = "" if fields is None else f": {fields or 'nothing in the document itself'}"
    message = (
        f"{subject} was changed{by} since you read it{what}; its revision is now {newest}, and this was made "
        f"from {expected}; read it again, then repeat your change"
    )
    return _refusal(RefusalCode.STALE, message)


def precondition_failed(subject: str, condition: str, newest: RevisionTag) -> Refusal:
    """The headers of a request name no revision that could be the newest one."""
    state = "it does not exist" if newest == NOTHING_STORED else f"its revision is {newest}"
    hint = "; a weak tag never matches there, send the ETag as you got it" if "W/" in condition else ""
    return _refusal(RefusalCode.STALE, f"{subject} does not meet {condition}: {state}{hint}")


def not_possible(command: TriggerCommand, trigger: Trigger, possible: tuple[str, ...]) -> Refusal:
    """The status of the trigger does not allow the command."""
    message = (
        f"{command.verb} is not possible: {trigger.id} is {trigger.status} at phase "
        f"{trigger.current_run.phase.id!r}; possible now: {', '.join(possible)}"
    )
    return _refusal(RefusalCode.NOT_POSSIBLE, message, possible)


def not_due(trigger: Trigger, remaining_ms: int) -> Refusal:
    message = (
        f"{trigger.current_run.phase.id} of {trigger.id} bakes for another {format_duration(remaining_ms)}"
    )
    return _refusal(RefusalCode.NOT_DUE, message)


def author_cannot_approve(trigger: Trigger, actor: str) -> Refusal:
    phase = trigger.current_run.phase.id
    message = f"{actor} started {trigger.id} and cannot approve its phase {phase!r}; ask somebody else to"
    return _refusal(RefusalCode.NOT_ALLOWED, message)


def not_in_approval_group(trigger: Trigger, actor: str, groups: Sequence[str]) -> Refusal:
    phase = trigger.current_run.phase.id
    message = (
        f"phase {phase!r} of {trigger.id} needs the approval of a member of {' or '.join(groups)}, "
        f"and {actor} is not known to be one"
    )
    return _refusal(RefusalCode.NOT_ALLOWED, message)


def unsafe_reference(subject: object, error: str) -> Refusal:
    """A document refers to something that does not exist, to itself, or to too much."""
    verb = "save_feature" if isinstance(subject, FeatureKey) else "save_pipeline"
    return _refusal(RefusalCode.UNSAFE_REFERENCE, f"{subject}: {error}", (verb,))


def state_too_large(key: FeatureKey, event: FeatureEvent, size: int, size_max: int) -> Refusal:
    """A feature would have more bytes than a state may have, with its release."""
    feature = event.feature
    versions = {"live": feature.base, "new": feature.candidate}
    parts = [f"the {name} version {len(spec.to_json())}" for name, spec in versions.items() if spec]
    if feature.candidate and feature.trigger:
        pipeline = feature.trigger.pipeline
        parts.append(f"its pipeline {pipeline.id} {len(pipeline.to_json())}, which counts twice")
    message = (
        f"{key} cannot be saved: it would have {size} bytes ({', '.join(parts)}); at most "
        f"{size_max} are allowed: split it into several features, or list ids in a segment of their own"
    )
    return _refusal(RefusalCode.TOO_LARGE, message)


def too_many_references(key: FeatureKey, size: int, size_max: int) -> Refusal:
    message = (
        f"{key} cannot be saved: the names of the features that it and its pipeline refer to have {size} "
        f"bytes; at most {size_max} are allowed: refer to fewer features"
    )
    return _refusal(RefusalCode.TOO_LARGE, message)


def document_too_large(kind: str, id_: str, size: int, size_max: int) -> Refusal:
    """A document of the catalogue has too many bytes."""
    advice = "split it, or use segments instead of lists" if kind == "pipeline" else "make it smaller"
    message = (
        f"{kind.replace('_', ' ')} {id_} cannot be saved: it has {size} bytes; at most {size_max} are "
        f"allowed: {advice}"
    )
    return _refusal(RefusalCode.TOO_LARGE, message)


def unpublishable(key: FeatureKey, found: Unpublishable) -> Refusal:
    """Some phase could not be published in some region."""
    advice = "; make it smaller" if found.is_too_large else ""
    code = RefusalCode.TOO_LARGE if found.is_too_large else RefusalCode.INVALID
    return _refusal(code, f"{key} cannot be published: {'; '.join(found.errors)}{advice}")


def frozen(command: FeatureCommand, freezes: Iterable[object]) -> Refusal:
    message = (
        f"{command.verb} of {command.key} would release more during {' and '.join(map(str, freezes))}; wait "
        "until the freeze ends, or override it: --override-freeze --reason '…' (overrideFreeze in JSON)"
    )
    return _refusal(RefusalCode.FROZEN, message, ("override_freeze",))


def override_without_reason() -> Refusal:
    message = "overriding a freeze needs a reason for the log: --reason '…' (reason in JSON)"
    return _refusal(RefusalCode.INVALID, message)


def missing_role(name: str, command: Command | type[Command], required: object, granted: str) -> Refusal:
    """The sender is not granted what the command needs."""
    message = (
        f"{name} may not {command.verb.replace('_', ' ')} here: this needs the role {required}, "
        f"but {name} is granted {granted}; ask an admin for it"
    )
    return _refusal(RefusalCode.NOT_ALLOWED, message)


def reserved_key_name(key_id: str, name: str) -> Refusal:
    reserved = ", ".join(sorted(RESERVED_NAMES))
    message = f"key {key_id}: {name!r} is the name of a service; use any name except {reserved}"
    return _refusal(RefusalCode.INVALID, message)


def invisible_owner(key_id: str, owner: str) -> Refusal:
    """The name of an owner would look like another one."""
    message = (
        f"key {key_id}: the owner {owner!a} has characters that are not visible; "
        "use letters, digits, punctuation and single spaces"
    )
    return _refusal(RefusalCode.INVALID, message)


def key_exists(key_id: str) -> Refusal:
    message = f"another key has the id {key_id}; create a new one"
    return _refusal(RefusalCode.IN_USE, message, ("create_key",))


def feature_in_use(key: FeatureKey, users: Collection[str]) -> Refusal:
    message = f"{key} is used by {_named(users)}; change that first"
    return _refusal(RefusalCode.IN_USE, message)


def needed_for_rollback(key: FeatureKey, users: Collection[str]) -> Refusal:
    """Only the version before a completed release uses it, which a rollback may still restore."""
    message = (
        f"{key} is used by the version that a rollback of {_named(users)} would restore; wait until the "
        "observation of that release has ended, or save another change of it"
    )
    return _refusal(RefusalCode.IN_USE, message, ("save_feature",))


def environment_in_use(name: str, regions: Sequence[str]) -> Refusal:
    message = f"environment {name} has the regions {', '.join(regions)}; delete them first"
    return _refusal(RefusalCode.IN_USE, message, ("delete_region",))


def named_by_freezes(subject: str, freezes: Collection[str]) -> Refusal:
    """An environment, region or pipeline cannot be deleted while freezes name it."""
    named = ", ".join(f"freeze {name}" for name in sorted(freezes))
    return _refusal(RefusalCode.IN_USE, f"{subject} is named by {named}; change that first", FREEZE_VERBS)


def named_by_alert_sources(subject: str, sources: Collection[str]) -> Refusal:
    """A region or pipeline cannot be deleted while the scopes of sources of alerts name it."""
    named = ", ".join(f"alert source {name}" for name in sorted(sources))
    return _refusal(
        RefusalCode.IN_USE, f"{subject} is named by {named}; change that first", ALERT_SOURCE_VERBS
    )


def pipeline_running(pipeline_id: str, features: Collection[FeatureKey]) -> Refusal:
    message = f"pipeline {pipeline_id} is running for {_named(features)}; end those releases first"
    return _refusal(RefusalCode.IN_USE, message, ("abort",))


def pipeline_in_use(pipeline_id: str, features: Collection[FeatureKey]) -> Refusal:
    message = f"pipeline {pipeline_id} is used by {_named(features)}; detach it there first"
    return _refusal(RefusalCode.IN_USE, message, ("save_feature",))


# Refused before a command is decided, by the service that receives it.


def too_large(size: int, max_size: int) -> Refusal:
    """A command is larger than any that is read."""
    message = (
        f"the command has {size} bytes; at most {max_size} are allowed: split the feature into several, or "
        "list ids in a segment of their own"
    )
    return _refusal(RefusalCode.TOO_LARGE, message)


def result_too_large(size: int, size_max: int) -> Refusal:
    """What a command would store does not fit into a message, even without what may be left out."""
    message = (
        f"what this would store has {size} bytes; at most {size_max} are allowed: make it smaller, or raise "
        "max_payload of the broker"
    )
    return _refusal(RefusalCode.TOO_LARGE, message)


def step_too_large(type_: EventType) -> str:
    """Return why a phase is held whose next step does not fit into a message.

    It has no numbers: the text must not change while the phase is held, for each new text is a new event.
    """
    return f"the next step ({type_}) is too large for a message of the broker: abort the release"


def unknown_command(verb: str, known: Iterable[str]) -> Refusal:
    message = f"unknown command {verb!r} (known: {', '.join(sorted(known))})"
    return _refusal(RefusalCode.UNKNOWN_COMMAND, message)


def rate_limited(sender: str, seconds: float) -> Refusal:
    """The sender has more commands under way, or has sent more lately, than one sender may."""
    who = f"{sender} has sent" if sender else "there are"
    message = f"{who} too many commands at the same time; send this one again in {seconds:.2g} s"
    refusal = _refusal(RefusalCode.RATE_LIMITED, message)
    return refusal.model_copy(update={"retry_after_ms": math.ceil(seconds * 1_000)})


def stores_too_much(sender: str, bytes_max: int, bytes_per_second: int, seconds: float) -> Refusal:
    """What the sender's commands have stored lately is more than one sender may."""
    message = (
        f"what {sender} has saved lately is too large: {bytes_max // 2**20} MiB may be stored after a rest, "
        f"and {bytes_per_second:,} bytes a second after that. Make the changes fewer or smaller, and send "
        f"this one again in {math.ceil(seconds)} s; abort, pause, rollback and archiving still work"
    )
    refusal = _refusal(RefusalCode.RATE_LIMITED, message)
    return refusal.model_copy(update={"retry_after_ms": math.ceil(seconds * 1_000)})


def unavailable(reason: str, *, passes_soon: bool) -> Refusal:
    """It could not be stored now, and may be sent again: soon, if nobody has to do anything first."""
    refusal = _refusal(RefusalCode.UNAVAILABLE, f"{reason}; send the same command again")
    return refusal.model_copy(update={"retry_after_ms": UNAVAILABLE_RETRY_MS}) if passes_soon else refusal


def internal_error(reason: str) -> Refusal:
    """It may have been stored or not. To send it again soon would lead to the same error."""
    return _refusal(
        RefusalCode.UNAVAILABLE, f"internal error ({reason}); the scheduler's log has the details"
    )


def not_a_request(verb: str) -> Refusal:
    """A command came from a stream or without an inbox for its reply."""
    message = f"{verb} was not sent as a request; send it with an inbox for the reply"
    return _refusal(RefusalCode.NOT_ALLOWED, message)


def unauthenticated(verb: str) -> Refusal:
    message = (
        f"nobody vouches for the sender of {verb}: send it through the console, or with a key's credentials "
        f"to sluiceway.commands.{verb}.<key id> (SLUICEWAY_PRINCIPAL)"
    )
    return _refusal(RefusalCode.NOT_ALLOWED, message)


def missing_identity(sender: str, verb: str) -> Refusal:
    return _refusal(RefusalCode.NOT_ALLOWED, f"{sender} sent {verb} without the identity of a user; set it")


def revoked_key(key_id: str) -> Refusal:
    return _refusal(RefusalCode.NOT_ALLOWED, f"key {key_id!r} was revoked or never created; use a valid key")


def expired_key(key_id: str, owner: str) -> Refusal:
    message = f"key {key_id} of {owner} has expired; ask an admin for a new one"
    return _refusal(RefusalCode.NOT_ALLOWED, message)


def _named(names: Collection[object]) -> str:
    """Return the first names of a list that may have 100,000, in alphabetical order."""
    named = ", ".join(heapq.nsmallest(NAMED_MAX, map(str, names)))
    others = len(names) - NAMED_MAX
    return f"{named} and {others} others" if others > 0 else named


def _refusal(code: RefusalCode, message: str, possible: tuple[str, ...] = ()) -> Refusal:
    return Refusal(code=code, message=message, possible=possible)
