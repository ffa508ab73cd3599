"""The features of the benchmark in config-spec shapes."""

from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from sluiceway.contracts.identifiers import FeatureKind
from sluiceway.contracts.rule_document import ConfigSpec, RuleDocument, SpecCondition, SpecRule, SpecSet
from tests.benchmarks.peers.people import ENVIRONMENT, OTHERS, PLANS, REGIONS, VALUES, Workload

PUBLIC = {"public": SpecCondition(type="public")}


def documents() -> Iterator[RuleDocument]:
    """Return the four features and the others."""
    yield gate(Workload.ON, PUBLIC)
    yield gate(Workload.REGION, _regions())
    yield gate(Workload.ROLLOUT, _regions(), pass_percentage=50)
    yield _config()
    for name in OTHERS:
        yield gate(name, _regions())


def gate(
    name: str, conditions: dict[str, SpecCondition], *, pass_percentage: float = 100, revision: int = 1
) -> RuleDocument:
    """Return a gate of one rule."""
    rules = [_rule("only", True, conditions, pass_percentage)]
    spec = _spec("feature_gate", name, False, rules)
    specs = SpecSet(feature_gates={name: spec}, condition_map=conditions)
    return _document(FeatureKind.GATE, name, specs, revision)


def others(count: int) -> Iterator[RuleDocument]:
    """Return `count` gates like `region`."""
    return (gate(f"gate_{n}", _regions()) for n in range(count))


def _regions() -> dict[str, SpecCondition]:
    return _field("environment", [ENVIRONMENT]) | _field("region", list(REGIONS))


def _config() -> RuleDocument:
    conditions: dict[str, SpecCondition] = {}
    rules = []
    for plan, value in zip(PLANS, VALUES, strict=True):
        of_plan = _field("plan", [plan])
        conditions |= of_plan
        rules.append(_rule(plan, value, of_plan))
    spec = _spec("dynamic_config", Workload.CONFIG, {}, rules)
    specs = SpecSet(dynamic_configs={Workload.CONFIG: spec}, condition_map=conditions)
    return _document(FeatureKind.DYNAMIC_CONFIG, Workload.CONFIG, specs, 1)


def _field(field: str, values: list[JsonValue]) -> dict[str, SpecCondition]:
    id_ = f"{field}:{','.join(map(str, values))}"
    return {id_: SpecCondition(type="user_field", operator="any", field=field, target_value=values)}


def _rule(name: str, value: JsonValue, conditions: Iterable[str], pass_percentage: float = 100) -> SpecRule:
    return SpecRule(
        name=name,
        id=name,
        pass_percentage=pass_percentage,
        return_value=value,
        conditions=tuple(conditions),
    )


def _spec(entity: str, name: str, default: JsonValue, rules: list[SpecRule]) -> ConfigSpec:
    return ConfigSpec(
        type=entity,
        entity=entity,
        salt=name,
        enabled=True,
        default_value=default,
        rules=tuple(rules),
        version=1,
    )


def _document(kind: FeatureKind, name: str, specs: SpecSet, revision: int) -> RuleDocument:
    return RuleDocument(kind=kind, name=name, revision=revision, event_time_ms=1, specs=specs)
