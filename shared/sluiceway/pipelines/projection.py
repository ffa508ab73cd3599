"""Feature, region → rule document or nothing. What a region has not received cannot break anything there.

- A region that no started phase covers gets the base, and nothing of the candidate.
- A region that is fully covered gets the candidate as its plain spec.
- A region that is partly covered gets both, with override rules between them (as in Statsig's
  release pipelines: https://docs.statsig.com/release-pipeline).

A salt never changes between phases, so that users who have the candidate keep it.
"""

import hashlib
from collections.abc import Iterable, Sequence

from ..contracts.catalogue import Region
from ..contracts.conditions import Condition
from ..contracts.events import FeatureEvent
from ..contracts.feature import Feature, FeatureRule, Spec, TriggerStatus
from ..contracts.identifiers import FeatureKind
from ..contracts.rule_document import (
    ConfigSpec,
    ListOperator,
    OverrideMapping,
    OverrideReference,
    RuleDocument,
    SpecCondition,
    SpecRule,
    SpecSet,
)
from ..evaluation.compiled_conditions import member_key
from .sdk_conditions import sdk_condition
from .segments import Coverage, Extent, Location, PartialRule, coverage, remaining_conditions

ENTITIES = {
    FeatureKind.GATE: "feature_gate",
    FeatureKind.DYNAMIC_CONFIG: "dynamic_config",
    FeatureKind.SEGMENT: "segment",
}
CHECKSUM_LENGTH = 16
#: Name of the rule that is made from a segment's list of ids.
IDS_RULE = "ids"


def project(event: FeatureEvent, revision: int, location: Location) -> RuleDocument | None:
    """Return what a region evaluates the feature by after `event`; None if it gets nothing.

    `revision` is the event's sequence in FEATURES.
    """
    feature = event.feature
    if feature.archived:
        return None
    covered = _candidate_coverage(feature, location)
    specs, spec = _specs(feature, covered, location)
    reverted = _reverted(feature, location)
    if spec is None and reverted is None:
        return None
    return _document(event, revision, specs, spec, reverted)


def _document(
    event: FeatureEvent, revision: int, specs: SpecSet, spec: Spec | None, reverted: str | None
) -> RuleDocument:
    return RuleDocument(
        kind=event.feature.kind,
        name=event.feature.name,
        revision=revision,
        event_time_ms=event.time_ms,
        trigger=spec.trigger if spec else None,
        reverted=reverted,
        specs=specs,
    )


def project_each(
    event: FeatureEvent, revision: int, regions: Iterable[Region]
) -> dict[str, RuleDocument | None]:
    """Return what each of these regions evaluates the feature by, by its name.

    Regions that the feature cannot tell apart share one document, which is projected once.
    """
    fields = sorted(used_attributes(event.feature))
    documents: dict[tuple[str, ...], RuleDocument | None] = {}
    by_region: dict[str, RuleDocument | None] = {}
    for region in regions:
        kind = (region.environment, *(repr(region.attributes.get(field)) for field in fields))
        if kind not in documents:
            documents[kind] = project(event, revision, Location.of(region))
        by_region[region.name] = documents[kind]
    return by_region


def full_document(event: FeatureEvent, revision: int, location: Location) -> RuleDocument:
    """Return what a region receives once everything that is saved is live in it."""
    specs, spec = _specs(event.feature, Coverage(Extent.FULLY), location)
    return _document(event, revision, specs, spec, None)


def partial_document(
    event: FeatureEvent, revision: int, location: Location, parts: Iterable[PartialRule]
) -> RuleDocument:
    """Return what a region receives while the candidate is released to these parts of its users."""
    specs, spec = _specs(event.feature, Coverage(Extent.PARTLY, tuple(parts)), location)
    return _document(event, revision, specs, spec, None)


def checksum(document: RuleDocument) -> str:
    """Return a digest of a document without its epoch, revision and time."""
    text = document.model_dump_json(exclude={"epoch", "revision", "event_time_ms"})
    return hashlib.sha256(text.encode()).hexdigest()[:CHECKSUM_LENGTH]


def used_attributes(feature: Feature) -> frozenset[str]:
    """Return every attribute of a region that a condition of this feature could be about.

    Regions of one environment with the same values for these receive the same document.
    """
    rules: list[Sequence[Condition]] = []
    for spec in (feature.base, feature.candidate):
        rules += [rule.conditions for rule in spec.rules] if spec else []
    for phase in feature.trigger.pipeline.phases if feature.trigger else ():
        rules += [rule.conditions for rule in phase.rules]
    return frozenset(condition.field for rule in rules for condition in rule if condition.field)


def _candidate_coverage(feature: Feature, location: Location) -> Coverage:
    if feature.candidate is None or feature.trigger is None:
        return Coverage(Extent.NONE)
    return coverage(feature.trigger.released, location)


def _reverted(feature: Feature, location: Location) -> str | None:
    trigger = feature.trigger
    if trigger is None or trigger.status not in (TriggerStatus.ABORTED, TriggerStatus.ROLLED_BACK):
        return None
    return trigger.id if coverage(trigger.released, location).extent is not Extent.NONE else None


def _specs(feature: Feature, covered: Coverage, location: Location) -> tuple[SpecSet, Spec | None]:
    """Return the specs of a region, and the newest version among them."""
    builder = _SpecSetBuilder(feature, location)
    base, candidate = feature.base, feature.candidate
    if candidate and covered.extent is Extent.FULLY:
        builder.add(feature.key.spec_name, candidate)
        return builder.specs(), candidate
    if base:
        builder.add(feature.key.spec_name, base)
    if candidate and covered.extent is Extent.PARTLY:
        builder.override(candidate, covered)
        return builder.specs(), candidate
    return builder.specs(), base


class _SpecSetBuilder:
    """Collects the parts of one region's specs."""

    def __init__(self, feature: Feature, location: Location) -> None:
        self._feature = feature
        self._location = location
        self._named: dict[str, ConfigSpec] = {}
        self._conditions: dict[str, SpecCondition] = {}
        self._override_rules: dict[str, SpecRule] = {}
        self._overrides: dict[str, tuple[OverrideMapping, ...]] = {}
        self._member_lists: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, spec: Spec) -> None:
        entity = ENTITIES[self._feature.kind]
        members = self._ids_rule(name, spec) if spec.ids else ()
        self._named[name] = ConfigSpec(
            type="dynamic_config" if entity == "dynamic_config" else "feature_gate",
            entity=entity,
            salt=self._feature.salt,
            enabled=spec.is_enabled,
            default_value=spec.default_value,
            rules=(*members, *self._rules(spec)) if spec.is_enabled else (),
            id_type=spec.id_type,
            version=spec.version,
        )

    def override(self, candidate: Spec, covered: Coverage) -> None:
        target = f"{self._feature.key.spec_name}:v{candidate.version}"
        self.add(target, candidate)
        references = []
        for name, conditions in covered.partial_rules:
            id_ = f"{candidate.trigger}/{name}"
            self._override_rules[id_] = SpecRule(
                name=id_,
                id=id_,
                pass_percentage=100.0,
                return_value=None,
                conditions=self._condition_ids(conditions),
            )
            references.append(OverrideReference(rule_name=id_))
        mapping = OverrideMapping(new_config_name=target, rules=tuple(references))
        self._overrides[self._feature.key.spec_name] = (mapping,)

    def specs(self) -> SpecSet:
        is_config = self._feature.kind is FeatureKind.DYNAMIC_CONFIG
        return SpecSet(
            feature_gates={} if is_config else self._named,
            dynamic_configs=self._named if is_config else {},
            condition_map=self._conditions,
            override_rules=self._override_rules,
            overrides=self._overrides,
            member_lists=self._member_lists,
        )

    def _ids_rule(self, name: str, spec: Spec) -> tuple[SpecRule]:
        """Return the rule for a segment's list of ids, which is stored under the name of its version."""
        self._member_lists[name] = tuple(member_key(id_) for id_ in spec.ids)
        condition = SpecCondition(
            type="unit_id", operator=ListOperator.IN_SEGMENT_LIST, target_value=name, id_type=spec.id_type
        )
        return (
            SpecRule(
                name=IDS_RULE,
                id=IDS_RULE,
                pass_percentage=100.0,
                return_value=True,
                conditions=(self._add_condition(condition),),
                id_type=spec.id_type,
            ),
        )

    def _rules(self, spec: Spec) -> Iterable[SpecRule]:
        for rule in spec.rules:
            remaining = remaining_conditions(rule.environments, rule.conditions, self._location)
            if remaining is not None:
                yield SpecRule(
                    name=rule.name,
                    id=rule_id(rule),
                    pass_percentage=rule.pass_percentage,
                    return_value=rule.return_value,
                    conditions=self._condition_ids(remaining),
                    id_type=spec.id_type,
                )

    def _condition_ids(self, conditions: Iterable[Condition]) -> tuple[str, ...]:
        return tuple(self._condition_id(condition) for condition in conditions)

    def _condition_id(self, condition: Condition) -> str:
        return self._add_condition(sdk_condition(condition))

    def _add_condition(self, translated: SpecCondition) -> str:
        id_ = hashlib.sha256(translated.to_json()).hexdigest()[:CHECKSUM_LENGTH]
        self._conditions[id_] = translated
        return id_


def rule_id(rule: FeatureRule) -> str:
    """Return the id of a rule, which also salts its percentage."""
    return rule.id or rule.name
