"""A feature or pipeline that somebody is editing, and what saving it would do."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, NamedTuple

from sluiceway.contracts.commands import Command, SaveFeature, SavePipeline
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.contracts.revisions import NOTHING_STORED, RevisionTag
from sluiceway.messaging.feature_view import FeatureEntry
from sluiceway.pipelines.catalogue_decisions import CatalogueDecision, PutDocument
from sluiceway.pipelines.decision import Decision
from sluiceway.pipelines.segments import Extent
from sluiceway.pipelines.simulation import simulate_coverage
from sluiceway.pipelines.spec_changes import spec_of

from ..backend import ConsoleBackend
from .describe import describe_change
from .diff import diff_lines
from .document_text import Document, document_text, feature_text, parse_document

#: The reason of a preview: some commands need one.
PREVIEW_REASON = "preview"


class SaveOption(StrEnum):
    """How a draft is saved; the values are those of the form's field."""

    #: through its pipeline, if it has one
    NORMAL = ""
    #: immediately, without its pipeline
    AT_ONCE = "at_once"
    OVERRIDE_FREEZE = "override_freeze"


TITLES = {SaveOption.AT_ONCE: "Bypass the pipeline", SaveOption.OVERRIDE_FREEZE: "Override the freeze"}


class Draft(NamedTuple):
    """A document, and the stored one that it would replace."""

    document: Document
    text: str
    #: The text of the stored document; empty if there is none.
    before: str
    #: The revision of the stored document.
    revision: RevisionTag

    @property
    def address(self) -> str:
        """The path of the page that shows the document once it is saved."""
        if isinstance(self.document, Pipeline):
            return f"/pipelines/{self.document.id}"
        return f"/features/{self.document.key.kind}/{self.document.name}"

    @property
    def name(self) -> str:
        """How messages name the document."""
        if isinstance(self.document, Pipeline):
            return f"pipeline {self.document.id}"
        return str(self.document.key)


class OfferedOption(NamedTuple):
    """Another way to save a draft."""

    option: SaveOption
    title: str
    #: Why this user may not use it; None if it is allowed.
    why_not: str | None


class Preview(NamedTuple):
    """What saving a draft would do."""

    lines: list[tuple[str, str]]
    option: SaveOption
    #: The other options that make sense.
    offered: list[OfferedOption]
    #: One sentence.
    outcome: str = ""
    #: Why it cannot be saved; None if it can.
    refusal: str | None = None
    notice: str | None = None
    #: One sentence for each change.
    changes: Sequence[str] = ()
    #: By phase, in order: how much of each region would hold the candidate from then on.
    phases: Mapping[str, dict[str, Extent]] = {}

    @property
    def needs_reason(self) -> bool:
        """Whether saving requires a reason."""
        return self.option is SaveOption.OVERRIDE_FREEZE


async def parse_draft(backend: ConsoleBackend, user: Identity, text: str) -> Draft:
    """Return the draft that a text holds; `InvalidDraft` if it is not a valid document."""
    document, own_text = await backend.in_thread(user, partial(_parsed, text))
    if isinstance(document, Pipeline):
        stored = backend.catalogue.get("pipeline", document.id)
        known = stored.document if stored else None
        known_text = partial(document_text, known) if isinstance(known, Pipeline) else str
        before = await backend.in_thread(user, known_text)
        revision = stored.revision_tag if stored else NOTHING_STORED
        return Draft(document, own_text, before, revision)
    entry = backend.features.get(document.key)
    before = await current_text(backend, user, entry) if entry else ""
    revision = entry.revision_tag if entry else NOTHING_STORED
    return Draft(document, own_text, before, revision)


def _parsed(text: str) -> tuple[Document, str]:
    document = parse_document(text)
    return document, document_text(document)


async def current_text(backend: ConsoleBackend, user: Identity, entry: FeatureEntry) -> str:
    """Return a feature as it is live, as its author would write it; it is written once for each revision."""
    revision = ("text", entry.key, entry.revision_tag)
    return await backend.in_thread(user, partial(feature_text, entry.event.feature), revision)


def save_command(
    draft: Draft,
    user: Identity,
    option: SaveOption = SaveOption.NORMAL,
    reason: str | None = None,
    *,
    command_id: str | None = None,
    read: RevisionTag | None = None,
) -> Command:
    """Return the command that saves a draft of the revision `read`. The options are for features only."""
    common: dict[str, Any] = {"actor": user.name, "reason": reason, "expected_revision": read}
    if command_id:
        common["id"] = command_id
    if isinstance(draft.document, Pipeline):
        return SavePipeline(**common, pipeline=draft.document)
    return SaveFeature(
        **common,
        feature=draft.document,
        at_once=option is SaveOption.AT_ONCE,
        override_freeze=option is SaveOption.OVERRIDE_FREEZE,
    )


async def preview_draft(
    backend: ConsoleBackend, user: Identity, draft: Draft, option: SaveOption = SaveOption.NORMAL
) -> Preview:
    """Return what saving a draft would do, decided as the scheduler would decide it."""
    decision = await _decide(backend, user, draft, option)
    offered = [] if option else await _offered_options(backend, user, draft, decision)
    lines = await backend.in_thread(user, partial(diff_lines, draft.before, draft.text))
    preview = Preview(lines, option, offered)
    match decision:
        case Refusal():
            return preview._replace(outcome="This cannot be saved.", refusal=decision.message)
        case FeatureEvent(type=EventType.TRIGGER_STARTED) if decision.feature.trigger:
            trigger = decision.feature.trigger
            regions = [*backend.documents().regions.values()]
            phases = await backend.in_thread(user, partial(simulate_coverage, trigger.pipeline, regions))
            return preview._replace(
                outcome=f"Saving starts the release {trigger.id} through {trigger.pipeline.name}.",
                notice=trigger.pipeline.trigger_notice,
                changes=await _changes(backend, user, draft),
                phases=phases,
            )
        case FeatureEvent():
            past = ", bypassing the pipeline, which stays attached" if option is SaveOption.AT_ONCE else ""
            outcome = f"Saving makes this live immediately, in every region that it affects{past}."
            return preview._replace(outcome=outcome, changes=await _changes(backend, user, draft))
        case PutDocument():
            return preview._replace(outcome="Saving changes the pipeline for releases that start later.")
        case _:
            return preview._replace(outcome="Nothing has changed.", refusal=decision.message)


async def _decide(
    backend: ConsoleBackend, user: Identity, draft: Draft, option: SaveOption
) -> Decision | CatalogueDecision:
    return await backend.preview(save_command(draft, user, option, PREVIEW_REASON), user)


async def _offered_options(
    backend: ConsoleBackend, user: Identity, draft: Draft, decision: Decision | CatalogueDecision
) -> list[OfferedOption]:
    """Return the other options for a draft that starts a release, or that a freeze forbids."""
    is_frozen = isinstance(decision, Refusal) and decision.code is RefusalCode.FROZEN
    starts = isinstance(decision, FeatureEvent) and decision.type is EventType.TRIGGER_STARTED
    options = [SaveOption.OVERRIDE_FREEZE] if is_frozen else []
    if is_frozen or starts:
        options.append(SaveOption.AT_ONCE)
    offered = []
    for option in options:
        other = await _decide(backend, user, draft, option)
        why_not = other.message if isinstance(other, Refusal) else None
        offered.append(OfferedOption(option, TITLES[option], why_not))
    return offered


async def _changes(backend: ConsoleBackend, user: Identity, draft: Draft) -> list[str]:
    assert not isinstance(draft.document, Pipeline)
    feature = backend.feature(draft.document.key)
    before = feature.base if feature and not feature.archived else None
    after = spec_of(draft.document, 0, None)
    return await backend.in_thread(user, partial(describe_change, before, after))
