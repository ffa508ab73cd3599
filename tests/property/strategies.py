"""What authors write, at random: places, pipelines, and who a phase covers by them, read anew."""

from typing import Any

from hypothesis import strategies as st

from sluiceway.pipelines.segments import Location

ENVIRONMENTS = ("development", "staging", "production")
REGIONS = {
    "dev": Location("development", {"region": "dev"}),
    "staging": Location("staging", {"region": "staging"}),
    "us-west": Location("production", {"region": "us-west"}),
    "eu": Location("production", {"region": "eu"}),
}


def on(type_: str, target: Any, *, operator: str = "any", field_: str | None = None) -> dict[str, Any]:
    return {"type": type_, "operator": operator, "field": field_, "targetValue": target}


ABOUT_A_PLACE = st.one_of(
    st.just({"type": "public"}),
    st.lists(st.sampled_from(sorted(REGIONS)), min_size=1, max_size=2).flatmap(
        lambda names: st.sampled_from(("any", "none")).map(
            lambda operator: on("custom_field", names, operator=operator, field_="region")
        )
    ),
    st.sampled_from(ENVIRONMENTS).map(lambda name: on("environment_tier", [name])),
)
ABOUT_A_USER = st.sampled_from(
    (on("custom_field", ["pro"], field_="tier"), on("email", ["ada@example.com"], operator="none"))
)
PHASE_RULES = st.fixed_dictionaries(
    {
        "name": st.just("rule"),
        "environments": st.none() | st.lists(st.sampled_from(ENVIRONMENTS), min_size=1, max_size=2),
        "conditions": st.lists(ABOUT_A_PLACE, max_size=1).flatmap(
            lambda where: st.lists(ABOUT_A_USER, max_size=1).map(lambda who: where + who)
        ),
    }
)
APPROVALS = st.fixed_dictionaries({"count": st.integers(1, 2), "allowAuthor": st.booleans()})
REVIEWS = st.one_of(
    st.booleans().map(lambda needed: {"requiredReview": needed}),
    APPROVALS.map(lambda approvals: {"requiredReview": True, "approvals": approvals}),
)
BAKES = st.fixed_dictionaries(
    {
        "timeIntervalMs": st.sampled_from((0, 1_000, 60_000)),
        "rules": st.lists(PHASE_RULES, min_size=1, max_size=2),
    }
)
PHASES = st.tuples(BAKES, REVIEWS).map(lambda halves: {**halves[0], **halves[1]})
PIPELINES = st.lists(PHASES, min_size=1, max_size=5).map(
    lambda phases: {"name": "release", "phases": [{"name": f"p{n}", **p} for n, p in enumerate(phases)]}
)


def holds(condition: dict[str, Any], place: Location, user: dict[str, Any] | None) -> bool:
    """Say whether a condition holds; for no user in particular (None), whether it could."""
    if condition["type"] == "public":
        return True
    value: str | None
    if condition["type"] == "environment_tier":
        value = place.environment
    elif condition["field"] == "region":
        value = str(place.attributes["region"])
    elif user is None:
        return True
    elif condition["type"] == "email":
        value = user.get("email")
    else:
        value = user.get("custom", {}).get("tier")
    return bool((value in condition["targetValue"]) == (condition["operator"] == "any"))


def covers(phase: dict[str, Any], place: Location, user: dict[str, Any] | None = None) -> bool:
    """Say whether a phase covers a user in a place, from what its author wrote; None: anybody."""
    return any(
        (not rule["environments"] or place.environment in rule["environments"])
        and all(holds(condition, place, user) for condition in rule["conditions"])
        for rule in phase["rules"]
    )
