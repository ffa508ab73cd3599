"""A feature or pipeline that somebody is writing: text ⇄ document, and what saving it would do."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from sluiceway.contracts.commands import Command, SaveFeature, SavePipeline
from sluiceway.contracts.durations import format_duration, parse_duration
from sluiceway.contracts.events import EventType, FeatureEvent
from sluiceway.contracts.feature import DynamicConfig, Feature, FeatureGate, Segment
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.identity import Identity
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.replies import Refusal, RefusalCode
from sluiceway.contracts.validation_errors import describe_errors
from sluiceway.pipelines.catalogue_decisions import CatalogueDecision, PutDocument
from sluiceway.pipelines.decision import Decision
from sluiceway.pipelines.feature_documents import authored_document
from sluiceway.pipelines.segments import Extent
from sluiceway.pipelines.simulation import simulate_coverage
from sluiceway.pipelines.spec_changes import spec_of

from ..backend import ConsoleBackend
from .describe import describe_change
from .diff import diff_lines

Document = FeatureGate | DynamicConfig | Segment | Pipeline
MODELS: Mapping[str, type[Document]] = {
    "FeatureGate": FeatureGate,
    "DynamicConfig": DynamicConfig,
    "Segment": Segment,
    "ReleasePipeline": Pipeline,
}
#: Lengths of time that people write as `30m`.
DURATIONS = {
    "timeIntervalMs": "timeInterval",
    "observeForMs": "observeFor",
    "intervalMs": "interval",
    "initialDelayMs": "initialDelay",
}


#: How else a feature may be saved: fields of the command, and what a page calls them.
AT_ONCE, OVERRIDING = "at_once", "override_freeze"
SAVE_OPTIONS = {AT_ONCE: "Past the pipeline", OVERRIDING: "Override the freeze"}


class InvalidDraft(Exception):
    """The text is no document; says why."""


class Draft(NamedTuple):
    """A document, and what stands in its place now."""

    document: Document
    text: str
    #: Empty for something new.
    before: str
    #: Of what stands there now; 0 for something new.
    revision: int
    #: Who wrote that.
    modifier: str

    @property
    def address(self) -> str:
        """The page of what is written."""
        if isinstance(self.document, Pipeline):
            return f"/pipelines/{self.document.id}"
        return f"/features/{self.document.key.kind}/{self.document.name}"

    @property
    def name(self) -> str:
        is_pipeline = isinstance(self.document, Pipeline)
        return f"pipeline {self.document.id}" if is_pipeline else str(self.document.key)  # type: ignore[union-attr]


class SaveOption(NamedTuple):
    """Another way to save a draft."""

    name: str
    title: str
    #: Why this person may not; None where it may.
    why_not: str | None


class Preview(NamedTuple):
    """What saving a draft would do."""

    lines: list[tuple[str, str]]
    #: In which of `SAVE_OPTIONS`; empty for the usual one.
    way: str
    ways: list[SaveOption]
    #: In a sentence.
    outcome: str = ""
    #: Why it may not be saved; None where it may.
    refusal: str | None = None
    notice: str | None = None
    words: Sequence[str] = ()
    #: By phase, in order: how much of each region would hold the candidate by then.
    phases: Mapping[str, dict[str, Extent]] = {}

    @property
    def needs_reason(self) -> bool:
        """Whether it may not be saved without one."""
        return self.way == OVERRIDING


def parse_draft(backend: ConsoleBackend, text: str) -> Draft:
    """Return what somebody has written; `InvalidDraft` where it is no document."""
    document = _document(text)
    if isinstance(document, Pipeline):
        stored = backend.catalogue.get("pipeline", document.id)
        known = stored.document if stored else None
        before = text_of_pipeline(known) if isinstance(known, Pipeline) else ""
        revision, modifier = (stored.revision, stored.modifier) if stored else (0, "")
        return Draft(document, text_of_pipeline(document), before, revision, modifier)
    entry = backend.features.get(document.key)
    before = text_of_feature(entry.event.feature) if entry else ""
    actor = entry.event.actor_id if entry else ""
    return Draft(document, dump_yaml(_tidy(document)), before, entry.sequence if entry else 0, actor)


def preview_draft(backend: ConsoleBackend, user: Identity, draft: Draft, way: str = "") -> Preview:
    """Return what saving would do in one of `SAVE_OPTIONS`, decided as the scheduler would."""
    decision = _rehearsed(backend, user, draft, way)
    ways = [] if way else _save_options(backend, user, draft, decision)
    preview = Preview(diff_lines(draft.before, draft.text), way, ways)
    match decision:
        case Refusal():
            return preview._replace(outcome="This cannot be saved.", refusal=decision.message)
        case FeatureEvent(type=EventType.TRIGGER_STARTED) if decision.feature.trigger:
            trigger = decision.feature.trigger
            return preview._replace(
                outcome=f"Saving starts the release {trigger.id} along {trigger.pipeline.name}.",
                notice=trigger.pipeline.trigger_notice,
                words=_words(backend, draft),
                phases=simulate_coverage(trigger.pipeline, backend.documents().regions.values()),
            )
        case FeatureEvent():
            past = ", past the pipeline, which stays attached" if way == AT_ONCE else ""
            said = f"Saving makes this live at once, in every region that it touches{past}."
            return preview._replace(outcome=said, words=_words(backend, draft))
        case PutDocument():
            return preview._replace(outcome="Saving changes the pipeline for releases that start later.")
        case _:
            return preview._replace(outcome="Nothing differs from what there is.", refusal=decision.message)


def command_of(draft: Draft, way: str) -> tuple[type[Command], dict[str, Any]]:
    """Return the command that saves a draft in one of `SAVE_OPTIONS`, and its fields."""
    if isinstance(draft.document, Pipeline):
        return SavePipeline, {"pipeline": draft.document}
    return SaveFeature, {"feature": draft.document, way: True} if way else {"feature": draft.document}


def _rehearsed(
    backend: ConsoleBackend, user: Identity, draft: Draft, way: str
) -> Decision | CatalogueDecision:
    model, fields = command_of(draft, way)
    return backend.preview(model, user, **fields, reason="rehearsed")


def _save_options(
    backend: ConsoleBackend, user: Identity, draft: Draft, decision: Decision | CatalogueDecision
) -> list[SaveOption]:
    """Return how else a draft may be saved that starts a release, or is kept from it by a freeze."""
    is_frozen = isinstance(decision, Refusal) and decision.code is RefusalCode.FROZEN
    starts = isinstance(decision, FeatureEvent) and decision.type is EventType.TRIGGER_STARTED
    found = []
    for name in (*([OVERRIDING] if is_frozen else []), *([AT_ONCE] if is_frozen or starts else [])):
        other = _rehearsed(backend, user, draft, name)
        found.append(
            SaveOption(name, SAVE_OPTIONS[name], other.message if isinstance(other, Refusal) else None)
        )
    return found


def text_of_feature(feature: Feature) -> str:
    """Return a feature as it is live, as its author would write it."""
    return dump_yaml(_tidy(authored_document(feature)))


def text_of_pipeline(pipeline: Pipeline) -> str:
    """Return a pipeline as its author would write it."""
    return dump_yaml(_with_durations(_tidy(pipeline)))


def new_text(kind: str) -> str:
    """Return where the author of something new begins."""
    everyone = {"name": "everyone", "conditions": [{"type": "public"}]}
    match kind:
        case "pipeline":
            phase = {"name": "first", "timeInterval": "30m", "rules": [{"name": "everyone"}]}
            return dump_yaml({"kind": "ReleasePipeline", "name": "my-pipeline", "phases": [phase]})
        case FeatureKind.DYNAMIC_CONFIG:
            return dump_yaml({"kind": "DynamicConfig", "name": "my_config", "defaultValue": {"key": "value"}})
        case FeatureKind.SEGMENT:
            return dump_yaml({"kind": "Segment", "name": "my_segment", "ids": ["user-1"]})
        case _:
            return dump_yaml({"kind": "FeatureGate", "name": "my_gate", "rules": [everyone]})


def parse_yaml(text: str) -> Any:
    """Return what YAML says; `InvalidDraft` where it is none, or repeats itself by aliases."""
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)):
            raise InvalidDraft("write things out: aliases (*name) are not taken")
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise InvalidDraft(f"this is no YAML: {' '.join(str(error).split())}") from error


def _document(text: str) -> Document:
    said = parse_yaml(text)
    model = MODELS.get(str(said.get("kind"))) if isinstance(said, dict) else None
    if model is None:
        raise InvalidDraft(f"kind: one of {', '.join(MODELS)} is expected")
    try:
        return model.model_validate(said)
    except ValidationError as error:
        raise InvalidDraft(describe_errors(error)) from error


def _words(backend: ConsoleBackend, draft: Draft) -> list[str]:
    assert not isinstance(draft.document, Pipeline)
    feature = backend.feature(draft.document.key)
    before = feature.base if feature and not feature.archived else None
    return describe_change(before, spec_of(draft.document, 0, None))


def _tidy(document: Document) -> dict[str, Any]:
    """Return a document without what goes without saying; kind and name first."""
    said = document.model_dump(mode="json", exclude_defaults=True)
    head = {"kind": document.kind, "name": said.pop("name")}
    if said.get("id") is not None:
        head = {"kind": document.kind, "id": said.pop("id"), "name": head["name"]}
    said.pop("kind", None)
    return {**head, **said}


def _with_durations(value: Any) -> Any:
    """Return a document with lengths of time as people write them, where nothing is lost by that."""
    if isinstance(value, list):
        return [_with_durations(one) for one in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for name, one in value.items():
        if name in DURATIONS and isinstance(one, int) and parse_duration(format_duration(one)) == one:
            changed[DURATIONS[name]] = format_duration(one)
        else:
            changed[name] = _with_durations(one)
    return changed


def dump_yaml(value: Any) -> str:
    """Return YAML that says exactly this, as readable as it can be.

    PyYAML writes some line breaks of Unicode as they are, and reads them as blanks.
    """
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
    if yaml.safe_load(text) == value:
        return text
    return yaml.safe_dump(value, sort_keys=False, width=100)
