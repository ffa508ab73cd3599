"""What is decided when rules are published, and what the SDK decides later, is the same."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sluiceway.contracts.conditions import Condition
from sluiceway.evaluation.rule_set import RuleSet
from sluiceway.pipelines.projection import checksum, project, used_attributes
from sluiceway.pipelines.segments import Location, remaining_conditions
from sluiceway.pipelines.spec_changes import needs_release, touched_environments
from tests.support.builders import PROCESS, Ledger, a_catalogue, a_config, a_gate, a_phase, a_pipeline

ENVIRONMENTS = ("development", "staging", "production")
VALUES = st.sampled_from(("us-west", "eu", "5", "")) | st.integers(-5, 5) | st.booleans()
LISTS = st.lists(VALUES, max_size=3, unique_by=str)
TARGETS = {
    "any": LISTS,
    "none": LISTS,
    "eq": VALUES | LISTS,
    "neq": VALUES | LISTS,
    "gt": st.integers(-5, 5) | st.just("5"),
    "lte": st.integers(-5, 5),
}
CONDITIONS = st.sampled_from(sorted(TARGETS)).flatmap(
    lambda operator: st.fixed_dictionaries(
        {
            "type": st.just("custom_field"),
            "field": st.sampled_from(("region", "tier")),
            "operator": st.just(operator),
            "targetValue": TARGETS[operator],
        }
    )
)
RULES = st.lists(
    st.fixed_dictionaries(
        {
            "environments": st.none() | st.lists(st.sampled_from(ENVIRONMENTS), min_size=1, max_size=2),
            "conditions": st.lists(CONDITIONS, max_size=3),
            "passPercentage": st.sampled_from((0, 50, 100)),
        }
    ),
    max_size=3,
)


def named(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": f"rule-{index}", **rule} for index, rule in enumerate(rules)]


def answer(rules: list[dict[str, Any]], place: Location, user: dict[str, Any]) -> object:
    """Return what a user gets by the rules as published for a place."""
    ledger = Ledger()
    ledger.save(a_gate(*named(rules)))
    document = project(ledger.events[-1], 1, place)
    assert document
    published = RuleSet(PROCESS)
    published.apply(document)
    return published.gate(user, "checkout")[:2]


@given(
    rules=RULES,
    region=VALUES,
    tier=VALUES,
    environment=st.sampled_from(ENVIRONMENTS),
    unit=st.text(max_size=3),
)
def test_deciding_by_the_region_early_or_late_gives_the_same_answer(
    rules: list[dict[str, Any]], region: Any, tier: Any, environment: str, unit: str
) -> None:
    user = {"userID": unit, "custom": {"tier": tier}}

    early = answer(rules, Location(environment, {"region": region}), user)
    late = answer(rules, Location(environment, {}), {**user, "custom": {"tier": tier, "region": region}})

    assert early == late


@given(before=RULES, after=RULES)
def test_a_change_touches_exactly_the_environments_whose_rules_change(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> None:
    ledger = Ledger(a_catalogue(a_pipeline()))
    ledger.save(a_gate(*named(before)))
    old, first = ledger.feature.base, ledger.events[-1]
    ledger.save(a_gate(*named(after)))
    new, second = ledger.feature.base, ledger.events[-1]
    assert new

    touched = touched_environments(old, new, ledger.catalogue.environments)

    places = {name: Location(name, {}) for name in ENVIRONMENTS}
    same_version = second.model_copy(
        update={"feature": second.feature.changed(base=new.model_copy(update={"version": 1}))}
    )
    documents = {
        name: (project(first, 1, place), project(same_version, 1, place)) for name, place in places.items()
    }
    differing = {
        name for name, (one, two) in documents.items() if one and two and checksum(one) != checksum(two)
    }
    assert set(touched) == differing
    assert needs_release(old, new, ledger.catalogue.environments) == bool(touched)


USERS: tuple[dict[str, Any], ...] = tuple(
    {"userID": unit, "customIDs": {"teamID": unit[::-1]}, "custom": {"tier": tier, "region": region}}
    for unit in ("a", "b", "ada")
    for tier in ("us-west", 5)
    for region in ("eu", "")
)
CONFIGS = st.fixed_dictionaries(
    {
        "isEnabled": st.booleans(),
        "idType": st.sampled_from(("userID", "teamID")),
        "defaultValue": st.sampled_from(({}, {"n": 0})),
        "rules": RULES.flatmap(
            lambda rules: st.tuples(*(st.sampled_from(({"n": 1}, {"n": 2})) for _ in rules)).map(
                lambda values: [
                    {**rule, "returnValue": value} for rule, value in zip(named(rules), values, strict=True)
                ]
            )
        ),
    }
)


@given(before=CONFIGS, after=CONFIGS)
def test_nobody_gets_another_answer_in_an_environment_that_a_change_does_not_touch(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    ledger = Ledger(a_catalogue())
    for config in (before, after):
        fields = {key: config[key] for key in ("isEnabled", "idType")}
        ledger.save(a_config(config["defaultValue"], *config["rules"], **fields))
    old, new = (event.feature.base for event in (ledger.events[0], ledger.events[-1]))
    assert new

    touched = touched_environments(old, new, ledger.catalogue.environments)

    for name in ENVIRONMENTS:
        answers = []
        for event in (ledger.events[0], ledger.events[-1]):
            published = RuleSet(PROCESS)
            document = project(event, 1, Location(name, {}))
            assert document
            published.apply(document)
            answers.append([published.config(user, "limits").value for user in USERS])
        assert name in touched or answers[0] == answers[1], name


@given(rules=RULES, phase=CONDITIONS, region=VALUES, tier=VALUES, other=VALUES)
def test_regions_that_agree_in_what_is_looked_at_receive_the_same_document(
    rules: list[dict[str, Any]], phase: dict[str, Any], region: Any, tier: Any, other: Any
) -> None:
    pipeline = a_pipeline(a_phase(environments=None, conditions=[phase]))
    ledger = Ledger(a_catalogue(pipeline))
    ledger.save(a_gate())
    ledger.save(a_gate(*named(rules), releasePipelineID="release"))
    event = ledger.events[-1]
    one = {"region": region, "tier": tier}
    looked_at = used_attributes(event.feature)
    another = {field: value if field in looked_at else other for field, value in one.items()}

    documents = [project(event, 1, Location("production", attributes)) for attributes in (one, another)]

    assert documents[0] == documents[1]


@given(condition=CONDITIONS, value=VALUES)
def test_a_condition_on_an_attribute_is_always_decided(condition: dict[str, Any], value: Any) -> None:
    place = Location("production", {"region": value, "tier": value})

    assert remaining_conditions(None, [Condition.model_validate(condition)], place) in (None, ())
