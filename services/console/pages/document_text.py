"""Documents of features and pipelines ⇄ the YAML that the editor shows."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sluiceway.contracts.durations import format_duration, parse_duration
from sluiceway.contracts.feature import DynamicConfig, Feature, FeatureGate, Segment
from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.pipeline import Pipeline
from sluiceway.contracts.validation_errors import describe_errors
from sluiceway.pipelines.feature_documents import authored_document
from sluiceway.yaml_documents import InvalidYaml, dump_yaml, load_yaml

Document = FeatureGate | DynamicConfig | Segment | Pipeline
MODELS: Mapping[str, type[Document]] = {
    "FeatureGate": FeatureGate,
    "DynamicConfig": DynamicConfig,
    "Segment": Segment,
    "ReleasePipeline": Pipeline,
}
#: Durations in ms, and the field that holds them as people write them: `30m`.
DURATION_FIELDS = {
    "timeIntervalMs": "timeInterval",
    "observeForMs": "observeFor",
    "intervalMs": "interval",
    "initialDelayMs": "initialDelay",
}


class InvalidDraft(Exception):
    """The text is not a valid document. The message says why."""


def parse_document(text: str) -> Document:
    """Return the document that a text holds; `InvalidDraft` if it holds none."""
    content = parse_yaml(text)
    kind = str(content.get("kind")) if isinstance(content, dict) else "none"
    model = MODELS.get(kind)
    if model is None:
        raise InvalidDraft(f"unknown kind {kind!r}: use one of {', '.join(MODELS)}")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise InvalidDraft(describe_errors(error)) from error


def parse_yaml(text: str) -> Any:
    """Return the content of a YAML document; `InvalidDraft` if it is invalid."""
    try:
        return load_yaml(text)
    except InvalidYaml as error:
        raise InvalidDraft(f"invalid YAML: {error}") from error


def feature_text(feature: Feature) -> str:
    """Return a feature as it is live, as its author would write it."""
    return document_text(authored_document(feature))


def document_text(document: Document) -> str:
    """Return a document as its author would write it: without defaults, and with readable durations."""
    content = _without_defaults(document)
    return dump_yaml(_with_durations(content) if isinstance(document, Pipeline) else content)


def new_text(kind: str) -> str:
    """Return an example to start from, for a new feature of a kind, or for a `pipeline`."""
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


def _without_defaults(document: Document) -> dict[str, Any]:
    """Return the fields that differ from their defaults, with the kind, id and name first."""
    content = document.model_dump(mode="json", exclude_defaults=True)
    content.pop("kind", None)
    head: dict[str, Any] = {"kind": document.kind}
    if content.get("id") is not None:
        head["id"] = content.pop("id")
    head["name"] = content.pop("name")
    return {**head, **content}


def _with_durations(value: Any) -> Any:
    """Return content with durations as people write them, if that loses no precision."""
    if isinstance(value, list):
        return [_with_durations(item) for item in value]
    if not isinstance(value, dict):
        return value
    changed = {}
    for name, item in value.items():
        is_duration = name in DURATION_FIELDS and isinstance(item, int)
        if is_duration and parse_duration(format_duration(item)) == item:
            changed[DURATION_FIELDS[name]] = format_duration(item)
        else:
            changed[name] = _with_durations(item)
    return changed
